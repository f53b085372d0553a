package statuspage

import (
	"bytes"
	"crypto/sha256"
	"embed"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"html"
	"html/template"
	"maps"
	"regexp"
	"slices"
)

//go:embed page
var files embed.FS

var (
	style  = withoutComments(mustRead("page/page.css"))
	script = withoutComments(mustRead("page/page.js"))

	// build tells pages of one build from those of another: their script may be
	// older than what it is sent.
	build = buildOf(style, script, mustRead("page/parts.html"))

	// securityPolicy allows the page its own style, script and events, and nothing
	// else from anywhere.
	securityPolicy = fmt.Sprintf("default-src 'none'; style-src '%s'; script-src '%s'; connect-src 'self'; img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'self'",
		hashOf(style), hashOf(script))

	templates = parseTemplates()
)

// parts are the parts of the page, in their order. Each is a template, an element
// of the page and an event.
var parts = []string{"summary", "targets", "upstreams", "channels", "clients", "dns", "receipt", "events"}

// shades paint the bars of a strip that are lower than others over those that are
// not: the color of the card above and below, that of the bar between.
const shades = `<svg class="shades" aria-hidden="true">` +
	`<linearGradient id="m" x2="0" y1="-13" y2="13" gradientUnits="userSpaceOnUse"><stop offset=".12"/><stop offset=".12" class="m"/><stop offset=".88" class="m"/><stop offset=".88"/></linearGradient>` +
	`<linearGradient id="n" x2="0" y1="-13" y2="13" gradientUnits="userSpaceOnUse"><stop offset=".33"/><stop offset=".33" class="n"/><stop offset=".67" class="n"/><stop offset=".67"/></linearGradient></svg>`

func mustRead(name string) []byte {
	content, err := files.ReadFile(name)
	if err != nil {
		panic(err) // it is embedded
	}
	return content
}

// withoutComments removes the lines that are comments.
func withoutComments(content []byte) []byte {
	return regexp.MustCompile(`(?m)^\s*(//|/\*).*\n`).ReplaceAll(content, nil)
}

func buildOf(contents ...[]byte) string {
	sum := sha256.Sum256(bytes.Join(contents, nil))
	return hex.EncodeToString(sum[:8])
}

// hashOf returns the hash of an inline element as the policy has it.
func hashOf(content []byte) string {
	sum := sha256.Sum256(content)
	return "sha256-" + base64.StdEncoding.EncodeToString(sum[:])
}

func parseTemplates() map[language]*template.Template {
	parsed := make(map[language]*template.Template)
	for _, lang := range languages {
		parsed[lang] = template.Must(template.New("parts").Funcs(functions(lang)).Parse(string(mustRead("page/parts.html"))))
	}
	return parsed
}

// rendering is the page in one language at one moment. It never changes.
type rendering struct {
	lang  language
	of    *snapshot
	parts []part
}

// part is a part of the page. What a viewer has seen is known by versions, so that
// its HTML is compared once a rendering and not once a viewer.
type part struct {
	html    []byte
	event   []byte
	version uint64 // counts the changes of its HTML
}

// renderParts renders a status, and reports whether the page differs from the
// one before, which is nil for the first. What has not changed is taken from it.
func renderParts(lang language, current *snapshot, before *rendering) (page *rendering, changed bool) {
	page = &rendering{lang: lang, of: current, parts: make([]part, len(parts))}
	for i, name := range parts {
		var out bytes.Buffer
		if err := templates[lang].ExecuteTemplate(&out, name, current.Status); err != nil {
			out.Reset()
			out.WriteString(html.EscapeString(err.Error()))
		}
		content := bytes.TrimSpace(out.Bytes())
		if before != nil && bytes.Equal(content, before.parts[i].html) {
			page.parts[i] = before.parts[i]
			continue
		}
		changed = true
		page.parts[i] = part{html: content, event: event(name, content), version: 1}
		if before != nil {
			page.parts[i].version = before.parts[i].version + 1
		}
	}
	return page, changed
}

// since returns the events for a viewer who has seen an earlier page, nil for
// none.
func (p *rendering) since(seen *rendering) []byte {
	var news []byte
	for i := range p.parts {
		if seen == nil || seen.parts[i].version != p.parts[i].version {
			news = append(news, p.parts[i].event...)
		}
	}
	return news
}

// document returns the whole page.
func (p *rendering) document() []byte {
	var doc bytes.Buffer
	t := func(name string) string { return html.EscapeString(p.lang.of(texts[name])) }
	other := english
	if p.lang == english {
		other = chinese
	}
	fmt.Fprintf(&doc, `<!doctype html>
<html lang="%s" data-build="%s"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width,initial-scale=1"><meta name="robots" content="noindex"><title>%s</title><link rel="icon" href="data:,"><style>`,
		p.lang, build, t("title"))
	doc.Write(style)
	fmt.Fprintf(&doc, `</style></head><body>`+shades+`<header><h1>%s</h1><span id="live" class="live" data-on="%s" data-off="%s">%s</span><a href="?lang=%s" hreflang="%[5]s" lang="%[5]s">%s</a></header><main>`,
		t("title"), t("live"), t("reconnecting"), fmt.Sprintf(t("static"), p.of.Generated.Format("15:04 UTC")), other, t("other"))
	for i, name := range parts {
		hidden := ""
		if len(p.parts[i].html) == 0 {
			hidden = " hidden"
		}
		fmt.Fprintf(&doc, `<section id="%s" data-part%s>`, name, hidden)
		doc.Write(p.parts[i].html)
		doc.WriteString("</section>")
	}
	fmt.Fprintf(&doc, `</main><footer><a href="status.json">%s</a> · %s</footer><script>`, t("json"), t("powered"))
	doc.Write(script)
	doc.WriteString("</script></body></html>\n")
	return doc.Bytes()
}

func functions(lang language) template.FuncMap {
	f := formatter{lang}
	all := template.FuncMap{
		"t": func(name string) (string, error) {
			known, ok := texts[name]
			if !ok {
				return "", fmt.Errorf("there is no text %q", name)
			}
			return lang.of(known), nil
		},
		"overall": f.overall, "tiles": f.tiles,
	}
	maps.Copy(all, f.formats())
	maps.Copy(all, f.drawings())
	return all
}

// limit bounds a list on the page, which has the rest in its JSON. A
// part is sent as a whole whenever one of its rows changes.
const limit = 100

func first[T any](list []T) []T { return list[:min(limit, len(list))] }

func latest[T any](list []T, n int) []T { return slices.Clip(list[:min(n, len(list))]) }
