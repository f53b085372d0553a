package llmgateway

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/caddy-freetier/caddy-freetier/internal/caddytest"
)

// keyed is a request line with a key and a body, or none.
func keyed(method, target, key, body string, lines ...string) string {
	if body != "" {
		lines = append(lines, "Content-Type: application/json", fmt.Sprintf("Content-Length: %d", len(body)))
	}
	return method + " " + target + " HTTP/1.1\r\nHost: gateway\r\nAuthorization: Bearer " + key + "\r\nConnection: close\r\n" +
		strings.Join(append(lines, ""), "\r\n") + "\r\n" + body
}

const (
	keyAlice = "alice-key" // of a client without models and limits
	keyBob   = "bob-key"   // with models
	keyCarol = "carol-key" // with a limit
)

// startClients runs a gateway with a client of each kind, a default channel and
// the models m and other.
func startClients(t testing.TB, up *caddytest.Upstream, options string) *testGateway {
	return start(t, options+`
		client alice `+keyAlice+`
		client bob `+keyBob+` {
			models m
		}
		client carol `+keyCarol+` {
			limit 100000/day
		}
		default_channel a
		channel a `+up.URL+` {
			api_key k
			models  m other
		}`)
}

// Methods that the gateway does not know get no further: some servers echo the
// request with its key, or connect to somewhere.
func TestMethods(t *testing.T) {
	up := caddytest.NewUpstream(t, caddytest.JSON(200, anyOutput))
	g := startClients(t, up, "allow_path /api/*\n")
	paths := map[string]string{
		"/v1/chat/completions": "GET, HEAD, POST, OPTIONS", "/v1/messages": "POST, OPTIONS", "/v1/models": "GET, HEAD, OPTIONS",
		"/v1/files": "GET, HEAD, POST, OPTIONS", "/v1/files/f": "GET, HEAD, DELETE, OPTIONS", "/v1/realtime": "GET, OPTIONS",
		"/v1beta/models/m:generateContent": "", "/upload/v1beta/files": "POST, PUT, OPTIONS", "/api/tags": "GET, HEAD, POST, DELETE, OPTIONS",
		"/v1/files?model=m": "GET, HEAD, POST, OPTIONS", "/unknown": "GET, HEAD, POST, PUT, DELETE, OPTIONS",
	}
	for _, method := range []string{
		"TRACE", "TRACK", "CONNECT", "PROPFIND", "PROPPATCH", "MKCOL", "COPY", "MOVE", "LOCK", "UNLOCK", "SEARCH", "REPORT", "PATCH", "PURGE",
		"LINK", "QUERY", "DEBUG", "INVALID", "get", "post", "Post", "DELETE2",
	} {
		for path, allow := range paths {
			for _, key := range []string{keyAlice, keyBob, "wrong"} {
				a := g.exchange(t, keyed(method, path, key, chatBody("m")))
				a.wantStatus(t, 405)
				if got := a.Header.Get("Allow"); allow != "" && got != allow {
					t.Errorf("%s %s: Allow: %q, want %q", method, path, got, allow)
				}
			}
		}
	}
	for _, line := range []string{"CONNECT " + strings.TrimPrefix(g.URL, "http://"), "TRACE *"} {
		method, target, _ := strings.Cut(line, " ")
		if a := g.exchange(t, keyed(method, target, keyAlice, "")); a.StatusCode/100 != 4 {
			t.Errorf("%s: status %d", line, a.StatusCode)
		}
	}
	// A CONNECT for a WebSocket is one of HTTP/2 and 3 only.
	g.exchange(t, keyed("CONNECT", "/v1/realtime?model=m", keyAlice, "", "Upgrade: websocket", ":protocol: websocket")).wantStatus(t, 400)
	g.exchange(t, keyed("CONNECT", "/v1/realtime?model=m", keyAlice, "", "Upgrade: websocket", "Protocol: websocket")).wantStatus(t, 405)
	if n := len(up.Requests()); n > 0 {
		t.Errorf("%d requests arrived", n)
	}
}

