package llmgateway

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/jonboulle/clockwork"

	"github.com/caddy-freetier/caddy-freetier/internal/caddytest"
	"github.com/caddy-freetier/caddy-freetier/internal/clientsfile"
)

// listedIn returns the text of a clients_file with clients, whose keys are their
// names with -key behind them. more are further fields.
func listedIn(clients ...string) string {
	var entries []string
	for _, c := range clients {
		name, more, _ := strings.Cut(c, " ")
		if more != "" {
			more = ", " + more
		}
		entries = append(entries, fmt.Sprintf(`{"name": %q, "key_sha256": %q%s}`, name, hashOf(name+"-key"), more))
	}
	return "[\n" + strings.Join(entries, ",\n") + "\n]\n"
}

// withClientsFile runs a gateway with a clients_file of this text, and one client
// of the Caddyfile, alice.
func withClientsFile(t *testing.T, text string) (g *testGateway, clock *clockwork.FakeClock, write func(text string)) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "clients.json")
	write = func(text string) {
		t.Helper()
		if err := os.WriteFile(file+".new", []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(file+".new", file); err != nil {
			t.Fatal(err)
		}
	}
	if text != "" {
		write(text)
	}
	up := caddytest.NewUpstream(t, caddytest.JSON(200, strings.Replace(completion, `"choices"`, `"usage":{"prompt_tokens":10,"completion_tokens":7,"total_tokens":17},"choices"`, 1)))
	g, clock, _ = startAt(t, `
		clients_file `+file+`
		channel a `+up.URL+` {
			api_key sk-channel-a-0001
			models  m n*
		}`)
	return g, clock, write
}

func keyOf(name string) []string { return []string{"Authorization", "Bearer " + name + "-key"} }

// A client of the file is like one of the Caddyfile: its models, its limits and
// its usage hold, and metrics have one label for all of the file's.
func TestClientsFile(t *testing.T) {
	g, _, _ := withClientsFile(t, listedIn("zoe", `carol "models": ["m"], "limits": ["2/day", "1M tokens/month"]`))
	before := g.Metric(`caddy_llm_gateway_requests_total{client="clients_file"}`)
	g.chat(t, "n1", keyOf("alice")...).wantStatus(t, 200)
	g.chat(t, "n1", keyOf("zoe")...).wantStatus(t, 200)
	g.chat(t, "n1", keyOf("carol")...).wantError(t, 404, "model_not_found")
	g.chat(t, "m", keyOf("carol")...).wantStatus(t, 200)
	a := g.chat(t, "m", keyOf("carol")...)
	a.wantStatus(t, 200)
	if left := a.Header.Get("X-Ratelimit-Remaining-Requests"); left != "0" {
		t.Errorf("left %q, want 0", left)
	}
	g.chat(t, "m", keyOf("carol")...).wantError(t, 429, "rate_limit_exceeded")
	g.do(t, "GET", "/v1/files", "", keyOf("carol")...).wantError(t, 403, "endpoint_not_allowed")
	g.chat(t, "m", keyOf("dave")...).wantError(t, 401, "invalid_api_key")
	if n := g.Metric(`caddy_llm_gateway_requests_total{client="clients_file"}`) - before; n != 6 {
		t.Errorf("the label clients_file has %v requests, want 6", n)
	}
	if n := g.Metric(`caddy_llm_gateway_requests_total{client="zoe"}`); n != 0 {
		t.Errorf("zoe has a label of his own (%v)", n)
	}
}

