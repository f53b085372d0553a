package llmgateway

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"github.com/caddyserver/caddy/v2/modules/caddyevents"

	"github.com/caddy-freetier/caddy-freetier/internal/caddytest"
	_ "github.com/caddy-freetier/caddy-freetier/modules/keepalive"
)

// The keys of the run. Slash and plus are written in another way in a query.
var (
	clientKeys  = []string{"client-secret/1+aaaa", "client-secret/2+bbbb", "wrong-secret/3+cccc"}
	channelKeys = map[string]string{
		"refusing": "sk-secret/refusing+1", "broken": "sk-secret/broken+1", "hanging": "sk-secret/hanging+1",
		"gemini": "sk-secret/gemini+1", "cut": "sk-secret/cut+1", "good": "sk-secret/good+1", "file": "sk-secret/file+1",
		"telling": "sk-secret/telling+1", "endless": "sk-secret/endless+1",
		"echoing": "sk-secret/echoing+1", "asking": "sk-secret/asking+1",
	}
	// ownerKey is that of a client without limits, who may do more.
	ownerKey     = "client-secret/4+eeee"
	otherSecrets = []string{"header-secret/1+dddd", "notify-secret"}
)

// newFileKey takes the place of the key in the file during the run.
const newFileKey = "sk-secret/file+2"

// sightings is what a run has shown, by where that was.
type sightings struct {
	sync.Mutex
	of map[string]string
}

func (s *sightings) add(where, text string) {
	s.Lock()
	defer s.Unlock()
	if s.of == nil {
		s.of = make(map[string]string)
	}
	s.of[where] += text + "\n"
}

// shown belongs to the one run at a time, since events come from Caddy.
var shown sightings

// secretEvents collects the events of a run.
type secretEvents struct{}

func init() { caddy.RegisterModule(new(secretEvents)) }

func (*secretEvents) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "events.handlers.llm_gateway_test", New: func() caddy.Module { return new(secretEvents) }}
}

func (*secretEvents) UnmarshalCaddyfile(*caddyfile.Dispenser) error { return nil }

func (*secretEvents) Handle(_ context.Context, e caddy.Event) error {
	shown.add("events", fmt.Sprint(e.Name(), e.Data))
	return nil
}

// secretRun is a gateway with everything switched on, and what it has shown.
type secretRun struct {
	*testGateway
	t        *testing.T
	channels map[string]*caddytest.Upstream
	folder   string // of logs, and of bodies that are too large for the memory
	left     int    // how often a client has left
}

func startSecretRun(t *testing.T) *secretRun {
	t.Helper()
	run := &secretRun{t: t, folder: t.TempDir(), channels: make(map[string]*caddytest.Upstream)}
	t.Setenv("TMPDIR", run.folder)
	run.trace()
	for i, key := range clientKeys {
		t.Setenv(fmt.Sprintf("CLIENT_KEY_%d", i+1), key)
	}
	t.Setenv("OWNER_KEY", ownerKey)
	t.Setenv("HEADER_SECRET", otherSecrets[0])
	t.Setenv("NOTIFY_SECRET", otherSecrets[1])
	answers := map[string]http.HandlerFunc{
		"refusing": func(w http.ResponseWriter, r *http.Request) {
			caddytest.JSON(401, `{"error":{"message":"Incorrect API key: `+r.URL.Query().Get("key")+`"}}`)(w, r)
		},
		"telling": func(w http.ResponseWriter, r *http.Request) {
			caddytest.JSON(400, `{"error":{"message":"No such project: `+r.Header.Get("Authorization")+`"}}`)(w, r)
		},
		"broken":  caddytest.Reset,
		"hanging": func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() },
		"endless": func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() },
		"gemini":  caddytest.JSON(429, googleMinute),
		"cut":     caddytest.CutOff("text/event-stream", chunk),
		"good":    caddytest.JSON(200, completion),
		"file":    caddytest.JSON(200, completion),
		"echoing": echoSecrets,
		"asking":  echoSecrets,
	}
	for name, answer := range answers {
		t.Setenv("KEY_"+strings.ToUpper(name), channelKeys[name])
		run.channels[name] = caddytest.NewUpstream(t, answer)
	}
	run.writeKey(channelKeys["file"])
	addr := caddytest.Addr(t)
	c := caddytest.Start(t, run.config(addr))
	run.testGateway = &testGateway{Caddy: c, URL: "http://" + addr, client: c.Client()}
	return run
}

