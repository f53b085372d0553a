package cooldownstore

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"path"
	"strings"
	"testing"
	"time"

	"github.com/caddyserver/certmagic"
	"github.com/jonboulle/clockwork"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"github.com/caddy-freetier/caddy-freetier/internal/cooldown"
)

var start = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// process is a Store with Breakers of its own, as another Caddy has them.
type process struct {
	*Store
	t     testing.TB
	site  Site
	items []Item
	logs  *observer.ObservedLogs
	clock *clockwork.FakeClock
}

func idOf(name string) ID { return sha256.Sum256([]byte(name)) }

func newTestProcess(t testing.TB, storage certmagic.Storage, clock *clockwork.FakeClock, names ...string) *process {
	core, logs := observer.New(zap.DebugLevel)
	p := &process{Store: New(), t: t, logs: logs, clock: clock}
	for _, name := range names {
		p.items = append(p.items, Item{idOf(name), p.NewBreaker()})
	}
	p.site = Site{Storage: storage, Clock: clock, Logger: zap.New(core), Items: func() []Item { return p.items }}
	return p
}

func (p *process) breaker(name string) *cooldown.Breaker {
	for _, item := range p.items {
		if item.ID == idOf(name) {
			return item.Breaker
		}
	}
	p.t.Fatalf("there is no %s", name)
	return nil
}

func (p *process) cool(name, model string, length time.Duration) {
	now := p.clock.Now()
	p.breaker(name).Start(model, cooldown.Cooldown{Until: now.Add(length), Reason: "rate limit"}, now)
}

// file is the name of the process's file.
func (p *process) file() string {
	for _, st := range p.states {
		return st.process + suffix
	}
	p.t.Fatal("there was no pass")
	return ""
}

func (p *process) sync() { p.run(context.Background(), p.site, passLimit, true, false) }

func (p *process) end() { p.Store.end(context.Background(), p.site, true) }

// want checks which models of an item are in cooldown.
func (p *process) want(what, name string, models ...string) {
	p.t.Helper()
	got := []string{}
	for _, state := range p.breaker(name).List(p.clock.Now()) {
		got = append(got, state.Name)
	}
	if fmt.Sprint(got) != fmt.Sprint(models) {
		p.t.Errorf("%s: in cooldown are %q, want %q", what, got, models)
	}
}

func wantFiles(t testing.TB, storage *memory, what string, want int) {
	t.Helper()
	if got := len(storage.files()); got != want {
		t.Errorf("%s: %d files, want %d", what, got, want)
	}
}

func TestRestart(t *testing.T) {
	for _, ended := range []bool{true, false} {
		t.Run(fmt.Sprintf("ended %v", ended), func(t *testing.T) {
			storage, clock := newMemory(), clockwork.NewFakeClockAt(start)
			first := newTestProcess(t, storage, clock, "k1", "k2")
			first.cool("k1", "m", time.Hour)
			first.cool("k1", "short", time.Minute)
			first.cool("k2", cooldown.All, 3*time.Hour)
			first.sync()
			if ended {
				first.end()
			}
			clock.Advance(time.Minute)
			second := newTestProcess(t, storage, clock, "k1", "k2", "k3")
			second.Read(second.site)
			second.want("after the restart", "k1", "m")
			second.want("after the restart", "k2", "")
			second.want("after the restart", "k3")
			state := second.breaker("k1").List(clock.Now())[0]
			if state.Reason != "rate limit" || state.Guessed || !state.Until.Equal(start.Add(time.Hour)) {
				t.Errorf("the cooldown is %+v", state)
			}
			if ended {
				second.sync()
				if _, ok := storage.files()[first.file()]; ok {
					t.Error("the file of a process that has ended is not taken over at once")
				}
			}
			// The file of the one that has gone is taken over.
			for range silentLookups {
				clock.Advance(silentFor / silentLookups)
				second.sync()
			}
			wantFiles(t, storage, "after the takeover", 1)
			third := newTestProcess(t, storage, clock, "k1", "k2")
			third.Read(third.site)
			third.want("after another restart", "k1", "m")
			// Nothing is kept for longer than it lasts.
			clock.Advance(time.Hour)
			second.sync()
			third.sync()
			third.want("when one is over", "k1")
			third.want("when one is over", "k2", "")
			clock.Advance(4 * time.Hour)
			second.sync()
			wantFiles(t, storage, "when all are over", 0)
		})
	}
}

