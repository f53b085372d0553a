package cooldownstore

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"path"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/caddyserver/certmagic"
	"github.com/jonboulle/clockwork"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"github.com/caddy-freetier/caddy-freetier/internal/cooldown"
	"github.com/caddy-freetier/caddy-freetier/internal/processfiles"
)

var start = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// How package processfiles works.
const (
	interval      = 10 * time.Second
	rewriteAfter  = 5 * time.Minute
	silentFor     = processfiles.SilentFor
	silentLookups = 3
	passLimit     = time.Minute
)

// process is a Store with Breakers of its own, as another Caddy has them.
type process struct {
	*Store
	t       testing.TB
	site    processfiles.Site
	items   []Item
	logs    *observer.ObservedLogs
	clock   *clockwork.FakeClock
	written atomic.Value // the name of the last file that it has written
}

// writer is the storage of a process.
type writer struct {
	certmagic.Storage
	process *process
}

func (w writer) Store(ctx context.Context, key string, value []byte) error {
	err := w.Storage.Store(ctx, key, value)
	if name := path.Base(key); err == nil && strings.HasSuffix(name, kind.Suffix) {
		w.process.written.Store(name)
	}
	return err
}

func idOf(name string) ID { return sha256.Sum256([]byte(name)) }

func newTestProcess(t testing.TB, storage certmagic.Storage, clock *clockwork.FakeClock, names ...string) *process {
	core, logs := observer.New(zap.DebugLevel)
	p := &process{t: t, logs: logs, clock: clock}
	p.Store = New(func() []Item { return p.items })
	for _, name := range names {
		p.items = append(p.items, Item{idOf(name), p.NewBreaker()})
	}
	p.site = processfiles.Site{Storage: writer{storage, p}, Clock: clock, Logger: zap.New(core)}
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
	name, ok := p.written.Load().(string)
	if !ok {
		p.t.Fatal("it has written no file")
	}
	return name
}

func (p *process) sync() { p.Sync(context.Background(), p.site, passLimit) }

func (p *process) end() { p.End(context.Background(), p.site, true) }

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
			second.sync()
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
			third.sync()
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
		delete(storage.values, path.Join(kind.Folder, a.file()))
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
	second.sync()
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
	p := newTestProcess(t, one, clock, "k")
	p.site.Storage = named{one, "one"}
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
		f, err := kind.Parse(strings.TrimSuffix(name, kind.Suffix), []byte(text))
		if err != nil {
			t.Fatal(err)
		}
		items[f.Content.Cooldowns[0].Item] = true
	}
	if len(items) != 2 {
		t.Errorf("the hashes of two processes: %v, want two different ones", items)
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

// A file of the first version is read.
func TestFirstVersion(t *testing.T) {
	const name = "ac3bc37f5aaafe59a11fca011b3832ff"
	raw, err := os.ReadFile(filepath.Join("testdata", name+kind.Suffix))
	if err != nil {
		t.Fatal(err)
	}
	storage, clock := newMemory(), clockwork.NewFakeClockAt(start)
	storage.values[kind.Key(name)] = raw
	p := newTestProcess(t, storage, clock, "k1", "k2")
	p.sync()
	p.want("read", "k1", "m")
	p.want("read", "k2", "", "named")
	wantFiles(t, storage, "when it is taken over", 1)
	if _, ok := storage.files()[p.file()]; !ok {
		t.Error("it has no file of its own")
	}
}
