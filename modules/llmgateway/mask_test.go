package llmgateway

import (
	"bytes"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/caddy-freetier/caddy-freetier/internal/caddytest"
)

func TestMasked(t *testing.T) {
	const secret = "sk-sk-1"
	for text, want := range map[string]string{
		"":                                       "",
		"nothing":                                "nothing",
		"key sk-sk-1.":                           "key *******.",
		"sk-sk-1":                                "*******",
		"sk-sk-sk-1":                             "sk-*******",
		"sk-sk-1sk-sk-1 sk-sk-1sk":               "************** *******sk",
		"ends with sk-sk-":                       "ends with sk-sk-",
		strings.Repeat("x", holdStep-3) + secret: strings.Repeat("x", holdStep-3) + "*******",
	} {
		for name, wrap := range map[string]func(io.Reader) io.Reader{
			"whole":       func(r io.Reader) io.Reader { return r },
			"by bytes":    iotest.OneByteReader,
			"with EOF":    iotest.DataErrReader,
			"with errors": iotest.TimeoutReader,
		} {
			m := &masked{ReadCloser: io.NopCloser(wrap(strings.NewReader(text))), secret: []byte(secret), stars: bytes.Repeat([]byte("*"), len(secret))}
			got, err := io.ReadAll(m)
			if err != nil && strings.HasPrefix(want, string(got)) && len(want)-len(got) <= len(secret) {
				want = string(got) // what begins like the secret is not passed on
			} else if err != nil {
				t.Errorf("%s: %v", name, err)
			}
			if string(got) != want {
				t.Errorf("%.20q, %s: got %.20q, want %.20q", text, name, got, want)
			}
			want = strings.ReplaceAll(text, secret, "*******")
		}
	}
}

// A provider that repeats the key that it refuses does not give it to clients.
func TestRefusalsWithKeys(t *testing.T) {
	const key = "sk-channel-key-1"
	for name, answer := range map[string]http.HandlerFunc{
		"401":             caddytest.JSON(401, `{"error":{"message":"Incorrect API key provided: `+key+`."}}`),
		"500":             caddytest.Answer(500, "text/plain", "panic: "+key),
		"200":             caddytest.JSON(200, `{"error":{"message":"wrong key `+key+`"}}`),
		"a stream":        caddytest.Events(`data: {"error":{"message":"wrong key ` + key + `"}}` + "\n\n"),
		"by little steps": caddytest.Events(`data: {"error":{"message":"wrong key sk-cha`, `nnel-key-1"}}`+"\n\n"),
		"a header": func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Www-Authenticate", `Bearer error_description="`+key+`"`)
			caddytest.JSON(401, `{}`)(w, r)
		},
	} {
		t.Run(name, func(t *testing.T) {
			up := caddytest.NewUpstream(t, answer)
			g := start(t, "channel a "+up.URL+" {\napi_key "+key+"\nmodels m\n}")
			a := g.chat(t, "m")
			all := a.text
			for _, values := range a.Header {
				all += strings.Join(values, " ")
			}
			if strings.Contains(all, "channel-key") || !strings.Contains(all, "****************") {
				t.Errorf("status %d: %s", a.StatusCode, all)
			}
			if n := a.ContentLength; n >= 0 && int(n) != len(a.text) {
				t.Errorf("%d bytes, announced %d", len(a.text), n)
			}
		})
	}
}
