package hours

import (
	"cmp"
	"hash/fnv"
	"slices"
	"time"
)

const (
	// exploring is the share of the spare hours that goes to hours in which no
	// traffic is expected, to find out: a balancer that prefers instances that
	// are awake sends nothing to one that sleeps.
	exploring = 0.05

	// caution is by how much more traffic than expected is reckoned with.
	caution = 1.1

	// Traffic alone uses up the hours when it needs so many times what is left.
	// If it keeps the instances awake for most of the time as well, an hour
	// awake costs hardly more than one with cold starts, and nothing is saved
	// for a later time that never comes.
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

// plan says in which hours targets are kept awake.
type plan struct {
	needs []need
	kept  []map[int64]bool // by need, then by the first second of the hour

	// wanted is what it takes to keep all awake as long as they may be.
	wanted time.Duration
	fits   bool
}

// option is the choice to keep a target awake for an hour.
type option struct {
	need  int
	from  time.Time
	cost  time.Duration // beyond what traffic alone takes
	worth float64       // cold starts spared for each hour spent
	lot   uint32
}

// makePlan shares what is left until the end of the period among the hours of
// the targets. Where that is not enough for all, first comes what traffic alone
// will take; the rest goes to the hours in which it spares most cold starts.
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

func (p *plan) hopeless(traffic, left time.Duration) bool {
	return float64(traffic) > hopeless*float64(left) && float64(traffic) > mostOfTime*float64(p.wanted)
}

// take keeps as many of the options, from the first on, as the hours allow and
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

// share returns in which part of an hour a target may be pinged, by quarters.
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

// lot is the same whenever an hour is planned, and another for each hour.
func lot(i int, from time.Time) uint32 {
	h := fnv.New32a()
	at := uint64(from.Unix())
	h.Write([]byte{byte(i), byte(at >> 8), byte(at >> 16), byte(at >> 24), byte(at)})
	return h.Sum32()
}

func minTime(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}