// known is what the gateway passes on, as method and path. Those that ask a model
// have it in the body, unless the path names it.
var (
	inference = []string{
		"POST /v1/chat/completions", "POST /v1/completions", "POST /v1/fim/completions", "POST /v1/responses", "POST /v1/responses/compact",
		"POST /v1/responses/input_tokens", "POST /v1/messages", "POST /v1/messages/count_tokens", "POST /v1/embeddings", "POST /v1/rerank",
		"POST /v2/rerank", "POST /v1/moderations", "POST /v1/images/generations", "POST /v1/images/edits", "POST /v1/images/variations",
		"POST /v1/audio/speech", "POST /v1/audio/transcriptions", "POST /v1/audio/translations", "POST /v1/videos", "POST /v1/video/generations",
		"POST /v1beta/models/m:generateContent", "POST /v1beta/models/m:streamGenerateContent", "POST /v1/models/m:countTokens",
		"POST /v1alpha/models/m:embedContent", "POST /v1beta/models/m:batchEmbedContents", "POST /v1beta/models/m:predict",
		"POST /openai/deployments/m/chat/completions", "POST /openai/deployments/m/embeddings", "POST /v1/engines/m/completions",
	}
	account = []string{
		"GET /v1/chat/completions", "GET /v1/chat/completions/c", "DELETE /v1/chat/completions/c",
		"GET /v1/responses/r", "DELETE /v1/responses/r", "POST /v1/responses/r/cancel", "GET /v1/responses/r/input_items",
		"GET /v1/files", "POST /v1/files", "GET /v1/files/f", "HEAD /v1/files/f", "DELETE /v1/files/f", "GET /v1/files/f/content",
		"POST /v1/uploads", "POST /v1/uploads/u/parts", "PUT /v1/uploads/u", "POST /v1/batches", "GET /v1/batches", "GET /v1/batches/b", "POST /v1/batches/b/cancel",
		"GET /v1/vector_stores", "POST /v1/vector_stores/v/search", "DELETE /v1/vector_stores/v/files/f",
		"POST /v1/conversations", "GET /v1/conversations/c/items", "DELETE /v1/conversations/c", "POST /v1/containers", "GET /v1/containers/c/files/f/content",
		"POST /v1/messages/batches", "GET /v1/messages/batches/b/results", "DELETE /v1/messages/batches/b",
		"POST /upload/v1beta/files", "PUT /upload/v1beta/files", "GET /v1beta/files", "GET /v1beta/files/f", "DELETE /v1beta/files/f",
		"POST /v1beta/cachedContents", "GET /v1beta/cachedContents/c", "DELETE /v1beta/cachedContents/c",
		"POST /v1beta/models/m:batchGenerateContent", "POST /v1beta/models/m:asyncBatchEmbedContent", "POST /v1beta/models/m:unheardOf",
		"GET /v1/videos", "GET /v1/videos/v/content", "POST /v1/realtime/client_secrets", "POST /v1/realtime/sessions",
	}
)

