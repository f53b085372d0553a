package llmgateway

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jonboulle/clockwork"

	"github.com/caddy-freetier/caddy-freetier/internal/caddytest"
)

// accounts is a provider at which each key knows what it has made itself, and
// nothing else.
type accounts struct {
	mu    sync.Mutex
	owner map[string]string // by id
	asked map[string]int    // by key
	made  int
	dead  map[string]bool // keys that are rate limited
}

func newAccounts() *accounts {
	return &accounts{owner: make(map[string]string), asked: make(map[string]int), dead: make(map[string]bool)}
}

// mentioned finds the ids that a request names.
var mentioned = regexp.MustCompile(`(file|resp|batch|msgbatch|conv|vs|video)[-_]made\d+|(cached|gem)made\d+`)

func (a *accounts) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	key := strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")
	for _, name := range []string{"X-Goog-Api-Key", "X-Api-Key"} {
		if shown := r.Header.Get(name); shown != "" {
			key = shown
		}
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.asked[key]++
	if a.dead[key] {
		w.Header().Set("Retry-After", "900")
		caddytest.JSON(429, `{"error":{"message":"Rate limit reached","code":"rate_limit_exceeded"}}`)(w, r)
		return
	}
	for _, id := range mentioned.FindAllString(r.URL.Path+" "+string(body), -1) {
		if a.owner[id] == key {
			continue
		}
		switch {
		case strings.Contains(r.URL.Path, "v1beta"):
			caddytest.JSON(403, fmt.Sprintf(`{"error":{"code":403,"message":"You do not have permission to access the File %s or it may not exist.","status":"PERMISSION_DENIED"}}`, id))(w, r)
		case r.Method == http.MethodPost && len(body) > 0:
			caddytest.JSON(400, fmt.Sprintf(`{"error":{"message":"Previous response with id '%s' not found.","type":"invalid_request_error","code":"previous_response_not_found"}}`, id))(w, r)
		default:
			caddytest.JSON(404, fmt.Sprintf(`{"error":{"message":"No such object: %s"}}`, id))(w, r)
		}
		return
	}
	a.made++
	id := func(prefix string) string {
		made := fmt.Sprintf("%smade%d", prefix, a.made)
		a.owner[made] = key
		return made
	}
	switch path := r.URL.Path; {
	case r.Method != http.MethodPost:
		caddytest.JSON(200, `{"object":"thing"}`)(w, r)
	case strings.HasSuffix(path, "/responses") && strings.Contains(string(body), `"stream":true`):
		made := id("resp_")
		caddytest.Answer(200, "text/event-stream", "event: response.created\ndata: {\"type\":\"response.created\",\"response\":{\"id\":\""+made+"\",\"object\":\"response\",\"output\":[]}}\n\n"+
			"event: response.output_text.delta\ndata: {\"type\":\"response.output_text.delta\",\"item_id\":\"msg_made0\",\"delta\":\"Hello\"}\n\n"+
			"event: response.completed\ndata: {\"type\":\"response.completed\",\"response\":{\"id\":\""+made+"\",\"status\":\"completed\",\"output\":[]}}\n\n")(w, r)
	case strings.HasSuffix(path, "/responses"):
		caddytest.JSON(200, `{"id":"`+id("resp_")+`","object":"response","status":"completed","output":[{"type":"message","id":"msg_1","role":"assistant","content":[{"type":"output_text","text":"Hello"}]}]}`)(w, r)
	case strings.HasSuffix(path, "/chat/completions"):
		caddytest.JSON(200, `{"id":"chatcmpl-1","choices":[{"message":{"role":"assistant","content":"Hello"},"finish_reason":"stop"}]}`)(w, r)
	case strings.HasSuffix(path, ":generateContent"):
		caddytest.JSON(200, `{"candidates":[{"content":{"parts":[{"text":"Hello"}]},"finishReason":"STOP"}]}`)(w, r)
	case strings.HasSuffix(path, "/files") && strings.Contains(path, "v1beta"):
		name := id("gem")
		caddytest.JSON(200, `{"file":{"name":"files/`+name+`","uri":"https://generativelanguage.googleapis.com/v1beta/files/`+name+`"}}`)(w, r)
	case strings.HasSuffix(path, "/cachedContents"):
		caddytest.JSON(200, `{"name":"cachedContents/`+id("cached")+`","model":"models/m"}`)(w, r)
	case strings.HasSuffix(path, "/messages/batches"):
		caddytest.JSON(200, `{"id":"`+id("msgbatch_")+`","type":"message_batch"}`)(w, r)
	default:
		kind := map[string]string{"files": "file-", "batches": "batch_", "conversations": "conv_", "vector_stores": "vs_", "videos": "video_"}[path[strings.LastIndexByte(path, '/')+1:]]
		caddytest.JSON(200, fmt.Sprintf(`{"id":%q,"object":"thing"}`, id(kind)))(w, r)
	}
}

