package llmgateway

import (
	"encoding/base64"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/caddy-freetier/caddy-freetier/internal/caddytest"
)

const (
	allowed  = `{"model":"gpt-3.5-turbo"}`
	smuggled = "gpt-4" // what bob's key may not use
)

// smuggling are requests that try to get a model past the key's limit: header
// lines, and a body.
var smuggling = []struct{ name, line, header, body string }{
	{"repeated", "", "", `{"model":"gpt-3.5-turbo","model":"gpt-4"}`},
	{"repeated the other way", "", "", `{"model":"gpt-4","model":"gpt-3.5-turbo"}`},
	{"repeated and null", "", "", `{"model":"gpt-3.5-turbo","model":null,"x":"gpt-4"}`},
	{"escaped", "", "", `{"model":"gpt-3.5-turbo","mod\u0065l":"gpt-4"}`},
	{"escaped value", "", "", `{"model":"\u0067pt-4"}`},
	{"case", "", "", `{"model":"gpt-3.5-turbo","MODEL":"gpt-4"}`},
	{"case, long s and Kelvin", "", "", `{"model":"gpt-3.5-turbo","Mode\u006C":"gpt-4"}`},
	{"two values", "", "", allowed + `{"model":"gpt-4"}`},
	{"two lines", "", "", allowed + "\n" + `{"model":"gpt-4"}`},
	{"an array", "", "", `[{"model":"gpt-3.5-turbo"},{"model":"gpt-4"}]`},
	{"byte order mark", "", "", "\xef\xbb\xbf" + `{"model":"gpt-4"}`},
	{"a comment", "", "", `{"model":"gpt-3.5-turbo"/*","x":"*/,"model":"gpt-4"}`},
	{"NUL", "", "", `{"model":"gpt-3.5-turbo` + "\x00" + `","x":"gpt-4"}`},
	{"invalid UTF-8", "", "", `{"model":"gpt-3.5-turbo` + "\xff" + `","x":"gpt-4"}`},
	{"list of models", "", "", `{"model":["gpt-3.5-turbo","gpt-4"]}`},
	{"UTF-16", "", "Content-Type: application/json; charset=utf-16", `{"model":"gpt-3.5-turbo","x":"gpt-4"}`},
	{"UTF-7", "", "Content-Type: application/json; charset=utf-7", `{"model":"gpt-3.5-turbo","x":"+ACI-,+ACI-model+ACI-:+ACI-gpt-4"}`},
	{"two content types", "", "Content-Type: application/json\r\nContent-Type: multipart/form-data; boundary=gpt-4", allowed},
	{"urlencoded", "", "Content-Type: application/x-www-form-urlencoded", `model=gpt-4`},
	{"text", "", "Content-Type: text/plain", `{"model":"gpt-4"}`},
	{"audio", "", "Content-Type: audio/wav", `{"model":"gpt-4"}`},
	{"mixed", "", "Content-Type: multipart/mixed; boundary=b", "--b\r\n\r\ngpt-4\r\n--b--\r\n"},
	{"query", "POST /v1/chat/completions?model=gpt-4", "", allowed},
	{"query alone", "POST /v1/chat/completions?model=gpt-4", "", `{}`},
	{"query in another case", "POST /v1/chat/completions?Model=gpt-4", "", allowed},
	{"query as a list", "POST /v1/chat/completions?model[]=gpt-4", "", allowed},
	{"query twice", "POST /v1/chat/completions?model=gpt-3.5-turbo&model=gpt-4", "", allowed},
	{"query, escaped", "POST /v1/chat/completions?mode%6c=gpt-4", "", allowed},
	{"query, semicolon", "POST /v1/chat/completions?a=b;model=gpt-4", "", allowed},
	{"Gemini", "POST /v1beta/models/gpt-4:generateContent", "", `{}`},
	{"Gemini, beside the body", "POST /v1beta/models/gpt-4:generateContent", "", allowed},
	{"Gemini, dots", "POST /v1beta/models/gpt-3.5/../gpt-4:generateContent", "", `{}`},
	{"Gemini, escaped dots", "POST /v1beta/models/gpt-3.5/%2e%2e/gpt-4:generateContent", "", `{}`},
	{"Gemini, backslashes", `POST /v1beta/models/gpt-3.5\..\gpt-4:generateContent`, "", `{}`},
	{"Gemini, slashes", "POST /v1beta//models//gpt-4:generateContent", "", `{}`},
	{"Gemini, case", "POST /v1beta/Models/gpt-4:generateContent", "", `{}`},
	{"Gemini, escaped", "POST /v1beta/models/gpt%2D4:generateContent", "", `{"x":"gpt-4"}`},
	{"tuned", "POST /v1beta/tunedModels/gpt-4:generateContent", "", `{}`},
	{"Azure", "POST /openai/deployments/gpt-4/chat/completions", "", allowed},
	{"engines", "POST /v1/engines/gpt-4/completions", "", allowed},
	{"form", "", formHeader, formPart("gpt-4", `name="model"`) + "--b--\r\n"},
	{"form, twice", "", formHeader, formPart("gpt-3.5-turbo", `name="model"`) + formPart("gpt-4", `name="model"`) + "--b--\r\n"},
	{"form, without quotes", "", formHeader, formPart("gpt-3.5-turbo", `name="model"`) + formPart("gpt-4", `name=model`) + "--b--\r\n"},
	{"form, case", "", formHeader, formPart("gpt-3.5-turbo", `name="model"`) + formPart("gpt-4", `name="MODEL"`) + "--b--\r\n"},
	{"form, as a file", "", formHeader, formPart("gpt-3.5-turbo", `name="x"`) + formPart("gpt-4", `name="model"; filename="x"`) + "--b--\r\n"},
	{"form, encoded name", "", formHeader, formPart("gpt-3.5-turbo", `name="model"`) + formPart("gpt-4", `name="x"; name*=utf-8''model`) + "--b--\r\n"},
	{"form, behind the end", "", formHeader, formPart("gpt-3.5-turbo", `name="model"`) + "--b--\r\n" + formPart("gpt-4", `name="model"`) + "--b--\r\n"},
	{"form, before the beginning", "", formHeader, "--c\r\n" + formPart("gpt-4", `name="model"`) + "--b--\r\n"},
	{"form, bare line feeds", "", formHeader, formPart("x\n--b\nContent-Disposition: form-data; name=\"model\"\n\ngpt-4", `name="file"`) + formPart("gpt-3.5-turbo", `name="model"`) + "--b--\r\n"},
	{"form, two boundaries", "", "Content-Type: multipart/form-data; boundary=b; boundary=c", formPart("gpt-4", `name="model"`) + "--b--\r\n"},
	{"polyglot", "", "Content-Encoding: deflate", decodeBase64(polyglot)},
	{"polyglot, coding twice", "", "Content-Encoding: identity\r\nContent-Encoding: deflate", decodeBase64(polyglot)},
	{"unknown coding", "", "Content-Encoding: x-unknown", allowed},
	{"form in JSON, typed as a form", "", "Content-Type: application/x-www-form-urlencoded", `{"model":"gpt-4","x":"&model=gpt-3.5-turbo&"}`},
	{"invalid UTF-8 in a key", "", "", `{"model":"gpt-3.5-turbo","mod` + "\xff" + `el":"gpt-4"}`},
	{"NUL in a key", "", "", `{"model":"gpt-3.5-turbo","model\u0000":"gpt-4"}`},
	{"lone surrogate in a key", "", "", `{"model":"gpt-3.5-turbo","model\ud800":"gpt-4"}`},
	{"zero width in a key", "", "", `{"model":"gpt-3.5-turbo","mod\u200bel":"gpt-4"}`},
	{"full width", "", "", `{"model":"gpt-3.5-turbo","ｍｏｄｅｌ":"gpt-4"}`},
	{"brackets", "", "", `{"model":"gpt-3.5-turbo","model[]":"gpt-4"}`},
	{"white space around a key", "", "", `{"model":"gpt-3.5-turbo"," model":"gpt-4"}`},
	{"overlong quotes", "", "", `{"model":"gpt-3.5-turbo","x":"` + "\xc0\xa2,\xc0\xa2model\xc0\xa2:\xc0\xa2gpt-4\xc0\xa2,\xc0\xa2x\xc0\xa2:\xc0\xa2" + `"}`},
	{"zero width in the value", "", "", `{"model":"gpt-3.5-turbo\u200b"}`},
	{"white space around the value", "", "", `{"model":" gpt-3.5-turbo"}`},
	{"query, invalid UTF-8", "POST /v1/chat/completions?mod%ffel=gpt-4", "", allowed},
	{"query, NUL", "POST /v1/chat/completions?model%00=gpt-4", "", allowed},
	{"query, escaped twice", "POST /v1/chat/completions?mode%256c=gpt-4", "", allowed},
	{"query, white space", "POST /v1/chat/completions?+model=gpt-4", "", allowed},
	{"form, encoded word", "", formHeader, formPart("gpt-3.5-turbo", `name="model"`) + formPart("gpt-4", `name="=?utf-8?q?model?="`) + "--b--\r\n"},
	{"form, invalid UTF-8", "", formHeader, formPart("gpt-3.5-turbo", `name="model"`) + formPart("gpt-4", "name=\"mod\xffel\"") + "--b--\r\n"},
	{"form, nested", "", formHeader, formPart("gpt-3.5-turbo", `name="model"`) + "--b\r\nContent-Disposition: form-data; name=\"x\"\r\nContent-Type: multipart/mixed; boundary=c\r\n\r\n--c\r\nContent-Disposition: form-data; name=\"model\"\r\n\r\ngpt-4\r\n--c--\r\n--b--\r\n"},
	{"form, gzip", "", formHeader + "\r\nContent-Encoding: gzip", "\x1f\x8b gpt-4"},
}