// The file is read again when it changes, without a reload, and what cannot be
// used leaves the old list, with one warning that names the entry.
func TestClientsFileChanges(t *testing.T) {
	g, clock, write := withClientsFile(t, listedIn("bob", `carol "limits": ["1/day"]`))
	until := func(texts ...string) {
		t.Helper()
		g.Logs.Forget()
		for range 500 {
			clock.Advance(keyFileInterval)
			if g.Logs.Count(texts...) > 0 {
				return
			}
			time.Sleep(10 * time.Millisecond)
		}
		t.Fatalf("never logged: %q", texts)
	}
	g.chat(t, "m", keyOf("carol")...).wantStatus(t, 200)

	write(listedIn(`carol "limits": ["1/day"]`, "dave"))
	until("clients_file reloaded", `"clients":2`)
	g.chat(t, "m", keyOf("bob")...).wantError(t, 401, "invalid_api_key")
	g.chat(t, "m", keyOf("dave")...).wantStatus(t, 200)
	g.chat(t, "m", keyOf("carol")...).wantError(t, 429, "rate_limit_exceeded")

	write(listedIn("dave", `erin "limits": ["many"]`))
	until("could not reload clients_file; keeping the previous list", "entry 2 (erin), line 3: ")
	for range 5 {
		clock.Advance(keyFileInterval)
		time.Sleep(10 * time.Millisecond)
	}
	g.chat(t, "m", keyOf("dave")...).wantStatus(t, 200)
	if n := g.Logs.Count("could not reload clients_file"); n != 1 {
		t.Errorf("%d warnings, want 1", n)
	}

	write(listedIn("dave", "alice"))
	until("could not reload clients_file; keeping the previous list", "another client of this name, at Caddyfile:")
	g.chat(t, "m", keyOf("dave")...).wantStatus(t, 200)

	if err := os.Remove(loadedGateways()[0].auth.file.path); err != nil {
		t.Fatal(err)
	}
	until("clients_file reloaded", `"clients":0`)
	g.chat(t, "m", keyOf("dave")...).wantError(t, 401, "invalid_api_key")
	g.chat(t, "m", keyOf("alice")...).wantStatus(t, 200)
}

// A file that is missing is an empty list, at load and later.
func TestClientsFileMissing(t *testing.T) {
	g, clock, write := withClientsFile(t, "")
	g.Logs.Wait(t, "clients_file is missing; it is taken for an empty list")
	g.chat(t, "m", keyOf("bob")...).wantError(t, 401, "invalid_api_key")
	write(listedIn("bob"))
	for range 500 {
		clock.Advance(keyFileInterval)
		if g.Logs.Count("clients_file reloaded", `"clients":1`) > 0 {
			break
		}
		time.Sleep(10 * time.Millisecond)
	}
	g.chat(t, "m", keyOf("bob")...).wantStatus(t, 200)
}

// An expired key is refused with an error that says so.
func TestClientsFileExpires(t *testing.T) {
	g, clock, _ := withClientsFile(t, listedIn(`bob "expires": "2026-03-01T14:00:00Z"`, `carol "expires": "2020-02-03T04:05:06Z"`))
	g.chat(t, "m", keyOf("bob")...).wantStatus(t, 200)
	a := g.chat(t, "m", keyOf("carol")...)
	a.wantError(t, 401, "expired_api_key")
	if !strings.Contains(a.text, "has expired on 3 February 2020 at 04:05 UTC") {
		t.Errorf("got %s", a.text)
	}
	clock.Advance(2 * time.Hour)
	g.chat(t, "m", keyOf("bob")...).wantError(t, 401, "expired_api_key")
}

// Mistakes of the file are errors at load, which name the place and no key.
func TestClientsFileMistakes(t *testing.T) {
	file := filepath.Join(t.TempDir(), "clients.json")
	for text, says := range map[string]string{
		listedIn("alice"): "entry alice: there is another client of this name, at Caddyfile:",
		strings.Replace(listedIn("alice"), `"alice"`, `"bob"`, 1):                  "entry bob: its key is one of client alice, at Caddyfile:",
		listedIn(`bob "models": ["a,b"]`):                                          `entry bob: model "a,b": separate models`,
		listedIn("bob", "bob"):                                                     "entry 2 (bob), line 3: entry 1 has the same name",
		listedIn(`bob "key": "good-key-of-bob"`):                                   "entry 1 (bob), line 2: unknown field key",
		"[{\"name\": \"good-key-of-bob\"":                                          "entry 1, line 1: the file ends in the middle",
		`[{"name": "bob", "key_sha256": "fe01ce2a7fbac8fafaed7c982a04e229"}]`:      "entry 1 (bob), line 1: key_sha256 is the SHA-256 of the key in 64 hexadecimal digits",
		strings.ReplaceAll(listedIn("bob"), hashOf("bob-key"), hashOf("demo-key")): "client bob has the public key of the demo",
	} {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		config := site("127.0.0.1:1", "client alice alice-key\nclients_file "+file+"\nchannel a https://api.example.com {\napi_key sk-channel-a-0001\nmodels m\n}")
		wantLoadError(t, text, config, says)
	}
}

