package fastestswagger_test

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/jonboulle/clockwork"

	"github.com/caddy-freetier/caddy-freetier/internal/caddytest"
)

// Scores and the winner outlive a restart, for a day; a file that cannot be
// read is as none.
func TestRestart(t *testing.T) {
	a, b := newPlatform(t, caddytest.Echo), newPlatform(t, caddytest.Echo)
	clock, storage, addr := clockwork.NewFakeClock(), t.TempDir(), caddytest.Addr(t)
	restart := func() *site {
		t.Helper()
		c := caddytest.Start(t, proxy(addr, "", "", a, b), caddytest.WithFakeClock(clock), caddytest.WithStorage(storage))
		s := &site{Caddy: c, t: t, addr: addr}
		s.begun(a, b)
		return s
	}
	s := restart()
	s.loaded(a, 100*time.Millisecond, swagger)
	s.loaded(b, 0, swagger) // it took as long
	s.again(2, a, b)
	s.loaded(b, 20*time.Millisecond, swagger)
	s.loaded(a, 180*time.Millisecond, swagger)
	before := s.upstreams()
	s.Stop()

	files, err := filepath.Glob(filepath.Join(storage, "freetier/fastest-swagger/*.json"))
	if err != nil || len(files) != 2 {
		t.Fatalf("the files are %v, %v", files, err)
	}
	s = restart()
	for i, u := range s.upstreams() {
		if u.score() != before[i].score() || u.Samples != 2 || u.Winner != before[i].Winner {
			t.Errorf("after a restart %+v, before %+v", u, before[i])
		}
	}
	s.Stop()

	if err := os.WriteFile(files[0], []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	s = restart()
	known := 0
	for _, u := range s.upstreams() {
		known += u.Samples
	}
	if n := s.Logs.Count("stored score of upstream is unreadable; starting fresh", `"level":"warn"`); known != 2 || n != 1 {
		t.Errorf("%d samples are known, %d warnings", known, n)
	}
	s.Stop()

	clock.Advance(25 * time.Hour)
	s = restart()
	for _, u := range s.upstreams() {
		if u.Samples != 0 {
			t.Errorf("a day later %+v is still known", u)
		}
	}
}

// Each change of the winner is an event.
func TestWinnerEvent(t *testing.T) {
	a, b := newPlatform(t, caddytest.Echo), newPlatform(t, caddytest.Echo)
	s := run(t, "{\n\tevents {\n\t\ton * caddytest\n\t}\n}\n", "", "", a, b)
	s.loaded(a, 100*time.Millisecond, swagger)
	event := []string{`"logger":"events","msg":"event"`, `"name":"fastest-swagger.winner"`}
	s.Logs.Wait(t, append(event, `"before":""`, `"upstream":"`+a.Addr()+`"`, `"score_ms":100`)...)
	s.loaded(b, 0, swagger) // as slow
	s.again(2, a, b)
	s.loaded(b, 0, swagger)
	s.Logs.Wait(t, append(event, `"before":"`+a.Addr()+`"`, `"upstream":"`+b.Addr()+`"`)...)
	s.loaded(a, 0, swagger)
	if n := s.Logs.Count(event...); n != 2 {
		t.Errorf("%d events, want 2", n)
	}
}
