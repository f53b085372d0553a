package main

import (
	"cmp"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/caddy-freetier/caddy-freetier/internal/hours"
	"github.com/caddy-freetier/caddy-freetier/internal/ledger"
)

// The platform of the simulation, as Render describes its free plan.
const (
	simSleeps    = 15 * time.Minute
	simColdStart = 50 * time.Second
	simHours     = 750 * time.Hour
)

// service is an instance on the platform and what its users get.
type service struct {
	requests []time.Time
	warm     time.Time // from when it serves, if it is awake
	until    time.Time // until when it is awake
	pings    int
	met      int // cold starts that requests met
	refused  int // requests after a silence that met a suspended account
}

// workspace is an account: its services share the hours of a month.
type workspace struct {
	services []*service
	used     time.Duration
	counted  time.Time
}

// pass lets time go by and counts what is awake.
func (w *workspace) pass(now time.Time) {
	for w.counted.Before(now) {
		_, end := ledger.Month.Bounds(w.counted.UTC())
		to := now
		if end.Before(to) {
			to = end
		}
		for _, s := range w.services {
			if until := minOf(s.until, to); until.After(w.counted) && w.used < simHours {
				w.used += until.Sub(w.counted)
			}
		}
		if w.counted = to; to.Equal(end) {
			w.used = 0
		}
	}
}

// request is one of a user or a ping. It reports what a user gets.
func (w *workspace) request(s *service, now time.Time) (cold, refused bool) {
	w.pass(now)
	if w.used >= simHours {
		s.until = now
		return false, true
	}
	if !s.until.After(now) {
		s.warm = now.Add(simColdStart)
	}
	s.until = now.Add(simSleeps)
	return s.warm.After(now), false
}

func minOf(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}

// Traffic, with fixed seeds.

var simZone = func() *time.Location {
	zone, err := time.LoadLocation("Asia/Shanghai")
	if err != nil {
		panic(err)
	}
	return zone
}()

// arrivals draws requests from a rate an hour that may change with time.
func arrivals(seed uint64, from, until time.Time, rate func(time.Time) float64) []time.Time {
	random := rand.New(rand.NewPCG(seed, 6))
	var all []time.Time
	for at := from; at.Before(until); at = at.Add(time.Minute) {
		if random.Float64() < rate(at.In(simZone))/60 {
			all = append(all, at.Add(time.Duration(random.Int64N(int64(time.Minute)))))
		}
	}
	return all
}

func office(t time.Time) float64 {
	switch weekend := t.Weekday() == time.Saturday || t.Weekday() == time.Sunday; {
	case weekend:
		return 0.02
	case t.Hour() == 12:
		return 1
	case t.Hour() >= 9 && t.Hour() < 18:
		return 5
	}
	return 0.02
}

func nightOwl(t time.Time) float64 {
	if t.Hour() >= 21 || t.Hour() < 2 {
		return 3
	}
	return 0.02
}

// nasaRequests are the requests to a real web server in each hour of 61 days,
// of which the first is a Sunday.
var nasaRequests = sync.OnceValue(func() (hours []float64) {
	text, err := os.ReadFile("testdata/nasa-http-1995.txt")
	if err != nil {
		panic(err)
	}
	for line := range strings.Lines(string(text)) {
		fields := strings.Fields(line)
		if fields[0] == "#" {
			continue
		}
		for _, field := range fields[1:] {
			n, err := strconv.ParseFloat(field, 64)
			if err != nil {
				panic(err)
			}
			hours = append(hours, n)
		}
	}
	return hours
})

// nasa is the real traffic from a Sunday on, of which a private service gets
// one in two thousand requests: about 30 a day.
func nasa(sunday time.Time) func(time.Time) float64 {
	requests := nasaRequests()
	return func(t time.Time) float64 {
		if hour := int(t.Sub(sunday).Hours()); hour >= 0 && hour < len(requests) {
			return requests[hour] / 2000
		}
		return 0
	}
}

func bot(seed uint64, from, until time.Time) []time.Time {
	random := rand.New(rand.NewPCG(seed, 20))
	var all []time.Time
	for at := from.Add(time.Duration(random.Int64N(int64(20 * time.Minute)))); at.Before(until); at = at.Add(20 * time.Minute) {
		all = append(all, at.Add(time.Duration(random.Int64N(int64(10*time.Second)))))
	}
	return all
}

// Ways to keep the services of a workspace awake.

// keeper says when it wants to be asked, and pings then if it likes.
type keeper interface {
	next() time.Time
	tick(now time.Time, w *workspace)
	saw(i int, at time.Time) // a user's request to a service
}

type none struct{}