func hashOf(key string) string {
	hash, _ := clientsfile.HashOf(key).MarshalText()
	return string(hash)
}

// GET /v1/usage tells a client its limits and what it has used, by day and model;
// it is not charged, and counts among the auxiliary calls.
func TestUsageOfClients(t *testing.T) {
	g, clock, _ := withClientsFile(t, listedIn(`bob "models": ["m", "n*"], "limits": ["5/day", "1M tokens/month"], "expires": "2100-01-01T00:00:00Z"`))
	first := clock.Now().UTC().Format(time.DateOnly)
	g.chat(t, "m", keyOf("bob")...).wantStatus(t, 200)
	g.chat(t, "n1", keyOf("bob")...).wantStatus(t, 200)
	g.chat(t, "n2", keyOf("bob")...).wantStatus(t, 200)
	g.chat(t, "m", keyOf("alice")...).wantStatus(t, 200)
	clock.Advance(24 * time.Hour)
	g.chat(t, "m", keyOf("bob")...).wantStatus(t, 200)
	second := clock.Now().UTC().Format(time.DateOnly)
	var got clientUsage
	for range 2 {
		a := g.do(t, "GET", "/v1/usage", "", keyOf("bob")...)
		a.wantStatus(t, 200)
		if err := json.Unmarshal([]byte(a.text), &got); err != nil {
			t.Fatalf("%v: %s", err, a.text)
		}
	}
	if got.Object != "usage" || got.Client != "bob" || got.Expires.Year() != 2100 || len(got.Models) != 2 || len(got.Limits) != 2 {
		t.Errorf("got %+v", got)
	}
	if l := got.Limits[0]; l.Period != "day" || l.Limit != 5 || l.Used != 1 || l.Left != 4 || l.Renews.IsZero() {
		t.Errorf("limit %+v", l)
	}
	used := fmt.Sprint(got.Days)
	if want := fmt.Sprintf("[{%s [{m 1 17}]} {%s [{m 1 17} {n* 2 34}]}]", second, first); used != want {
		t.Errorf("used %s\nwant %s", used, want)
	}
	g.do(t, "GET", "/usage/", "", keyOf("bob")...).wantStatus(t, 200)
	g.do(t, "GET", "/v1/usage", "", keyOf("dave")...).wantError(t, 401, "invalid_api_key")
	g.do(t, "POST", "/v1/usage", "{}", keyOf("bob")...).wantError(t, 405, "method_not_allowed")
	for range auxiliaryCalls {
		g.do(t, http.MethodGet, "/v1/usage", "", keyOf("alice")...)
	}
	g.do(t, "GET", "/v1/usage", "", keyOf("alice")...).wantError(t, 429, "rate_limit_exceeded")
}

// What clients have used outlives a restart.
func TestUsageOutlivesRestart(t *testing.T) {
	up := caddytest.NewUpstream(t, caddytest.JSON(200, completion))
	storage := t.TempDir()
	run := func() *testGateway {
		t.Helper()
		addr := caddytest.Addr(t)
		c := caddytest.Start(t, site(addr, "client alice alice-key\nchannel a "+up.URL+" {\napi_key sk-channel-a-0001\nmodels m\n}"), caddytest.WithStorage(storage))
		return &testGateway{Caddy: c, URL: "http://" + addr, client: c.Client()}
	}
	g := run()
	g.chat(t, "m").wantStatus(t, 200)
	g.Stop()
	g = run()
	if a := g.do(t, "GET", "/v1/usage", ""); !strings.Contains(a.text, `"models":[{"model":"m","requests":1,"tokens":0}]`) {
		t.Errorf("got %s", a.text)
	}
}
