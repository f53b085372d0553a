// Reads requests, one a line, as servers in Node do, and writes what each
// parser takes for the model: a JSON list of [parser, value].
'use strict'
const zlib = require('node:zlib')
const readline = require('node:readline')

// As body-parser inflates bodies.
function decoded(body, encoding) {
  switch (encoding.trim().toLowerCase()) {
    case '': case 'identity': return body
    case 'gzip': return zlib.gunzipSync(body)
    case 'br': return zlib.brotliDecompressSync(body)
    case 'deflate':
      try { return zlib.inflateSync(body) } catch { return zlib.inflateRawSync(body) }
  }
  throw new Error('unsupported')
}

function* ofObject(parser, object) {
  if (object === null || typeof object !== 'object' || Array.isArray(object)) return
  for (const [key, value] of Object.entries(object)) {
    // Case-insensitive and trimming middleware, and C strings behind it.
    const folded = key.split('\0')[0].normalize('NFKC').replace(/[\p{Cc}\p{Cf}\ufffd\p{Cs}\p{Mn}]/gu, '').trim().toLowerCase()
    if (key === 'model' || folded === 'model' || folded.replace(/[[.].*$/s, '') === 'model') yield [parser + ' ' + JSON.stringify(key), value]
  }
}

function* ofJSON(parser, text) {
  let object
  try { object = JSON.parse(text.replace(/^\ufeff/, '')) } catch { return }
  yield* ofObject(parser, object)
}

function* ofQuery(parser, text) {
  for (const [key, value] of new URLSearchParams(text)) {
    if (key.replace(/[[.].*$/s, '').trim().toLowerCase() === 'model') yield [parser, value]
  }
}

// As busboy and its kind read forms: by the boundary, with folded header lines,
// names with and without quotes.
function* ofForm(parser, type, body) {
  const boundary = /;\s*boundary=(?:"((?:[^"\\]|\\.)*)"|([^;\s]+))/i.exec(type)
  if (!boundary) return
  const delimiter = '--' + (boundary[1] ?? boundary[2])
  for (const part of body.toString('latin1').split(delimiter).slice(1)) {
    if (part.startsWith('--')) break
    const end = /\r?\n\r?\n/.exec(part)
    if (!end) continue
    const header = part.slice(0, end.index).replace(/\r?\n[ \t]+/g, ' ')
    const line = /^content-disposition\s*:(.*)$/im.exec(header)
    if (!line) continue
    const name = /;\s*name\*?=(?:"((?:[^"\\]|\\.)*)"|([^;\s]+))/i.exec(line[1])
    if (!name) continue
    let text = Buffer.from((name[1] ?? name[2]).replace(/\\(.)/g, '$1').replace(/^utf-8''/i, ''), 'latin1').toString('utf8')
    try { text = decodeURIComponent(text) } catch {}
    text = text.replace(/[\ufffd\p{Cf}\0]/gu, '').replace(/[[.].*$/s, '').trim().toLowerCase()
    if (text === 'model') yield [parser, Buffer.from(part.slice(end.index + end[0].length).replace(/\r?\n$/, ''), 'latin1').toString('utf8')]
  }
}

function* read({ header, body: encoded }) {
  const type = (header['Content-Type'] ?? []).join(', ')
  let body
  try { body = decoded(Buffer.from(encoded, 'base64'), (header['Content-Encoding'] ?? []).join(',')) } catch { return }
  const utf8 = body.toString('utf8')
  const media = type.split(';')[0].trim().toLowerCase()
  const charset = /charset\s*=\s*"?([^";\s]+)/i.exec(type)?.[1]?.toLowerCase() ?? 'utf-8'
  const text = /utf-?16/.test(charset) ? body.toString('utf16le') : utf8
  if (media === '' || /[/+]json$/.test(media)) {
    yield* ofJSON('JSON.parse', text)
    yield* ofJSON('JSON.parse latin1', body.toString('latin1'))
    yield* ofJSON('JSON.parse without invalid bytes', utf8.replaceAll('\ufffd', ''))
  }
  if (media === '' || media === 'application/x-www-form-urlencoded') yield* ofQuery('URLSearchParams', text)
  if (media === '' || media === 'multipart/form-data') yield* ofForm('form', type, body)
}

readline.createInterface({ input: process.stdin }).on('line', line => {
  process.stdout.write(JSON.stringify([...read(JSON.parse(line))]) + '\n')
})