func TestEndpoints(t *testing.T) {
	up := caddytest.NewUpstream(t, caddytest.JSON(200, anyOutput))
	g := startClients(t, up, "")
	send := func(line, key string) answer {
		method, path, _ := strings.Cut(line, " ")
		body := ""
		if method == http.MethodPost || method == http.MethodPut {
			body = `{"model":"m"}`
		}
		return g.exchange(t, keyed(method, path, key, body))
	}
	for _, line := range inference {
		for _, key := range []string{keyAlice, keyBob, keyCarol} {
			send(line, key).wantStatus(t, 200)
			if got := up.Next(t); got.Method+" "+got.URI != line {
				t.Errorf("%s arrived as %s %s", line, got.Method, got.URI)
			}
		}
		method, path, _ := strings.Cut(line, " ")
		for _, other := range []string{"DELETE", "PUT"} {
			g.exchange(t, keyed(other, path, keyAlice, `{"model":"m"}`)).wantStatus(t, 405)
		}
		_ = method
	}
	for _, line := range account {
		send(line, keyAlice).wantStatus(t, 200)
		if got := up.Next(t); got.Method+" "+got.URI != line {
			t.Errorf("%s arrived as %s %s", line, got.Method, got.URI)
		}
		for _, key := range []string{keyBob, keyCarol} {
			if a := send(line, key); a.StatusCode != 403 && a.StatusCode != 405 {
				t.Errorf("%s of a client with models or limits: status %d", line, a.StatusCode)
			}
		}
	}
	for _, line := range []string{
		"GET /v1/files?model=m", "DELETE /v1/files/file-abc?model=m", "POST /key/generate", "DELETE /api/delete", "POST /v1/threads/t/runs",
		"POST /v1/fine_tuning/jobs", "DELETE /v1/models/ft:m", "GET /v1/organization/users", "POST /v1/assistants", "POST /model/m/invoke",
		"POST /client/v4/accounts/x/ai/run/@cf/m", "GET /metrics", "POST /v1/metrics", "GET /", "GET /v1", "GET /dashboard/billing/usage", "POST /v1/chat",
		"POST /v1beta/models", "POST /v1beta/models/", "POST /v1beta/models/:generateContent", "POST /v1/unknown", "POST /chat",
	} {
		for _, key := range []string{keyBob, keyCarol} {
			if a := send(line, key); a.StatusCode/100 != 4 {
				t.Errorf("%s of a client with models or limits: status %d", line, a.StatusCode)
			}
		}
		if !strings.Contains(line, "/files") {
			if a := send(line, keyAlice); a.StatusCode != 404 && a.StatusCode != 405 {
				t.Errorf("%s: status %d", line, a.StatusCode)
			}
		}
	}
	if n, want := len(up.Requests()), 3*len(inference)+len(account); n != want {
		t.Errorf("%d requests arrived, want %d", n, want)
	}
}

// Whatever somebody types as the base URL, requests come to the same place at
// the channel, as long as it is clear what is meant.
func TestTypedBaseURLs(t *testing.T) {
	bare := caddytest.NewUpstream(t, caddytest.JSON(200, completion))
	based := caddytest.NewUpstream(t, caddytest.JSON(200, completion))
	g := start(t, `
		client alice alice-key
		client bob bob-key {
			models bare based
		}
		channel bare `+bare.URL+` {
			api_key k
			models  bare
		}
		channel based `+based.URL+`/compatible/v1/ {
			api_key k
			models  based
		}`)
	bases := []string{"", "/", "//", "/v1", "//v1", "/v1/", "/v1//", "/v1/v1", "/v1//v1/", "/api", "/api/v1", "/api//v1/v1", "/openai", "/openai/v1", "/v1/openai", "/v1beta/openai", "/anthropic", "/anthropic/v1", "/api/openai/v1", "/%76%31"}
	for _, base := range bases {
		for _, endpoint := range []string{"/chat/completions", "/messages", "/responses", "/embeddings", "/completions", "/images/generations", "/messages/count_tokens"} {
			for _, end := range []string{"", "/", "//", "?a=%2Fb"} {
				query := strings.TrimLeft(end, "/")
				for model, up := range map[string]*caddytest.Upstream{"bare": bare, "based": based} {
					if endpoint == "/messages/count_tokens" && (end != "" || model == "based") {
						continue // a client may count tokens 60 times a minute
					}
					target := base + endpoint + end
					g.exchange(t, keyed("POST", target, "bob-key", chatBody(model))).wantStatus(t, 200)
					want := "/v1" + endpoint + query
					if model == "based" {
						want = "/compatible" + want
					}
					if got := up.Next(t).URI; got != want {
						t.Errorf("%s arrived as %s, want %s", target, got, want)
					}
				}
			}
		}
		for _, end := range []string{"", "/"} {
			a := g.exchange(t, keyed("GET", base+"/models"+end, "alice-key", ""))
			a.wantStatus(t, 200)
			if !strings.Contains(a.text, `"object":"list"`) || !strings.Contains(a.text, `"based"`) {
				t.Errorf("%s/models: %s", base, a.text)
			}
		}
		g.exchange(t, keyed("GET", base+"/models/bare", "bob-key", "")).wantStatus(t, 200)
	}
	for typed, want := range map[string]string{
		"/v1beta/models/bare:generateContent": "/v1beta/models/bare:generateContent", "/v1/v1beta/models/bare:generateContent": "/v1beta/models/bare:generateContent",
		"//v1beta//models/bare:generateContent/": "/v1beta/models/bare:generateContent", "/models/bare:generateContent": "/v1beta/models/bare:generateContent",
		"/v1beta/v1beta/models/bare:countTokens": "/v1beta/models/bare:countTokens", "/v1beta/models/bare%3AcountTokens": "/v1beta/models/bare:countTokens",
		"/deployments/bare/chat/completions": "/openai/deployments/bare/chat/completions",
	} {
		g.exchange(t, keyed("POST", typed, "bob-key", "{}")).wantStatus(t, 200)
		if got := bare.Next(t).URI; got != want {
			t.Errorf("%s arrived as %s, want %s", typed, got, want)
		}
	}
	// The dialect of errors is that of the place.
	g.exchange(t, keyed("POST", "//v1/v1/messages/", "alice-key", chatBody("unknown"))).wantStatus(t, 404)
	if a := g.exchange(t, keyed("POST", "/messages", "wrong", chatBody("unknown"))); !strings.Contains(a.text, "authentication_error") {
		t.Errorf("/messages: %s", a.text)
	}
}

