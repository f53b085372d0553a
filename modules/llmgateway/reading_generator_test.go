package llmgateway

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"strings"
	"testing"
)

// generator makes requests that are nearly right, or two things at once.
type generator struct {
	*rand.Rand
	polyglots []string
}

func newGenerator(seed uint64) *generator {
	g := &generator{Rand: rand.New(rand.NewPCG(seed, seed))}
	for range 3 {
		g.polyglots = append(g.polyglots, deflatePolyglot(g.Rand, `{"model":"gpt-4"}`, `"model":"gpt-3.5-turbo"`))
	}
	return g
}

// one returns one of several.
func one[T any](g *generator, of ...T) T { return of[g.IntN(len(of))] }

// mostly returns the first, and now and then one of the others.
func mostly(g *generator, usual string, others ...string) string {
	if g.chance(8) {
		return one(g, others...)
	}
	return usual
}

// chance reports true once in n times.
func (g *generator) chance(n int) bool { return g.IntN(n) == 0 }

func (g *generator) model() string {
	return one(g, "gpt-3.5-turbo", "gpt-3.5-turbo", "gpt-3.5-turbo", "gpt-4", "gpt-4", "gpt-3.5", "模型", "")
}

// request makes a request.
func (g *generator) request(t testing.TB) incoming {
	in := incoming{Path: chat, Header: http.Header{}}
	if g.chance(5) {
		in.Path = one(g, "/v1/audio/transcriptions", "/v1/realtime/calls", "/upload/v1beta/files", "/v1/files", "/v1beta/models/gpt-3.5-turbo:generateContent",
			chat+"?model=gpt-3.5-turbo", chat+"?mod%ffel=gpt-4", chat+"?model=gpt-4", chat+"?a=b;model=gpt-4", chat+"?model%5B%5D=gpt-4")
	}
	contentType, body := g.body()
	if isBinary(contentType) && !g.chance(4) {
		in.Path = "/v1/audio/transcriptions"
	}
	if g.chance(4) {
		contentType = g.contentType()
	}
	if contentType != "" {
		in.Header["Content-Type"] = []string{contentType}
	}
	codings := ""
	if g.chance(4) {
		codings = one(g, "gzip", "deflate", "br", "zstd", "identity", "gzip, deflate", "deflate, gzip", "x-unknown", "GZIP", "")
		in.Header["Content-Encoding"] = []string{codings}
	}
	if codings != "" && !g.chance(3) {
		for _, name := range strings.Split(strings.ToLower(codings), ", ") {
			if name == "deflate" && g.chance(2) {
				name = "raw"
			}
			if encoders[name] != nil {
				body = encode(t, body, name)
			}
		}
	}
	for name, values := range map[string][]string{
		"Connection":                {"Content-Type", "content-type, content-encoding", "close", "keep-alive, Content-Length"},
		"Content-Transfer-Encoding": {"base64", "quoted-printable", "binary"},
		"X-Goog-Upload-Command":     {"upload, finalize", "start"},
		"Content-Language":          {"de"},
		"X-Http-Method-Override":    {"GET"},
		"Charset":                   {"utf-16"},
	} {
		if g.chance(8) {
			in.Header[name] = []string{one(g, values...)}
		}
	}
	if g.chance(20) && contentType != "" {
		in.Header["Content-Type"] = append(in.Header["Content-Type"], g.contentType())
	}
	in.Body = []byte(body)
	for g.chance(6) && len(in.Body) > 0 {
		in.Body = g.mutate(in.Body)
	}
	return in
}

func (g *generator) contentType() string {
	text := one(g, "application/json", "application/x-www-form-urlencoded", "text/plain", "multipart/form-data; boundary=b", `multipart/form-data; boundary="b"`,
		"multipart/form-data", "multipart/mixed; boundary=b", "audio/wav", "application/octet-stream", "application/sdp", "application/xml", "*/*", "text/json",
		"application/vnd.api+json", "application/ld+json; profile=x", ";;", "application", "image/png", "multipart/form-data; boundary=B; boundary=b")
	if g.chance(3) {
		text += one(g, "; charset=utf-8", "; charset=utf-16", "; charset=utf-7", "; charset=iso-8859-1", `; x="; charset=utf-16"`, "; charset=UTF-16LE",
			"; boundary=b", "; BOUNDARY=c", "; boundary*=utf-8''c", `; x="multipart/form-data; boundary=b"`, ", application/x-www-form-urlencoded",
			"; x=application/x-www-form-urlencoded", "; charset*=utf-8''utf-16", "; codecs=application/json", ";")
	}
	return text
}

