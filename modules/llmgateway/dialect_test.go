package llmgateway

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"github.com/caddy-freetier/caddy-freetier/internal/caddytest"
)

// wantGoogleError checks Google's error envelope.
func (a answer) wantGoogleError(t testing.TB, status int, name string) {
	t.Helper()
	a.wantStatus(t, status)
	var envelope struct {
		Error struct {
			Code            int
			Message, Status string
		}
	}
	if err := json.Unmarshal([]byte(a.text), &envelope); err != nil {
		t.Fatalf("not an error of Google's form: %v: %s", err, a.text)
	}
	if e := envelope.Error; e.Code != status || e.Status != name || e.Message == "" {
		t.Errorf("want %d %s: %s", status, name, a.text)
	}
}

// What the gateway says itself is in the words of the API that the client speaks.
func TestDialects(t *testing.T) {
	up := caddytest.NewUpstream(t, caddytest.JSON(200, completion))
	g := start(t, "channel a "+up.URL+" {\napi_key k\nmodels flash deepseek:free embedding-1\n}")
	version := []string{"Anthropic-Version", "2023-06-01"}
	wrong := []string{"Authorization", "Bearer wrong"}
	for _, test := range []struct {
		method, path string
		header       []string
		status       int
		want         string
	}{
		{"POST", "/v1/chat/completions", nil, 404, `"code":"model_not_found"`},
		{"POST", "/v1/messages", nil, 404, `"type":"not_found_error"`},
		{"POST", "/v1/messages/count_tokens", nil, 404, `"type":"not_found_error"`},
		{"POST", "/v1beta/models/x:generateContent", nil, 404, `"status":"NOT_FOUND"`},
		{"POST", "/v1/models/x:generateContent", nil, 404, `"status":"NOT_FOUND"`},
		{"POST", "/v1beta/models/x:generateContent", wrong, 401, `"code":401,`},
		{"POST", "/v1beta/openai/chat/completions", nil, 404, `"code":"model_not_found"`},
		{"GET", "/v1beta/files/x", nil, 400, `"status":"INVALID_ARGUMENT"`},
		{"GET", "/v1/models", nil, 200, `{"created":`},
		{"GET", "/v1/models/", nil, 200, `"object":"list"`},
		{"GET", "/v1beta/openai/models", nil, 200, `"object":"list"`},
		{"GET", "/v1/models/deepseek:free", nil, 200, `"owned_by":"a"`},
		{"GET", "/v1/models/x", nil, 404, `"code":"model_not_found"`},
		{"GET", "/v1/models", version, 200, `"first_id":"flash","has_more":false,"last_id":"embedding-1"`},
		{"GET", "/v1/models/flash", version, 200, `"display_name":"flash"`},
		{"GET", "/v1/models/x", version, 404, `"type":"not_found_error"`},
		{"GET", "/v1beta/models", nil, 200, `{"displayName":"embedding-1","name":"models/embedding-1","supportedGenerationMethods":["embedContent"]}`},
		{"GET", "/v1beta/models/flash", nil, 200, `{"displayName":"flash","name":"models/flash"`},
		{"GET", "/v1beta/models/x", nil, 404, `"status":"NOT_FOUND"`},
	} {
		body := ""
		if test.method == http.MethodPost {
			body = `{"model":"x"}`
			if strings.Contains(test.path, ":") {
				body = `{}`
			}
		}
		a := g.do(t, test.method, test.path, body, test.header...)
		if a.StatusCode != test.status || !strings.Contains(a.text, test.want) {
			t.Errorf("%s %s: status %d, want %d with %s: %s", test.method, test.path, a.StatusCode, test.status, test.want, a.text)
		}
	}
	if n := len(up.Requests()); n != 0 {
		t.Errorf("%d requests reached the channel", n)
	}
}
