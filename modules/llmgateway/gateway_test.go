package llmgateway

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/caddy-freetier/caddy-freetier/internal/caddytest"
)

func TestChat(t *testing.T) {
	up := caddytest.NewUpstream(t, caddytest.JSON(200, completion))
	g := start(t, `
		client alice alice-key
		channel free `+up.URL+` {
			api_key   sk-upstream
			models    gpt-3.5-turbo gpt-3.5* as gpt-3.5-turbo-0125
			header_up X-Title "my gateway"
		}`)
	a := g.chat(t, "gpt-3.5-turbo", "X-Api-Key", "alice-key", "X-Custom", "dropped", "X-Forwarded-For", "192.0.2.1",
		"Accept-Encoding", "gzip", "Connection", "X-Hop", "X-Hop", "1", "Keep-Alive", "5", "Proxy-Authorization", "Basic x")
	a.wantStatus(t, 200)
	if a.text != completion {
		t.Errorf("the answer was changed: %s", a.text)
	}
	if ch, m := a.Header.Get("X-Gateway-Channel"), a.Header.Get("X-Gateway-Model"); ch != "free" || m != "gpt-3.5-turbo-0125" {
		t.Errorf("signed by channel %q, model %q", ch, m)
	}

	got := up.Next(t)
	if want := chatBody("gpt-3.5-turbo-0125"); string(got.Body) != want {
		t.Errorf("body:\n got %s\nwant %s", got.Body, want)
	}
	if got.ContentLength != int64(len(got.Body)) || len(got.TransferEncoding) > 0 {
		t.Errorf("Content-Length %d, Transfer-Encoding %v", got.ContentLength, got.TransferEncoding)
	}
	if got.URI != "/v1/chat/completions" || got.Host != up.Addr() {
		t.Errorf("request for %s on %s", got.URI, got.Host)
	}
	for name, want := range map[string]string{
		"Authorization": "Bearer sk-upstream", "X-Title": "my gateway", "X-Custom": "",
		"Content-Type": "application/json", "Accept-Encoding": "identity",
		"X-Api-Key": "", "X-Forwarded-For": "", "X-Forwarded-Host": "", "X-Forwarded-Proto": "", "Via": "", "Forwarded": "",
		"X-Hop": "", "Keep-Alive": "", "Proxy-Authorization": "", "Connection": "",
	} {
		if value := got.Header.Get(name); value != want {
			t.Errorf("header %s: %q, want %q", name, value, want)
		}
	}
}

// Every way in which SDKs show a key works, and none reaches the channel.
func TestKeyPlaces(t *testing.T) {
	up := caddytest.NewUpstream(t, caddytest.JSON(200, completion))
	g := start(t, `
		client alice alice-key second-key
		channel free `+up.URL+` {
			api_key sk-upstream
			models  m
		}`)
	for _, place := range []struct {
		name, path string
		header     []string
	}{
		{"bearer", "/v1/chat/completions", []string{"Authorization", "bearer alice-key"}},
		{"second key", "/v1/chat/completions", []string{"Authorization", "Bearer second-key"}},
		{"x-api-key", "/v1/chat/completions", []string{"Authorization", "", "x-api-key", "alice-key"}},
		{"api-key", "/v1/chat/completions", []string{"Authorization", "", "api-key", "alice-key"}},
		{"x-goog-api-key", "/v1/chat/completions", []string{"Authorization", "", "x-goog-api-key", "alice-key"}},
		{"query", "/v1/chat/completions?a=1&key=alice-key&b=%20", []string{"Authorization", ""}},
		{"escaped query", "/v1/chat/completions?k%65y=alice%2Dkey&a=1&b=%20", []string{"Authorization", ""}},
		{"subprotocol", "/v1/chat/completions", []string{"Authorization", "", "Sec-WebSocket-Protocol", "realtime, openai-insecure-api-key.alice-key"}},
	} {
		t.Run(place.name, func(t *testing.T) {
			g.do(t, http.MethodPost, place.path, chatBody("m"), place.header...).wantStatus(t, 200)
			got := up.Next(t)
			if got.Header.Get("Authorization") != "Bearer sk-upstream" {
				t.Errorf("Authorization: %q", got.Header.Get("Authorization"))
			}
			if strings.Contains(place.path, "?") && got.URI != "/v1/chat/completions?a=1&b=%20" {
				t.Errorf("URI: %s", got.URI)
			}
			if dump := fmt.Sprint(got.URI, got.Header); strings.Contains(dump, "alice") || strings.Contains(dump, "second-key") {
				t.Errorf("the client's key reached the channel: %s", dump)
			}
		})
	}
	for _, key := range []string{"", "Bearer ", "Bearer alice", "Basic alice-key", "Bearer sk-upstream"} {
		a := g.chat(t, "m", "Authorization", key)
		a.wantError(t, 401, "invalid_api_key")
	}
	if n := len(up.Requests()); n != 8 {
		t.Errorf("%d requests reached the channel, want 8", n)
	}
}

