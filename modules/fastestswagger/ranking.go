package fastestswagger

import (
	"math"
	"slices"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp/reverseproxy"
)

// quickest is the shortest time that counts, in seconds, so that requests
// under way count with an upstream that answers in no time.
const quickest = 1e-6

// ranking is a snapshot of the pool for Select. It is never changed, only
// replaced.
type ranking struct {
	ranks   []rank         // static upstreams first, in the order of the configuration
	index   map[string]int // by dial address
	unknown rank           // stands for an upstream that is not in the snapshot
}

// rank is what Select needs to know of an upstream.
type rank struct {
	dial   string
	static *reverseproxy.Upstream // nil: it comes from a dynamic source
	known  *upstream              // nil: it is not in the snapshot
	// cost is the score in seconds, lowered by the margin for the winner; the
	// median for an upstream without a score.
	cost     float64
	measured bool
	class    class
	sleeps   bool // or is waking up
	dynamic  bool
}

// class comes before cost: an upstream of a later one is chosen only when there
// is none of an earlier one.
type class int

const (
	passing class = iota
	asleep        // it passes, but has to wake up first
	failing       // its last load failed
)

// before reports whether an upstream with this rank and cost is chosen before
// another one.
func (e *rank) before(cost float64, other *rank, otherCost float64) bool {
	return e.class < other.class || (e.class == other.class && cost < otherCost)
}

// notThere is a place at which there is no rank.
const notThere = -1

// of returns the rank of an upstream, which mostly has the same place in the
// pool as in the snapshot.
func (rk *ranking) of(place int, u *reverseproxy.Upstream) *rank {
	if uint(place) < uint(len(rk.ranks)) {
		if e := &rk.ranks[place]; e.static == u || e.dial == u.Dial {
			return e
		}
	}
	if place, ok := rk.index[u.Dial]; ok {
		return &rk.ranks[place]
	}
	return &rk.unknown
}

// standings is the pool at one moment, as it is ranked and explained.
type standings struct {
	upstreams []*upstream
	records   []record
	sleeps    []bool // or is waking up
	winner    *score
	median    float64 // of the means of those that passed; 0 without any
}

// compare works out who wins: the fastest of those that are awake, or else of
// those that pass. The winner keeps its place until another one is faster by
// the margin.
func compare(upstreams []*upstream, incumbent *score, margin float64, sleeps func(upstream string) bool) standings {
	st := standings{upstreams: upstreams, records: make([]record, len(upstreams)), sleeps: make([]bool, len(upstreams))}
	var (
		means   []float64
		fastest = -1
		holder  = -1
	)
	for i, u := range upstreams {
		st.sleeps[i] = sleeps(u.name)
		if u.score == nil {
			continue
		}
		st.records[i] = u.score.snapshot()
		r := &st.records[i]
		if !r.measured() || r.failing() {
			continue
		}
		means = append(means, r.mean)
		if fastest < 0 || st.before(i, fastest) {
			fastest = i
		}
		if holder < 0 && u.score == incumbent {
			holder = i
		}
	}
	if fastest < 0 {
		return st
	}
	slices.Sort(means)
	st.median = (means[(len(means)-1)/2] + means[len(means)/2]) / 2
	contends := holder >= 0 && st.sleeps[holder] == st.sleeps[fastest]
	if contends && st.records[fastest].mean >= st.records[holder].mean*(1-margin) {
		fastest = holder
	}
	st.winner = upstreams[fastest].score
	return st
}

// before reports whether an upstream goes before another, both being measured.
func (st *standings) before(i, j int) bool {
	if st.sleeps[i] != st.sleeps[j] {
		return st.sleeps[j]
	}
	return st.records[i].mean < st.records[j].mean
}

// classOf returns the class of an upstream.
func (st *standings) classOf(i int) class {
	switch {
	case st.records[i].failing():
		return failing
	case st.sleeps[i]:
		return asleep
	}
	return passing
}

// ranking returns the snapshot for Select.
func (st *standings) ranking(margin float64, dynamic bool) *ranking {
	// A measured upstream goes before one that is taken to be as fast.
	neutral := math.Nextafter(max(st.median, quickest), math.Inf(1))
	rk := &ranking{
		ranks:   make([]rank, len(st.upstreams)),
		index:   make(map[string]int, len(st.upstreams)),
		unknown: rank{cost: neutral, dynamic: dynamic},
	}
	for i, u := range st.upstreams {
		r := rank{
			dial:    u.dial,
			static:  u.static,
			known:   u,
			dynamic: u.static == nil,
			cost:    neutral,
			class:   st.classOf(i),
			sleeps:  st.sleeps[i],
		}
		if st.records[i].measured() && r.class != failing {
			r.cost, r.measured = max(st.records[i].mean, quickest), true
			if u.score == st.winner {
				r.cost *= 1 - margin
			}
		}
		rk.ranks[i] = r
		if _, ok := rk.index[u.dial]; !ok {
			rk.index[u.dial] = i
		}
	}
	return rk
}

// noneHasPage reports whether each upstream was loaded and none has the page.
func (st *standings) noneHasPage() bool {
	if len(st.records) == 0 {
		return false
	}
	for i := range st.records {
		if !st.records[i].missing() {
			return false
		}
	}
	return true
}

// of returns the place of the upstream with a score.
func (st *standings) of(sc *score) int {
	return slices.IndexFunc(st.upstreams, func(u *upstream) bool { return sc != nil && u.score == sc })
}

func (st *standings) nameOf(sc *score) string {
	if i := st.of(sc); i >= 0 {
		return st.upstreams[i].name
	}
	return ""
}

func (st *standings) meanOf(sc *score) float64 {
	if i := st.of(sc); i >= 0 {
		return st.records[i].mean
	}
	return 0
}
