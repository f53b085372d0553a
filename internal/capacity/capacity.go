// Package capacity holds what a configuration asks of its accounts, and what they
// give: the modules say it of themselves, and the command `caddy freetier plan`
// shows it before anything runs.
//
// Each module that has quotas has a method Capacity() Report, which is called after
// Provision and needs neither a connection nor a count. The warnings are those that the
// same modules log at load.
package capacity

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"github.com/caddy-freetier/caddy-freetier/internal/ledger"
	"github.com/caddy-freetier/caddy-freetier/internal/quota"
)

// Month is how long a month is here: as long as the longest, so that what is enough for
// it is enough for all.
const Month = 31 * 24 * time.Hour

// Report is what one module says, or several with Add. Its JSON is that of `caddy
// freetier plan --json`.
type Report struct {
	Hours    []Hours  `json:"hours,omitempty"`
	Pings    []Pings  `json:"pings,omitempty"`
	Channels []Quota  `json:"channels,omitempty"` // keys of llm_gateway
	Clients  []Quota  `json:"clients,omitempty"`  // of llm_gateway
	DNS      []Quota  `json:"dns,omitempty"`      // upstreams of doh
	DNSUsers []Quota  `json:"dns_clients,omitempty"`
	Warnings []string `json:"warnings,omitempty"`
}

// Hours are those of one account in a period.
type Hours struct {
	Account string   `json:"account"`
	Targets []string `json:"targets"`
	Period  string   `json:"period"`
	Needed  float64  `json:"needed"` // to keep all targets awake while their windows are open
	Given   float64  `json:"given"`
	Fits    string   `json:"fits,omitempty"` // what the hours are enough for, if they are too few
}

// Pings are those of one target.
type Pings struct {
	Target string `json:"target"`
	Every  string `json:"every"`
	Month  int64  `json:"month"` // how many there are in one, at most
	Quota  string `json:"quota,omitempty"`
}

// EachModel is the Model of a quota that every model has by itself.
const EachModel = "each"

// Quota is what each of some accounts gives, or a client is allowed.
type Quota struct {
	Name  string `json:"name"`            // of the channel, the upstream or the client
	Count int    `json:"count"`           // of the accounts that have it each
	Each  string `json:"each,omitempty"`  // as the Caddyfile has it; empty: none
	Model string `json:"model,omitempty"` // EachModel, or the one that it is of by itself
	Unit  string `json:"unit,omitempty"`
	// All is what all give in a period; with Model: of one model.
	All    int64  `json:"all,omitempty"`
	Period string `json:"period,omitempty"`
	Month  int64  `json:"month,omitempty"` // the same in a month

	// Shared names the count, if others may have the same one.
	Shared string `json:"-"`
}

// Of describes a quota. Of several accounts with a name they share one count.
//
// count is at least 1. A quota with an account's name (`quota 1000/day acme`) is one
// count, whoever else uses the name, so it is not multiplied.
func Of(name string, count int, q *quota.Quota) Quota {
	if q == nil {
		return Quota{Name: name, Count: count}
	}
	unit := q.Unit
	if unit == "" {
		unit = ledger.Requests
	}
	described := Quota{Name: name, Count: count, Each: q.String(), Unit: string(unit)}
	if q.Account != "" {
		described.Count, described.Shared = 1, fmt.Sprint(unit, " ", q.Period, " ", q.Account)
	}
	described.Period = string(q.Period)
	described.All, described.Month = times(q.Amount, int64(described.Count)), times(inMonth(q), int64(described.Count))
	return described
}

// most is more than anybody has, and what a product that is larger becomes: a quota may
// be written with any number that fits into 63 bits.
const most = 1 << 62

// times multiplies, up to most.
func times(amount, n int64) int64 {
	if amount > most/n {
		return most
	}
	return amount * n
}

// inMonth returns what a quota allows in a month of 31 days if each of its periods is
// used to the end: an upper bound, for a comparison of what is given with what is
// allowed.
func inMonth(q *quota.Quota) int64 {
	length := map[ledger.Period]time.Duration{
		ledger.Second: time.Second, ledger.Minute: time.Minute, ledger.Hour: time.Hour,
		ledger.Day: 24 * time.Hour, ledger.Month: Month,
	}[q.Period]
	return times(q.Amount, int64(Month/length))
}

// Total returns what some quotas of requests allow together in a month, and
// whether there is a bound at all: each name needs a quota, of which the smallest
// counts, and none by model.
//
// Quotas of tokens are no bound of requests and are passed over, as those of a model
// are: another model may have more. Of several names with one shared count that is
// added once.
func Total(quotas []Quota) (total int64, bounded bool) {
	least, shared := make(map[string]Quota), make(map[string]bool)
	var names []string
	for _, q := range quotas {
		if !slices.Contains(names, q.Name) {
			names = append(names, q.Name)
		}
		if q.Unit != string(ledger.Requests) || q.Model != "" {
			continue
		}
		if known, ok := least[q.Name]; !ok || q.Month < known.Month {
			least[q.Name] = q
		}
	}
	for _, name := range names {
		q, ok := least[name]
		if !ok {
			return 0, false
		}
		if q.Shared != "" && shared[q.Shared] {
			continue
		}
		shared[q.Shared] = true
		total += min(q.Month, most-total)
	}
	return total, len(names) > 0
}

// Warn adds a warning, with fields as for a log.
func (r *Report) Warn(text string, fields ...zap.Field) {
	values := zapcore.NewMapObjectEncoder()
	var about []string
	for _, f := range fields {
		f.AddTo(values)
		about = append(about, fmt.Sprintf("%s %v", strings.ReplaceAll(f.Key, "_", " "), values.Fields[f.Key]))
	}
	if len(about) > 0 {
		text += " (" + strings.Join(about, ", ") + ")"
	}
	r.Warnings = append(r.Warnings, text)
}

// Add adds what another module says.
func (r *Report) Add(other Report) {
	r.Hours = append(r.Hours, other.Hours...)
	r.Pings = append(r.Pings, other.Pings...)
	r.Channels = append(r.Channels, other.Channels...)
	r.Clients = append(r.Clients, other.Clients...)
	r.DNS = append(r.DNS, other.DNS...)
	r.DNSUsers = append(r.DNSUsers, other.DNSUsers...)
	r.Warnings = append(r.Warnings, other.Warnings...)
}

// List writes names as a sentence has them.
func List(names []string) string {
	if len(names) < 2 {
		return strings.Join(names, "")
	}
	last := len(names) - 1
	return strings.Join(names[:last], ", ") + " and " + names[last]
}