func TestAnonymous(t *testing.T) {
	up := caddytest.NewUpstream(t, caddytest.JSON(200, completion))
	g := start(t, `
		anonymous
		channel free `+up.URL+` {
			auth   none
			models m
		}`)
	g.chat(t, "m").wantStatus(t, 200)
	if got := up.Next(t).Header.Get("Authorization"); got != "" {
		t.Errorf("Authorization: %q", got)
	}
}

func TestAuthSchemes(t *testing.T) {
	up := caddytest.NewUpstream(t, caddytest.JSON(200, completion))
	channel := func(name, auth string) string {
		return fmt.Sprintf("channel %s %s {\napi_key k-%s\nmodels %s\nauth %s\n}\n", name, up.URL, name, name, auth)
	}
	g := start(t, channel("a", "bearer")+channel("b", "x-api-key")+channel("c", "x-goog-api-key")+
		channel("d", "api-key")+channel("e", "query k"))
	for model, name := range map[string]string{"a": "Authorization", "b": "X-Api-Key", "c": "X-Goog-Api-Key", "d": "Api-Key", "e": ""} {
		g.chat(t, model).wantStatus(t, 200)
		got := up.Next(t)
		if model == "e" {
			if got.URI != "/v1/chat/completions?k=k-e" {
				t.Errorf("URI: %s", got.URI)
			}
			continue
		}
		if value := got.Header.Get(name); strings.TrimPrefix(value, "Bearer ") != "k-"+model {
			t.Errorf("%s: %q", name, value)
		}
		for _, other := range keyHeaders {
			if other != name && got.Header.Get(other) != "" {
				t.Errorf("%s stands in %s too", model, other)
			}
		}
	}
}

func TestBaseURL(t *testing.T) {
	for _, tc := range []struct{ base, request, want string }{
		{"", "/v1/chat/completions?a=b", "/v1/chat/completions?a=b"},
		{"/", "/v1/chat/completions", "/v1/chat/completions"},
		{"", "/other", "/other"},
		{"/v1", "/v1/chat/completions", "/v1/chat/completions"},
		{"/openai/v1", "/v1/chat/completions", "/openai/v1/chat/completions"},
		{"/v1beta/openai/", "/v1/chat/completions?x=%2F", "/v1beta/openai/chat/completions?x=%2F"},
		{"/api", "/v1", "/api"},
		{"/api", "/v1beta/models/x:y", "/api/v1beta/models/x:y"},
		{"/api", "/v1/files/a%2Fb", "/api/files/a%2Fb"},
		{"/a%2Fb", "/v1/files", "/a%2Fb/files"},
	} {
		c := &Channel{URL: "https://api.example" + tc.base}
		if err := c.setURL(c.URL); err != nil {
			t.Fatal(err)
		}
		u, err := http.NewRequest(http.MethodGet, "http://x"+tc.request, nil)
		if err != nil {
			t.Fatal(err)
		}
		if got := c.target(u.URL, nil).String(); got != "https://api.example"+tc.want {
			t.Errorf("%s + %s: got %s, want %s", tc.base, tc.request, got, tc.want)
		}
	}
}

// asBob are the headers of a client with the key bob-key.
var asBob = slices.Clip([]string{"Authorization", "Bearer bob-key"})