// A base URL that leads nowhere gets an error that says which one is right, in
// the client's dialect.
func TestUnknownPaths(t *testing.T) {
	up := caddytest.NewUpstream(t, caddytest.JSON(200, anyOutput))
	g := startClients(t, up, "")
	for _, path := range []string{
		"/", "/v1", "/v1/", "/foo/v1/chat/completions", "/v1/chat", "/v1/chat/completions/x/y", "/v3/chat/completions",
		"/V1/Chat/Completions", "/v1/chat%2Fcompletions", "/v1%2Fchat/completions", "/v2/files", "/v1/foo", "/index.html", "/v1/completions.php",
	} {
		a := g.exchange(t, keyed("POST", path, keyAlice, chatBody("m")))
		a.wantError(t, 404, "unknown_url")
		if !strings.Contains(a.text, g.URL+"/v1 ") || !strings.Contains(a.text, g.URL+" for") {
			t.Errorf("%s: %s does not name the base URL %s", path, a.text, g.URL)
		}
	}
	for _, path := range []string{"/foo/messages", "/v1/messages/x", "/foo/v1/messages"} {
		a := g.exchange(t, keyed("POST", path, keyAlice, chatBody("m"), "Anthropic-Version: 2023-06-01"))
		a.wantStatus(t, 404)
		if !strings.Contains(a.text, `"type":"error"`) || !strings.Contains(a.text, "not_found_error") || !strings.Contains(a.text, g.URL) {
			t.Errorf("%s: not Anthropic's form: %s", path, a.text)
		}
	}
	for _, path := range []string{"/v1beta/foo", "/v1beta/chat/completions", "/v1beta/"} {
		g.exchange(t, keyed("POST", path, keyAlice, "{}")).wantGoogleError(t, 404, "NOT_FOUND")
	}
	if n := len(up.Requests()); n > 0 {
		t.Errorf("%d requests arrived", n)
	}
	t.Run("behind handle_path and a proxy", func(t *testing.T) {
		addr := caddytest.Addr(t)
		config := strings.Replace(site(addr, "client alice alice-key\nchannel a http://127.0.0.1:1 {\napi_key k\nmodels m\n}"), "trace", "trace\n\t\ttrusted_proxies static 127.0.0.1/32", 1)
		config = strings.Replace(config, "llm_gateway {", "handle_path /ai/* {\n\tllm_gateway {", 1)
		c := caddytest.Start(t, strings.TrimSuffix(strings.TrimSpace(config), "}")+"}\n}\n")
		g := &testGateway{Caddy: c, URL: "http://" + addr, client: c.Client()}
		for _, tc := range []struct{ lines, want string }{
			{"X-A: b", g.URL + "/ai"},
			{"X-Forwarded-Proto: https\r\nX-Forwarded-Host: ai.example.com", "https://ai.example.com/ai"},
		} {
			a := g.exchange(t, keyed("POST", "/ai/foo", keyAlice, "{}", strings.Split(tc.lines, "\r\n")...))
			a.wantError(t, 404, "unknown_url")
			if !strings.Contains(a.text, tc.want+"/v1 ") {
				t.Errorf("%s does not name the base URL %s", a.text, tc.want)
			}
		}
	})
	t.Run("over TLS", func(t *testing.T) {
		g, clients := startTLS(t, "client alice alice-key\nchannel a http://127.0.0.1:1 {\napi_key k\nmodels m\n}")
		for _, client := range clients {
			g.client = client
			a := g.do(t, http.MethodPost, "/foo", "{}", "X-Forwarded-Proto", "http", "X-Forwarded-Host", "evil.example")
			a.wantError(t, 404, "unknown_url")
			if !strings.Contains(a.text, g.URL+"/v1 ") {
				t.Errorf("%s does not name the base URL %s", a.text, g.URL)
			}
		}
	})
}

