package keepalive

import (
	"cmp"
	"errors"
	"fmt"

	"github.com/caddy-freetier/caddy-freetier/internal/ledger"
	"github.com/caddy-freetier/caddy-freetier/internal/quota"
)

// hoursQuota returns what the account allows of awake time, nil if unlimited.
func (t *Target) hoursQuota() *quota.Quota { return t.quotaOf(ledger.Seconds) }

// pingsQuota returns what the account allows of requests, nil if unlimited.
func (t *Target) pingsQuota() *quota.Quota { return t.quotaOf(ledger.Requests) }

func (t *Target) quotaOf(unit ledger.Unit) *quota.Quota { return quotaOf(t.Quotas, unit) }

func quotaOf(quotas []*quota.Quota, unit ledger.Unit) *quota.Quota {
	for _, q := range quotas {
		if q != nil && unitOf(q) == unit {
			return q
		}
	}
	return nil
}

func unitOf(q *quota.Quota) ledger.Unit {
	if q.Unit == "" {
		return ledger.Requests
	}
	return q.Unit
}

// sameQuotas refuses an account with two amounts. Of hours it has one quota, of
// requests one a period.
func sameQuotas(targets []*Target) error {
	type owner struct {
		quota  *quota.Quota
		target string
	}
	seen := make(map[string]owner)
	for _, t := range targets {
		for _, q := range t.effectiveQuotas() {
			if q == nil || q.Account == "" {
				continue
			}
			key := fmt.Sprint(unitOf(q), " ", q.Account)
			if unitOf(q) != ledger.Seconds {
				key = fmt.Sprint(key, " ", q.Period, " ", cmp.Or(q.Zone, "UTC"))
			}
			other, ok := seen[key]
			if ok && !sameQuota(other.quota, q) {
				return fmt.Errorf("the account %s has two quotas: %s of target %s and %s of target %s; give both the same, or two accounts two names",
					q.Account, other.quota, other.target, q, t.Name)
			}
			seen[key] = owner{q, t.Name}
		}
	}
	return nil
}

func sameQuota(a, b *quota.Quota) bool {
	zone := func(q *quota.Quota) string { return cmp.Or(q.Zone, "UTC") }
	return a.Amount == b.Amount && a.Period == b.Period && zone(a) == zone(b)
}

// checkQuotaUnits refuses quotas that a target cannot have.
func (t *Target) checkQuotaUnits() error {
	given := make(map[ledger.Unit]bool)
	for _, q := range t.Quotas {
		if q == nil {
			return errors.New("a quota is null")
		}
		unit := unitOf(q)
		switch {
		case given[unit] && unit == ledger.Seconds:
			return errors.New("there are two quotas of hours")
		case given[unit]:
			return errors.New("there are two quotas of requests")
		case unit != ledger.Seconds && unit != ledger.Requests:
			return errors.New("the quota of a target counts hours awake, like 750h/month, or requests, like 100/day")
		}
		given[unit] = true
	}
	return nil
}

// checkQuotas checks the quotas of a target whose preset is known.
func (t *Target) checkQuotas() error {
	if err := t.checkQuotaUnits(); err != nil {
		return err
	}
	for _, q := range t.Quotas {
		if err := q.Validate(); err != nil {
			return err
		}
	}
	return t.checkHours()
}

// checkHours refuses a quota of hours that the target cannot be held to.
func (t *Target) checkHours() error {
	q := quotaOf(t.effectiveQuotas(), ledger.Seconds)
	if q == nil {
		return nil
	}
	if t.SleepsAfter == 0 && t.Platform == "" {
		return errors.New("a quota of hours needs sleeps_after or platform: each request keeps the instance awake for that long")
	}
	if q.Period != ledger.Day && q.Period != ledger.Month {
		return errors.New("a quota of hours is for a day or a month, like 750h/month")
	}
	return nil
}
