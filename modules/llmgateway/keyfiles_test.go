package llmgateway

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/jonboulle/clockwork"

	"github.com/caddy-freetier/caddy-freetier/internal/caddytest"
)

// Keys from files are read again when the file changes, in place or by another
// file, without a reload. What cannot be used leaves the old ones.
func TestKeyFiles(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) string {
		t.Helper()
		file := filepath.Join(dir, name)
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return file
	}
	client, channel := write("client", "client-one\n"), write("channel", "sk-channel-one\n")
	up := caddytest.NewUpstream(t, caddytest.JSON(200, completion))
	clock := clockwork.NewFakeClockAt(time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC))
	addr := caddytest.Addr(t)
	c := caddytest.Start(t, site(addr, `
		client alice {file.`+client+`}
		client fixed alice-key
		key_policy round_robin
		channel a `+up.URL+` {
			api_key {file.`+channel+`} sk-fixed
			models  m
			quota   100/day
		}`), caddytest.WithFakeClock(clock))
	g := &testGateway{Caddy: c, URL: "http://" + addr, client: c.Client()}
	used := func(key string) string {
		g.chat(t, "m", "Authorization", "Bearer "+key).wantStatus(t, 200)
		g.chat(t, "m", "Authorization", "Bearer "+key).wantStatus(t, 200)
		since := len(up.Requests()) - 2
		return asked(up, &since)
	}
	look := func(line string) {
		t.Helper()
		n := g.Logs.Count(line)
		turnUntil(t, clock, keyFileInterval, "a line says "+line, func() bool { return g.Logs.Count(line) > n })
	}
	if got := used("client-one"); got != "sk-channel-one sk-fixed" {
		t.Errorf("asked with %s", got)
	}

	write("client", "client-two\n")
	if err := os.Rename(write("new", "sk-channel-two"), channel); err != nil {
		t.Fatal(err)
	}
	look("keys reloaded")
	if got := used("client-two"); got != "sk-channel-two sk-fixed" {
		t.Errorf("asked with %s", got)
	}
	g.chat(t, "m", "Authorization", "Bearer client-one").wantError(t, 401, "invalid_api_key")

	write("client", "\n")
	look("could not reload client keys")
	write("channel", "sk-fixed")
	look("could not reload channel keys")
	write("client", "alice-key") // another client's
	look("could not reload client keys")
	if err := os.Remove(client); err != nil {
		t.Fatal(err)
	}
	write("channel", "sk-channel-three\n")
	look("could not reload client keys")
	if got := used("client-two"); got != "sk-channel-three sk-fixed" {
		t.Errorf("asked with %s", got)
	}
	if got := used("alice-key"); got != "sk-channel-three sk-fixed" {
		t.Errorf("asked with %s", got)
	}
	for _, key := range []string{"client-one", "client-two", "sk-channel"} {
		if n := g.Logs.Count(key); n > 0 {
			t.Errorf("%s is in the log", key)
		}
	}
}