// forget forgets which keys were asked, and returns them.
func (a *accounts) forget() (keys []string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for key := range a.asked {
		keys = append(keys, key)
	}
	clear(a.asked)
	return keys
}

// idOf returns the id of what a response says that was made.
func idOf(t *testing.T, a answer) string {
	t.Helper()
	a.wantStatus(t, 200)
	if text := mentioned.FindString(a.text); text != "" {
		return text
	}
	t.Fatalf("nothing was made: %s", a.text)
	return ""
}

// Whatever an account keeps is asked of that account, whichever way it is named.
func TestIDsBelongToAccounts(t *testing.T) {
	provider := newAccounts()
	up := caddytest.NewUpstream(t, provider.ServeHTTP)
	g := start(t, "default_channel a\nchannel a "+up.URL+" {\napi_key key-number-1 key-number-2 key-number-3 key-number-4 key-number-5\nmodels *\n}")
	input := `{"model":"m","input":"hello"`
	for _, tc := range []struct{ name, path, body, then, with string }{
		{"a response", "/v1/responses", input + "}", "/v1/responses/ID", ""},
		{"a response, gone on with", "/v1/responses", input + "}", "/v1/responses", input + `,"previous_response_id":"ID"}`},
		{"a streamed response", "/v1/responses", input + `,"stream":true}`, "/v1/responses", input + `,"stream":true,"previous_response_id":"ID"}`},
		{"a file", "/v1/files", `{"purpose":"x"}`, "/v1/files/ID/content", ""},
		{"a file in a response", "/v1/files", `{"purpose":"x"}`, "/v1/responses", `{"model":"m","input":[{"role":"user","content":[{"type":"input_file","file_id":"ID"}]}]}`},
		{"a file in a chat", "/v1/files", `{"purpose":"x"}`, "/v1/chat/completions", `{"model":"m","messages":[{"role":"user","content":[{"type":"file","file":{"file_id":"ID"}}]}]}`},
		{"a file for a batch", "/v1/files", `{"purpose":"x"}`, "/v1/batches", `{"input_file_id":"ID","endpoint":"/v1/responses"}`},
		{"a batch", "/v1/batches", `{"endpoint":"x"}`, "/v1/batches/ID", ""},
		{"a batch of messages", "/v1/messages/batches", `{"requests":[]}`, "/v1/messages/batches/ID/results", ""},
		{"a conversation", "/v1/conversations", `{"items":[]}`, "/v1/responses", input + `,"conversation":"ID"}`},
		{"a conversation as an object", "/v1/conversations", `{"items":[]}`, "/v1/responses", input + `,"conversation":{"id":"ID"}}`},
		{"a vector store", "/v1/vector_stores", `{}`, "/v1/responses", input + `,"tools":[{"type":"file_search","vector_store_ids":["ID"]}]}`},
		{"a video", "/v1/videos", `{"model":"m","prompt":"x"}`, "/v1/videos/ID/content", ""},
		{"a file of Gemini's", "/upload/v1beta/files", `{}`, "/v1beta/files/ID", ""},
		{"a file of Gemini's in a chat", "/upload/v1beta/files", `{}`, "/v1beta/models/m:generateContent", `{"contents":[{"parts":[{"fileData":{"fileUri":"https://generativelanguage.googleapis.com/v1beta/files/ID"}}]}]}`},
		{"a cached content", "/v1beta/cachedContents", `{"model":"models/m"}`, "/v1beta/models/m:generateContent", `{"contents":[{"parts":[{"text":"x"}]}],"cachedContent":"cachedContents/ID"}`},
	} {
		t.Run(tc.name, func(t *testing.T) {
			id := idOf(t, g.do(t, http.MethodPost, tc.path, tc.body))
			owner := provider.owner[id]
			for range 5 {
				provider.forget()
				method := http.MethodPost
				if tc.with == "" {
					method = http.MethodGet
				}
				g.do(t, method, strings.ReplaceAll(tc.then, "ID", id), strings.ReplaceAll(tc.with, "ID", id)).wantStatus(t, 200)
				if asked := provider.forget(); len(asked) != 1 || asked[0] != owner {
					t.Fatalf("%s was asked for, want %s alone", asked, owner)
				}
			}
		})
	}
}

