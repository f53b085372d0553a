package keepalive

import (
	"context"
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"github.com/caddyserver/certmagic"

	"github.com/caddy-freetier/caddy-freetier/internal/caddytest"
)

// wantArrivals checks how many requests arrive within a while. A machine that stands
// still makes them late: the least number is waited for, and what comes after the
// while counts for that only.
func wantArrivals(t *testing.T, when string, up *caddytest.Upstream, while time.Duration, least, most int) {
	t.Helper()
	var at []time.Duration
	within := 0
	began, before := time.Now(), len(up.Requests())
	for time.Since(began) < while || len(at) < least && time.Since(began) < time.Minute {
		time.Sleep(5 * time.Millisecond)
		n, now := len(up.Requests())-before, time.Since(began)
		for range n - len(at) {
			at = append(at, now)
		}
		if now <= while {
			within = n
		}
	}
	if len(at) < least || within > most {
		t.Errorf("%s, %d pings in %v, want %d to %d: %v", when, within, while, least, most, at)
	}
}

func startInstance(t *testing.T, storage, options string) *caddytest.Process {
	t.Helper()
	config, err := caddytest.Adapt("{\n\tadmin off\n\tpersist_config off\n\tskip_install_trust\n\tstorage " + storage + "\n\tkeepalive {\n" + options + "\n\t}\n}\n")
	if err != nil {
		t.Fatal(err)
	}
	return caddytest.StartProcess(t, t.TempDir(), string(config))
}

// Two instances on one storage ping once; when one of them dies the other goes
// on within an interval.
func TestTwoInstances(t *testing.T) {
	for name, schedule := range map[string]string{
		"interval":             "interval 1s\n\t\tjitter 0%",
		"interval with jitter": "interval 1s\n\t\tjitter 20%",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			up := counting(t)
			storage := t.TempDir()
			options := "\t\t" + schedule + "\n\t\ttarget a " + up.URL
			first := startInstance(t, "file_system "+storage, options)
			time.Sleep(430 * time.Millisecond) // out of step
			second := startInstance(t, "file_system "+storage, options)
			time.Sleep(time.Second)

			wantArrivals(t, "at an interval of 1s", up, 4*time.Second, 3, 5)
			first.Kill()
			wantArrivals(t, "after one was killed", up, 3*time.Second, 1, 5)
			third := startInstance(t, "file_system "+storage, options)
			second.End() // in order: nobody waits for it
			wantArrivals(t, "after one was stopped", up, 3*time.Second, 1, 5)
			third.End()
		})
	}
}

func TestTwoInstancesByCron(t *testing.T) {
	t.Parallel()
	up := counting(t)
	storage := t.TempDir()
	options := "\t\ttarget a " + up.URL + " {\n\t\t\tcron \"* * * * * *\"\n\t\t}"
	startInstance(t, "file_system "+storage, options)
	startInstance(t, "file_system "+storage, options)
	wantArrivals(t, "by cron", up, 4*time.Second, 3, 5)
}

// hangingStorage never gives a lock, whatever its context says.
type hangingStorage struct{ certmagic.FileStorage }

func init() { caddy.RegisterModule(new(hangingStorage)) }

func (*hangingStorage) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "caddy.storage.hanging", New: func() caddy.Module { return new(hangingStorage) }}
}

func (s *hangingStorage) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	d.Next()
	d.Args(&s.Path)
	return nil
}

func (s *hangingStorage) CertMagicStorage() (certmagic.Storage, error) { return s, nil }

func (*hangingStorage) Lock(context.Context, string) error { select {} }

// A storage that hangs delays pings, and holds up neither those after them nor
// the end.
func TestStorageHangs(t *testing.T) {
	t.Parallel()
	up := counting(t)
	p := startInstance(t, "hanging "+t.TempDir(), "\t\tinterval 1s\n\t\tjitter 0%\n\t\ttarget a "+up.URL)
	for range 2 {
		up.Next(t)
	}
	p.End()
}