// mutate changes a few bytes.
func (g *generator) mutate(body []byte) []byte {
	at := g.IntN(len(body))
	switch g.IntN(4) {
	case 0:
		body = bytes.Clone(body)
		body[at] ^= 1 << g.IntN(8)
		return body
	case 1:
		return append(body[:at:at], body[at+1:]...)
	case 2:
		return append(append(body[:at:at], one(g, "\x00", "\xff", `"`, `\`, "{", "}", "\r\n", "model", ",", "\xef\xbb\xbf", "\xc0\xa2", "\u200b")...), body[at:]...)
	}
	return body[:at]
}

// body makes a body, and the type that a client would give it.
func (g *generator) body() (contentType, body string) {
	switch g.IntN(12) {
	case 0, 1, 2:
		return one(g, "multipart/form-data; boundary=b", `multipart/form-data; boundary="b"`, "multipart/form-data; charset=utf-8; boundary=b"), g.form()
	case 3:
		return "application/x-www-form-urlencoded", one(g, "model=gpt-4", "model=gpt-3.5-turbo&model=gpt-4", `{"model":"gpt-3.5-turbo"}=&model=gpt-4`)
	case 4:
		return "application/json", one(g, append(g.polyglots, decodeBase64(polyglot))...)
	case 5:
		return one(g, "audio/wav", "application/octet-stream", "application/sdp"), one(g, wav, " "+g.object(), "\xef\xbb\xbf"+g.object(), "v=0\r\n", g.form(), "model=gpt-4")
	}
	text := g.object()
	if g.chance(6) {
		return "application/x-www-form-urlencoded", text // curl's
	}
	switch g.IntN(12) {
	case 0:
		text = "\xef\xbb\xbf" + text
	case 1:
		text = one(g, " ", "\r\n", "\t", "\x00", "\ufeff\ufeff", ")]}',\n") + text
	case 2:
		text += one(g, " ", "\n", "\x00", text, ",", "//", "\n"+g.object())
	case 3:
		var b []byte
		for _, c := range []byte(text) {
			b = append(b, c, 0)
		}
		text = "\xff\xfe" + string(b)
	}
	return "application/json", text
}

// object makes a JSON object, mostly valid.
func (g *generator) object() string {
	var b strings.Builder
	b.WriteByte('{')
	n := 1 + g.IntN(4)
	for i := range n {
		if i > 0 {
			b.WriteString(mostly(g, ",", " , ", "\r\n,\t", ",,", "/*,*/,"))
		}
		b.WriteString(g.key() + one(g, ":", ":", " : ") + g.value())
	}
	b.WriteString(mostly(g, "}", ",}", " }", ""))
	return b.String()
}

func (g *generator) key() string {
	switch g.IntN(8) {
	case 0, 1, 2:
		return `"model"`
	case 3, 4, 5:
		return one(g, `"messages"`, `"stream"`, `"models"`, `"metadata"`, `""`, `"x"`, `"providerOptions"`)
	}
	return `"` + g.lookAlike() + `"`
}

// lookAlike makes a name that is nearly, or to some parser, model.
func (g *generator) lookAlike() string {
	name := []rune("model")
	var b strings.Builder
	for i, c := range name {
		if g.chance(6) {
			b.WriteString(one(g, "\xff", "\xc3", "\x00", `\u0000`, `\ud800`, "\u200b", `\u200b`, `\ufffd`, "\ufeff", "\u00ad", "\u0301", " ", `\\`, "%00", "+", "\u3164", "模", "-", "_", `\u0001`))
		}
		switch {
		case g.chance(12):
			c -= 0x20
		case g.chance(12):
			fmt.Fprintf(&b, `\u%04x`, c)
			continue
		case g.chance(12):
			fmt.Fprintf(&b, one(g, "%%%02x", "%%25%02x", "&#%d;", `\\u%04x`, `\\x%02x`), c)
			continue
		case g.chance(12):
			c += 0xfee0
		case g.chance(20):
			c = rune([]rune("𝐦𝐨𝐝𝐞𝐥")[i])
		}
		b.WriteRune(c)
	}
	text := b.String()
	if g.chance(4) {
		text += one(g, "[]", "[0]", ".", ".x", " ", `\n`, `\u0000`, `\u0000x`, "s", "\u00a0", `\"`, "'", "%5B%5D", ":x", "\xff", "\ufe0f", "]")
	}
	if g.chance(6) {
		text = one(g, " ", "[", "=?utf-8?q?", "\ufeff", "'", `\"`, "\u200e", "%20", "x.") + text
		if strings.HasPrefix(text, "=?") {
			text += "?="
		}
	}
	return text
}

func (g *generator) value() string {
	text, _ := json.Marshal(g.model())
	if !g.chance(3) {
		return string(text)
	}
	if g.chance(4) {
		return one(g, `"&model=gpt-4&"`, `"&model=gpt-4&y="`)
	}
	return one(g, "null", "1", "[]", `["gpt-4"]`, `{"model":"gpt-4"}`, `"&model=gpt-4&"`, `"\xff"`,
		"\"\xc0\xa2,\xc0\xa2model\xc0\xa2:\xc0\xa2gpt-4\"", `"\u0000"`, `"gpt-3.5-turbo\u0000"`, `" gpt-3.5-turbo"`, `"gpt-3.5-turbo\u200b"`, `"\"},\"model\":\"gpt-4\""`, "NaN", "'x'",
		"\"\r\n--b\r\nContent-Disposition: form-data; name=model\r\n\r\ngpt-4\r\n--b--\r\n\"", `"--b\r\nContent-Disposition: form-data; name=\"model\"\r\n\r\ngpt-4"`)
}

// form makes a form, mostly valid.
func (g *generator) form() string {
	var b strings.Builder
	b.WriteString(mostly(g, "", "\r\n", "preamble\r\n", "\n"))
	for range 1 + g.IntN(3) {
		b.WriteString(mostly(g, "--b\r\n", "--b \r\n", "--b\n", "--B\r\n"))
		name := one(g, "model", "file", "x", g.lookAlike())
		b.WriteString(mostly(g, "Content-Disposition: form-data; ", "content-disposition:form-data;", "Content-Disposition: form-data;\r\n ", "Content-Disposition : form-data; "))
		b.WriteString(mostly(g, `name="`+name+`"`, "name="+name, `name="x"; name*=utf-8''`+name, `filename="a"; name="`+name+`"`, `name="x"; name="`+name+`"`,
			`name="file"; filename="\"; name=\"`+name, `name='`+name+`'`) + "\r\n")
		if g.chance(4) {
			b.WriteString(one(g, "Content-Type: text/plain", "Content-Type: text/plain; charset=utf-16", "Content-Type: application/json", "Content-Transfer-Encoding: base64",
				"Content-Transfer-Encoding: quoted-printable", "Content-Length: 1", "Content-Type: multipart/mixed; boundary=c", "Content-Disposition: form-data; name=model", "X: --b") + "\r\n")
		}
		b.WriteString(mostly(g, "\r\n", "\n"))
		b.WriteString(one(g, g.model(), g.model(), wav, "--c\r\n"+strings.TrimPrefix(formPart("gpt-4", `name="model"`), "--b\r\n")+"--c--", "Z3B0LTQ=", "x\n--b\nContent-Disposition: form-data; name=model\n\ngpt-4\n", "=67pt-4"))
		b.WriteString(mostly(g, "\r\n", "\n", ""))
	}
	b.WriteString(mostly(g, "--b--\r\n", "--b--", "--b", "--b--\r\nepilogue", "--b--\r\n"+formPart("gpt-4", `name="model"`)+"--b--\r\n"))
	return b.String()
}
