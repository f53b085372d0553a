package processfiles

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/caddyserver/certmagic"
	"github.com/jonboulle/clockwork"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"github.com/caddy-freetier/caddy-freetier/internal/safestore"
)

var start = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// numbers are the content of the tests' files: the highest number of each name counts.
type numbers struct {
	Numbers map[string]int `json:"numbers"`
}

var kind = &Kind[numbers]{
	Name: "numbers", Folder: "freetier/numbers", Suffix: ".numbers",
	Format: safestore.Format{Magic: "freetier-numbers", Version: 1}, Most: 1 << 16, SilentFor: SilentFor,
	Decode: func(body []byte) (Header, numbers, error) {
		var f struct {
			Header
			numbers
		}
		err := json.Unmarshal(body, &f)
		return f.Header, f.numbers, err
	},
}

// process is an Exchange of its own, as another Caddy has it. It knows numbers of some
// names only.
type process struct {
	*Exchange[numbers]
	site       Site
	logs       *observer.ObservedLogs
	names      map[string]bool
	known, own map[string]int
	merges     int
}

func newProcess(storage certmagic.Storage, clock clockwork.Clock, names ...string) *process {
	core, logs := observer.New(zap.InfoLevel)
	p := &process{site: Site{storage, clock, zap.New(core)}, logs: logs, names: make(map[string]bool), known: make(map[string]int), own: make(map[string]int)}
	for _, name := range names {
		p.names[name] = true
	}
	p.Exchange = NewExchange(kind, func() Content[numbers] { return p }, nil)
	return p
}

func (p *process) Items() (all Fingerprint) {
	for name := range p.names {
		all.Add([32]byte([]byte(fmt.Sprintf("%-32s", name))))
	}
	return all
}

func (p *process) Merge(f *File[numbers], take bool, _ time.Time) (changed int, unknown bool) {
	p.merges++
	for name, n := range f.Content.Numbers {
		switch {
		case !p.names[name]:
			unknown = true
			continue
		case n > p.known[name]:
			p.known[name] = n
			changed++
		}
		if take {
			p.own[name] = max(p.own[name], n)
		}
	}
	return changed, unknown
}

func (p *process) Own(string, time.Time) []byte {
	if len(p.own) == 0 {
		return nil
	}
	object, _ := json.Marshal(numbers{p.own})
	return object
}

func (p *process) set(name string, n int) { p.known[name], p.own[name] = n, n }

func (p *process) sync() { p.Sync(context.Background(), p.site, passLimit) }

func (p *process) want(t *testing.T, when string, want map[string]int) {
	t.Helper()
	if fmt.Sprint(p.known) != fmt.Sprint(want) {
		t.Errorf("%s, a process knows %v, want %v", when, p.known, want)
	}
}

func files(t *testing.T, dir string) (names []string) {
	t.Helper()
	found, err := filepath.Glob(filepath.Join(dir, kind.Folder, "*"))
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range found {
		names = append(names, filepath.Base(path))
	}
	return names
}

// Processes learn from each other, and what one has written outlives it.
func TestExchange(t *testing.T) {
	dir, clock := t.TempDir(), clockwork.NewFakeClockAt(start)
	storage := &certmagic.FileStorage{Path: dir}
	a, b := newProcess(storage, clock, "x", "y"), newProcess(storage, clock, "x", "y")
	a.sync()
	if got := files(t, dir); len(got) != 0 {
		t.Errorf("a process that knows nothing has written %q", got)
	}
	a.set("x", 1)
	a.sync()
	b.set("x", 2)
	b.set("y", 1)
	b.sync()
	a.sync()
	a.want(t, "exchanged", map[string]int{"x": 2, "y": 1})
	merges := a.merges
	for range 3 {
		a.sync()
	}
	if a.merges != merges {
		t.Error("a file that is as it was is merged again")
	}
	b.End(context.Background(), b.site, true)
	a.sync()
	if got := files(t, dir); len(got) != 1 {
		t.Errorf("the files are %q, want one", got)
	}
	c := newProcess(storage, clock, "x", "y")
	c.Read(c.site)
	c.want(t, "after the end of another", map[string]int{"x": 2, "y": 1})
	if n := c.logs.FilterMessage("numbers read from storage").Len(); n != 1 {
		t.Errorf("%d lines about what was read, want 1: %v", n, c.logs.All())
	}
}

