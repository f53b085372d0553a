package ledger

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/jonboulle/clockwork"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"
)

// traffic is what a storage has had to do.
type traffic struct {
	lists, loads, stores, read, written int
}

// watchTraffic counts the operations of a storage from now on.
func watchTraffic(storage *memory) *traffic {
	seen := new(traffic)
	storage.after = func(op, key string) error {
		size := len(storage.values[key])
		switch op {
		case "list":
			seen.lists++
		case "load":
			seen.loads++
			seen.read += size
		case "store":
			seen.stores++
			seen.written += size
		}
		return nil
	}
	return seen
}

// fleet is many processes on one storage.
type fleet struct {
	t       *testing.T
	storage *memory
	clock   *clockwork.FakeClock
	all     []*process
	counted int64
}

func newFleet(t *testing.T, n int) *fleet {
	f := &fleet{t: t, storage: newMemory(), clock: clockwork.NewFakeClockAt(start.Add(time.Hour))}
	for range n {
		f.add()
	}
	return f
}

func (f *fleet) add() *process {
	p := newTestProcess(f.t, f.storage, f.clock)
	f.all = append(f.all, p)
	return p
}

// count lets each process count something.
func (f *fleet) count() {
	for i, p := range f.all {
		p.requests("x", Month).Add(int64(i + 1))
		f.counted += int64(i + 1)
	}
}

func (f *fleet) pass(passes int) {
	f.t.Helper()
	for range passes {
		for _, p := range f.all {
			p.pass()
		}
		f.clock.Advance(testInterval / 2)
	}
}

func (f *fleet) wantSum(what string) {
	f.t.Helper()
	for i, p := range f.all {
		want(f.t, fmt.Sprintf("%s, by process %d", what, i), p.requests("x", Month).Sum(), f.counted)
	}
}

// mergers returns who takes itself for the merger.
func (f *fleet) mergers() (mergers []*process) {
	for _, p := range f.all {
		if p.newPass().merging() {
			mergers = append(mergers, p)
		}
	}
	return mergers
}

// settled makes passes until there is a merger and all others follow it.
func (f *fleet) settled() *process {
	f.t.Helper()
	f.count()
	f.pass(3 + patience + patienceSpread)
	mergers := f.mergers()
	if len(mergers) != 1 {
		f.t.Fatalf("there are %d mergers", len(mergers))
	}
	f.wantSum("once there is a merger")
	return mergers[0]
}

// Of more than eight processes one reads all files; each other reads one and
// writes one. All agree three passes after a count.
func TestMerging(t *testing.T) {
	f := newFleet(t, 20)
	merger := f.settled()
	seen := watchTraffic(f.storage)
	f.count()
	f.pass(1)
	if seen.lists != 1 || seen.loads != 20+19 || seen.stores != 20+1 {
		t.Errorf("a pass of all took %+v; want 1 list, 39 loads and 21 stores", *seen)
	}
	f.pass(2)
	f.wantSum("three passes after a count")

	// The merger dies without notice.
	f.all = slices.DeleteFunc(f.all, func(p *process) bool { return p == merger })
	f.count()
	f.pass(3 + patience + patienceSpread)
	f.wantSum("after the death of the merger")
	if n := len(f.mergers()); n != 1 {
		t.Errorf("there are %d mergers", n)
	}

	// A process that starts knows everything after its first pass.
	f.add().pass()
	f.wantSum("after a start")

	// What one has counted before it is killed is not counted again.
	f.all = f.all[:4]
	f.count()
	f.pass(200)
	f.wantSum("once only four are left")
	if _, ok := f.storage.values[mergedKey]; ok {
		t.Error("four processes still have a merger")
	}
}

