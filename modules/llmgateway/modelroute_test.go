package llmgateway

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/jonboulle/clockwork"

	"github.com/caddy-freetier/caddy-freetier/internal/caddytest"
)

// What a * stands for in the client's name takes the place of the one in the
// channel's, in the body and in paths.
func TestCapturedNames(t *testing.T) {
	up := caddytest.NewUpstream(t, caddytest.JSON(200, completion))
	g := start(t, "channel a "+up.URL+" {\napi_key sk-channel-key-1\nmodels groq/* as *\nmodels my-*-model as vendor/*:free\nmodels x\n}")
	for _, test := range []struct{ asked, sent string }{
		{"groq/llama-3", "llama-3"},
		{"groq/openai/gpt-oss-20b", "openai/gpt-oss-20b"},
		{"groq/grüß", "grüß"},
		{"my-best-model", "vendor/best:free"},
		{"x", "x"},
	} {
		g.chat(t, test.asked).wantStatus(t, 200)
		list := up.Requests()
		var got struct{ Model string }
		if err := json.Unmarshal(list[len(list)-1].Body, &got); err != nil || got.Model != test.sent {
			t.Errorf("%s: the channel got %q, want %q (%v)", test.asked, got.Model, test.sent, err)
		}
	}
	g.do(t, http.MethodPost, "/v1beta/models/groq%2Fgemma-3:generateContent", `{}`)
	list := up.Requests()
	if got, want := list[len(list)-1].URI, "/v1beta/models/gemma-3:generateContent"; got != want {
		t.Errorf("the channel got %s, want %s", got, want)
	}
	g.chat(t, "groq/").wantError(t, 404, "model_not_found")
	g.chat(t, "my--model").wantError(t, 404, "model_not_found")
}

// The list of models has the names that lead to what the channel lists.
func TestCapturedNamesInList(t *testing.T) {
	up := caddytest.NewUpstream(t, caddytest.JSON(200, `{"data":[{"id":"llama-3"},{"id":"free/a"},{"id":"free/b"}]}`))
	g := start(t, "channel a "+up.URL+" {\napi_key sk-channel-key-1\nmodels groq/* as *\nmodels gratis/* as free/*\n}")
	want := "groq/llama-3 groq/free/a groq/free/b gratis/a gratis/b"
	var got string
	for deadline := time.Now().Add(20 * time.Second); time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
		var list struct{ Data []struct{ ID string } }
		if err := json.Unmarshal([]byte(g.do(t, http.MethodGet, "/v1/models", "").text), &list); err != nil {
			t.Fatal(err)
		}
		var names []string
		for _, m := range list.Data {
			names = append(names, m.ID)
		}
		if got = strings.Join(names, " "); got == want {
			return
		}
	}
	t.Errorf("the models are %q, want %q", got, want)
}

const fieldsChannel = `
	api_key sk-channel-key-1
	models big as m-large {
		fields {
			at_most max_tokens 100
		}
	}
	models *
	fields {
		drop     logit_bias messages[].name
		rename   max_completion_tokens max_tokens
		default  max_tokens 4096
		set      chat_template_kwargs.enable_thinking false
		role     developer system
	}
}`

// Rules change what they name and leave all other bytes.
func TestFields(t *testing.T) {
	up := caddytest.NewUpstream(t, caddytest.JSON(200, completion))
	g := start(t, "channel a "+up.URL+" {"+fieldsChannel)
	for _, test := range []struct{ path, body, want string }{
		{
			"/v1/chat/completions", `{"model": "small","logit_bias":{"1":-1.0},  "max_completion_tokens":7,"messages":[{"role":"developer","name":"x","content":"\u00fc"}]}`,
			`{"model": "small",  "max_tokens":7,"messages":[{"role":"system","content":"\u00fc"}],"chat_template_kwargs":{"enable_thinking":false}}`,
		},
		{"/v1/chat/completions", `{"max_tokens":1e3,"model":"big"}`, `{"max_tokens":100,"model":"m-large","chat_template_kwargs":{"enable_thinking":false}}`},
		{"/v1/chat/completions", `{"model":"big"}`, `{"model":"m-large","max_tokens":100,"chat_template_kwargs":{"enable_thinking":false}}`},
		{"/v1/responses", `{"model":"a","input":[{"role":"developer"}],"max_tokens":1}`, `{"model":"a","input":[{"role":"system"}],"max_tokens":1,"chat_template_kwargs":{"enable_thinking":false}}`},
		// Nothing is added where no output is asked for.
		{"/v1/embeddings", `{"model":"e","logit_bias":0,"input":"x"}`, `{"model":"e","input":"x"}`},
		{"/v1/messages/count_tokens", `{"model":"e","messages":[{"name":"x"}]}`, `{"model":"e","messages":[{}]}`},
	} {
		g.do(t, http.MethodPost, test.path, test.body)
		list := up.Requests()
		if got := string(list[len(list)-1].Body); got != test.want {
			t.Errorf("%s %s:\ngot  %s\nwant %s", test.path, test.body, got, test.want)
		}
	}
}