func (none) next() time.Time            { return time.Unix(1<<40, 0) }
func (none) tick(time.Time, *workspace) {}
func (none) saw(int, time.Time)         {}

// cron pings every three minutes, whatever happens.
type cron struct{ at time.Time }

func (c *cron) next() time.Time    { return c.at }
func (c *cron) saw(int, time.Time) {}
func (c *cron) tick(now time.Time, w *workspace) {
	for _, s := range w.services {
		s.pings++
		w.request(s, now)
	}
	c.at = now.Add(3 * time.Minute)
}

// ours is the app's way: ticks at two thirds of the sleep, with jitter, each of
// which asks the account's plan and looks at the traffic.
type ours struct {
	clock   *time.Time
	month   time.Duration // counted
	began   time.Time
	members []*hours.Member
	stored  []hours.Memory
	seen    []time.Time // last traffic or ping
	grid    []time.Time // the next tick
	due     []time.Time // its ping
	sync    time.Time
	random  *rand.Rand
}

func newOurs(w *workspace, from time.Time, clock *time.Time) *ours {
	o := &ours{clock: clock, began: from, sync: from, random: rand.New(rand.NewPCG(1, 1))}
	account := hours.NewAccount(o)
	for range w.services {
		o.members = append(o.members, account.Join(hours.NewTracker(simSleeps), simZone, nil))
		o.grid, o.due = append(o.grid, from), append(o.due, from)
		o.seen = append(o.seen, time.Time{})
	}
	o.stored = make([]hours.Memory, len(w.services))
	return o
}

// It is its own meter.
func (o *ours) Limit() int64 { return int64(simHours / time.Second) }
func (o *ours) Add(n int64)  { o.turn(); o.month += time.Duration(n) * time.Second }
func (o *ours) Used() int64  { o.turn(); return int64(o.month / time.Second) }
func (o *ours) Window() (time.Time, time.Time) {
	return ledger.Month.Bounds(o.clock.UTC())
}

func (o *ours) turn() {
	if from, _ := o.Window(); from.After(o.began) {
		o.began, o.month = from, 0
	}
}

func (o *ours) saw(i int, at time.Time) {
	o.members[i].Traffic(at)
	o.seen[i] = at
}

func (o *ours) next() time.Time { return minOf(slices.MinFunc(o.due, time.Time.Compare), o.sync) }

func (o *ours) tick(now time.Time, w *workspace) {
	if !o.sync.After(now) {
		for i, m := range o.members {
			o.stored[i] = m.Sync(o.stored[i], now)
		}
		o.sync = now.Add(10 * time.Minute)
	}
	const every = simSleeps * 2 / 3
	for i, m := range o.members {
		if o.due[i].After(now) {
			continue
		}
		verdict := m.Verdict(now)
		if !verdict.Keep {
			o.grid[i], o.due[i] = verdict.Until, verdict.Until
			continue
		}
		o.grid[i] = o.grid[i].Add(every)
		o.due[i] = o.grid[i].Add(time.Duration(o.random.Int64N(int64(every / 10))))
		if hours.Spared(o.seen[i], o.due[i], simSleeps) {
			continue
		}
		w.services[i].pings++
		m.Ping(now)
		w.request(w.services[i], now)
	}
}

// simulate runs the requests of a workspace until the end.
func simulate(w *workspace, k keeper, clock *time.Time, from, end time.Time, report func()) {
	type arrival struct {
		at time.Time
		i  int
	}
	var all []arrival
	for i, s := range w.services {
		for _, at := range s.requests {
			all = append(all, arrival{at, i})
		}
	}
	slices.SortFunc(all, func(a, b arrival) int { return cmp.Or(a.at.Compare(b.at), a.i-b.i) })
	w.counted, *clock = from, from
	last := make([]time.Time, len(w.services))
	_, month := ledger.Month.Bounds(from)
	for !w.counted.After(end) {
		at := k.next()
		user := len(all) > 0 && all[0].at.Before(at)
		if user {
			at = all[0].at
		}
		if at = minOf(at, end); !at.Before(month) {
			w.pass(month.Add(-time.Second))
			report()
			_, month = ledger.Month.Bounds(month)
		}
		if !at.Before(end) {
			break
		}
		*clock = at
		if !user {
			k.tick(at, w)
			continue
		}
		i, s := all[0].i, w.services[all[0].i]
		all = all[1:]
		silent := at.Sub(last[i]) > simSleeps
		last[i] = at
		cold, refused := w.request(s, at)
		switch {
		case refused && silent:
			s.refused++
		case cold:
			s.met++
		}
		k.saw(i, at)
	}
}