// Idle processes have no file, and learn from the merged file all the same.
func TestIdleFollowers(t *testing.T) {
	f := newFleet(t, 12)
	f.settled()
	for range 4 {
		p := f.add()
		p.pass()
		p.pass()
	}
	seen := watchTraffic(f.storage)
	f.pass(1)
	if seen.lists != 1 || seen.loads != 16+11 {
		t.Errorf("a pass of all took %+v; want 1 list and 27 loads", *seen)
	}
	f.wantSum("by idle ones, too")
	// For so long that the idle ones are taken for dead.
	f.pass(oldIntervals * 3)
	f.count()
	f.pass(6)
	f.wantSum("after a long time")
}

// Whatever becomes of the merged file, all files are read instead, and the sums
// are right.
func TestBadMergedFile(t *testing.T) {
	newer := []byte("freetier-ledger-merged 2 x\nwhat is to come")
	for name, test := range map[string]struct {
		raw   []byte
		stays bool
		warns int
	}{
		"missing":    {nil, false, 0},
		"empty":      {[]byte{}, false, 1},
		"foreign":    {[]byte("GIF89a"), false, 1},
		"corrupt":    {[]byte("freetier-ledger-merged 1 x\n{}"), false, 1},
		"no JSON":    {mergedFormat.Encode([]byte("{")), false, 1},
		"impossible": {mergedFormat.Encode([]byte(`{"counts":{"k":{"2028-03-01T00:00:00Z":-1}}}`)), false, 1},
		"newer":      {newer, true, 1},
		"a process":  {must(t)((&file{Process: "p"}).encode()), false, 1},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFleet(t, 10)
			f.settled()
			core, logs := observer.New(zap.WarnLevel)
			f.all[3].logger = zap.New(core)
			if f.storage.values[mergedKey] = test.raw; test.raw == nil {
				delete(f.storage.values, mergedKey)
			}
			for range 5 {
				f.count()
				f.pass(3)
				f.wantSum("meanwhile")
				if test.stays {
					f.storage.values[mergedKey] = slices.Clone(newer)
				}
			}
			f.count()
			f.pass(3 + patience + patienceSpread)
			f.wantSum("at last")
			if n := logs.Len(); n != test.warns {
				t.Errorf("%d warnings: %v", n, logs.All())
			}
			if _, err := decodeMerged(f.storage.values[mergedKey]); (err != nil) != test.stays {
				t.Errorf("the merged file: %v", err)
			}
		})
	}
}

func must(t *testing.T) func([]byte, error) []byte {
	return func(raw []byte, err error) []byte {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return raw
	}
}

// Old periods are not in the merged file: who starts late learns of them all the
// same, and knows of everything what it knew.
func TestMergedHistory(t *testing.T) {
	f := newFleet(t, 10)
	yesterday := f.clock.Now()
	for _, p := range f.all {
		p.requests("h", Hour).Add(1)
	}
	f.settled()
	f.clock.Advance(8 * time.Hour)
	f.pass(3 + patience + patienceSpread)
	m, err := decodeMerged(f.storage.values[mergedKey])
	if err != nil {
		t.Fatal(err)
	}
	if n := len(m.Counts); n != 1 {
		t.Errorf("the merged file has %d counters, want that of a month", n)
	}
	f.add().pass()
	for i, p := range f.all {
		from, _ := Hour.Bounds(yesterday)
		want(t, fmt.Sprint("of process ", i), p.History("h", Requests, Hour, time.UTC)[from.UTC()], 10)
	}
}

// The bytes of files of processes and of the common file are as the version reads
// them that knows no merged file.
func TestFormatStays(t *testing.T) {
	f := &file{
		Process: "0123456789abcdef", Written: 1835395200, Counts: counts{"k requests month UTC": {1835395200: 5}},
		Compacted: map[string]compacted{"a": {At: 1835395200, Counts: counts{}}},
	}
	got := string(must(t)(f.encode()))
	const want = `{
	"process": "0123456789abcdef",
	"written": "2028-02-29T00:00:00Z",
	"counts": {
		"k requests month UTC": {
			"2028-02-29T00:00:00Z": 5
		}
	},
	"folded": {
		"a": {
			"at": "2028-02-29T00:00:00Z",
			"counts": {}
		}
	}
}
`
	if got[:18] != "freetier-ledger 1 " || got[len(got)-len(want):] != want {
		t.Errorf("the file is\n%s", got)
	}
}