// What a key has made is not asked of another one, even if the key may not be used
// now.
func TestIDsMeetNoOtherAccount(t *testing.T) {
	provider := newAccounts()
	up := caddytest.NewUpstream(t, provider.ServeHTTP)
	g := start(t, "wait off\nchannel a "+up.URL+" {\napi_key key-number-1 key-number-2 key-number-3\nmodels *\n}")
	id := idOf(t, g.do(t, http.MethodPost, "/v1/responses", `{"model":"m","input":"hello"}`))
	owner := provider.owner[id]
	provider.mu.Lock()
	provider.dead[owner] = true
	provider.mu.Unlock()
	provider.forget()
	for range 4 {
		a := g.do(t, http.MethodPost, "/v1/responses", `{"model":"m","input":"hello","previous_response_id":"`+id+`"}`)
		a.wantStatus(t, 429)
	}
	if asked := provider.forget(); len(asked) != 1 || asked[0] != owner {
		t.Errorf("%s was asked, want %s alone", asked, owner)
	}
	g.do(t, http.MethodPost, "/v1/responses", `{"model":"m","input":"hello"}`).wantStatus(t, 200)
}

// An id that is not known is asked of one key after the other, which says nothing
// about these, and is known from then on.
func TestUnknownIDs(t *testing.T) {
	for _, options := range []string{"", "retry_on 500\n"} {
		provider := newAccounts()
		up := caddytest.NewUpstream(t, provider.ServeHTTP)
		g := start(t, options+"default_channel a\nchannel a "+up.URL+" {\napi_key key-number-1 key-number-2 key-number-3 key-number-4 key-number-5 key-number-6\nmodels *\n}")
		provider.owner["file-made1000"], provider.owner["resp_made1001"], provider.owner["gemmade1002"] = "key-number-4", "key-number-6", "key-number-2"
		for _, tc := range []struct{ id, path, body string }{
			{"file-made1000", "/v1/files/file-made1000", ""},
			{"resp_made1001", "/v1/responses", `{"model":"m","input":"x","previous_response_id":"resp_made1001"}`},
			{"gemmade1002", "/v1beta/models/m:generateContent", `{"contents":[{"parts":[{"fileData":{"fileUri":"https://x/v1beta/files/gemmade1002"}}]}]}`},
		} {
			method := http.MethodPost
			if tc.body == "" {
				method = http.MethodGet
			}
			g.do(t, method, tc.path, tc.body).wantStatus(t, 200)
			provider.forget()
			g.do(t, method, tc.path, tc.body).wantStatus(t, 200)
			if asked := provider.forget(); len(asked) != 1 || asked[0] != provider.owner[tc.id] {
				t.Errorf("%s was asked for %s, want its owner alone", asked, tc.id)
			}
		}
		// What nobody knows is asked of each once, and the client gets the refusal.
		for path, want := range map[string]int{"/v1/files/file-made5000": 404, "/v1/batches/batch_made5000": 404} {
			provider.forget()
			g.do(t, http.MethodGet, path, "").wantStatus(t, want)
			if asked := provider.forget(); len(asked) != 6 {
				t.Errorf("%d keys were asked for %s, want all 6", len(asked), path)
			}
		}
		a := g.do(t, http.MethodPost, "/v1/responses", `{"model":"m","input":"x","previous_response_id":"resp_made5000"}`)
		a.wantError(t, 400, "previous_response_not_found")
		_, body := g.Admin(http.MethodGet, "/llm-gateway/channels")
		var states []channelState
		if err := json.Unmarshal(body, &states); err != nil {
			t.Fatal(err)
		}
		for _, c := range states {
			for _, k := range c.Keys {
				if len(k.Cooldowns) > 0 {
					t.Errorf("key %s is in cooldown: %+v", k.Key, k.Cooldowns)
				}
			}
		}
	}
}

// What only looks like the id of something, such as the argument of a tool's call,
// keeps no conversation at a key that cannot answer.
func TestArgumentsAreNoIDs(t *testing.T) {
	for path, body := range map[string]string{
		"/v1beta/models/m:generateContent": `{"contents":[{"role":"user","parts":[{"text":"Read it."}]},{"role":"model","parts":[{"functionCall":{"name":"read","args":{"fileName":"main.go"}}}]}]}`,
		"/v1/messages":                     `{"model":"m","max_tokens":9,"messages":[{"role":"user","content":"Start it."},{"role":"assistant","content":[{"type":"tool_use","id":"t1","name":"run","input":{"container":"postgres-16","file_ids":["README.md"]}}]}]}`,
		"/v1/chat/completions":             `{"model":"m","messages":[{"role":"user","content":"x"}],"metadata":{"conversation":"the first one"}}`,
	} {
		provider := newAccounts()
		up := caddytest.NewUpstream(t, func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/v1/messages" {
				r.URL.Path = "/v1/chat/completions"
			}
			provider.ServeHTTP(w, r)
		})
		g := start(t, "channel a "+up.URL+" {\napi_key key-number-1 key-number-2 key-number-3\nmodels *\n}")
		g.do(t, http.MethodPost, path, body).wantStatus(t, 200)
		first := provider.forget()
		provider.mu.Lock()
		provider.dead[first[0]] = true
		provider.mu.Unlock()
		for range 2 {
			g.do(t, http.MethodPost, path, body).wantStatus(t, 200)
		}
	}
}

