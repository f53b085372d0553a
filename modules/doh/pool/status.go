package pool

import (
	"cmp"
	"slices"
	"time"

	"github.com/caddy-freetier/caddy-freetier/internal/cooldown"
)

// Status is the state of an upstream in the admin API. It contains no address,
// since a path can be a secret.
type Status struct {
	Name      string  `json:"name"`
	Tier      int     `json:"tier"`
	Weight    int     `json:"weight"`
	Queries   int64   `json:"queries"`
	Failures  int64   `json:"failures"`
	InARow    int     `json:"consecutive_failures"`
	LastError string  `json:"last_error,omitempty"`
	LatencyMS float64 `json:"latency_ms"`

	// CooldownUntil is the end of the cooldown. It is present after that time too,
	// until a trial succeeds.
	CooldownUntil *time.Time `json:"cooldown_until,omitempty"`

	Quota *QuotaStatus `json:"quota,omitempty"`
}

// QuotaStatus is the state of a quota in the admin API, in queries.
type QuotaStatus struct {
	Limit  int64     `json:"limit"`
	Used   int64     `json:"used"`
	Left   int64     `json:"left"`
	Renews time.Time `json:"renews"`
}

// List returns the status of all upstreams in use, by tier and name.
func List() []Status {
	all := []Status{}
	accounts.Range(func(_, value any) bool {
		all = append(all, value.(*Account).status())
		return true
	})
	slices.SortFunc(all, func(a, b Status) int {
		return cmp.Or(a.Tier-b.Tier, cmp.Compare(a.Name, b.Name))
	})
	return all
}

// status returns the account's state for the admin API and the status page.
func (a *Account) status() Status {
	s := Status{
		Name:      a.name,
		Tier:      a.tier,
		Weight:    a.weight,
		Queries:   a.queries.Load(),
		Failures:  a.failures.Load(),
		InARow:    a.cooldowns.Failures(),
		LatencyMS: float64(a.latency.Load()) / float64(time.Millisecond),
	}
	if until := a.cooldowns.Until(cooldown.All, time.Time{}); !until.IsZero() {
		until = until.UTC()
		s.CooldownUntil = &until
	}
	if m := a.meter.Load(); m != nil {
		s.Quota = &QuotaStatus{Limit: m.Limit(), Used: m.Used(), Left: m.Left(), Renews: m.Renews()}
	}
	if f := a.last.Load(); f != nil {
		s.LastError = f.public()
	}
	return s
}