// Rules hold for bodies that are kept in pieces and in files, and together with
// the gateway's own changes.
func TestFieldsOfLargeBodies(t *testing.T) {
	up := caddytest.NewUpstream(t, caddytest.JSON(200, completion))
	g := start(t, "client me me-key-12345 {\nlimit 100M tokens/day\n}\nchannel a "+up.URL+" {"+fieldsChannel)
	for _, size := range []int{10, 60 << 10, 3 << 20, 12 << 20} {
		text := strings.Repeat("é\\\"}]", size/6)
		body := `{"logit_bias":[],"stream":false,"messages":[{"name":"a","content":"` + text + `"},{"role":"developer"}],"model":"big","max_tokens":500}`
		want := `{"stream":false,"messages":[{"content":"` + text + `"},{"role":"system"}],"model":"m-large","max_tokens":100,"chat_template_kwargs":{"enable_thinking":false}}`
		g.do(t, http.MethodPost, "/v1/chat/completions", body, "Authorization", "Bearer me-key-12345").wantStatus(t, 200)
		list := up.Requests()
		got := list[len(list)-1]
		if string(got.Body) != want {
			t.Errorf("%d bytes: the channel got %.200s … %s", size, got.Body, got.Body[max(0, len(got.Body)-150):])
		}
		if length := got.Header.Get("Content-Length"); length != "" && length != strconv.Itoa(len(want)) {
			t.Errorf("Content-Length %s, want %d", length, len(want))
		}
	}
}

// Of a stream the gateway asks for the usage, unless a rule is about that.
func TestFieldsAndUsage(t *testing.T) {
	up := caddytest.NewUpstream(t, caddytest.Events("data: {\"choices\":[{\"delta\":{\"content\":\"x\"}}]}\n\n", "data: [DONE]\n\n"))
	for rule, want := range map[string]string{
		"drop logit_bias":     `{"stream":true,"stream_options":{"include_usage":true},"model":"m"}`,
		"set a 1":             `{"stream":true,"stream_options":{"include_usage":true},"logit_bias":1,"model":"m","a":1}`,
		"drop stream_options": `{"stream":true,"logit_bias":1,"model":"m"}`,
	} {
		g := start(t, "client me me-key-12345 {\nlimit 1M tokens/day\n}\nchannel a "+up.URL+" {\napi_key sk-channel-key-1\nmodels m\nfields {\n"+rule+"\n}\n}")
		g.do(t, http.MethodPost, "/v1/chat/completions", `{"stream":true,"logit_bias":1,"model":"m"}`, "Authorization", "Bearer me-key-12345").wantStatus(t, 200)
		list := up.Requests()
		if got := string(list[len(list)-1].Body); got != want {
			t.Errorf("%s: got %s, want %s", rule, got, want)
		}
	}
}

// A preset drops what the provider refuses from chats, and only there; rules of
// the channel for the same fields take the place of that.
func TestFieldsOfProviders(t *testing.T) {
	up := caddytest.NewUpstream(t, caddytest.JSON(200, completion))
	g := start(t, "channel a "+up.URL+" {\nprovider mistral\napi_key sk-channel-key-1\nmodels *\nfields {\nset logprobs true\n}\n}")
	for path, want := range map[string]string{
		"/v1/chat/completions": `{"model":"m","random_seed":1,"logprobs":true}`,
		"/v1/embeddings":       `{"model":"m","top_k":2,"seed":1,"logprobs":true}`,
	} {
		g.do(t, http.MethodPost, path, `{"model":"m","top_k":2,"seed":1,"logprobs":false}`)
		list := up.Requests()
		if got := string(list[len(list)-1].Body); got != want {
			t.Errorf("%s: got %s, want %s", path, got, want)
		}
	}
}

// Rules apply to what a request is translated to.
func TestFieldsOfTranslations(t *testing.T) {
	up := caddytest.NewUpstream(t, caddytest.JSON(200, completion))
	g := start(t, "channel a "+up.URL+" {\nspeaks chat\nprovider groq\napi_key sk-channel-key-1\nmodels *\nfields {\nrename max_tokens max_completion_tokens\nset n 1\n}\n}")
	g.do(t, http.MethodPost, "/v1/messages", `{"model":"m","max_tokens":9,"messages":[{"role":"user","content":"x"}]}`).wantStatus(t, 200)
	list := up.Requests()
	got := list[len(list)-1]
	var body map[string]any
	if err := json.Unmarshal(got.Body, &body); err != nil {
		t.Fatal(err)
	}
	if body["max_completion_tokens"] != 9.0 || body["max_tokens"] != nil || body["n"] != 1.0 {
		t.Errorf("the channel got %s of length %s", got.Body, got.Header.Get("Content-Length"))
	}
}