func decodeBase64(text string) string {
	raw, err := base64.StdEncoding.DecodeString(text)
	if err != nil {
		panic(err)
	}
	return string(raw)
}

const formHeader = "Content-Type: multipart/form-data; boundary=b"

func formPart(text, params string) string {
	return "--b\r\nContent-Disposition: form-data; " + params + "\r\n\r\n" + text + "\r\n"
}

// smuggler is a gateway that bob may use for some models only, and the channel
// behind it, which has all.
func smuggler(t testing.TB) (*testGateway, *caddytest.Upstream) {
	up := caddytest.NewUpstream(t, caddytest.JSON(200, completion))
	g := start(t, `
		client bob bob-key {
			models gpt-3.5*
		}
		default_channel all
		fallback gpt-3.5* to gpt-4
		channel all `+up.URL+`/v1 {
			api_key sk-upstream
			models  gpt-3.5-turbo gpt-4
		}`)
	return g, up
}

// None of the attempts brings a model to the channel that the key may not use,
// whether the body comes with its length or in chunks.
func TestSmuggling(t *testing.T) {
	g, up := smuggler(t)
	for _, tc := range smuggling {
		for _, chunked := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, chunked %v", tc.name, chunked), func(t *testing.T) {
				line, header := tc.line, tc.header
				if line == "" {
					line = "POST /v1/chat/completions"
				}
				if header == "" {
					header = "Content-Type: application/json"
				}
				body := fmt.Sprintf("Content-Length: %d\r\n\r\n%s", len(tc.body), tc.body)
				if chunked {
					body = fmt.Sprintf("Transfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n0\r\n\r\n", len(tc.body), tc.body)
				}
				answer := g.raw(t, line+" HTTP/1.1\r\nHost: "+strings.TrimPrefix(g.URL, "http://")+
					"\r\nAuthorization: Bearer bob-key\r\nConnection: close\r\n"+header+"\r\n"+body)
				if !strings.HasPrefix(answer, "HTTP/1.1 4") {
					t.Errorf("answered with %.100s", answer)
				}
			})
		}
	}
	for _, r := range up.Requests() {
		t.Errorf("%s reached the channel with %s", r.URI, r.Body)
	}
}

