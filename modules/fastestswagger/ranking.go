package fastestswagger

import (
	"math"
	"slices"
	"time"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp/reverseproxy"
	"go.uber.org/zap"
)

// quickest is the shortest time that counts, in seconds, so that requests
// under way count with an upstream that answers in no time.
const quickest = 1e-6

// ranking is a picture of the pool for Select. It is never changed, only
// replaced.
type ranking struct {
	ranks   []rank         // static members first, in the order of the configuration
	index   map[string]int // by dial address
	unknown rank           // stands for an upstream that is not in the picture
}

// rank is what Select needs to know of an upstream.
type rank struct {
	dial     string
	upstream *reverseproxy.Upstream // of a static member
	member   *member                // nil for an upstream that is not in the picture
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
// pool as in the picture.
func (rk *ranking) of(place int, u *reverseproxy.Upstream) *rank {
	if uint(place) < uint(len(rk.ranks)) {
		if e := &rk.ranks[place]; e.upstream == u || e.dial == u.Dial {
			return e
		}
	}
	if place, ok := rk.index[u.Dial]; ok {
		return &rk.ranks[place]
	}
	return &rk.unknown
}

// standing is the pool at one moment, as it is ranked and explained.
type standing struct {
	members []*member
	records []record
	sleeps  []bool // or is waking up
	winner  *page
	median  float64 // of the scores of those that passed; 0 without any
}

// stand works out who wins: the fastest of those that are awake, or else of
// those that pass. The winner keeps its place until another one is faster by
// the margin.
func stand(members []*member, incumbent *page, margin float64, sleeps func(upstream string) bool) standing {
	st := standing{members: members, records: make([]record, len(members)), sleeps: make([]bool, len(members))}
	var (
		scores  []float64
		fastest = -1
		holder  = -1
	)
	for i, m := range members {
		st.sleeps[i] = sleeps(m.name)
		if m.page == nil {
			continue
		}
		st.records[i] = m.page.look()
		r := &st.records[i]
		if !r.measured() || r.failing() {
			continue
		}
		scores = append(scores, r.score)
		if fastest < 0 || st.before(i, fastest) {
			fastest = i
		}
		if holder < 0 && m.page == incumbent {
			holder = i
		}
	}
	if fastest < 0 {
		return st
	}
	slices.Sort(scores)
	st.median = (scores[(len(scores)-1)/2] + scores[len(scores)/2]) / 2
	if holder >= 0 && st.sleeps[holder] == st.sleeps[fastest] && st.records[fastest].score >= st.records[holder].score*(1-margin) {
		fastest = holder
	}
	st.winner = members[fastest].page
	return st
}

// before tells whether a member goes before another, both being measured.
func (st *standing) before(i, j int) bool {
	if st.sleeps[i] != st.sleeps[j] {
		return st.sleeps[j]
	}
	return st.records[i].score < st.records[j].score
}

// classOf returns the class of a member.
func (st *standing) classOf(i int) class {
	switch {
	case st.records[i].failing():
		return failing
	case st.sleeps[i]:
		return asleep
	}
	return passing
}

// rank makes the picture for Select.
func (st *standing) rank(margin float64, dynamic bool) *ranking {
	// A measured upstream goes before one that is taken to be as fast.
	neutral := math.Nextafter(max(st.median, quickest), math.Inf(1))
	rk := &ranking{
		ranks:   make([]rank, len(st.members)),
		index:   make(map[string]int, len(st.members)),
		unknown: rank{cost: neutral, dynamic: dynamic},
	}
	for i, m := range st.members {
		r := rank{dial: m.dial, upstream: m.upstream, member: m, dynamic: m.upstream == nil, cost: neutral, class: st.classOf(i), sleeps: st.sleeps[i]}
		if st.records[i].measured() && r.class != failing {
			r.cost, r.measured = max(st.records[i].score, quickest), true
			if m.page == st.winner {
				r.cost *= 1 - margin
			}
		}
		rk.ranks[i] = r
		if _, ok := rk.index[m.dial]; !ok {
			rk.index[m.dial] = i
		}
	}
	return rk
}

// standing returns the pool as it is now.
func (s *Selection) standing() standing {
	s.mu.Lock()
	defer s.mu.Unlock()
	return stand(s.members, s.winner, *s.Margin, s.awake.Sleeps)
}

// refresh ranks the pool anew, and says so when another upstream wins.
func (s *Selection) refresh() {
	st, before := s.rankAnew()
	if st.winner == before || st.winner == nil || !s.running.Load() {
		return
	}
	upstream, loser, score := st.nameOf(st.winner), st.nameOf(before), st.scoreOf(st.winner)*1e3
	s.logger.Info("another upstream is the fastest now",
		zap.String("upstream", upstream), zap.String("before", loser), zap.Float64("score_ms", score))
	s.events.Emit(s.ctx, "fastest-swagger.winner", map[string]any{"upstream": upstream, "before": loser, "score_ms": score})
}

// rankAnew replaces the picture for Select. It returns the pool and who won
// before.
func (s *Selection) rankAnew() (st standing, before *page) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.winner == nil {
		s.winner = lastWinner(s.members)
	}
	before = s.winner
	st = stand(s.members, before, *s.Margin, s.awake.Sleeps)
	s.ranking.Store(st.rank(*s.Margin, s.dynamic))
	if st.winner == nil {
		// Nobody passes. Whoever won last is asked to win again.
		return st, before
	}
	s.winner = st.winner
	st.winner.won(s.clock.Now())
	return st, before
}

// lastWinner returns who won before a reload.
func lastWinner(members []*member) *page {
	var last *page
	var at time.Time
	for _, m := range members {
		if m.page == nil {
			continue
		}
		if won := m.page.look().wonAt; won.After(at) {
			last, at = m.page, won
		}
	}
	return last
}

func (st *standing) of(p *page) int {
	return slices.IndexFunc(st.members, func(m *member) bool { return p != nil && m.page == p })
}

func (st *standing) nameOf(p *page) string {
	if i := st.of(p); i >= 0 {
		return st.members[i].name
	}
	return ""
}

func (st *standing) scoreOf(p *page) float64 {
	if i := st.of(p); i >= 0 {
		return st.records[i].score
	}
	return 0
}