// No more than retries allows are asked for an id that is not known.
func TestUnknownIDsAreBounded(t *testing.T) {
	provider := newAccounts()
	up := caddytest.NewUpstream(t, provider.ServeHTTP)
	g := start(t, "retries 2\ndefault_channel a\nchannel a "+up.URL+" {\napi_key key-number-1 key-number-2 key-number-3 key-number-4 key-number-5 key-number-6\nmodels *\n}")
	g.do(t, http.MethodGet, "/v1/files/file-made5000", "").wantStatus(t, 404)
	if asked := provider.forget(); len(asked) != 3 {
		t.Errorf("%d keys were asked, want 3", len(asked))
	}
}

// An id is known for the client that has made it. No other one is led to the
// account by it.
func TestIDsOfOtherClients(t *testing.T) {
	provider := newAccounts()
	up := caddytest.NewUpstream(t, provider.ServeHTTP)
	g := start(t, "client alice alice-key\nclient bob bob-key\ndefault_channel a\nchannel a "+up.URL+" {\napi_key key-number-1 key-number-2\nmodels *\n}")
	id := idOf(t, g.do(t, http.MethodPost, "/v1/files", `{"purpose":"x"}`))
	ids := loadedGateways()[0].ids
	if _, ok := ids.Find("alice", id, caddytest.RunningClock().Now()); !ok {
		t.Error("the client that has made it is not known")
	}
	if _, ok := ids.Find("bob", id, caddytest.RunningClock().Now()); ok {
		t.Error("another client is known to have made it")
	}
	for range 4 { // one key after the other, as any unknown id
		g.do(t, http.MethodGet, "/v1/files/"+id, "", "Authorization", "Bearer bob-key").wantStatus(t, 200)
	}
}

// A reload, and a restart on the same storage, know what was made before.
func TestIDsOutliveRestarts(t *testing.T) {
	provider := newAccounts()
	up := caddytest.NewUpstream(t, provider.ServeHTTP)
	storage, clock := t.TempDir(), clockwork.NewFakeClockAt(time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC))
	options := "default_channel a\nchannel a " + up.URL + " {\napi_key key-number-1 key-number-2 key-number-3 key-number-4 key-number-5\nmodels *\n}"
	g := startOn(t, storage, clock, options)
	id := idOf(t, g.do(t, http.MethodPost, "/v1/files", `{"purpose":"x"}`))
	wants := func(when string) {
		t.Helper()
		for range 4 {
			provider.forget()
			g.do(t, http.MethodGet, "/v1/files/"+id, "").wantStatus(t, 200)
			if asked := provider.forget(); len(asked) != 1 || asked[0] != provider.owner[id] {
				t.Errorf("%s %s was asked, want the owner alone", when, asked)
			}
		}
	}
	g.Reload(site(strings.TrimPrefix(g.URL, "http://"), "client alice alice-key\nretries 3\n"+options))
	g.client.CloseIdleConnections() // Caddy has closed them
	wants("after a reload")
	g.Stop()
	g = startOn(t, storage, clock, options)
	wants("after a restart")
}

// Of a response that the provider does not keep, and of one that was translated,
// no id is known.
func TestResponsesThatAreNotKept(t *testing.T) {
	provider := newAccounts()
	up := caddytest.NewUpstream(t, provider.ServeHTTP)
	for _, speaks := range []string{"", "speaks chat"} {
		g := start(t, "channel a "+up.URL+" {\napi_key key-number-1 key-number-2 key-number-3 key-number-4 key-number-5\nmodels *\n"+speaks+"\n}")
		body := `{"model":"m","input":"hello","store": false }`
		if speaks != "" {
			body = `{"model":"m","input":"hello"}`
		}
		a := g.do(t, http.MethodPost, "/v1/responses", body)
		a.wantStatus(t, 200)
		var response struct{ ID string }
		if err := json.Unmarshal([]byte(a.text), &response); err != nil || response.ID == "" {
			t.Fatalf("no id: %s", a.text)
		}
		if owner, ok := loadedGateways()[0].ids.Find("alice", response.ID, caddytest.RunningClock().Now()); ok {
			t.Errorf("%q: %s is known to be of %x", speaks, response.ID, owner[:4])
		}
	}
}