// refusedBodies are bodies that no channel gets.
var refusedBodies = []struct {
	name, body string
	header     []string
	status     int
	code       string
}{
	{"unknown model", chatBody("gpt-5"), nil, 404, "model_not_found"},
	{"model of others", chatBody("gpt-4"), asBob, 404, "model_not_found"},
	{"no model", `{"messages":[]}`, nil, 400, ""},
	{"empty model", chatBody(""), nil, 400, ""},
	{"null", `{"model":null}`, nil, 400, ""},
	{"number", `{"model":4}`, nil, 400, ""},
	{"no body", ``, nil, 400, ""},
	{"not JSON", `model=gpt-4`, nil, 400, ""},
	{"cut off", `{"model":"gpt-4"`, nil, 400, ""},
	{"array", `["gpt-4"]`, nil, 400, ""},
	{"two values", chatBody("gpt-3.5-turbo") + chatBody("gpt-4"), asBob, 400, ""},
	{"repeated", `{"model":"gpt-3.5-turbo","model":"gpt-4"}`, asBob, 400, ""},
	{"repeated escaped", `{"model":"gpt-3.5-turbo","\u006dodel":"gpt-4"}`, asBob, 400, ""},
	{"differently cased", `{"model":"gpt-3.5-turbo","Model":"gpt-4"}`, asBob, 400, ""},
	{"JSON as text", `{"model":"gpt-4"}`, append(asBob, "Content-Type", "text/plain"), 404, "model_not_found"},
	{"JSON as form", `{"model":"gpt-4"}`, append(asBob, "Content-Type", "application/x-www-form-urlencoded"), 404, "model_not_found"},
	{"JSON as audio", `{"model":"gpt-4"}`, append(asBob, "Content-Type", "audio/wav"), 415, "unsupported_media_type"},
	{"nonsense type", `{"model":"gpt-4"}`, append(asBob, "Content-Type", ";;"), 400, ""},
	{"control character", `{"model":"gpt-4\n"}`, nil, 400, ""},
	{"too large", `{"model":"gpt-4","x":"` + strings.Repeat("x", 1000) + `"}`, nil, 413, "request_too_large"},
}

func TestRefusedRequests(t *testing.T) {
	up := caddytest.NewUpstream(t, caddytest.JSON(200, completion))
	g := start(t, `
		client alice alice-key
		client bob bob-key {
			models gpt-3.5*
		}
		max_body 1KB
		channel free `+up.URL+` {
			api_key sk-upstream
			models  gpt-3.5-turbo gpt-4
		}`)
	for _, tc := range refusedBodies {
		t.Run(tc.name, func(t *testing.T) {
			g.do(t, http.MethodPost, "/v1/chat/completions", tc.body, tc.header...).wantError(t, tc.status, tc.code)
		})
	}
	t.Run("model in query and body", func(t *testing.T) {
		g.do(t, http.MethodPost, "/v1/chat/completions?model=gpt-4", chatBody("gpt-3.5-turbo")).wantError(t, 400, "")
		g.do(t, http.MethodPost, "/v1/chat/completions?model=gpt-4", chatBody("gpt-3.5-turbo"), asBob...).wantError(t, 400, "")
		g.do(t, http.MethodPost, "/v1/chat/completions?model=gpt-3.5-turbo&model=gpt-4", chatBody("gpt-3.5-turbo"), asBob...).wantError(t, 400, "")
		g.do(t, http.MethodPost, "/v1/chat/completions?model=gpt-3.5-turbo&mode%6c=gpt-4", chatBody("gpt-3.5-turbo"), asBob...).wantError(t, 400, "")
		g.handshake(t, "/v1/realtime?model=gpt-3.5-turbo&model=gpt-4").wantError(t, 400, "")
		g.handshake(t, "/v1/realtime?model=gpt-5").wantError(t, 404, "model_not_found")
	})
	t.Run("model elsewhere", func(t *testing.T) {
		allowed := chatBody("gpt-3.5-turbo")
		g.do(t, http.MethodPost, "/v1beta/models/gpt-4:generateContent", "{}", asBob...).wantGoogleError(t, 404, "NOT_FOUND")
		g.do(t, http.MethodPost, "/v1beta/models/gpt-4:generateContent", allowed, asBob...).wantGoogleError(t, 400, "INVALID_ARGUMENT")
		g.do(t, http.MethodPost, "/v1//Models//gpt-4:x", allowed, asBob...).wantError(t, 404, "unknown_url")
		g.do(t, http.MethodPost, "/v1//models//gpt-4:generateContent", allowed, asBob...).wantGoogleError(t, 400, "INVALID_ARGUMENT")
		g.do(t, http.MethodPost, "/v1/chat/completions?model=gpt-3.5-turbo", "{}", asBob...).wantError(t, 400, "")
		g.do(t, http.MethodPost, "/v1beta/models/gpt-3.5-turbo/%2e%2e/gpt-4:generateContent", allowed, asBob...).wantGoogleError(t, 400, "INVALID_ARGUMENT")
		g.do(t, http.MethodPost, "/openai/deployments/gpt-4/chat/completions", allowed, asBob...).wantError(t, 404, "model_not_found")
		g.do(t, http.MethodPost, "/v1/audio/transcriptions?model=gpt-3.5-turbo", "--b", append(asBob, "Content-Type", "multipart/form-data; boundary=b")...).wantError(t, 400, "")
	})
	t.Run("chunked and too large", func(t *testing.T) {
		body := `{"model":"gpt-4","x":"` + strings.Repeat("x", 100_000) + `"}`
		req, _ := http.NewRequest(http.MethodPost, g.URL+"/v1/chat/completions", io.MultiReader(strings.NewReader(body)))
		req.Header.Set("Authorization", "Bearer alice-key")
		resp, err := g.client.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode != 413 {
			t.Errorf("status %d, want 413", resp.StatusCode)
		}
	})
	t.Run("Anthropic's envelope", func(t *testing.T) {
		a := g.do(t, http.MethodPost, "/v1/messages", chatBody("x"), "Authorization", "", "x-api-key", "wrong")
		a.wantStatus(t, 401)
		var envelope struct {
			Type  string
			Error struct{ Type, Message string }
		}
		if err := json.Unmarshal([]byte(a.text), &envelope); err != nil || envelope.Type != "error" || envelope.Error.Type != "authentication_error" {
			t.Errorf("%v: %s", err, a.text)
		}
	})
	if n := len(up.Requests()); n > 0 {
		t.Errorf("%d requests reached the channel", n)
	}
}

