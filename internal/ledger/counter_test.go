package ledger

import (
	"fmt"
	"math/rand/v2"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jonboulle/clockwork"
)

func TestRollover(t *testing.T) {
	for period, step := range map[Period]time.Duration{
		Second: time.Second, Minute: time.Minute, Hour: time.Hour, Day: 24 * time.Hour, Month: 31 * 24 * time.Hour,
	} {
		clock := clockwork.NewFakeClockAt(start)
		p := newTestProcess(t, newMemory(), clock)
		c := p.requests("x", period)
		c.Add(5)
		_, until := c.Window()
		clock.Advance(until.Sub(clock.Now()) - time.Second)
		if period != Second {
			want(t, "a second before the end of the "+string(period), c.Sum(), 5)
		}
		clock.Advance(time.Second)
		want(t, "at the beginning of the next "+string(period), c.Sum(), 0)
		if from, _ := c.Window(); !from.Equal(until) {
			t.Errorf("the next %s begins at %v, want %v", period, from, until)
		}
		// As after a sleep of the machine: nothing has run meanwhile.
		c.Add(2)
		clock.Advance(3 * step)
		want(t, "some periods later", c.Sum(), 0)
	}
}

func TestClockJumps(t *testing.T) {
	storage := newMemory()
	clock := clockwork.NewFakeClockAt(start)
	p := newTestProcess(t, storage, clock)
	month := p.requests("x", Month)
	second := p.requests("x", Second)
	jump := func(by time.Duration, month0, second0 int64) {
		t.Helper()
		clock.Advance(by)
		p.pass()
		p.pass()
		want(t, "month", month.Sum(), month0)
		want(t, "second", second.Sum(), second0)
	}
	add := func(n int64) {
		month.Add(n)
		second.Add(n)
	}
	const century = 36525 * 24 * time.Hour
	add(5)
	jump(2*time.Minute, 5, 0) // into 29 February
	add(3)
	jump(-2*time.Minute, 8, 5)
	jump(century, 0, 0)
	add(7)
	jump(-century, 8, 5)
	add(1)
	jump(-century, 0, 0)
	add(2)
	jump(2*century, 7, 7)
	jump(-century, 9, 6)

	restarted := newTestProcess(t, storage, clock)
	restarted.pass()
	want(t, "month after a restart", restarted.requests("x", Month).Sum(), 9)
}

func TestOldPeriodsAreDropped(t *testing.T) {
	storage := newMemory()
	clock := clockwork.NewFakeClockAt(start)
	p := newTestProcess(t, storage, clock)
	p.files.untilMove = movePatience // all stays in the own file
	hour := p.requests("x", Hour)
	hour.Add(1)
	p.requests("y", Hour).Add(1)
	p.pass()
	clock.Advance(100 * 24 * time.Hour) // a jump, or a long sleep
	p.pass()
	want(t, "periods right after a jump", int64(len(p.files.stored)), 2)
	hour.Add(1)
	for range 100 {
		clock.Advance(40 * time.Second)
		p.pass()
	}
	want(t, "counters after a quiet hour", int64(len(p.files.stored)), 1)
	want(t, "periods after a quiet hour", int64(len(p.files.stored[hour.key])), 1)
}

// What is counted for months does not stay in the file that is written all the
// time, and nothing of it is lost.
func TestOldPeriodsMove(t *testing.T) {
	storage := newMemory()
	clock := clockwork.NewFakeClockAt(start)
	p := newTestProcess(t, storage, clock)
	const days = 40
	for range days {
		p.requests("x", Day).Add(1)
		for range movePatience {
			clock.Advance(24 * time.Hour / movePatience)
			p.pass()
		}
	}
	if n := len(p.files.stored[p.requests("x", Day).key]); n > 25 {
		t.Errorf("the own file has %d days", n)
	}
	restarted := newTestProcess(t, storage, clock)
	restarted.pass()
	for name, p := range map[string]*process{"itself": p, "a later one": restarted} {
		history := p.History("x", Requests, Day, time.UTC)
		for day, n := range history {
			want(t, fmt.Sprintf("on %v, by %s", day, name), n, 1)
		}
		want(t, "days, by "+name, int64(len(history)), days)
	}
}

func TestTakeNeverPassesTheLimit(t *testing.T) {
	clock := clockwork.NewFakeClockAt(start)
	p := newTestProcess(t, newMemory(), clock)
	c := p.requests("x", Day)
	const limit = 10_000
	var taken atomic.Int64
	var wg sync.WaitGroup
	for i := range 32 {
		wg.Go(func() {
			for {
				n := int64(i%3 + 1)
				if !c.Take(n, limit) {
					if c.Sum() <= limit-n {
						t.Errorf("refused %d at %d of %d", n, c.Sum(), limit)
					}
					return
				}
				taken.Add(n)
				if i == 0 {
					p.pass()
				}
			}
		})
	}
	wg.Wait()
	want(t, "taken", taken.Load(), c.Sum())
	if n := taken.Load(); n > limit || n < limit-2 {
		t.Errorf("taken %d of %d", n, limit)
	}
	if c.Take(-1, limit) {
		t.Error("a negative number was taken")
	}
}