// quotasOf returns the quotas of the first key as `model unit used/limit`.
func quotasOf(t *testing.T, g *testGateway) (list []string) {
	t.Helper()
	var channels []struct {
		Keys []struct {
			Quotas []struct {
				Model, Unit string
				Used, Limit int
			}
		}
	}
	_, body := g.Admin(http.MethodGet, "/llm-gateway/channels")
	if err := json.Unmarshal(body, &channels); err != nil {
		t.Fatal(err)
	}
	for _, q := range channels[0].Keys[0].Quotas {
		list = append(list, fmt.Sprintf("%s %s %d/%d", q.Model, q.Unit, q.Used, q.Limit))
	}
	return list
}

// Each model has its quota at each key, by the channel's own name; quotas of a
// line of models take the place of the channel's.
func TestQuotasPerModel(t *testing.T) {
	clock := clockwork.NewFakeClockAt(time.Date(2028, 2, 29, 12, 0, 0, 0, time.UTC))
	up := caddytest.NewUpstream(t, caddytest.JSON(200, `{"choices":[{"message":{"content":"x"}}],"usage":{"prompt_tokens":60,"completion_tokens":40,"total_tokens":100}}`))
	options := "client alice alice-key\nchannel a " + up.URL + ` {
		api_key sk-channel-key-1 sk-channel-key-2
		key_policy round_robin
		models  a a2 as m1
		models  few {
			quota 1/day per model
		}
		models  *
		quota   2/day per model America/Los_Angeles
		quota   0.25k tokens/minute per model
		quota   100/day
	}`
	addr := caddytest.Addr(t)
	storage := t.TempDir()
	c := caddytest.Start(t, site(addr, options), caddytest.WithFakeClock(clock), caddytest.WithStorage(storage))
	g := &testGateway{Caddy: c, URL: "http://" + addr, client: c.Client()}
	for i, model := range []string{"a", "a2", "a", "a2"} {
		if a := g.chat(t, model); a.StatusCode != 200 {
			t.Errorf("request %d for %s: status %d, want 200: %s", i, model, a.StatusCode, a.text)
		}
	}
	g.chat(t, "a").wantStatus(t, 429)
	for _, model := range []string{"few", "few", "other", "other"} {
		g.chat(t, model).wantStatus(t, 200)
	}
	g.chat(t, "few").wantStatus(t, 429)
	want := []string{" requests 4/100", "few requests 1/1", "m1 requests 2/2", "m1 tokens 200/250", "other requests 1/2", "other tokens 100/250"}
	if got := quotasOf(t, g); !slices.Equal(got, want) {
		t.Errorf("the quotas are %q, want %q", got, want)
	}
	// A restart forgets nothing.
	c.Stop()
	c = caddytest.Start(t, site(addr, options), caddytest.WithFakeClock(clock), caddytest.WithStorage(storage))
	g = &testGateway{Caddy: c, URL: "http://" + addr, client: c.Client()}
	g.chat(t, "a").wantStatus(t, 429)
	g.chat(t, "few").wantStatus(t, 429)
	g.chat(t, "other").wantStatus(t, 200)
	// The day of few ends at midnight of UTC, that of m1 eight hours later.
	clock.Advance(12*time.Hour + time.Minute)
	g.chat(t, "few").wantStatus(t, 200)
	g.chat(t, "a").wantStatus(t, 429)
	clock.Advance(8 * time.Hour)
	g.chat(t, "a").wantStatus(t, 200)
}

// Long names of a pattern share a count: the status page and the ledger show names.
func TestQuotasOfLongNames(t *testing.T) {
	up := caddytest.NewUpstream(t, caddytest.JSON(200, completion))
	addr := caddytest.Addr(t)
	c := caddytest.Start(t, site(addr, "client alice alice-key\nchannel a "+up.URL+" {\napi_key sk-channel-key-1\nmodels *\nquota 3/month per model\n}"))
	g := &testGateway{Caddy: c, URL: "http://" + addr, client: c.Client()}
	g.chat(t, strings.Repeat("x", longestModel)).wantStatus(t, 200)
	for i := range 3 {
		g.chat(t, fmt.Sprint(strings.Repeat("y", longestModel), i)).wantStatus(t, 200)
	}
	g.chat(t, strings.Repeat("z", 4000)).wantStatus(t, 429)
	want := []string{"(others of) * requests 3/3", strings.Repeat("x", longestModel) + " requests 1/3"}
	if got := quotasOf(t, g); !slices.Equal(got, want) {
		t.Errorf("got the quotas %q, want %q", got, want)
	}
}