func (run *secretRun) keyFile() string { return filepath.Join(run.folder, "key") }

func (run *secretRun) writeKey(key string) {
	run.t.Helper()
	if err := os.WriteFile(run.keyFile(), []byte(key), 0o600); err != nil {
		run.t.Fatal(err)
	}
}

// trace collects what Caddy's tracing sends.
func (run *secretRun) trace() {
	collector := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		spans, _ := io.ReadAll(r.Body)
		shown.add("traces", string(spans))
	}))
	run.t.Cleanup(collector.Close)
	run.t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.URL)
	run.t.Setenv("OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf")
}

func (run *secretRun) config(addr string) string {
	const filter = `
			request>headers>X-Api-Key delete
			request>headers>Api-Key delete
			request>headers>X-Goog-Api-Key delete
			request>headers>Sec-Websocket-Protocol delete
			request>uri query {
				delete key
			}
		}`
	var channels strings.Builder
	for name, options := range map[string]string{
		"refusing": "auth query key",
		"broken":   "auth x-api-key",
		"hanging":  "auth api-key\ntransport {\nresponse_header_timeout 300ms\n}",
		"gemini":   "auth x-goog-api-key",
		"cut":      "",
		"telling":  "",
		"endless":  "",
		"good":     "tier 2\nheader_up X-Other {env.HEADER_SECRET}",
		"echoing":  "header_up X-Other-Token {env.HEADER_SECRET}",
		"asking":   "auth query key",
	} {
		models := "m only-" + name
		switch name {
		case "telling", "endless", "echoing", "asking":
			models = "only-" + name // no other one would be asked
		}
		fmt.Fprintf(&channels, "channel %s %s {\napi_key {env.KEY_%s}\nmodels %s\n%s\n}\n",
			name, run.channels[name].URL, strings.ToUpper(name), models, options)
	}
	fmt.Fprintf(&channels, "channel file %s {\napi_key {file.%s}\nmodels only-file wild-*\n}\n", run.channels["file"].URL, run.keyFile())
	return `{
	debug
	metrics {
		per_host
	}
	servers {
		trace
	}
	events {
		on * llm_gateway_test
	}
	keepalive {
		jitter 0%
		notify ` + run.channels["good"].URL + `/notify/{env.NOTIFY_SECRET}/{event.message}
		target broken ` + run.channels["broken"].URL + `/ping?key={env.KEY_BROKEN} {
			header Authorization "Bearer {env.KEY_BROKEN}"
			body {env.KEY_BROKEN}
			failures 1
		}
	}
}
http://` + addr + ` {
	tracing
	log {
		format filter {
			wrap json` + filter + `
	}
	log console {
		output file ` + filepath.Join(run.folder, "console.log") + `
		format filter {
			wrap console` + filter + `
	}
	llm_gateway {
		client alice {env.CLIENT_KEY_1} {env.CLIENT_KEY_2} {
			limit 1000M tokens/month
			limit 10000/day
		}
		client owner {env.OWNER_KEY}
		default_channel echoing
		lb_policy fastest-swagger
		first_byte_timeout 300ms
		` + channels.String() + `
	}
}`
}

