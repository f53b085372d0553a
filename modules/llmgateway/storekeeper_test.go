package llmgateway

import (
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/jonboulle/clockwork"

	"github.com/caddy-freetier/caddy-freetier/internal/caddytest"
)

// startOn runs a gateway on a clock that the test turns and a storage that
// outlives it.
func startOn(t *testing.T, storage string, clock *clockwork.FakeClock, options string) *testGateway {
	t.Helper()
	addr := caddytest.Addr(t)
	c := caddytest.Start(t, site(addr, "client alice alice-key\n"+options), caddytest.WithFakeClock(clock), caddytest.WithStorage(storage))
	return &testGateway{Caddy: c, URL: "http://" + addr, client: c.Client()}
}

// storedCooldowns returns what the files of cooldowns contain, by name.
func storedCooldowns(t *testing.T, storage string) map[string]string {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(storage, "freetier", "llm_gateway", "cooldowns", "*"))
	if err != nil {
		t.Fatal(err)
	}
	files := make(map[string]string)
	for _, name := range names {
		text, err := os.ReadFile(name)
		if err != nil {
			continue // removed meanwhile
		}
		files[filepath.Base(name)] = string(text)
	}
	return files
}

// A long cooldown outlives restarts, a short one does not, and none outlives its
// time.
func TestCooldownsOutliveRestart(t *testing.T) {
	clock := clockwork.NewFakeClockAt(time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC))
	storage := t.TempDir()
	up := caddytest.NewUpstream(t, byKey(map[string]http.HandlerFunc{
		"sk-long-key-0001": limited("1800"), "sk-long-key-0002": limited("50"),
	}))
	options := "channel a " + up.URL + " {\napi_key sk-long-key-0001 sk-long-key-0002\nmodels m other\n}"
	g := startOn(t, storage, clock, options)
	g.chat(t, "m").wantStatus(t, 429)
	since := len(up.Requests())
	files := make(map[string]string)
	for range 3 {
		g.Stop()
		stored := storedCooldowns(t, storage)
		for name := range files {
			if _, ok := stored[name]; ok {
				t.Errorf("%s, the file of a process that has ended, is not taken over", name)
			}
		}
		files = stored
		up.Handle(caddytest.JSON(200, completion))
		g = startOn(t, storage, clock, options)
		if n := g.Logs.Count("cooldowns read from storage", `"count":1`); n != 1 {
			t.Errorf("%d lines about what was read, want 1", n)
		}
		for range 4 {
			g.chat(t, "m").wantStatus(t, 200)
		}
		if got := asked(up, &since); strings.Contains(got, "0001") {
			t.Errorf("after a restart asked with %s", got)
		}
		g.chat(t, "other").wantStatus(t, 200)
		g.chat(t, "other").wantStatus(t, 200)
		if got := asked(up, &since); !strings.Contains(got, "0001") {
			t.Errorf("for another model asked with %s", got)
		}
	}
	g.Stop()
	clock.Advance(30 * time.Minute)
	g = startOn(t, storage, clock, options)
	g.chat(t, "m").wantStatus(t, 200)
	g.chat(t, "m").wantStatus(t, 200)
	if got := asked(up, &since); !strings.Contains(got, "0001") {
		t.Errorf("after its time asked with %s", got)
	}
}

// The files show neither keys nor URLs, and nobody else may read them.
func TestStoredCooldownsShowNoKey(t *testing.T) {
	clock := clockwork.NewFakeClockAt(time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC))
	storage := t.TempDir()
	up := caddytest.NewUpstream(t, limited("1800"))
	g := startOn(t, storage, clock, "channel a "+up.URL+" {\napi_key sk-long-key-0001\nmodels *\n}")
	g.chat(t, "m").wantStatus(t, 429)
	g.Stop()
	files := storedCooldowns(t, storage)
	if len(files) != 1 {
		t.Fatalf("%d files, want 1", len(files))
	}
	for name, text := range files {
		if !strings.Contains(text, `"m"`) {
			t.Errorf("the cooldown is not stored:\n%s", text)
		}
		for _, secret := range []string{"sk-long", "0001", "alice", strings.TrimPrefix(up.URL, "http://")} {
			if strings.Contains(text, secret) {
				t.Errorf("%s contains %s:\n%s", name, secret, text)
			}
		}
		path := filepath.Join(storage, "freetier", "llm_gateway", "cooldowns", name)
		if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v, %v, want mode 600", name, info.Mode(), err)
		}
	}
}

// Neither validation nor a gateway without cooldowns writes to the storage.
func TestNoCooldownsNoFiles(t *testing.T) {
	clock := clockwork.NewFakeClockAt(time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC))
	storage := t.TempDir()
	up := caddytest.NewUpstream(t, caddytest.JSON(200, completion))
	options := "channel a " + up.URL + " {\napi_key sk-long-key-0001\nmodels m\n}"
	config := site("127.0.0.1:1", "client alice alice-key\n"+options)
	if err := caddytest.Validate("{\nstorage file_system " + storage + config[1:]); err != nil {
		t.Fatal(err)
	}
	g := startOn(t, storage, clock, options)
	g.chat(t, "m").wantStatus(t, 200)
	g.Stop()
	if files := storedCooldowns(t, storage); len(files) != 0 {
		t.Errorf("files: %v", files)
	}
	entries := 0
	for _, pool := range []*caddy.UsagePool{storeKeepers, stores, histories} {
		pool.Range(func(any, any) bool { entries++; return true })
	}
	if entries != 0 {
		t.Errorf("%d entries are left in pools", entries)
	}
}