// A storage that fails hinders nobody.
func TestWithoutStorage(t *testing.T) {
	t.Parallel()
	a, b, storage := counting(t), counting(t), t.TempDir()
	for _, name := range []string{"locks", "freetier"} { // which should be folders
		if err := os.WriteFile(filepath.Join(storage, name), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	options := "\t\tinterval 500ms\n\t\tjitter 0%\n\t\ttarget a " + a.URL + "\n\t\ttarget b " + b.URL + " {\n\t\t\tplatform render\n\t\t}"
	startInstance(t, "file_system "+storage, options)
	for range 4 {
		a.Next(t)
		b.Next(t)
	}
}

// A restart begins with a ping.
func TestRestartPings(t *testing.T) {
	up := counting(t)
	options := "\t\tjitter 0%\n\t\ttarget a " + up.URL
	b := startAt(t, options)
	for i := range 3 {
		b.settled("a", 1)
		b.Stop()
		if n := len(up.Requests()); n != i+1 {
			t.Fatalf("%d pings after %d starts", n, i+1)
		}
		b.Caddy = caddytest.Start(t, keepaliveFile(options), caddytest.WithFakeClock(b.clock), caddytest.WithStorage(b.Storage))
	}
}

// A stored record that cannot be read is written anew, with a warning.
func TestRecordUnreadable(t *testing.T) {
	up := counting(t)
	b := startAt(t, "\t\tjitter 0%\n\t\ttarget a "+up.URL)
	b.settled("a", 1)
	l := activeApp().target("a").pinger.lease
	if err := l.storage.Store(t.Context(), l.key+".json", []byte("{")); err != nil {
		t.Fatal(err)
	}
	b.tick("a")
	b.settled("a", 2)
	if n := b.Logs.Count(`"level":"warn"`, "stored state of target is unreadable"); n != 1 {
		t.Errorf("%d warnings", n)
	}
	b.tick("a")
	b.settled("a", 3)
	if n := b.Logs.Count("stored state of target is unreadable"); n != 1 {
		t.Errorf("%d warnings", n)
	}
}

// What one instance knows of a target the others know after its next ping, and
// do not report again.
func TestInstancesTellEachOther(t *testing.T) {
	up := caddytest.NewUpstream(t, caddytest.Answer(http.StatusTeapot, "", ""))
	b := startAt(t, "\t\tjitter 0%\n\t\tinterval 10m\n\t\ttarget a "+up.URL)
	b.settled("a", 1)
	a := activeApp().target("a").pinger.lease
	tick := b.clock.Now()
	other := func(tick time.Time, news *sharedResult) {
		err := a.edit(t.Context(), func(r *record) { r.Tick, r.By, r.Before = tick, "other", news })
		if err != nil {
			t.Fatal(err)
		}
	}
	// The other one is three minutes ahead.
	other(tick.Add(7*time.Minute), &sharedResult{At: tick.Add(time.Minute), Answered: true, Status: 200, Latency: time.Second})
	b.tick("a")
	now := b.target("a")
	if now.SkippedBecause != skippedOther || !*now.Healthy || now.LastStatus != 200 || b.since(*now.LastPing) != time.Minute {
		t.Errorf("got %+v", now)
	}
	if next := b.since(*now.NextPing); next != 17*time.Minute {
		t.Errorf("the next ping comes after %v, want 17m, in step with the other instance", next)
	}
	if n := b.Logs.Count("target is up again"); n != 0 {
		t.Error("what the other instance has reported was reported again")
	}
	b.tick("a") // the other one is gone
	if r := b.settled("a", 2); b.since(r.at) != 17*time.Minute {
		t.Errorf("pinged after %v", b.since(r.at))
	}
	// A time that lies far ahead, by a clock that was wrong, does not stop pings.
	other(tick.Add(1000*time.Hour), nil)
	b.tick("a")
	b.settled("a", 3)
}
