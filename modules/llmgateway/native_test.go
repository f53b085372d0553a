package llmgateway

import (
	"net/http"
	"net/url"
	"testing"

	"github.com/caddy-freetier/caddy-freetier/internal/caddytest"
)

// Gemini's own paths name the model, which is replaced there for each channel.
func TestNativePaths(t *testing.T) {
	busy := caddytest.NewUpstream(t, caddytest.JSON(422, "{}"))
	up := caddytest.NewUpstream(t, caddytest.JSON(200, completion))
	g := start(t, `
		lb_policy first
		retry_on 422
		channel busy `+busy.URL+`/v1beta {
			api_key k-busy
			auth    query key
			models  flash google/gemini as gemini-busy
		}
		channel a `+up.URL+`/v1beta/openai/ {
			api_key k-a
			auth    x-goog-api-key
			models  flash as gemini-2.5-flash
			models  google/gemini as tuned/x
		}`)
	for _, tc := range []struct{ path, body, toBusy, to, wantBody string }{
		{"/v1beta/models/flash:generateContent", `{"contents":[]}`, "/v1beta/models/gemini-busy:generateContent?key=k-busy", "/v1beta/models/gemini-2.5-flash:generateContent", `{"contents":[]}`},
		{
			"/v1beta/models/flash:streamGenerateContent?alt=sse&key=alice-key", `{}`,
			"/v1beta/models/gemini-busy:streamGenerateContent?alt=sse&key=k-busy",
			"/v1beta/models/gemini-2.5-flash:streamGenerateContent?alt=sse", `{}`,
		},
		{
			"/v1beta/models/flash:embedContent", `{"model":"models/flash","content":{"model":"y"}}`,
			"/v1beta/models/gemini-busy:embedContent?key=k-busy", "/v1beta/models/gemini-2.5-flash:embedContent",
			`{"model":"models/gemini-2.5-flash","content":{"model":"y"}}`,
		},
		{"/v1/models/google/gemini:countTokens", `{}`, "/v1beta/models/gemini-busy:countTokens?key=k-busy", "/v1beta/openai/models/tuned/x:countTokens", `{}`},
	} {
		header := []string{"Authorization", "", "x-goog-api-key", "alice-key"}
		if u, _ := url.Parse(tc.path); u.Query().Has("key") {
			header = header[:2]
		}
		a := g.do(t, http.MethodPost, tc.path, tc.body, header...)
		a.wantStatus(t, 200)
		if got := busy.Next(t); got.URI != tc.toBusy {
			t.Errorf("%s: the first channel was asked for\n     %s\nwant %s", tc.path, got.URI, tc.toBusy)
		}
		got := up.Next(t)
		if got.URI != tc.to || string(got.Body) != tc.wantBody || got.Header.Get("X-Goog-Api-Key") != "k-a" {
			t.Errorf("%s: asked for\n     %s with %s\nwant %s with %s", tc.path, got.URI, got.Body, tc.to, tc.wantBody)
		}
	}
	g.do(t, http.MethodPost, "/v1beta/models/flash:embedContent", `{"model":"models/other"}`).wantGoogleError(t, 400, "INVALID_ARGUMENT")
	g.do(t, http.MethodPost, "/v1beta/models/other:embedContent", `{}`).wantGoogleError(t, 404, "NOT_FOUND")
}

func TestNativeBaseURL(t *testing.T) {
	for _, tc := range []struct{ base, request, want string }{
		{"", "/v1beta/models/x:y", "/v1beta/models/x:y"},
		{"/v1beta", "/v1beta/models/x:y?z", "/v1beta/models/x:y?z"},
		{"/v1beta/openai", "/v1beta/models/x:y", "/v1beta/models/x:y"},
		{"/gemini/v1beta/openai", "/v1beta/models/x:y", "/gemini/v1beta/models/x:y"},
		{"/v1beta", "/v1/models/x:y", "/v1beta/models/x:y"},
		{"/v1beta2", "/v1beta/models/x:y", "/v1beta2/v1beta/models/x:y"},
		{"/v1beta", "/v1beta/files", "/v1beta/files"},
		{"/v1beta/openai", "/v1beta/files/a:download", "/v1beta/files/a:download"},
		{"/v1beta", "/upload/v1beta/files", "/upload/v1beta/files"},
		{"/gemini/v1beta", "/download/v1beta/files/a:download", "/gemini/download/v1beta/files/a:download"},
		{"", "/upload/v1beta/files", "/upload/v1beta/files"},
		{"/v1", "/upload/v1/files", "/upload/v1/files"},
		{"/v1", "/v1/files", "/v1/files"},
	} {
		c := &Channel{URL: "https://api.example" + tc.base}
		if err := c.setURL(c.URL); err != nil {
			t.Fatal(err)
		}
		u, err := url.Parse(tc.request)
		if err != nil {
			t.Fatal(err)
		}
		if got := c.target(u, nil).String(); got != "https://api.example"+tc.want {
			t.Errorf("%s + %s: got %s, want %s", tc.base, tc.request, got, tc.want)
		}
	}
}