func TestQueryModel(t *testing.T) {
	up := caddytest.NewUpstream(t, caddytest.JSON(200, completion))
	g := start(t, `
		channel free `+up.URL+`/openai/v1 {
			api_key sk-upstream
			models  gpt-realtime as gpt/realtime&1
		}`)
	g.handshake(t, "/v1/realtime?a=%20&model=gpt-realtime&b").wantStatus(t, 200)
	if got := up.Next(t).URI; got != "/openai/v1/realtime?a=%20&model=gpt%2Frealtime%261&b" {
		t.Errorf("URI: %s", got)
	}
}

func TestDefaultChannel(t *testing.T) {
	up := caddytest.NewUpstream(t, caddytest.Echo)
	g := start(t, `
		client alice alice-key
		client bob bob-key {
			models m
		}
		default_channel files
		channel files `+up.URL+`/v1 {
			api_key sk-upstream
			models  m
		}`)
	g.do(t, http.MethodGet, "/v1/files?limit=1", "").wantStatus(t, 200)
	if got := up.Next(t); got.URI != "/v1/files?limit=1" || got.Header.Get("Authorization") != "Bearer sk-upstream" {
		t.Errorf("%s with %s", got.URI, got.Header.Get("Authorization"))
	}
	form := "--b\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a\"\r\n\r\n\x00\xff\r\n--b--\r\n"
	a := g.do(t, http.MethodPost, "/v1/files", form, "Content-Type", "multipart/form-data; boundary=b")
	a.wantStatus(t, 200)
	if a.text != form {
		t.Errorf("the form was changed: %q", a.text)
	}
	// A client with few models could hide another in what nobody reads.
	bob := []string{"Authorization", "Bearer bob-key", "Content-Type"}
	g.do(t, http.MethodPost, "/v1/files", form, append(bob, "multipart/form-data; boundary=b")...).wantError(t, 403, "endpoint_not_allowed")
	g.do(t, http.MethodPost, "/v1/chat/completions", "{}", append(bob, "application/json")...).wantError(t, 400, "")
}