// ask sends requests of all kinds with a key in all places.
func (run *secretRun) ask(key string) {
	stream := strings.Replace(chatBody("m"), "{", `{"stream":true,`, 1)
	huge := strings.Replace(chatBody("only-good"), "Gr", strings.Repeat("x", 9<<20), 1)
	for name, place := range places(key) {
		header := []string{"Authorization", ""}
		if name != "" {
			header = append(header, name, place[0])
		}
		run.leave(place[1], header...)
		for _, request := range [][2]string{
			{"/v1/chat/completions", chatBody("m")},
			{"/v1/chat/completions", stream},
			{"/v1/messages", chatBody("m")},
			{"/v1/chat/completions", chatBody("unknown")},
			{"/v1/chat/completions", `{"model":"m","model":"m"}`},
			{"/v1beta/models/only-good:generateContent", "{}"},
			{"/v1/models", ""},
		} {
			method := http.MethodPost
			if request[1] == "" {
				method = http.MethodGet
			}
			run.send(method, request[0]+place[1], request[1], header...)
		}
	}
	for channel := range channelKeys {
		if channel == "endless" {
			continue
		}
		run.send(http.MethodPost, "/v1/chat/completions", chatBody("only-"+channel), "Authorization", "Bearer "+key)
	}
	run.send(http.MethodPost, "/v1/chat/completions", huge, "Authorization", "Bearer "+key)
	run.send(http.MethodOptions, "/v1/chat/completions", "", "Origin", "https://chat.example")
	run.send(http.MethodPost, "/v1/audio/transcriptions", form(run.t, "b", "file@", "sound", "model", "only-good"),
		"Content-Type", "multipart/form-data; boundary=b", "Authorization", "Bearer "+key)
}

// askForEchoes sends requests of all kinds to the channels that repeat all.
func (run *secretRun) askForEchoes() {
	owner := []string{"Authorization", "Bearer " + ownerKey}
	for _, model := range []string{"only-echoing", "only-asking"} {
		for _, path := range []string{"/v1/chat/completions", "/v1/messages", "/v1/embeddings", "/v1/audio/speech", "/v1/moderations", "/v1/responses"} {
			run.send(http.MethodPost, path, chatBody(model), owner...)
			run.send(http.MethodPost, path, strings.Replace(chatBody(model), "{", `{"stream":true,`, 1), owner...)
		}
		run.send(http.MethodPost, "/v1beta/models/"+model+":generateContent", "{}", owner...)
		shown.add("client", run.raw(run.t, "GET /v1/realtime?model="+model+" HTTP/1.1\r\nHost: "+strings.TrimPrefix(run.URL, "http://")+"\r\nAuthorization: Bearer "+ownerKey+
			"\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: x3JJHMbDL1EzLkh9GBhXDw==\r\n\r\n"))
	}
	for _, path := range []string{"/v1/files", "/v1/files/file-1", "/v1/files/file-1/content", "/v1/batches"} {
		run.send(http.MethodGet, path, "", owner...)
		run.send(http.MethodHead, path, "", owner...)
	}
	run.send(http.MethodTrace, "/v1/files", "", owner...)
	run.send(http.MethodPost, "/upload/v1beta/files", "{}", append(owner, "X-Goog-Upload-Protocol", "resumable", "X-Goog-Upload-Command", "start")...)
	if !strings.Contains(shown.of["client"], uploadParameter) {
		run.t.Error("no upload has begun")
	}
}

// send sends a request and notes what the client gets.
func (run *secretRun) send(method, path, body string, header ...string) {
	a, _ := run.try(run.t, method, path, body, header...) // some are cut off
	text := a.text + "\n" + a.Status + "\n"
	for _, header := range []http.Header{a.Header, a.Trailer} {
		for name, values := range header {
			text += name + ": " + strings.Join(values, ", ") + "\n"
		}
	}
	shown.add("client", text)
}

// leave sends a request and leaves while a channel has it, or at once where the
// key is wrong.
func (run *secretRun) leave(query string, header ...string) {
	ctx, cancel := context.WithCancel(run.t.Context())
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, run.URL+"/v1/chat/completions"+query, strings.NewReader(chatBody("only-endless")))
	if err != nil {
		run.t.Fatal(err)
	}
	for i := 0; i < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	answered := make(chan struct{})
	go func() {
		defer close(answered)
		if resp, err := run.client.Do(req); err == nil {
			resp.Body.Close()
		}
	}()
	up := run.channels["endless"]
	for run.chatsAt(up) == run.left { // lb_policy loads pages there too
		select {
		case <-answered:
			return // the key is wrong
		case <-time.After(time.Millisecond):
		}
	}
	cancel()
	up.WaitLeft(run.t)
	run.left++
	<-answered
}

