package ledger

import (
	"context"
	"errors"
	"math/rand/v2"
	"os"
	"path"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/jonboulle/clockwork"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"
)

// cluster plays many processes on one storage, with their passes interleaved
// at every operation, their operations failing, and themselves killed.
type cluster struct {
	t       *testing.T
	r       *rand.Rand
	storage *memory
	clock   *clockwork.FakeClock

	alive   []*member
	depth   int
	running *member            // who is making a pass
	holders map[string]*member // who has last taken a lock
	led     map[*member]bool   // who has been the merger

	most         int     // members
	old          float64 // how many of them are of the version before there were mergers
	fails, kills float64 // how probable in an operation

	counted int64 // by all
	lost    int64 // at most, by those killed
}

type member struct {
	*process
	old     bool
	counted int64 // by this one
	written int64 // of it, as of the last pass without an error
	safe    int64 // of it, as of the pass before that one
	sum     int64 // as last seen
	passing bool
	asleep  int // steps
}

type killed struct{}

var errFault = errors.New("the storage fails on purpose")

func newCluster(t *testing.T, seed uint64) *cluster {
	c := &cluster{
		most:    5,
		holders: make(map[string]*member),
		led:     make(map[*member]bool),
		t:       t,
		r:       rand.New(rand.NewPCG(seed, 2)),
		storage: newMemory(),
		clock:   clockwork.NewFakeClockAt(time.Date(2028, 3, 1, 0, 0, 0, 0, time.UTC)),
	}
	c.storage.before = func(op, key string) error { return c.fault(op) }
	c.storage.after = func(op, key string) error {
		if op == "lock" {
			c.holders[key] = c.running
		}
		err := c.fault(op)
		if op == "lock" && err != nil {
			clear(c.storage.locks) // stale after a while
		}
		return err
	}
	return c
}

// fault happens before and after each operation of a pass.
func (c *cluster) fault(op string) error {
	me := c.running
	if c.depth < 3 && c.chance(.1) {
		c.pass(c.pick())
		c.running = me
	}
	if c.chance(c.kills) {
		panic(killed{})
	}
	if op != "unlock" && c.chance(c.fails) {
		return errFault
	}
	return nil
}

func (c *cluster) chance(p float64) bool { return c.r.Float64() < p }

func (c *cluster) pick() *member { return c.alive[c.r.IntN(len(c.alive))] }

func (c *cluster) start() *member {
	m := &member{process: newTestProcess(c.t, c.storage, c.clock), old: c.chance(c.old)}
	c.alive = append(c.alive, m)
	return m
}

func (m *member) counter() *Counter { return m.requests("x", Month) }

func (c *cluster) count(m *member) {
	n := c.r.Int64N(5) + 1
	m.counter().Add(n)
	m.counted += n
	c.counted += n
}

// pass makes a pass of a member that is not in the middle of one.
func (c *cluster) pass(m *member) {
	if m.passing || m.asleep > 0 {
		return
	}
	m.passing = true
	c.depth++
	before := c.running
	defer func() {
		c.running = before
		c.depth--
		m.passing = false
		if r := recover(); r == (killed{}) {
			c.kill(m)
		} else if r != nil {
			panic(r)
		}
	}()
	c.running = m
	counted := m.counted
	try := m.try
	if m.old {
		try = m.tryOld
	}
	err := try()
	if m.files.merged.state == mergedGood && m.files.merged.file.By == m.files.instance {
		c.led[m] = true
	}
	if err != nil && !errors.Is(err, errFault) {
		c.t.Fatal(err)
	}
	if err == nil {
		m.safe, m.written = m.written, counted
		if !m.old && c.chance(.02) {
			moving := m.newPass()
			moving.at = m.now()
			moving.move(context.Background())
		}
	}
	sum := m.counter().Sum()
	if sum < m.sum {
		c.t.Fatalf("a count went back from %d to %d", m.sum, sum)
	}
	if sum > c.counted {
		c.t.Fatalf("a count is %d, but only %d were counted", sum, c.counted)
	}
	m.sum = sum
}

func (c *cluster) kill(m *member) {
	c.alive = slices.DeleteFunc(c.alive, func(other *member) bool { return other == m })
	// A write can cross with somebody's compacting of the same file and be deleted
	// with it, if it comes after a long silence. The next pass makes that good;
	// so it takes two, an interval, until a count is safe.
	c.lost += m.counted - m.safe
	for name, holder := range c.holders {
		if holder == m {
			delete(c.storage.locks, name) // a lock of the dead is stale after a while
		}
	}
	if len(c.alive) == 0 {
		c.start()
	}
}