func TestModels(t *testing.T) {
	g := start(t, `
		client alice alice-key
		client bob bob-key {
			models gpt-3.5*
		}
		channel paid http://127.0.0.1:1 {
			api_key k
			tier    2
			models  gpt-4 shared meta/llama
		}
		channel free http://127.0.0.1:2 {
			api_key k
			models  gpt-3.5-turbo gpt-3.5-turbo-16k as gpt-3.5-turbo-0125
			models  shared o1*
		}`)
	list := func(key string) string {
		a := g.do(t, http.MethodGet, "/v1/models", "", "Authorization", "Bearer "+key)
		a.wantStatus(t, 200)
		var models struct {
			Object string
			Data   []struct {
				ID, Object string
				OwnedBy    string `json:"owned_by"`
			}
		}
		if err := json.Unmarshal([]byte(a.text), &models); err != nil || models.Object != "list" {
			t.Fatalf("%v: %s", err, a.text)
		}
		var b bytes.Buffer
		for _, m := range models.Data {
			fmt.Fprintf(&b, "%s/%s ", m.OwnedBy, m.ID)
		}
		return strings.TrimSpace(b.String())
	}
	if got, want := list("alice-key"), "free/gpt-3.5-turbo free/gpt-3.5-turbo-16k free/shared paid/gpt-4 paid/meta/llama"; got != want {
		t.Errorf("alice's models:\n got %s\nwant %s", got, want)
	}
	if got, want := list("bob-key"), "free/gpt-3.5-turbo free/gpt-3.5-turbo-16k"; got != want {
		t.Errorf("bob's models:\n got %s\nwant %s", got, want)
	}
	g.do(t, http.MethodGet, "/v1/models/meta/llama", "").wantStatus(t, 200)
	g.do(t, http.MethodGet, "/v1/models/o1*", "").wantError(t, 404, "model_not_found")
	g.do(t, http.MethodGet, "/v1/models/gpt-4", "", "Authorization", "Bearer bob-key").wantError(t, 404, "model_not_found")
	g.do(t, http.MethodGet, "/v1/models", "", "Authorization", "").wantError(t, 401, "invalid_api_key")
}

func TestCORS(t *testing.T) {
	up := caddytest.NewUpstream(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Access-Control-Allow-Origin", "https://elsewhere.example")
		w.Header().Set("Access-Control-Allow-Credentials", "true")
		io.WriteString(w, completion)
	})
	channel := "channel free " + up.URL + " {\napi_key k\nmodels m\n}\n"
	preflight := []string{
		"Origin", "https://chat.example", "Authorization", "", "Content-Type", "",
		"Access-Control-Request-Method", "POST", "Access-Control-Request-Headers", "authorization,x-stainless-os",
	}
	t.Run("any origin", func(t *testing.T) {
		g := start(t, channel)
		a := g.do(t, http.MethodOptions, "/v1/chat/completions", "", preflight...)
		a.wantStatus(t, 204)
		for name, want := range map[string]string{
			"Access-Control-Allow-Origin":  "*",
			"Access-Control-Allow-Headers": "authorization,x-stainless-os",
			"Access-Control-Allow-Methods": "GET, POST, PUT, DELETE, OPTIONS",
			"Access-Control-Max-Age":       "86400",
		} {
			if got := a.Header.Get(name); got != want {
				t.Errorf("%s: %q, want %q", name, got, want)
			}
		}
		if n := len(up.Requests()); n != 0 {
			t.Errorf("the preflight reached the channel")
		}
		for _, a := range []answer{
			g.chat(t, "m", "Origin", "https://chat.example"),
			g.chat(t, "x", "Origin", "https://chat.example"),
			g.chat(t, "m", "Origin", "https://chat.example", "Authorization", ""),
		} {
			if got := a.Header.Values("Access-Control-Allow-Origin"); len(got) != 1 || got[0] != "*" {
				t.Errorf("status %d: Access-Control-Allow-Origin: %v", a.StatusCode, got)
			}
			if a.Header.Get("Access-Control-Allow-Credentials") != "" {
				t.Error("the channel's CORS headers came through")
			}
			if !strings.Contains(a.Header.Get("Access-Control-Expose-Headers"), "X-Gateway-Channel") {
				t.Error("X-Gateway-Channel is not exposed")
			}
		}
	})
	t.Run("one origin", func(t *testing.T) {
		g := start(t, "cors https://chat.example\n"+channel)
		if a := g.chat(t, "m", "Origin", "https://chat.example"); a.Header.Get("Access-Control-Allow-Origin") != "https://chat.example" || !strings.Contains(fmt.Sprint(a.Header.Values("Vary")), "Origin") {
			t.Errorf("the origin is not allowed: %v", a.Header)
		}
		if a := g.chat(t, "m", "Origin", "https://evil.example"); a.Header.Get("Access-Control-Allow-Origin") != "" {
			t.Errorf("a foreign origin is allowed: %v", a.Header)
		}
	})
	t.Run("off", func(t *testing.T) {
		g := start(t, "cors off\n"+channel)
		if a := g.chat(t, "m"); a.Header.Get("Access-Control-Allow-Origin") != "https://elsewhere.example" {
			t.Errorf("CORS is off, yet the channel's headers were changed: %v", a.Header)
		}
	})
}
