// Package hours plans the awake time that a platform gives an account per month: how
// much of it is used, in which hours of the week it is worth most, and so when an
// instance is kept awake. It uses neither a clock nor storage; times are arguments.
//
//	requests, pings ──▶ Tracker: spans awake ──▶ Memory ──▶ Demand by hour of the week
//	                                               │              │
//	                                        Account: used      plan: hours to keep
//	                                               └──────┬───────┘
//	                                                   Verdict
package hours

import (
	"fmt"
	"math"
	"sync"
	"time"
)

const (
	// lead is how long before the beginning of an hour its first ping is sent,
	// since waking up takes a while.
	lead = 2 * time.Minute

	// margin is the share of a quota that is never used for pings. It is small,
	// since a month of 31 days has 744 hours and Render gives 750.
	margin = 0.004

	// planFits is how long a plan is used in which the quota is enough for all
	// targets. Any other plan is made again every hour.
	planFits = 6 * time.Hour
)

// Meter counts the awake seconds of an account in the current period. It is
// implemented by quota.Meter, and in tests by a plain counter.
type Meter interface {
	Add(seconds int64)
	Used() int64
	Limit() int64
	Window() (from, until time.Time)
}

// Account is a quota of awake time that its members share.
type Account struct {
	meter Meter

	mu        sync.Mutex // guards the fields below; never taken while a Tracker's is held
	members   []*Member
	plan      *plan     // nil: must be made
	planAgain time.Time // when the plan must be made again
}

// Member is a target of an account. It does not change after Join.
type Member struct {
	*Tracker
	account *Account
	index   int // in the account's members and the plan's needs
	zone    *time.Location
	open    func(time.Time) bool // when it may be pinged; nil: always
}

// Verdict is whether an instance should be kept awake.
type Verdict struct {
	Keep    bool
	Because string    // why not, if Keep is false
	Until   time.Time // when to ask again, if Keep is false
}

// NewAccount returns an account without members.
func NewAccount(meter Meter) *Account { return &Account{meter: meter} }

// Join adds a target. Its hours of the week are those of zone. open reports whether
// it may be pinged at a time; nil means always.
func (a *Account) Join(t *Tracker, zone *time.Location, open func(time.Time) bool) *Member {
	a.mu.Lock()
	defer a.mu.Unlock()
	m := &Member{Tracker: t, account: a, index: len(a.members), zone: zone, open: open}
	a.members = append(a.members, m)
	a.plan = nil
	return m
}

// Limit returns the quota of a period.
func (a *Account) Limit() time.Duration { return seconds(a.meter.Limit()) }

// Used returns how much of the period's quota is used, including time that will
// certainly be: an instance stays awake for a while after its last request.
func (a *Account) Used(now time.Time) time.Duration {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.used(now)
}

func (a *Account) used(now time.Time) time.Duration {
	began, until := a.meter.Window()
	used := seconds(a.meter.Used())
	for _, m := range a.members {
		used += m.pending(began, until, now)
	}
	return used
}

// Window returns the first moment of the current period and the first after it.
func (a *Account) Window() (from, until time.Time) { return a.meter.Window() }

// Verdict reports whether the target should be pinged at a time.
func (m *Member) Verdict(now time.Time) Verdict {
	a := m.account
	a.mu.Lock()
	defer a.mu.Unlock()
	_, end := a.meter.Window()
	reserve := time.Duration(margin * float64(a.Limit()))
	left := a.Limit() - a.used(now) - reserve
	if left < min(m.sleepsAfter(), end.Sub(now)) {
		return Verdict{
			Because: fmt.Sprintf("the hours of its account are used up until %s", end.UTC().Format(time.RFC3339)),
			Until:   end,
		}
	}
	if a.plan == nil || !now.Before(a.planAgain) {
		a.plan = makePlan(now, end, left, a.needs())
		if _, a.planAgain = hourOf(now.In(m.zone)); a.plan.fits {
			a.planAgain = minTime(now.Add(planFits), end)
		}
	}
	soon := now.Add(lead)
	_, next := hourOf(soon.In(m.zone))
	ask := next.Add(-lead)
	switch {
	case soon.Before(end) && !a.plan.keeps(m.index, soon):
		return Verdict{Because: "its hours are saved for those in which traffic is expected", Until: ask}
	case next.Before(end) && !a.plan.keeps(m.index, next) && !m.AwakeUntil().Before(next):
		return Verdict{Because: "it is awake until the end of the hour, and its hours are saved then", Until: ask}
	}
	return Verdict{Keep: true}
}

// replan makes the next call of Verdict make a new plan, unless the quota is enough
// for all targets anyway.
func (a *Account) replan() {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.plan != nil && !a.plan.fits {
		a.plan = nil
	}
}

// needs returns the members in the form that a plan is made from.
func (a *Account) needs() []need {
	needs := make([]need, len(a.members))
	for i, m := range a.members {
		needs[i] = need{demand: m.demand(), zone: m.zone, open: m.open}
	}
	return needs
}

// Spared reports whether a request at seen keeps an instance awake until the next
// ping, so that a ping now is unnecessary. A tenth of sleepsAfter is a margin for
// the time that a request takes.
func Spared(seen, next time.Time, sleepsAfter time.Duration) bool {
	return next.Before(seen.Add(sleepsAfter * 9 / 10))
}

// maxSeconds is 68 years. Sums of a few of them still fit into a time.Duration.
const maxSeconds = math.MaxInt32

func seconds(n int64) time.Duration { return time.Duration(min(n, maxSeconds)) * time.Second }
