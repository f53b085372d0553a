package ledger

import (
	"encoding/json"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/caddyserver/certmagic"
	"github.com/jonboulle/clockwork"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"
)

// A count stops at maxCount, whatever is added to it and by however many.
func TestCountsSaturate(t *testing.T) {
	p := newTestProcess(t, newMemory(), clockwork.NewFakeClockAt(start))
	for _, period := range []Period{Second, Month} {
		c := p.requests("x", period)
		var wg sync.WaitGroup
		for range 8 {
			wg.Go(func() {
				for range 100 {
					c.Add(math.MaxInt64)
					c.Add(math.MinInt64)
					c.Take(math.MaxInt64, math.MaxInt64)
				}
			})
		}
		wg.Wait()
		want(t, string(period), c.Sum(), maxCount)
		if c.Take(1, maxCount) || c.Take(-1, math.MaxInt64) || c.Take(math.MinInt64, 1) {
			t.Errorf("%s: more was taken", period)
		}
	}
	p.pass()
	again := newTestProcess(t, p.storage, p.clock)
	again.pass()
	again.requests("x", Month).Add(5)
	want(t, "own and others", again.requests("x", Month).Sum(), maxCount)
}

// extremes are the counts that somebody with access to the storage could write.
var extremes = []int64{math.MinInt64, math.MinInt64 + 1, -1, 0, 1, 1 << 40, maxCount - 1, maxCount, maxCount + 1, math.MaxInt64 - 1, math.MaxInt64}

// adversary writes ledger files with valid checksums that lie.
type adversary struct {
	r   *rand.Rand
	key string
}

func (a *adversary) counts(at instant) counts {
	c := make(counts)
	for _, key := range []string{a.key, "", "k", strings.Repeat("x ", 100)} {
		if a.r.IntN(3) > 0 {
			c[key] = map[instant]int64{at: extremes[a.r.IntN(len(extremes))], instant(a.r.Int64N(1 << 33)): extremes[a.r.IntN(len(extremes))]}
		}
	}
	return c
}