// spellings are dot segments and separators as some server understands them.
var spellings = []string{
	"..", ".", "%2e%2e", "%2E.", ".%2e", "%2e", "..;", "..;x=y", ".;", "%2e%2e;a", "..%3b", ".%2e%3Bx", "%252e%252e", "%252e.", ".%252e", "%25252e%25252e",
	`..\`, `%5c..`, "..%5c", "..%5C..", "%255c..", "x%5cy", "..%2f", "..%2F..", "%2e%2e%2f", "%252f..", "..%252f", "x%252fy", "a;b=c", "a%3bb",
	"..%00", "..%0a", "..%0d", "%09..", "..%20", "%20..", "%20", "%c0%ae%c0%ae", "%e0%80%ae.", "%c0%af", "%ef%bc%8e%ef%bc%8e", "%e2%80%a5", "%e3%80%82%e3%80%82",
	"x%ef%bc%8fy", "x%e2%88%95y", "...", "%2e%2e%2e", "x%3fy", "x%23y", "%25%32%65%25%32%65", "%ff",
}

// No path leaves the path of a channel's URL, or means to a server something
// else than to the gateway.
func TestPathSpellings(t *testing.T) {
	up := caddytest.NewUpstream(t, caddytest.JSON(200, anyOutput))
	g := startClients(t, up, "allow_path /api/* /custom/*/x\n")
	for _, s := range spellings {
		for _, path := range []string{
			"/v1/" + s + "/chat/completions", "/v1/chat/completions/" + s, "/v1/" + s + "/" + s + "/admin", "/" + s + "/v1/chat/completions", "/v1/chat/" + s + "/completions",
			"/v1/files/" + s, "/v1/files/" + s + "/content", "/v1/vector_stores/a/" + s + "/" + s + "/admin", "/v1/vector_stores/a" + s + "/../x",
			"/v1beta/models/" + s + "/m:generateContent", "/v1beta/models/m/" + s + "/other:generateContent", "/v1beta/models/" + s + ":generateContent",
			"/api/" + s + "/chat", "/api/chat/" + s, "/custom/" + s + "/x", "/openai/deployments/" + s + "/chat/completions", "//" + s + "//v1/files",
		} {
			for _, request := range []string{keyed("POST", path, keyAlice, chatBody("m")), keyed("GET", path, keyAlice, ""), keyed("DELETE", path, keyAlice, "")} {
				if a := g.exchange(t, request); a.StatusCode != 400 && a.StatusCode != 404 && a.StatusCode != 405 {
					t.Errorf("%s: status %d", path, a.StatusCode)
				}
			}
		}
	}
	for _, r := range up.Requests() {
		t.Errorf("%s %s arrived", r.Method, r.URI)
	}
	for path, want := range map[string]string{
		"/v1/files/..a.": "/v1/files/..a.", "/v1/files/.b": "/v1/files/.b", "/v1/files/a..b": "/v1/files/a..b", "/v1/files/a%2Fb": "/v1/files/a%2Fb",
		"/v1/files/a%20b": "/v1/files/a%20b", "/v1/files/%C3%BC": "/v1/files/%C3%BC", "/api/x%2Fy/z": "/api/x%2Fy/z", "/v1/%66iles/%61": "/v1/files/a",
		"/v1/files/a:b@c,d$": "/v1/files/a:b@c,d$",
	} {
		g.exchange(t, keyed("GET", path, keyAlice, "")).wantStatus(t, 200)
		if got := up.Next(t).URI; got != want {
			t.Errorf("%s became %s, want %s", path, got, want)
		}
	}
}

// allow_path adds other APIs. Where no model can be seen, clients that are held
// to some stay out.
func TestAllowPath(t *testing.T) {
	up := caddytest.NewUpstream(t, caddytest.JSON(200, anyOutput))
	g := startClients(t, up, "allow_path /api/chat /api/tags\nallow_path /api/embeddings /model/*\nallow_path /client/v4/accounts/*/ai/run/* /hf/models/*\n")
	for _, tc := range []struct {
		method, path, key, body string
		status                  int
		arrives                 string
	}{
		{"POST", "/api/chat", keyAlice, `{"model":"m"}`, 200, "/api/chat"},
		{"POST", "//api//chat/", keyBob, `{"model":"m"}`, 200, "/api/chat"},
		{"POST", "/api/chat", keyBob, `{"model":"other"}`, 404, ""},
		{"POST", "/api/chat", keyBob, `{}`, 400, ""},
		{"POST", "/api/chat", keyCarol, `{}`, 400, ""},
		{"GET", "/api/tags", keyAlice, "", 200, "/api/tags"},
		{"GET", "/api/tags", keyBob, "", 403, ""},
		{"DELETE", "/api/chat", keyBob, `{"model":"m"}`, 403, ""},
		{"DELETE", "/api/delete", keyAlice, `{"model":"m"}`, 404, ""},
		{"PUT", "/api/chat", keyAlice, `{"model":"m"}`, 405, ""},
		{"POST", "/api/embeddings", keyAlice, `{"model":"m"}`, 200, "/api/embeddings"}, // and not /v1/embeddings
		{"POST", "/api/v1/embeddings", keyAlice, `{"model":"m"}`, 200, "/v1/embeddings"},
		{"POST", "/model/m/converse", keyBob, "{}", 200, "/model/m/converse"},
		{"POST", "/model/other/converse", keyBob, "{}", 404, ""},
		{"POST", "/model/other/converse", keyBob, `{"model":"m"}`, 404, ""},
		{"POST", "/model/other/converse", keyCarol, "{}", 200, "/model/other/converse"},
		{"POST", "/model/m%2Fx/converse", keyBob, `{"model":"m"}`, 404, ""},
		{"POST", "/client/v4/accounts/x/ai/run/@cf/other", keyBob, `{"model":"m"}`, 404, ""},
		{"POST", "/client/v4/accounts/x/ai/run/@cf/other", keyBob, `{}`, 404, ""},
		{"POST", "/client/v4/accounts/x/ai/run/m", keyBob, `{}`, 200, "/client/v4/accounts/x/ai/run/m"},
		{"POST", "/hf/models/other/v1/chat/completions", keyBob, `{"model":"m"}`, 404, ""},
		{"POST", "/hf/models/other:predict", keyBob, `{"model":"m"}`, 404, ""},
		{"POST", "/hf/models/m/v1/chat/completions", keyBob, `{"model":"m"}`, 200, "/hf/models/m/v1/chat/completions"},
	} {
		a := g.exchange(t, keyed(tc.method, tc.path, tc.key, tc.body))
		if a.StatusCode != tc.status {
			t.Errorf("%s %s of %s with %s: status %d, want %d: %s", tc.method, tc.path, tc.key, tc.body, a.StatusCode, tc.status, a.text)
		}
		if a.StatusCode == 200 {
			if got := up.Next(t).URI; got != tc.arrives {
				t.Errorf("%s %s arrived as %s, want %s", tc.method, tc.path, got, tc.arrives)
			}
		}
	}
	t.Run("everything", func(t *testing.T) {
		g := startClients(t, up, "allow_path *\n")
		g.exchange(t, keyed("GET", "/some//thing/", keyAlice, "")).wantStatus(t, 200)
		if got := up.Next(t).URI; got != "/some/thing" {
			t.Errorf("arrived as %s", got)
		}
		g.exchange(t, keyed("GET", "/v1/files", keyBob, "")).wantStatus(t, 403)
		g.exchange(t, keyed("GET", "/v1/../files", keyAlice, "")).wantStatus(t, 400)
		g.exchange(t, keyed("TRACE", "/some", keyAlice, "")).wantStatus(t, 405)
	})
}

// A name of the model in a path is the channel's own there too.
func TestPathModelIsRenamed(t *testing.T) {
	up := caddytest.NewUpstream(t, caddytest.JSON(200, anyOutput))
	g := start(t, `
		allow_path /model/*
		channel a `+up.URL+` {
			api_key k
			models  alias as vendor/real
			models  tunedModels/mine as tunedModels/theirs
		}`)
	for path, want := range map[string]string{
		"/openai/deployments/alias/chat/completions?api-version=1": "/openai/deployments/vendor%2Freal/chat/completions?api-version=1",
		"/model/alias/converse":                          "/model/vendor%2Freal/converse",
		"/v1beta/models/alias:generateContent":           "/v1beta/models/vendor/real:generateContent",
		"/v1beta/tunedModels/mine:streamGenerateContent": "/v1beta/tunedModels/theirs:streamGenerateContent",
	} {
		g.do(t, http.MethodPost, path, "{}").wantStatus(t, 200)
		if got := up.Next(t).URI; got != want {
			t.Errorf("%s became %s, want %s", path, got, want)
		}
	}
	// A body that names the model, too, decides, since a deployment may have
	// any name.
	g.do(t, http.MethodPost, "/openai/deployments/mine/chat/completions", `{"model":"alias"}`).wantStatus(t, 200)
	if got := up.Next(t); got.URI != "/openai/deployments/mine/chat/completions" || string(got.Body) != `{"model":"vendor/real"}` {
		t.Errorf("%s with %s", got.URI, got.Body)
	}
}

// Claude Code asks whether anybody is there before it shows its key.
func TestProbes(t *testing.T) {
	g := start(t, "channel a http://127.0.0.1:1 {\napi_key k\nmodels m\n}")
	for _, path := range []string{"/", "/api/hello", "/v1", "/v1/", "/v1/api/hello"} {
		a := g.do(t, http.MethodHead, path, "", "Authorization", "")
		a.wantStatus(t, 200)
		if a.text != "" {
			t.Errorf("HEAD %s: %q", path, a.text)
		}
		g.do(t, http.MethodGet, path, "", "Authorization", "").wantError(t, 401, "invalid_api_key")
	}
	g.do(t, http.MethodHead, "/v1/models", "", "Authorization", "").wantStatus(t, 401)
}