// Nor does a request whose end can be seen in two places.
func TestRequestSmuggling(t *testing.T) {
	g, up := smuggler(t)
	head := "POST /v1/chat/completions HTTP/1.1\r\nHost: " + strings.TrimPrefix(g.URL, "http://") + "\r\nAuthorization: Bearer bob-key\r\n"
	second := "POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer sk-upstream\r\nContent-Length: 17\r\n\r\n" + `{"model":"gpt-4"}`
	length := func(n int) string { return fmt.Sprintf("Content-Length: %d\r\n", n) }
	chunks := fmt.Sprintf("%x\r\n%s\r\n0\r\n\r\n", len(allowed), allowed)
	for name, request := range map[string]string{
		"length and chunks":        head + length(len(chunks)) + "Transfer-Encoding: chunked\r\nConnection: close\r\n\r\n" + chunks,
		"length shorter":           head + length(len(allowed)) + "Transfer-Encoding: chunked\r\nConnection: close\r\n\r\n" + chunks + second,
		"chunks and length":        head + "Transfer-Encoding: chunked\r\n" + length(len(allowed)) + "Connection: close\r\n\r\n" + allowed + second,
		"two lengths":              head + length(len(allowed)) + length(len(allowed)+len(second)) + "Connection: close\r\n\r\n" + allowed + second,
		"two encodings":            head + "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\nConnection: close\r\n\r\n" + chunks + second,
		"an odd encoding":          head + "Transfer-Encoding: xchunked\r\n" + length(len(allowed)) + "Connection: close\r\n\r\n" + allowed + second,
		"a space before the colon": head + "Transfer-Encoding : chunked\r\n" + length(len(allowed)) + "Connection: close\r\n\r\n" + chunks + second,
		"a trailer":                head + "Transfer-Encoding: chunked\r\nTrailer: X-Model\r\nConnection: close\r\n\r\n" + strings.TrimSuffix(chunks, "\r\n") + "X-Model: gpt-4\r\n\r\n",
		"a header":                 head + "X-Model: " + "m\r\n" + length(len(allowed)) + "Connection: close\r\n\r\n" + allowed,
	} {
		t.Run(name, func(t *testing.T) { g.raw(t, request) })
	}
	for _, r := range up.Requests() {
		if string(r.Body) != allowed || strings.Contains(fmt.Sprint(r.URI, r.Header), smuggled) {
			t.Errorf("%s reached the channel with %v: %s", r.URI, r.Header, r.Body)
		}
	}
}

// What only looks like another model is passed on.
func TestLookAlikes(t *testing.T) {
	g, up := smuggler(t)
	for _, body := range []string{
		`{"metadata":{"model":"gpt-4"},"model":"gpt-3.5-turbo"}`,
		`{"model":"gpt-3.5-turbo","tools":[{"model":"gpt-4","Model":1}]}`,
		`{"x":"\"model\":\"gpt-4\"","model":"gpt-3.5-turbo"}`,
		`{"mode":"gpt-4","modes":["gpt-4"],"model":"gpt-3.5\u002dturbo"}`,
	} {
		a := g.do(t, http.MethodPost, "/v1/chat/completions", body, "Authorization", "Bearer bob-key", "X-Model", "gpt-4")
		a.wantStatus(t, 200)
		if got := up.Next(t); string(got.Body) != body {
			t.Errorf("sent %s, arrived %s", body, got.Body)
		}
	}
}
