// What an application does with each SDK, through the gateway at BASE_URL.
// Each step prints its name, or why it failed.
import assert from 'node:assert/strict'
import OpenAI, { toFile } from 'openai'
import Anthropic from '@anthropic-ai/sdk'
import { createOpenAICompatible } from '@ai-sdk/openai-compatible'
import { embed, generateText, jsonSchema, streamText, tool } from 'ai'

const url = process.env.BASE_URL
const apiKey = 'alice-key'
const messages = [{ role: 'user', content: 'Grüß dich' }]
const weather = {
  type: 'object',
  properties: { city: { type: 'string' } },
  required: ['city'],
}

const openai = new OpenAI({ baseURL: url + '/v1', apiKey })
const anthropic = new Anthropic({ baseURL: url, apiKey })
const vercel = createOpenAICompatible({ name: 'gateway', baseURL: url + '/v1', apiKey })

const status = (want) => (err) => {
  assert.equal(err.status ?? err.statusCode, want, String(err))
  return true
}

const steps = {
  async 'openai: chat'() {
    const { data, response } = await openai.chat.completions.create({ model: 'chat', messages }).withResponse()
    assert.equal(data.choices[0].message.content, 'hello')
    assert.equal(data.usage.total_tokens, 46)
    assert.equal(response.headers.get('x-gateway-channel'), 'openai')
  },
  async 'openai: stream'() {
    const stream = await openai.chat.completions.create({ model: 'chat', messages, stream: true, stream_options: { include_usage: true } })
    let text = ''
    let usage
    for await (const chunk of stream) {
      text += chunk.choices[0]?.delta?.content ?? ''
      usage ??= chunk.usage
    }
    assert.equal(text, 'hello')
    assert.equal(usage.total_tokens, 46)
  },
  async 'openai: tools'() {
    const chat = await openai.chat.completions.create({
      model: 'chat', messages, tools: [{ type: 'function', function: { name: 'weather', parameters: weather } }],
    })
    assert.deepEqual(JSON.parse(chat.choices[0].message.tool_calls[0].function.arguments), { city: 'Kōbe' })
  },
  async 'openai: embeddings'() {
    const answer = await openai.embeddings.create({ model: 'embed', input: 'x', encoding_format: 'float' })
    assert.deepEqual(answer.data[0].embedding, [0.5, -1])
  },
  async 'openai: audio upload'() {
    const file = await toFile(Buffer.alloc(300_000, 'RIFF\r\n--'), 'a.wav')
    assert.equal((await openai.audio.transcriptions.create({ model: 'audio', file })).text, 'hello')
  },
  async 'openai: image edit'() {
    const images = [await toFile(Buffer.alloc(1000, 1), 'a.png', { type: 'image/png' }), await toFile(Buffer.alloc(10, 2), 'b.png', { type: 'image/png' })]
    const answer = await openai.images.edit({ model: 'image', image: images, prompt: 'a hat' })
    assert.equal(answer.data[0].b64_json, 'AAAA')
  },
  async 'openai: model list'() {
    const ids = []
    for await (const model of openai.models.list()) ids.push(model.id)
    assert.deepEqual(ids.sort(), ['audio', 'chat', 'claude', 'embed', 'image', 'limited'])
    assert.equal((await openai.models.retrieve('chat')).owned_by, 'openai')
  },
  async 'openai: a 429 that recovers'() {
    const chat = await openai.chat.completions.create({ model: 'limited', messages })
    assert.equal(chat.choices[0].message.content, 'hello')
  },
  async 'openai: wrong model'() {
    await assert.rejects(openai.chat.completions.create({ model: 'none', messages }), (err) => err instanceof OpenAI.NotFoundError && err.code === 'model_not_found')
  },
  async 'openai: wrong key'() {
    const stranger = new OpenAI({ baseURL: url + '/v1', apiKey: 'wrong' })
    await assert.rejects(stranger.models.list(), (err) => err instanceof OpenAI.AuthenticationError && err.code === 'invalid_api_key')
  },

  async 'anthropic: chat'() {
    const message = await anthropic.messages.create({ model: 'claude', max_tokens: 10, messages })
    assert.equal(message.content[0].text, 'hello')
    assert.equal(message.usage.output_tokens, 34)
  },
  async 'anthropic: stream'() {
    const message = await anthropic.messages.stream({ model: 'claude', max_tokens: 10, messages }).finalMessage()
    assert.equal(message.content[0].text, 'hello')
    assert.equal(message.usage.output_tokens, 34)
  },
  async 'anthropic: tools'() {
    const message = await anthropic.messages.create({ model: 'claude', max_tokens: 10, messages, tools: [{ name: 'weather', input_schema: weather }] })
    assert.deepEqual(message.content[0].input, { city: 'Kōbe' })
  },
  async 'anthropic: model list'() {
    const ids = []
    for await (const model of anthropic.models.list()) ids.push(model.id)
    assert.ok(ids.includes('claude'))
  },
  async 'anthropic: wrong model'() {
    await assert.rejects(anthropic.messages.create({ model: 'none', max_tokens: 10, messages }), (err) => err instanceof Anthropic.NotFoundError && err.error.error.type === 'not_found_error')
  },
  async 'anthropic: wrong key'() {
    const stranger = new Anthropic({ baseURL: url, apiKey: 'wrong' })
    await assert.rejects(stranger.messages.create({ model: 'claude', max_tokens: 10, messages }), (err) => err instanceof Anthropic.AuthenticationError)
  },

  async 'ai: chat'() {
    const { text, usage } = await generateText({ model: vercel('chat'), prompt: 'Grüß dich' })
    assert.equal(text, 'hello')
    assert.equal(usage.outputTokens, 34)
  },
  async 'ai: stream'() {
    let text = ''
    for await (const delta of streamText({ model: vercel('chat'), prompt: 'Grüß dich' }).textStream) text += delta
    assert.equal(text, 'hello')
  },
  async 'ai: tools'() {
    const { toolCalls } = await generateText({ model: vercel('chat'), prompt: 'x', tools: { weather: tool({ inputSchema: jsonSchema(weather) }) } })
    assert.deepEqual(toolCalls[0].input, { city: 'Kōbe' })
  },
  async 'ai: embeddings'() {
    const { embedding } = await embed({ model: vercel.textEmbeddingModel('embed'), value: 'x' })
    assert.deepEqual(embedding, [0.5, -1])
  },
  async 'ai: wrong model'() {
    await assert.rejects(generateText({ model: vercel('none'), prompt: 'x', maxRetries: 0 }), status(404))
  },
  async 'ai: wrong key'() {
    const stranger = createOpenAICompatible({ name: 'gateway', baseURL: url + '/v1', apiKey: 'wrong' })
    await assert.rejects(generateText({ model: stranger('chat'), prompt: 'x', maxRetries: 0 }), status(401))
  },
}

for (const [name, step] of Object.entries(steps)) {
  try {
    await step()
    console.log(name)
  } catch (err) {
    console.log(`${name}: FAILED: ${err.stack}`)
    process.exitCode = 1
  }
}
