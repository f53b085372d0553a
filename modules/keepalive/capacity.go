package keepalive

import (
	"fmt"
	"time"

	"github.com/caddy-freetier/caddy-freetier/internal/capacity"
	"github.com/caddy-freetier/caddy-freetier/internal/ledger"
)

// longMonth begins a month that is as long as months are.
var longMonth = time.Date(2026, time.January, 1, 0, 0, 0, 0, time.UTC)

// Capacity says what the targets need, and what their accounts give.
func (a *App) Capacity() (r capacity.Report) {
	var accounts []*account
	seen := make(map[*account]bool)
	for _, t := range a.Targets {
		p := t.pinger
		p.review.warn(r.Warn)
		pings := capacity.Pings{Target: t.Name, Every: p.schedule.rhythm(), Month: p.schedule.pingsIn(capacity.Month, longMonth)}
		if q := t.pingsQuota(); q != nil {
			pings.Quota = q.String()
		}
		r.Pings = append(r.Pings, pings)
		if acct := p.hours.account; p.hours.limited && !seen[acct] {
			seen[acct] = true
			accounts = append(accounts, acct)
		}
	}
	for _, acct := range accounts {
		r.Hours = append(r.Hours, acct.capacity(&r))
	}
	return r
}

// capacity compares what the account gives with what its members need, in the
// longest period that there is.
func (acct *account) capacity(r *capacity.Report) capacity.Hours {
	first := acct.members[0].target
	h := capacity.Hours{Account: acct.name, Period: string(first.hoursQuota().Period), Given: acct.Limit().Hours()}
	for _, p := range acct.members {
		h.Targets = append(h.Targets, p.target.Name)
	}
	until := longMonth.Add(capacity.Month)
	if first.hoursQuota().Period == ledger.Day {
		until = longMonth.Add(day)
	}
	fit := acct.FitIn(longMonth, until)
	h.Needed = fit.Wanted.Hours()
	if fit.Wanted > acct.Limit() {
		h.Fits = adviceOf(fit, len(h.Targets))
		r.Warn(fmt.Sprintf("the account %s gives %.0f hours a %s, and it takes %.0f to keep %s awake: enough for %s",
			acct.name, h.Given, h.Period, h.Needed, capacity.List(h.Targets), h.Fits))
	}
	return h
}

// rhythm says when pings are sent, in a few words.
func (s *schedule) rhythm() string {
	rhythm := inWholes(s.every)
	if s.cron != nil {
		rhythm = "cron " + s.cron.Expression
	}
	if s.window != nil {
		rhythm += fmt.Sprintf(" from %s to %s", s.window.From, s.window.To)
	}
	return rhythm
}

// inWholes writes a duration without zeros at its end.
func inWholes(d time.Duration) string {
	switch {
	case d%time.Hour == 0:
		return fmt.Sprintf("%dh", d/time.Hour)
	case d%time.Minute == 0:
		return fmt.Sprintf("%dm", d/time.Minute)
	}
	return d.String()
}