// What another process has, this one has after its next pass; a lift on one
// lifts it on all, also what it does not know of.
func TestProcesses(t *testing.T) {
	storage, clock := newMemory(), clockwork.NewFakeClockAt(start)
	a, b := newTestProcess(t, storage, clock, "k1", "k2"), newTestProcess(t, storage, clock, "k2", "k1", "k3")
	a.cool("k1", "m", time.Hour)
	b.cool("k2", "n", time.Hour)
	for _, p := range []*process{a, b, a} {
		p.sync()
	}
	for _, p := range []*process{a, b} {
		p.want("exchanged", "k1", "m")
		p.want("exchanged", "k2", "n")
	}
	clock.Advance(time.Second)
	b.cool("k1", "short", 50*time.Second) // which a has not heard of
	clock.Advance(time.Second)
	if n := a.breaker("k1").LiftEverything(clock.Now()); n != 1 {
		t.Errorf("%d lifted, want 1", n)
	}
	a.sync()
	b.sync()
	b.want("lifted", "k1")
	b.want("lifted", "k2", "n")
	a.sync()
	a.want("lifted", "k1")
	// A success counts too, and a later cooldown after it.
	clock.Advance(time.Second)
	a.breaker("k2").Succeed("n", clock.Now())
	a.sync()
	b.sync()
	b.want("after a success elsewhere", "k2")
	clock.Advance(time.Second)
	b.cool("k2", "n", time.Hour)
	b.sync()
	a.sync()
	a.want("in cooldown again", "k2", "n")
}

// The file of a process that lives is not taken from it for good, and not at all
// while it shows signs of life.
func TestAlive(t *testing.T) {
	storage, clock := newMemory(), clockwork.NewFakeClockAt(start)
	a, b := newTestProcess(t, storage, clock, "k"), newTestProcess(t, storage, clock, "k")
	a.cool("k", "m", 24*time.Hour)
	for range 12 * 6 {
		a.sync()
		b.sync()
		wantFiles(t, storage, "while it lives", 1)
		clock.Advance(rewriteAfter)
	}
	for range 4 { // a's storage hangs
		clock.Advance(rewriteAfter)
		b.sync()
	}
	if _, ok := storage.files()[a.file()]; ok {
		t.Error("the file of a silent process is not taken over")
	}
	a.sync()
	for range 2 {
		if _, ok := storage.files()[a.file()]; !ok {
			t.Error("a process does not write its file again")
		}
		// Another process may take it over even now: for its clock long has passed.
		delete(storage.values, path.Join(folder, a.file()))
		a.sync()
	}
}

// What nobody here knows, such as a channel that is missing from this
// configuration, is left for those who know it.
func TestUnknownItems(t *testing.T) {
	t.Run("of a process that lives", func(t *testing.T) {
		storage, clock := newMemory(), clockwork.NewFakeClockAt(start)
		first := newTestProcess(t, storage, clock, "k1", "k2")
		first.cool("k2", "m", 2*time.Hour)
		first.sync()
		second := newTestProcess(t, storage, clock, "k1")
		second.sync()
		second.items = append(second.items, Item{idOf("k2"), second.NewBreaker()})
		second.sync()
		second.want("added", "k2", "m")
	})
	storage, clock := newMemory(), clockwork.NewFakeClockAt(start)
	first := newTestProcess(t, storage, clock, "k1", "k2")
	first.cool("k1", "m", time.Hour)
	first.cool("k2", "m", 2*time.Hour)
	first.end()
	second := newTestProcess(t, storage, clock, "k1")
	second.Read(second.site)
	second.sync()
	wantFiles(t, storage, "with an unknown item", 2)
	// Keys can be added while it runs.
	second.items = append(second.items, Item{idOf("k2"), second.NewBreaker()})
	second.sync()
	second.want("added", "k2", "m")
	wantFiles(t, storage, "when all are known", 1)
}

// A reload can change the storage, and back: the files of both stay right.
func TestAnotherStorage(t *testing.T) {
	clock := clockwork.NewFakeClockAt(start)
	one, two := newMemory(), newMemory()
	p := newTestProcess(t, named{one, "one"}, clock, "k")
	p.cool("k", "m", time.Hour)
	p.sync()
	for range 3 {
		p.site.Storage = named{two, "two"}
		p.sync()
		p.site.Storage = named{one, "one"}
		p.end() // of the old configuration
		p.sync()
	}
	wantFiles(t, one, "the first storage", 1)
	wantFiles(t, two, "the second storage", 1)
}

// named is a storage that says what it is.
type named struct {
	*memory
	name string
}

func (n named) String() string { return n.name }

