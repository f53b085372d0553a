package hours

import (
	"cmp"
	"hash/fnv"
	"slices"
	"time"
)

const (
	// exploring is the share of the spare time for hours in which no traffic is
	// expected. Otherwise their demand would never be observed: a balancer that
	// prefers instances that are awake sends nothing to one that sleeps.
	exploring = 0.05

	// caution multiplies the expected traffic.
	caution = 1.1

	// If traffic alone needs hopeless times what is left, it exhausts the quota in
	// any case. If it also keeps the instances awake for mostOfTime, an hour awake
	// costs hardly more than one with cold starts. Then nothing is saved for the
	// end of the period, except in its last hopelessTerm.
	hopeless     = 1.2
	mostOfTime   = 0.5
	hopelessTerm = 48 * time.Hour
)

// need is a target in a plan.
type need struct {
	demand *Demand
	zone   *time.Location
	open   func(time.Time) bool // whether it may be pinged; nil: always
}

// plan is the hours in which targets are kept awake, until the end of a period. It
// does not change after makePlan.
type plan struct {
	needs []need
	kept  []map[int64]bool // by need, then by the first second of the hour

	wanted time.Duration // to keep all targets awake whenever they may be pinged
	fits   bool          // whether the quota is enough for that
}

// option is the possibility to keep a target awake for an hour.
type option struct {
	need  int // index
	from  time.Time
	cost  time.Duration // beyond what traffic alone takes
	worth float64       // cold starts avoided per hour of cost
	lot   uint32        // pseudorandom, for exploring
}

// makePlan distributes what is left until the end of the period over the hours of
// the targets. If that is not enough for all hours, the time that traffic alone will
// take is set aside; the remainder goes to the hours in which it avoids most cold
// starts (a greedy solution of the knapsack problem), and a share to exploring.
func makePlan(now, end time.Time, left time.Duration, needs []need) *plan {
	p := &plan{needs: needs, kept: make([]map[int64]bool, len(needs))}
	var options []option
	var traffic time.Duration
	for i, n := range needs {
		p.kept[i] = make(map[int64]bool)
		week := n.demand.expect()
		for from := now.In(n.zone); from.Before(end); {
			begin, until := hourOf(from)
			length := minTime(until, end).Sub(from)
			starts, busy := week[slotOf(begin)].starts, week[slotOf(begin)].busy
			traffic += time.Duration(busy * float64(length))
			if share := n.share(from, until); share > 0 {
				cost := time.Duration(share * (1 - busy) * float64(length))
				p.wanted += cost
				options = append(options, option{
					need: i, from: begin, cost: cost, lot: lot(i, begin),
					worth: starts / max(1-busy, .01),
				})
			}
			from = until
		}
	}
	p.wanted += traffic
	switch {
	case p.wanted <= left:
		p.fits = true
		p.take(options, p.wanted)
	case p.hopeless(traffic, left) && end.Sub(now) > hopelessTerm:
		p.take(options, p.wanted)
	default:
		spare := left - time.Duration(caution*float64(traffic))
		explore := time.Duration(exploring * float64(spare))
		slices.SortFunc(options, func(a, b option) int {
			return cmp.Or(cmp.Compare(b.worth, a.worth), a.from.Compare(b.from))
		})
		rest := p.take(options, spare-explore)
		slices.SortFunc(rest, func(a, b option) int { return cmp.Compare(a.lot, b.lot) })
		p.take(rest, explore)
	}
	return p
}

// hopeless reports whether saving hours is useless; see the constants.
func (p *plan) hopeless(traffic, left time.Duration) bool {
	return float64(traffic) > hopeless*float64(left) && float64(traffic) > mostOfTime*float64(p.wanted)
}

// take adds options to the plan, from the first on, as long as hours are left, and
// returns the others.
func (p *plan) take(options []option, hours time.Duration) []option {
	for i, o := range options {
		if hours -= o.cost; hours < 0 {
			return options[i:]
		}
		p.kept[o.need][o.from.Unix()] = true
	}
	return nil
}

// keeps reports whether a target is kept awake at t.
func (p *plan) keeps(i int, t time.Time) bool {
	from, _ := hourOf(t.In(p.needs[i].zone))
	return p.kept[i][from.Unix()]
}

// share returns the fraction of an hour in which a target may be pinged, in
// quarters.
func (n need) share(from, until time.Time) float64 {
	if n.open == nil {
		return 1
	}
	open, all := 0, 0
	for t := from; t.Before(until); t = t.Add(15 * time.Minute) {
		all++
		if n.open(t) {
			open++
		}
	}
	return float64(open) / float64(all)
}

// lot returns a pseudorandom number for an hour of a target. It is the same whenever
// the hour is planned, so that a new plan explores the same hours.
func lot(i int, from time.Time) uint32 {
	h := fnv.New32a()
	at := uint64(from.Unix())
	h.Write([]byte{byte(i), byte(at >> 8), byte(at >> 16), byte(at >> 24), byte(at)})
	return h.Sum32()
}

// minTime returns the earlier of two times.
func minTime(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}
