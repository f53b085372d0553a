// Package hours reckons with the awake time that an account is given: how much
// of it is used, in which hours of the week it is worth most, and so when an
// instance is kept awake. It knows neither clock nor storage: times come in.
package hours

import (
	"fmt"
	"math"
	"sync"
	"time"
)

const (
	// lead is how long before an hour begins its first ping is sent. Waking up
	// takes a while.
	lead = 2 * time.Minute

	// margin is the share of a quota that no ping touches. It is small: a
	// month of 31 days has 744 of Render's 750 hours.
	margin = 0.004

	// planFits is for how long a plan holds in which the hours are enough. Any
	// other is made anew each hour.
	planFits = 6 * time.Hour
)

// Meter counts the awake seconds of an account in the current period.
type Meter interface {
	Add(seconds int64)
	Used() int64
	Limit() int64
	Window() (from, until time.Time)
}

// Account is what some targets share.
type Account struct {
	meter Meter

	mu        sync.Mutex
	members   []*Member
	plan      *plan
	planAgain time.Time
}

// Member is a target of an account.
type Member struct {
	*Tracker
	account *Account
	index   int
	zone    *time.Location
	open    func(time.Time) bool
}

// Verdict says whether an instance is to be kept awake.
type Verdict struct {
	Keep    bool
	Because string    // it is not
	Until   time.Time // when to ask again, if not
}

// NewAccount returns an account without members.
func NewAccount(meter Meter) *Account { return &Account{meter: meter} }

// Join adds a target. Its hours of the week are those of zone; open tells when
// it may be pinged, nil: always.
func (a *Account) Join(t *Tracker, zone *time.Location, open func(time.Time) bool) *Member {
	a.mu.Lock()
	defer a.mu.Unlock()
	m := &Member{Tracker: t, account: a, index: len(a.members), zone: zone, open: open}
	a.members = append(a.members, m)
	a.plan = nil
	return m
}

// Limit returns what a period allows.
func (a *Account) Limit() time.Duration { return seconds(a.meter.Limit()) }

// Used returns how much of the period's hours is used, including what is
// certain to be: instances stay awake for a while after the last request.
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

// Verdict says whether the target is to be pinged at a time.
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

// replan makes a new plan when the next verdict is asked for, unless there is
// enough for everything anyway.
func (a *Account) replan() {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.plan != nil && !a.plan.fits {
		a.plan = nil
	}
}

// needs returns what a plan is made for.
func (a *Account) needs() []need {
	needs := make([]need, len(a.members))
	for i, m := range a.members {
		needs[i] = need{demand: m.demand(), zone: m.zone, open: m.open}
	}
	return needs
}

// Spared reports whether traffic that was last seen at some time keeps an
// instance awake until the next ping. A tenth is left for the way there.
func Spared(seen, next time.Time, sleepsAfter time.Duration) bool {
	return next.Before(seen.Add(sleepsAfter * 9 / 10))
}

// maxSeconds is 68 years, several of which still fit into a time.Duration.
const maxSeconds = math.MaxInt32

func seconds(n int64) time.Duration { return time.Duration(min(n, maxSeconds)) * time.Second }