// Neither names nor hashes that are the same everywhere stand in a file.
func TestSecrecy(t *testing.T) {
	storage, clock := newMemory(), clockwork.NewFakeClockAt(start)
	a, b := newTestProcess(t, storage, clock, "s3cret-key"), newTestProcess(t, storage, clock, "s3cret-key")
	a.cool("s3cret-key", "m", time.Hour)
	b.cool("s3cret-key", "n", time.Hour)
	a.sync()
	b.sync()
	id := idOf("s3cret-key")
	items := make(map[string]bool)
	for name, text := range storage.files() {
		if strings.Contains(text, "s3cret") || strings.Contains(text, hex.EncodeToString(id[:8])) {
			t.Errorf("%s shows the key:\n%s", name, text)
		}
		f, err := decodeAs(strings.TrimSuffix(name, suffix), []byte(text))
		if err != nil {
			t.Fatal(err)
		}
		items[f.Cooldowns[0].Item] = true
	}
	if len(items) != 2 {
		t.Errorf("the hashes of two processes: %v, want two different ones", items)
	}
}

// A file is bounded, and what matters most stays in it.
func TestBounded(t *testing.T) {
	storage, clock := newMemory(), clockwork.NewFakeClockAt(start)
	names := make([]string, 400)
	for i := range names {
		names[i] = fmt.Sprint("key ", i)
	}
	p := newTestProcess(t, storage, clock, names...)
	now := clock.Now()
	for _, item := range p.items {
		item.Breaker.Start(cooldown.All, cooldown.Cooldown{Until: now.Add(time.Hour)}, now)
		item.Breaker.Start("configured", cooldown.Cooldown{Until: now.Add(time.Hour)}, now)
		for j := range cooldown.MaxRequested {
			name := fmt.Sprintf("%d %s", j, strings.Repeat("\x01", 250))
			item.Breaker.Start(name, cooldown.Cooldown{Until: now.Add(2 * time.Hour), Requested: true}, now)
		}
	}
	p.sync()
	text := storage.files()[p.file()]
	if len(text) > maxWritten+1000 || len(text) < maxWritten/2 {
		t.Errorf("a file of %d bytes, want almost %d", len(text), maxWritten)
	}
	q := newTestProcess(t, storage, clock, names...)
	q.Read(q.site)
	for i, item := range q.items {
		if item.Breaker.Until("", now).IsZero() || item.Breaker.Until("configured", now).IsZero() {
			t.Fatalf("key %d has lost its cooldowns", i)
		}
	}
}

// Run writes at once, reads each interval, and writes a last time.
func TestRun(t *testing.T) {
	storage, clock := newMemory(), clockwork.NewFakeClockAt(start)
	p, other := newTestProcess(t, storage, clock, "k"), newTestProcess(t, storage, clock, "k")
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		p.Run(ctx, p.site, func() bool { return true })
	}()
	eventually := func(what string, f func() bool) {
		t.Helper()
		for deadline := time.Now().Add(20 * time.Second); !f(); time.Sleep(time.Millisecond) {
			if time.Now().After(deadline) {
				t.Fatalf("never: %s", what)
			}
		}
	}
	if err := clock.BlockUntilContext(t.Context(), 1); err != nil {
		t.Fatal(err)
	}
	p.cool("k", "m", time.Hour)
	eventually("the file is written without waiting for anything", func() bool { return len(storage.files()) == 1 })
	other.cool("k", "n", time.Hour)
	other.sync()
	if err := clock.BlockUntilContext(t.Context(), 2); err != nil { // the pause
		t.Fatal(err)
	}
	clock.Advance(interval)
	eventually("the other file is read", func() bool { return !p.breaker("k").Until("n", clock.Now()).IsZero() })
	p.cool("k", "last", time.Hour)
	cancel()
	<-done
	text := ""
	for _, file := range storage.files() {
		text += file
	}
	if !strings.Contains(text, `"last"`) {
		t.Errorf("the last decision is not written:\n%s", text)
	}
	if !strings.Contains(text, `"ended":true`) {
		t.Errorf("nothing says that the process has ended:\n%s", text)
	}
}