// What is about items that the configuration does not have yet is merged when it has
// them, also when two of them have one hash.
func TestNewItems(t *testing.T) {
	clock := clockwork.NewFakeClockAt(start)
	storage := &certmagic.FileStorage{Path: t.TempDir()}
	a, b := newProcess(storage, clock, "x"), newProcess(storage, clock)
	a.set("x", 1)
	a.sync()
	b.sync()
	b.names["x"] = true
	b.sync()
	b.want(t, "with a new item", map[string]int{"x": 1})

	var none, one, two Fingerprint
	hash := [32]byte{7}
	one.Add(hash)
	two.Add(hash)
	two.Add(hash)
	if none == one || one == two || two == none {
		t.Errorf("the fingerprints of none, one and two are %v, %v and %v", none, one, two)
	}
}

// Of each file that does not count is warned once. It is left alone, or moved away if
// it is damaged, and when something else is there in its place that is read.
func TestFilesThatDoNotCount(t *testing.T) {
	good := func(process string) []byte {
		return kind.Format.Encode(fmt.Appendf(nil, `{"process":%q,"numbers":{"x":1}}`, process))
	}
	damaged := good("p")
	damaged[len(damaged)-3] ^= 1
	for what, test := range map[string]struct {
		raw         []byte
		quarantined bool
	}{
		"damaged":          {damaged, true},
		"of a wrong type":  {kind.Format.Encode([]byte(`{"process":"p","numbers":7}`)), true},
		"of another one":   {good("q"), false},
		"of a later one":   {[]byte(kind.Format.Magic + " 2 x\n{}"), false},
		"something else":   {[]byte("root:x:0:0"), false},
		"too large":        {make([]byte, kind.Most+1), false},
		"empty":            {nil, false},
		"of another magic": {safestore.Format{Magic: "other", Version: 1}.Encode([]byte(`{"process":"p"}`)), false},
	} {
		t.Run(what, func(t *testing.T) {
			dir, clock := t.TempDir(), clockwork.NewFakeClockAt(start)
			storage := &certmagic.FileStorage{Path: dir}
			if err := storage.Store(t.Context(), kind.Key("p"), test.raw); err != nil {
				t.Fatal(err)
			}
			p := newProcess(storage, clock, "x")
			for range 2 * silentPasses {
				p.sync()
				clock.Advance(SilentFor)
			}
			if n := p.logs.FilterLevelExact(zap.WarnLevel).Len(); n != 1 || len(p.known) != 0 {
				t.Errorf("%v is known, with %d warnings: %v", p.known, n, p.logs.All())
			}
			if _, err := os.Stat(filepath.Join(dir, kind.Key("p")+".bad")); (err == nil) != test.quarantined {
				t.Errorf("quarantined: %v, want %v", err == nil, test.quarantined)
			}
			if storage.Exists(t.Context(), kind.Key("p")) == test.quarantined {
				t.Errorf("the files are %q", files(t, dir))
			}
			_ = storage.Delete(t.Context(), kind.Key("p"))
			p.sync()
			if err := storage.Store(t.Context(), kind.Key("p"), good("p")); err != nil {
				t.Fatal(err)
			}
			p.sync()
			p.want(t, "with a good file", map[string]int{"x": 1})
		})
	}
}

// A process reads no more often the more others there are.
func TestIntervalGrows(t *testing.T) {
	clock := clockwork.NewFakeClockAt(start)
	for n, want := range map[int]time.Duration{0: interval, 1: interval, 16: interval, 32: 2 * interval, 100: 62500 * time.Millisecond, 2000: maxInterval} {
		storage := listing{n: n}
		p := newProcess(storage, clock, "x")
		p.sync()
		if got := p.pace.Every(interval); got != want {
			t.Errorf("with %d files the interval is %v, want %v", n, got, want)
		}
	}
}

// listing is a storage that has a number of files.
type listing struct {
	certmagic.Storage
	n int
}

func (l listing) List(context.Context, string, bool) (keys []string, err error) {
	for i := range l.n {
		keys = append(keys, kind.Key(fmt.Sprint(i)))
	}
	return keys, nil
}

func (l listing) Stat(context.Context, string) (certmagic.KeyInfo, error) {
	return certmagic.KeyInfo{}, nil
}