// What is left of the quotas of models that the configuration names is shown before their
// first request, also after a reload.
func TestQuotasOfNamedModels(t *testing.T) {
	up := caddytest.NewUpstream(t, caddytest.JSON(200, completion))
	addr := caddytest.Addr(t)
	config := site(addr, "client alice alice-key\nchannel a "+up.URL+" {\napi_key sk-channel-key-1\nmodels a\nmodels b as c\nmodels x*\nquota 3/month per model\n}")
	c := caddytest.Start(t, config)
	g := &testGateway{Caddy: c, URL: "http://" + addr, client: c.Client()}
	if got, want := quotasOf(t, g), []string{"a requests 0/3", "c requests 0/3"}; !slices.Equal(got, want) {
		t.Errorf("got the quotas %q, want %q", got, want)
	}
	g.chat(t, "a").wantStatus(t, 200)
	g.chat(t, "x1").wantStatus(t, 200)
	c.Reload(config + "# changed\n")
	if got, want := quotasOf(t, g), []string{"a requests 1/3", "c requests 0/3"}; !slices.Equal(got, want) {
		t.Errorf("after a reload got the quotas %q, want %q", got, want)
	}
}

// Of a pattern 64 names are told apart, and what nobody has used is not written.
func TestQuotasOfManyModels(t *testing.T) {
	up := caddytest.NewUpstream(t, caddytest.JSON(200, completion))
	addr, storage := caddytest.Addr(t), t.TempDir()
	c := caddytest.Start(t, site(addr, "client alice alice-key\nchannel a "+up.URL+" {\napi_key sk-channel-key-1\nmodels known\nmodels *\nquota 3/month per model\nquota 5/month per model acct\n}"), caddytest.WithStorage(storage))
	g := &testGateway{Caddy: c, URL: "http://" + addr, client: c.Client()}
	for i := range mostModels {
		g.chat(t, fmt.Sprintf("m%d", i)).wantStatus(t, 200)
	}
	for i := range 3 {
		g.chat(t, fmt.Sprintf("x%d", i)).wantStatus(t, 200)
	}
	g.chat(t, "x3").wantStatus(t, 429)
	g.chat(t, "m1").wantStatus(t, 200)
	g.chat(t, "known").wantStatus(t, 200)
	if got := quotasOf(t, g); len(got) != 2*(mostModels+2) {
		t.Errorf("%d quotas are shown, want %d", len(got), 2*(mostModels+2))
	}
	c.Stop()
	files, err := filepath.Glob(filepath.Join(storage, "*", "*", "*"))
	if err != nil {
		t.Fatal(err)
	}
	written := ""
	for _, file := range files {
		if text, err := os.ReadFile(file); err == nil && strings.Contains(file, "ledger") {
			written += string(text)
		}
	}
	if n := strings.Count(written, " requests month UTC"); written != "" && n > 2*(mostModels+2) {
		t.Errorf("the ledger has %d counts, want %d at most", n, 2*(mostModels+2))
	}
}

// A quota that names no zone renews with the provider's day.
func TestQuotaInZoneOfProvider(t *testing.T) {
	clock := clockwork.NewFakeClockAt(time.Date(2028, 2, 29, 23, 30, 0, 0, time.UTC))
	up := caddytest.NewUpstream(t, caddytest.JSON(200, completion))
	addr := caddytest.Addr(t)
	c := caddytest.Start(t, site(addr, "client alice alice-key\nchannel a "+up.URL+" {\nprovider gemini\napi_key sk-channel-key-1\nmodels m\nquota 1/day per model\n}\nchannel b "+up.URL+"/b {\nprovider gemini\napi_key sk-channel-key-1\nmodels n\nquota 1/day UTC\n}"), caddytest.WithFakeClock(clock))
	g := &testGateway{Caddy: c, URL: "http://" + addr, client: c.Client()}
	for _, model := range []string{"m", "n"} {
		g.chat(t, model).wantStatus(t, 200)
		g.chat(t, model).wantStatus(t, 429)
	}
	clock.Advance(time.Hour)
	g.chat(t, "n").wantStatus(t, 200)
	g.chat(t, "m").wantStatus(t, 429)
	clock.Advance(8 * time.Hour)
	g.chat(t, "m").wantStatus(t, 200)
}