func (a *adversary) file(t *testing.T, name, own string, at instant) []byte {
	f := &file{Process: name, Written: instant(a.r.Int64N(1 << 33)), Counts: a.counts(at)}
	if name == common {
		f.Process = ""
		f.Compacted = map[string]compacted{
			own:                {At: at, Counts: a.counts(at)},
			"0123456789abcdef": {At: instant(a.r.Int64N(1 << 33)), Counts: a.counts(at)},
		}
	}
	if a.r.IntN(5) == 0 {
		f.Process = own
	}
	raw, err := f.encode()
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

// merged is a merged file that lies, about the own file as well.
func (a *adversary) merged(t *testing.T, p *process, at instant) []byte {
	m := merged{
		By: []string{"", p.files.process, p.files.instance}[a.r.IntN(3)], Pass: a.r.Int64N(10),
		Versions: map[string]string{"0123456789abcdef": "x", p.files.process: []string{"x", p.files.storedSum}[a.r.IntN(2)]},
		Counts:   a.counts(at),
	}
	if a.r.IntN(4) == 0 {
		m.Compacted = []string{p.files.process}
	}
	body, err := json.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	return mergedFormat.Encode(body)
}

// Whatever valid files somebody puts into the storage, and whenever: a sum stays
// between the own count and maxCount, never goes backwards, and what is written
// can be read.
func TestLyingFiles(t *testing.T) {
	for seed := range uint64(200) {
		storage, clock := newMemory(), clockwork.NewFakeClockAt(start)
		p := newTestProcess(t, storage, clock)
		c := p.requests("x", Month)
		from, _ := c.Window()
		a := &adversary{r: rand.New(rand.NewPCG(seed, 1)), key: c.key}
		own, last := int64(0), int64(0)
		for range 40 {
			for range a.r.IntN(3) {
				name := []string{common, "0123456789abcdef", "0123456789abcde0", p.files.process}[a.r.IntN(4)]
				storage.values[keyOf(name)] = a.file(t, name, p.files.process, instant(from.Unix()))
			}
			if a.r.IntN(2) == 0 {
				storage.values[mergedKey] = a.merged(t, p, instant(from.Unix()))
			}
			n := int64(a.r.IntN(5))
			c.Add(n)
			own += n
			clock.Advance(testInterval * 10)
			_ = p.try()
			sum := c.Sum()
			if sum < own || sum < last || sum > maxCount {
				t.Fatalf("seed %d: the sum is %d after %d, of which %d are its own", seed, sum, last, own)
			}
			if c.Take(1, own) && last > own {
				t.Fatalf("seed %d: taken beyond the limit", seed)
			}
			own = max(own, c.now().own.Load())
			last = c.Sum()
		}
		c.Add(1) // the own file is not read, but written
		delete(storage.values, mergedKey)
		p.pass()
		for _, name := range []string{common, p.files.process} {
			if raw := storage.values[keyOf(name)]; raw != nil {
				if _, err := decode(raw); err != nil {
					t.Errorf("seed %d: %s was written unreadably: %v", seed, name, err)
				}
			}
		}
	}
}

// A file with a count that cannot be is quarantined with one warning, and its
// other counts do not count either.
func TestImpossibleCounts(t *testing.T) {
	for _, n := range []int64{math.MinInt64, -1, maxCount + 1, math.MaxInt64} {
		for _, in := range []string{"counts", "compacted"} {
			t.Run(fmt.Sprint(in, n), func(t *testing.T) {
				storage := newMemory()
				p := newTestProcess(t, storage, clockwork.NewFakeClockAt(start))
				core, logs := observer.New(zap.WarnLevel)
				p.logger = zap.New(core)
				c := p.requests("x", Month)
				from, _ := c.Window()
				lie := counts{c.key: {instant(from.Unix()): n}, "k": {0: 5}}
				f, name := &file{Process: "0123456789abcdef", Counts: lie}, "0123456789abcdef"
				if in == "compacted" {
					f, name = &file{Counts: counts{"k": {0: 5}}, Compacted: map[string]compacted{"a": {Counts: lie}}}, common
				}
				raw, err := f.encode()
				if err != nil {
					t.Fatal(err)
				}
				storage.values[keyOf(name)] = raw
				c.Add(3)
				p.pass()
				p.pass()
				want(t, "the sum", c.Sum(), 3)
				if len(logs.All()) != 1 || string(storage.values[keyOf(name)+".bad"]) != string(raw) {
					t.Errorf("the log is %v, the files are %v", logs.All(), names(t, storage))
				}
				if _, there := storage.values[keyOf(name)]; there {
					t.Error("the file is still there")
				}
			})
		}
	}
}

// What only has the name of a ledger file neither stops compaction nor is its
// content copied, and it stays where it is.
func TestNotLedgerFiles(t *testing.T) {
	secret := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(secret, []byte("root:$6$salt$hash:19000::::::"), 0o600); err != nil {
		t.Fatal(err)
	}
	const name = "fedcba9876543210"
	for what, put := range map[string]func(path string) error{
		"a folder":                 func(path string) error { return os.Mkdir(path, 0o700) },
		"a link to a foreign file": func(path string) error { return os.Symlink(secret, path) },
		"a link to itself":         func(path string) error { return os.Symlink(path, path) },
		"a link to nothing":        func(path string) error { return os.Symlink(secret+"x", path) },
		"a link to a folder":       func(path string) error { return os.Symlink(filepath.Dir(secret), path) },
		"a link to another process's file": func(path string) error {
			others, _ := filepath.Glob(filepath.Join(filepath.Dir(path), "*"+suffix))
			return os.Symlink(filepath.Base(others[0]), path)
		},
	} {
		t.Run(what, func(t *testing.T) {
			storage, clock := &certmagic.FileStorage{Path: t.TempDir()}, clockwork.NewFakeClockAt(start)
			dead := newTestProcess(t, storage, clock)
			dead.requests("x", Month).Add(4)
			dead.pass()
			path := storage.Filename(keyOf(name))
			if err := put(path); err != nil {
				t.Fatal(err)
			}
			p := newTestProcess(t, storage, clock)
			core, logs := observer.New(zap.WarnLevel)
			p.logger = zap.New(core)
			c := p.requests("x", Month)
			for range 2 * oldIntervals {
				c.Add(1)
				clock.Advance(testInterval)
				_ = p.try()
			}
			want(t, "the sum", c.Sum(), 4+2*oldIntervals)
			if files := names(t, storage); !slices.Contains(files, common+suffix) || slices.Contains(files, dead.files.process+suffix) {
				t.Errorf("the dead process was not compacted: %v", files)
			}
			if _, err := os.Lstat(path); err != nil {
				t.Errorf("it has gone: %v", err)
			}
			if n := logs.Len(); n > 1 {
				t.Errorf("%d warnings: %v", n, logs.All())
			}
			entries, err := os.ReadDir(filepath.Dir(path))
			if err != nil {
				t.Fatal(err)
			}
			for _, entry := range entries {
				if entry.Name() == name+suffix || entry.IsDir() {
					continue
				}
				if raw, err := os.ReadFile(filepath.Join(filepath.Dir(path), entry.Name())); err != nil || strings.Contains(string(raw), "$6$") {
					t.Errorf("%s has the content of a foreign file (%v)", entry.Name(), err)
				}
			}
		})
	}
}