func (c *cluster) step() {
	for _, m := range c.alive {
		m.asleep = max(0, m.asleep-1)
	}
	switch op := c.r.IntN(100); {
	case op < 40:
		if m := c.pick(); m.asleep == 0 {
			c.count(m)
		}
	case op < 80:
		for _, m := range slices.Clone(c.alive) {
			c.pass(m)
		}
		c.clock.Advance(testInterval / 2)
	case op < 85 && len(c.alive) < c.most:
		c.start()
	case op < 88 && len(c.alive) > 1:
		// Stopped in order: all is written before.
		m := c.pick()
		fails, kills := c.fails, c.kills
		c.fails, c.kills = 0, 0
		m.asleep = 0
		c.pass(m)
		c.pass(m)
		c.fails, c.kills = fails, kills
		c.kill(m)
	case op < 90:
		// A suspended laptop, or one that nobody uses.
		if m := c.pick(); m.safe == m.counted {
			m.asleep = c.r.IntN(60)
		}
	case op < 92:
		c.clock.Advance(time.Duration(c.r.Int64N(int64(90 * time.Minute))))
	}
}

// settle lets all be well and checks that all agree.
func (c *cluster) settle() {
	c.fails, c.kills = 0, 0
	for _, m := range c.alive {
		m.asleep = 0
	}
	late := c.start()
	for range 3 + patience + patienceSpread {
		for _, m := range slices.Clone(c.alive) {
			c.pass(m)
		}
		c.clock.Advance(testInterval / 2)
	}
	for _, m := range c.alive {
		sum := m.counter().Sum()
		if sum < c.counted-c.lost || sum > c.counted {
			c.t.Fatalf("the sum is %d, want %d to %d", sum, c.counted-c.lost, c.counted)
		}
		if sum != late.counter().Sum() {
			c.t.Fatalf("the sums are %d and %d", sum, late.counter().Sum())
		}
	}
}

// Whatever fails, dies, sleeps or takes over, no count goes back, none is counted
// twice, and none is lost but what was not written. FREETIER_SEEDS says how many runs
// there are of each kind.
func TestCluster(t *testing.T) {
	seeds := uint64(8)
	if n, err := strconv.ParseUint(os.Getenv("FREETIER_SEEDS"), 10, 64); err == nil {
		seeds = n
	}
	many := func(c *cluster) { c.most = 14 }
	lockless := func(c *cluster) { c.storage.lockless = true }
	failing := func(c *cluster) { c.fails = .03 }
	killed := func(c *cluster) { c.kills = .01 }
	mixed := func(c *cluster) { c.old = .3 }
	for name, set := range map[string][]func(*cluster){
		"all well":                      {},
		"failing":                       {failing},
		"killed":                        {killed},
		"failing, killed":               {failing, killed},
		"lockless, failing, killed":     {lockless, failing, killed},
		"two versions, failing, killed": {mixed, failing, killed},
		"many, all well":                {many},
		"many, failing, killed":         {many, failing, killed},
		"many, lockless, killed":        {many, lockless, failing, killed},
		"many, two versions, killed":    {many, mixed, failing, killed},
	} {
		t.Run(name, func(t *testing.T) {
			most, led := 0, 0
			for seed := range seeds {
				c := newCluster(t, seed)
				for _, set := range set {
					set(c)
				}
				c.start()
				for range c.most - 5 {
					c.start()
				}
				for range 300 {
					c.step()
				}
				c.settle()
				for range 3 * oldIntervals {
					c.clock.Advance(testInterval)
					for _, m := range slices.Clone(c.alive) {
						c.pass(m)
					}
				}
				c.settle()
				most = max(most, len(c.storage.values)-len(c.alive))
				led += len(c.led)
			}
			// The dead are compacted: what is left are the files of the living, the
			// common file, and the merged one.
			if most > 3 {
				t.Errorf("%d files more than processes are left", most)
			}
			if strings.HasPrefix(name, "many") && led == 0 {
				t.Error("nobody has been the merger")
			}
		})
	}
}