func (run *secretRun) chatsAt(up *caddytest.Upstream) (n int) {
	for _, r := range up.Requests() {
		if r.Method == http.MethodPost {
			n++
		}
	}
	return n
}

var adminPaths = []string{
	"/llm-gateway/channels", "/keepalive/targets", "/fastest-swagger/upstreams", "/reverse_proxy/upstreams", "/config/", "/metrics", "/debug/vars",
}

// look notes what all that is switched on shows.
func (run *secretRun) look() {
	for _, path := range adminPaths {
		status, body := run.Admin(http.MethodGet, path)
		if status != http.StatusOK || len(body) == 0 {
			run.t.Errorf("%s: status %d", path, status)
		}
		shown.add(path, string(body))
	}
	run.Stop()
	shown.add("log", run.Logs.String())
	console, err := os.ReadFile(filepath.Join(run.folder, "console.log"))
	if err != nil {
		run.t.Error(err)
	}
	shown.add("console log", string(console))
}

// wantNone checks that a text has none of the keys.
func (run *secretRun) wantNone(what, text string, keys ...string) {
	run.t.Helper()
	for _, key := range keys {
		for _, form := range forms(key) {
			if at := strings.Index(text, form); at >= 0 {
				run.t.Errorf("%s shows the key %s: %s", what, key, text[max(0, at-200):min(len(text), at+60)])
				return
			}
		}
	}
}

// With everything switched on, and everything going wrong that can, no key is
// in a log, metric, event, trace or admin answer; no client gets a channel's
// key, and no channel that of a client or of another channel. (Caddy's access
// log copies the request before any handler: its keys want the filter.)
func TestSecrets(t *testing.T) {
	shown = sightings{}
	run := startSecretRun(t)
	for _, key := range clientKeys[:2] {
		run.ask(key)
	}
	run.ask(clientKeys[2]) // which nobody has
	run.askForEchoes()
	run.writeKey(newFileKey)
	run.Logs.Wait(t, "keys reloaded from their files")
	run.send(http.MethodPost, "/v1/chat/completions", chatBody("only-file"), "Authorization", "Bearer "+clientKeys[0])
	run.Logs.Wait(t, "target is down")
	run.Logs.Wait(t, `"status":499`)
	run.look()

	keys := append([]string{newFileKey, ownerKey}, clientKeys...)
	var ours []string
	for _, key := range channelKeys {
		ours = append(ours, key)
	}
	keys = append(append(keys, ours...), otherSecrets...)
	for _, where := range append([]string{"log", "console log", "traces", "events"}, adminPaths...) {
		if shown.of[where] == "" {
			t.Errorf("nothing was collected from %s", where)
		}
		run.wantNone(where, shown.of[where], keys...)
	}
	run.wantNone("an answer", shown.of["client"], append(ours, otherSecrets...)...)
	for name, up := range run.channels {
		others := append([]string{ownerKey}, clientKeys...)
		for other, key := range channelKeys {
			if other != name {
				others = append(others, key)
			}
		}
		got := up.Requests()
		if len(got) == 0 {
			t.Errorf("channel %s was not asked", name)
		}
		for _, r := range got {
			run.wantNone("channel "+name, fmt.Sprint(r.URI, r.Host, r.Header, string(r.Body)), others...)
			for _, about := range []string{"X-Forwarded-For", "Forwarded", "Via", "X-Real-Ip"} {
				if r.Header[about] != nil {
					t.Errorf("channel %s got %s", name, about)
				}
			}
		}
	}
	for _, logger := range []string{
		"http.handlers.llm_gateway", "http.log.trace", "http.log.access",
		"keepalive", "events", "http.reverse_proxy.selection_policies.fastest-swagger",
	} {
		if run.Logs.Count(`"logger":"`+logger) == 0 {
			t.Errorf("%s has logged nothing", logger)
		}
	}
	left, err := filepath.Glob(filepath.Join(run.folder, "*"))
	if err != nil || len(left) != 2 { // the key and the console log
		t.Errorf("left behind: %v, %v", left, err)
	}
}

// Interface guards
var _ caddyevents.Handler = (*secretEvents)(nil)
