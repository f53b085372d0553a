// Package quota implements the options `quota` and `limit` of all modules: how much
// of something is allowed in a period of the calendar, and how much of it remains.
// Counts are in the ledger, and outlive reloads and restarts.
//
//	q, err := quota.Parse(d.RemainingArgs()) // quota 300000/month account Asia/Shanghai
//	…
//	meter, err := q.Open(l, "doh "+url) // in Provision; l is from ledger.FromContext
//	…
//	if !meter.Take(1) { // for each request
//		retryAfter := time.Until(meter.Renews())
package quota

import (
	"fmt"
	"time"
	_ "time/tzdata" // minimal containers have no time zone database

	"github.com/caddy-freetier/caddy-freetier/internal/ledger"
)

// Quota is what an account gives, or what a client is allowed, in each period of the
// calendar.
type Quota struct {
	// The amount, in the unit: 1 to 10^15. Required.
	Amount int64 `json:"amount"`

	// What is counted: `requests`, `tokens`, or `seconds` of awake time.
	// Default: requests.
	Unit ledger.Unit `json:"unit,omitempty"`

	// The period after which the count starts at 0 again: `second`, `minute`,
	// `hour`, `day` or `month`. Required.
	Period ledger.Period `json:"period"`

	// The name of the account. Quotas with the same account share one count, in
	// all modules. Default: the quota has a count of its own.
	Account string `json:"account,omitempty"`

	// The time zone of the calendar, for example `Asia/Shanghai`. Default: UTC.
	Zone string `json:"zone,omitempty"`
}

// Open returns the meter of the quota. name identifies the count of a quota without
// an account, for example by the module and the URL of an upstream. Only a hash of
// it is stored.
func (q *Quota) Open(l *ledger.Ledger, name string) (*Meter, error) {
	if err := q.Validate(); err != nil {
		return nil, err
	}
	zone, err := q.location()
	if err != nil {
		return nil, err
	}
	unit := q.Unit
	if unit == "" {
		unit = ledger.Requests
	}
	name = "name " + name
	if q.Account != "" {
		name = "account " + q.Account
	}
	return &Meter{counter: l.Counter(name, unit, q.Period, zone), limit: q.Amount, period: q.Period}, nil
}

// Validate checks a quota from JSON.
func (q *Quota) Validate() error {
	if q.Amount < 1 {
		return fmt.Errorf("the amount of a quota is %d, but must be at least 1", q.Amount)
	}
	if q.Amount > maxAmount {
		return fmt.Errorf("the amount of a quota is %d, but must be at most %d", q.Amount, int64(maxAmount))
	}
	switch q.Unit {
	case "", ledger.Requests, ledger.Tokens, ledger.Seconds:
	default:
		return fmt.Errorf("unknown unit %q of a quota: it is requests, tokens or seconds", q.Unit)
	}
	if !q.Period.Valid() {
		return fmt.Errorf("unknown period %q of a quota: it is %s", q.Period, periods)
	}
	_, err := q.location()
	return err
}

func (q *Quota) location() (*time.Location, error) {
	if q.Zone == "" {
		return time.UTC, nil
	}
	zone, err := time.LoadLocation(q.Zone)
	if err != nil {
		return nil, fmt.Errorf("unknown time zone %q: write UTC or one like Asia/Shanghai", q.Zone)
	}
	return zone, nil
}

// String returns the quota in the syntax of the Caddyfile.
func (q *Quota) String() string {
	var s string
	switch q.Unit {
	case ledger.Seconds:
		s = fmt.Sprintf("%s/%s", duration(q.Amount), q.Period)
	case "", ledger.Requests:
		s = fmt.Sprintf("%d/%s", q.Amount, q.Period)
	default:
		s = fmt.Sprintf("%d %s/%s", q.Amount, q.Unit, q.Period)
	}
	if q.Account != "" {
		s += " " + q.Account
	}
	if q.Zone != "" {
		s += " " + q.Zone
	}
	return s
}

// duration returns seconds in the largest unit that needs no fraction.
func duration(seconds int64) string {
	switch {
	case seconds%3600 == 0:
		return fmt.Sprintf("%dh", seconds/3600)
	case seconds%60 == 0:
		return fmt.Sprintf("%dm", seconds/60)
	default:
		return fmt.Sprintf("%ds", seconds)
	}
}