// 32 goroutines count on two processes while passes are made and the clock
// goes on: nothing is lost.
func TestConcurrently(t *testing.T) {
	storage := newMemory()
	clock := clockwork.NewFakeClockAt(start)
	processes := []*process{newTestProcess(t, storage, clock), newTestProcess(t, storage, clock)}
	stop := make(chan struct{})
	var passes, adders sync.WaitGroup
	var made [2]atomic.Int64
	for i, p := range processes {
		passes.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				if made[i].Load() > made[1-i].Load()+600 {
					runtime.Gosched() // the other does not sleep for more than ten minutes
					continue
				}
				p.busy <- struct{}{}
				p.pass()
				<-p.busy
				clock.Advance(time.Second)
				made[i].Add(1)
			}
		})
	}
	const each = 2000
	for i := range 32 {
		adders.Go(func() {
			p := processes[i%2]
			for j := range each {
				p.requests("x", Month).Add(1)
				p.requests([]string{"y", "z"}[j%2], Second).Add(1)
				if j%100 == 0 {
					p.requests("x", Month).Sum()
				}
			}
		})
	}
	adders.Wait()
	close(stop)
	passes.Wait()
	for range 2 {
		for _, p := range processes {
			p.pass()
		}
	}
	total := int64(0)
	for _, n := range processes[0].everything("x") {
		total += n
	}
	want(t, "counted in all months", total, 32*each)
}

// everything returns all that is known of a counter of requests a month.
func (p *process) everything(name string) map[instant]int64 {
	c := p.requests(name, Month)
	all := make(map[instant]int64)
	p.mu.RLock()
	for from, n := range p.others[c.key] {
		all[from] = n
	}
	p.mu.RUnlock()
	c.mu.Lock()
	for from, cell := range c.cells {
		all[from] = cell.sum()
	}
	c.mu.Unlock()
	return all
}

// The same operations on a plain map give the same numbers.
func TestAgainstAPlainMap(t *testing.T) {
	type cell struct {
		name   string
		period Period
		zone   string
		from   time.Time
	}
	var locations []*time.Location
	for _, name := range zones {
		zone, err := time.LoadLocation(name)
		if err != nil {
			t.Fatal(err)
		}
		locations = append(locations, zone)
	}
	for seed := range uint64(10) {
		r := rand.New(rand.NewPCG(seed, 1))
		clock := clockwork.NewFakeClockAt(start)
		storage := newMemory()
		p := newTestProcess(t, storage, clock)
		plain := make(map[cell]int64)
		for step := range 500 {
			name := []string{"a", "b", "c"}[r.IntN(3)]
			period := []Period{Hour, Day, Month}[r.IntN(3)]
			zone := locations[r.IntN(len(locations))]
			from, _ := period.Bounds(clock.Now().In(zone))
			at := cell{name, period, zone.String(), from.UTC()}
			c := p.Counter(name, Tokens, period, zone)
			n := r.Int64N(10) - 1
			switch op := r.IntN(20); {
			case op < 8:
				c.Add(n)
				plain[at] += max(n, 0)
			case op < 12:
				limit := r.Int64N(60)
				may := n >= 0 && plain[at]+n <= limit
				if c.Take(n, limit) != may {
					t.Fatalf("seed %d, step %d: Take(%d, %d) at %d is not %v", seed, step, n, limit, plain[at], may)
				}
				if may {
					plain[at] += n
				}
			case op < 15:
				clock.Advance(time.Duration(r.Int64N(int64(3 * time.Hour))))
			case op < 16:
				clock.Advance(time.Duration(r.Int64N(int64(20*24*time.Hour))) - 10*24*time.Hour)
			case op < 18:
				p.pass()
			case op < 19:
				p.pass()
				p = newTestProcess(t, storage, clock)
				p.pass()
			}
			c = p.Counter(name, Tokens, period, zone)
			from, _ = period.Bounds(clock.Now().In(zone))
			if got, want := c.Sum(), plain[cell{name, period, zone.String(), from.UTC()}]; got != want {
				t.Fatalf("seed %d, step %d: %s a %s in %v is %d, want %d", seed, step, name, period, zone, got, want)
			}
		}
	}
}

func TestCountingDoesNotAllocate(t *testing.T) {
	p := newTestProcess(t, newMemory(), clockwork.NewFakeClockAt(start))
	var real clockwork.Clock = clockwork.NewRealClock()
	p.Ledger.clock.Store(&real)
	c := p.requests("x", Month)
	if n := testing.AllocsPerRun(1000, func() { c.Add(1); c.Sum(); c.Take(1, 1<<40) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func benchmark(b *testing.B, f func(*Counter)) {
	l := newLedger()
	var real clockwork.Clock = clockwork.NewRealClock()
	l.clock.Store(&real)
	c := l.Counter("x", Requests, Month, time.UTC)
	b.ReportAllocs()
	for b.Loop() {
		f(c)
	}
}

func BenchmarkAdd(b *testing.B)  { benchmark(b, func(c *Counter) { c.Add(1) }) }
func BenchmarkSum(b *testing.B)  { benchmark(b, func(c *Counter) { c.Sum() }) }
func BenchmarkTake(b *testing.B) { benchmark(b, func(c *Counter) { c.Take(1, 1<<60) }) }