func (l listing) Load(_ context.Context, key string) ([]byte, error) {
	name := filepath.Base(key)
	return kind.Format.Encode(fmt.Appendf(nil, `{"process":%q}`, name[:len(name)-len(kind.Suffix)])), nil
}

// failing is a storage that fails, or hangs until it is released.
type failing struct {
	certmagic.Storage
	err        error
	hang       chan struct{}
	unreadable string // the key of a file
	keeps      bool   // what is to be deleted
}

func (f *failing) List(ctx context.Context, path string, recursive bool) ([]string, error) {
	if f.hang != nil {
		<-f.hang
	}
	if f.err != nil {
		return nil, f.err
	}
	return f.Storage.List(ctx, path, recursive)
}

func (f *failing) Load(ctx context.Context, key string) ([]byte, error) {
	if key == f.unreadable {
		return nil, errors.New("input/output error")
	}
	return f.Storage.Load(ctx, key)
}

func (f *failing) Delete(ctx context.Context, key string) error {
	if f.keeps {
		return errors.New("permission denied")
	}
	return f.Storage.Delete(ctx, key)
}

// A file that cannot be read keeps the others from nothing, and is not removed as that
// of a process that has ended: nobody knows what is in it by now.
func TestUnreadableFile(t *testing.T) {
	dir, clock := t.TempDir(), clockwork.NewFakeClockAt(start)
	storage := &failing{Storage: &certmagic.FileStorage{Path: dir}}
	a, b := newProcess(storage, clock, "x", "y"), newProcess(storage, clock, "x", "y")
	a.set("x", 1)
	a.sync()
	name := files(t, dir)[0]
	for range 2 * silentPasses {
		b.sync()
	}
	storage.unreadable = kind.Folder + "/" + name
	c := newProcess(storage, clock, "x", "y")
	c.set("y", 2)
	c.sync()
	clock.Advance(2 * SilentFor)
	b.sync()
	b.want(t, "beside a file that cannot be read", map[string]int{"x": 1, "y": 2})
	if _, err := os.Stat(filepath.Join(dir, kind.Folder, name)); err != nil {
		t.Errorf("the file that could not be read: %v", err)
	}
	if !b.Unavailable() {
		t.Error("nothing says that a file cannot be read")
	}
}

// A damaged file that cannot be moved away is warned of once.
func TestDamagedFileThatStays(t *testing.T) {
	clock := clockwork.NewFakeClockAt(start)
	storage := &failing{Storage: &certmagic.FileStorage{Path: t.TempDir()}, keeps: true}
	if err := storage.Store(t.Context(), kind.Key("p"), kind.Format.Encode([]byte("{"))); err != nil {
		t.Fatal(err)
	}
	p := newProcess(storage, clock, "x")
	for range 3 {
		p.sync()
	}
	if n := p.logs.FilterMessageSnippet("quarantined").Len(); n != 1 || p.Unavailable() {
		t.Errorf("%d warnings, want 1: %v", n, p.logs.All())
	}
}

// A storage that fails or hangs holds up nothing, and gets everything later.
func TestTrouble(t *testing.T) {
	inner, clock := &certmagic.FileStorage{Path: t.TempDir()}, clockwork.NewFakeClockAt(start)
	storage := &failing{Storage: inner, err: errors.New("broken")}
	a := newProcess(storage, clock, "x")
	a.set("x", 1)
	a.sync()
	a.want(t, "without a storage", map[string]int{"x": 1})
	storage.err, storage.hang = nil, make(chan struct{})
	a.Sync(context.Background(), a.site, 10*time.Millisecond)
	a.Sync(context.Background(), a.site, 10*time.Millisecond) // it waits for the first, in vain
	a.Read(a.site)                                            // it does not even wait
	a.End(context.Background(), a.site, true)
	if n := a.logs.FilterMessage("storage unavailable; keeping numbers in memory").Len(); n != 1 {
		t.Errorf("%d warnings, want 1: %v", n, a.logs.All())
	}
	close(storage.hang)
	a.site.Storage = inner
	a.sync() // after the first one
	if n := a.logs.FilterMessage("storage recovered; all numbers saved").Len(); n != 1 {
		t.Errorf("recovered %d times, want once: %v", n, a.logs.All())
	}
	b := newProcess(inner, clock, "x")
	b.sync()
	b.want(t, "after the recovery", map[string]int{"x": 1})
}