func TestIntervalGrows(t *testing.T) {
	a := &App{Interval: caddy.Duration(5 * time.Second), ledger: newLedger()}
	for files, want := range map[int]time.Duration{
		0: 5 * time.Second, 1: 5 * time.Second, 32: 5 * time.Second, 64: 10 * time.Second,
		100: 15625 * time.Millisecond, 1_000_000: maxInterval,
	} {
		a.ledger.pace.Saw(files)
		if got := a.every(); got != want {
			t.Errorf("the interval of %d processes is %v, want %v", files, got, want)
		}
	}
	a.Interval = caddy.Duration(time.Hour)
	if got := a.every(); got != time.Hour {
		t.Errorf("the interval is %v, want the hour of the configuration", got)
	}
}

// What a storage serves is no square of the number of processes any more. With
// FREETIER_MEASURE=1 the figures are those of the documentation.
func TestStorageTraffic(t *testing.T) {
	keys, sizes := 10, []int{20}
	if os.Getenv("FREETIER_MEASURE") != "" {
		keys, sizes = 300, []int{20, 50, 100}
	}
	for _, n := range sizes {
		before, after := measure(t, n, keys, (*process).tryOld), measure(t, n, keys, (*process).try)
		report := func(name string, seen traffic, interval time.Duration) {
			per := func(n int) float64 { return float64(n) / measuredPasses * 2 / interval.Seconds() }
			t.Logf("%d processes, %d keys, %s, interval %v: a second %.1f lists, %.1f loads, %.1f stores, %.2f MB read, %.2f MB written",
				n, keys, name, interval, per(seen.lists), per(seen.loads), per(seen.stores), per(seen.read)/1e6, per(seen.written)/1e6)
		}
		a := &App{Interval: caddy.Duration(defaultInterval), ledger: newLedger()}
		a.ledger.pace.Saw(n)
		report("each reads all", before, defaultInterval)
		report("one merges", after, a.every())
		if after.read*5 > before.read || after.lists != measuredPasses || after.loads > measuredPasses*(2*n+1) {
			t.Errorf("%d processes: before %+v, after %+v", n, before, after)
		}
	}
}

const measuredPasses = 4

// measure returns what passes of n processes cost once they know each other, each
// of which uses all keys all the time.
func measure(t *testing.T, n, keys int, try func(*process) error) traffic {
	f, r := newFleet(t, n), rand.New(rand.NewPCG(1, 1))
	pass := func() {
		for _, p := range f.all {
			for key := range keys {
				for _, unit := range []Unit{Requests, Tokens} {
					p.Counter(fmt.Sprint("key ", key), unit, Day, time.UTC).Add(r.Int64N(5))
				}
			}
			if err := try(p); err != nil {
				t.Fatal(err)
			}
		}
		f.clock.Advance(testInterval / 2)
	}
	for range patienceSpread + 2 {
		pass()
	}
	seen := watchTraffic(f.storage)
	for range measuredPasses {
		pass()
	}
	return *seen
}

// FuzzMerged reads whatever stands in a merged file.
func FuzzMerged(f *testing.F) {
	f.Add([]byte(`{"by":"x","written":"2028-02-29T00:00:00Z","pass":1,"versions":{"p":"v"},"compacted":["q"],"counts":{"k requests month UTC":{"2028-02-01T00:00:00Z":5}}}`))
	f.Add([]byte(`{"counts":null}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		m, err := decodeMerged(mergedFormat.Encode(body))
		if err != nil {
			return
		}
		if !m.Counts.possible() {
			t.Error("impossible counts are read")
		}
		if _, err := json.Marshal(m); err != nil {
			t.Errorf("it cannot be written again: %v", err)
		}
	})
}