// What is not a ledger file is ignored or quarantined, mentioned once, and
// harms nothing.
func TestBadFiles(t *testing.T) {
	good, err := (&file{Counts: counts{"k requests month UTC": {0: 5}}}).encode()
	if err != nil {
		t.Fatal(err)
	}
	newer := append([]byte("freetier-ledger 2 x\n"), "what is to come"...)
	other, err := (&file{Process: "another", Counts: counts{"k requests month UTC": {0: 5}}}).encode()
	if err != nil {
		t.Fatal(err)
	}
	for name, test := range map[string]struct {
		raw    []byte
		reason error
		stays  bool
		copied bool
	}{
		"empty":     {nil, errForeign, true, false},
		"foreign":   {[]byte("GIF89a"), errForeign, true, false},
		"binary":    {make([]byte, 1<<16), errForeign, true, false},
		"other":     {other, errOther, true, false},
		"cut off":   {good[:len(good)-10], errCorrupt, false, true},
		"only head": {good[:30], errCorrupt, false, true},
		"flipped":   {append(slices.Clone(good[:len(good)-12]), append([]byte("6"), good[len(good)-11:]...)...), errCorrupt, false, true},
		"version 0": {[]byte("freetier-ledger 0 x\n{}"), errCorrupt, false, true},
		"newer":     {newer, errNewer, true, true},
	} {
		for _, where := range []string{"0123456789abcdef", common} {
			t.Run(name+" "+where, func(t *testing.T) {
				storage := newMemory()
				storage.values[keyOf(where)] = slices.Clone(test.raw)
				storage.values[path.Join(folder, "1234567890")] = []byte("a temporary file")
				p := newTestProcess(t, storage, clockwork.NewFakeClockAt(start))
				core, logs := observer.New(zap.DebugLevel)
				p.logger = zap.New(core)
				c := p.requests("x", Month)
				for range 10 * silentIntervals {
					c.Add(1)
					p.clock.Advance(testInterval)
					if err := p.try(); err != nil {
						t.Fatal(err)
					}
				}
				if logs.Len() != 1 || logs.All()[0].ContextMap()["reason"] != test.reason.Error() {
					t.Errorf("the log is %v, want one warning with %q", logs.All(), test.reason)
				}
				if got, copied := storage.values[keyOf(where)+".bad"]; copied != test.copied || copied && string(got) != string(test.raw) {
					t.Errorf("copied: %v %.50q", copied, got)
				}
				if _, there := storage.values[keyOf(where)]; there != test.stays {
					t.Errorf("the file itself is there: %v, want %v", there, test.stays)
				}
				again := newTestProcess(t, storage, p.clock)
				again.pass()
				want(t, "counted after a restart", again.requests("x", Month).Sum(), c.Sum())
			})
		}
	}
}

// A year of restarts leaves no more files than a day of it, and a crash loop
// does no harm either.
func TestRestarts(t *testing.T) {
	for name, test := range map[string]struct{ restarts, passes, files, bytes int }{
		"restarts":   {50, 200, 3, 2000},
		"crash loop": {300, 1, 35, 50_000},
	} {
		t.Run(name, func(t *testing.T) {
			storage := newMemory()
			clock := clockwork.NewFakeClockAt(time.Date(2028, 3, 1, 0, 0, 0, 0, time.UTC))
			for i := range test.restarts {
				p := newTestProcess(t, storage, clock)
				p.pass()
				want(t, "kept over a restart", p.requests("x", Month).Sum(), int64(i))
				p.requests("x", Month).Add(1)
				for range test.passes {
					clock.Advance(20 * time.Second)
					p.pass()
				}
				clock.Advance(20 * time.Second)
			}
			if n := len(storage.values); n > test.files {
				t.Errorf("%d files are left", n)
			}
			if n := len(storage.values[keyOf(common)]); n > test.bytes {
				t.Errorf("the common file has %d bytes", n)
			}
		})
	}
}

func TestOnlyChangesAreWritten(t *testing.T) {
	storage := newMemory()
	p := newTestProcess(t, storage, clockwork.NewFakeClockAt(start))
	var stores int
	storage.after = func(op, _ string) error {
		if op == "store" {
			stores++
		}
		return nil
	}
	c := p.requests("x", Month)
	p.requests("x", Minute).Add(1)
	p.pass()
	want(t, "writes of nothing", int64(stores), 0)
	c.Add(1)
	for range 10 {
		p.pass()
	}
	want(t, "writes of one change", int64(stores), 1)

	delete(storage.values, keyOf(p.files.process)) // by hand
	p.pass()
	p.pass()
	again := newTestProcess(t, storage, p.clock)
	again.pass()
	want(t, "written again", again.requests("x", Month).Sum(), 1)
}