// Processes that act, pass, end, are killed and start anew at random agree in the
// end, and no file is left over.
func TestRandomHistories(t *testing.T) {
	names := []string{"k1", "k2", "channel"}
	for seed := range uint64(60) {
		r := rand.New(rand.NewPCG(seed, 3))
		storage, clock := newMemory(), clockwork.NewFakeClockAt(start)
		ps := make([]*process, 3)
		for i := range ps {
			ps[i] = newTestProcess(t, storage, clock, names...)
		}
		syncAll := func() {
			for _, i := range r.Perm(len(ps)) {
				ps[i].sync()
			}
		}
		for range 60 {
			i := r.IntN(len(ps))
			p, name, model := ps[i], names[r.IntN(3)], []string{"", "m", "n"}[r.IntN(3)]
			switch r.IntN(8) {
			case 0, 1, 2:
				p.cool(name, model, time.Duration(2+r.IntN(120))*time.Minute)
			case 3:
				p.breaker(name).Succeed(model, clock.Now())
			case 4:
				p.breaker(name).LiftEverything(clock.Now())
			case 5:
				p.sync() // its last decisions are written when it is killed
				if r.IntN(2) == 0 {
					p.end()
				}
				ps[i] = newTestProcess(t, storage, clock, names...)
				ps[i].Read(ps[i].site)
			case 6:
				clock.Advance(time.Duration(r.IntN(10)) * time.Minute)
			}
			clock.Advance(time.Duration(r.IntN(10)) * time.Second)
			syncAll()
		}
		syncAll()
		fresh := newTestProcess(t, storage, clock, names...)
		fresh.sync()
		for _, name := range names {
			want, _ := json.Marshal(ps[0].breaker(name).List(clock.Now()))
			for _, p := range append(ps[1:], fresh) {
				if got, _ := json.Marshal(p.breaker(name).List(clock.Now())); !bytes.Equal(got, want) {
					t.Fatalf("seed %d: %s is in cooldown\n%s, the first process has\n%s", seed, name, got, want)
				}
			}
		}
		for range 5 {
			clock.Advance(6 * time.Minute)
			syncAll()
		}
		if n := len(storage.files()); n > len(ps) {
			t.Errorf("seed %d: %d files of %d processes", seed, n, len(ps))
		}
	}
}

// The cooldowns of 10,000 keys outlive a restart.
func TestTenThousandKeys(t *testing.T) {
	storage, clock := newMemory(), clockwork.NewFakeClockAt(start)
	names := make([]string, 10_000)
	for i := range names {
		names[i] = fmt.Sprint("key ", i)
	}
	p := newTestProcess(t, storage, clock, names...)
	for i, item := range p.items {
		item.Breaker.Start(cooldown.All, cooldown.Cooldown{Until: start.Add(time.Duration(i+61) * time.Second), Reason: "dead key"}, start)
	}
	p.sync()
	p.end()
	q := newTestProcess(t, storage, clock, names...)
	q.Read(q.site)
	for i, item := range q.items {
		if got, want := item.Breaker.Until(cooldown.All, start), start.Add(time.Duration(i+61)*time.Second); !got.Equal(want) {
			t.Fatalf("key %d is in cooldown until %v, want %v", i, got, want)
		}
	}
	for _, item := range q.items {
		item.Breaker.LiftEverything(start)
	}
	q.sync()
	r := newTestProcess(t, storage, clock, names...)
	r.Read(r.site)
	for i, item := range r.items {
		if item.Breaker.Any(start) {
			t.Fatalf("key %d is in cooldown after the lift", i)
		}
	}
}

// A pass over 10,000 keys, of which none or all are in cooldown.
func BenchmarkPass(b *testing.B) {
	for _, cooled := range []bool{false, true} {
		b.Run(fmt.Sprintf("cooldowns %v", cooled), func(b *testing.B) {
			storage, clock := newMemory(), clockwork.NewFakeClockAt(start)
			names := make([]string, 10_000)
			for i := range names {
				names[i] = fmt.Sprint("key ", i)
			}
			p := newTestProcess(b, storage, clock, names...)
			for _, item := range p.items {
				if cooled {
					item.Breaker.Start(cooldown.All, cooldown.Cooldown{Until: start.Add(time.Hour), Reason: "dead key"}, start)
				}
			}
			for b.Loop() {
				p.sync()
			}
			size := 0
			for _, text := range storage.files() {
				size += len(text)
			}
			b.ReportMetric(float64(size), "file-bytes")
		})
	}
}

// A process reads no more often the more others there are.
func TestIntervalGrows(t *testing.T) {
	storage, clock := newMemory(), clockwork.NewFakeClockAt(start)
	p := newTestProcess(t, storage, clock, "k")
	for n, want := range map[int]time.Duration{0: interval, 1: interval, 16: interval, 32: 2 * interval, 100: 62500 * time.Millisecond, 2000: maxInterval} {
		clear(storage.values)
		for i := range n {
			name := fmt.Sprintf("%032d", i)
			storage.values[keyOf(name)] = encodeFile(name)
		}
		p.sync()
		if got := p.pace.Every(interval); got != want {
			t.Errorf("with %d files the interval is %v, want %v", n, got, want)
		}
	}
}
