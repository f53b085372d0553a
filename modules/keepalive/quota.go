package keepalive

import (
	"errors"

	"github.com/caddy-freetier/caddy-freetier/internal/ledger"
	"github.com/caddy-freetier/caddy-freetier/internal/quota"
)

// hoursQuota returns what the account allows of awake time, nil if unlimited.
func (t *Target) hoursQuota() *quota.Quota { return t.quotaOf(ledger.Seconds) }

// pingsQuota returns what the account allows of requests, nil if unlimited.
func (t *Target) pingsQuota() *quota.Quota { return t.quotaOf(ledger.Requests) }

func (t *Target) quotaOf(unit ledger.Unit) *quota.Quota {
	for _, q := range t.Quotas {
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
	q := t.hoursQuota()
	if q == nil {
		return nil
	}
	if t.SleepsAfter == 0 {
		return errors.New("a quota of hours needs sleeps_after or platform: each request keeps the instance awake for that long")
	}
	if q.Period != ledger.Day && q.Period != ledger.Month {
		return errors.New("a quota of hours is for a day or a month, like 750h/month")
	}
	return nil
}
