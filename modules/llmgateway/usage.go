package llmgateway

import (
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/caddy-freetier/caddy-freetier/internal/ledger"
)

// usageDays is how many days GET /v1/usage covers. The ledger keeps two months.
const usageDays = 31

// isOwn reports whether the gateway itself answers at the endpoint.
func (e *endpoint) isOwn() bool { return e.isModelList() || e == usageEndpoint }

// serveOwn serves what no channel is asked for. It is not charged; a limit of its
// own holds.
func (g *gateway) serveOwn(w http.ResponseWriter, r *http.Request, q *request) {
	if full := q.client.auxiliary.charge(g.clock.Now()); full != nil {
		q.refuse(w, r, full)
		return
	}
	if q.location.endpoint == usageEndpoint {
		w.Header().Set("Cache-Control", "no-store")
		writeJSON(w, q.client.usage(g.usedNames, g.clock.Now()))
		return
	}
	if !g.auth.anonymous {
		g.tiers.wake(q.client)
	}
	g.models.serve(w, r, q.client, modelID(r.URL.Path))
}

// clientUsage is what GET /v1/usage shows a client of itself.
type clientUsage struct {
	Object string `json:"object"` // always "usage"
	Client string `json:"client"`
	// Models are those that the client may use. Without any it may use all.
	Models  []string     `json:"models,omitempty"`
	Expires time.Time    `json:"expires,omitzero"`
	Limits  []limitState `json:"limits"`
	// Days are those of UTC on which the client has used something, the latest
	// first.
	Days []usageDay `json:"days"`
}

// limitState is a limit, and what is left of it.
type limitState struct {
	quotaState
	Period ledger.Period `json:"period"`
}

type usageDay struct {
	Date   string       `json:"date"` // 2026-11-27
	Models []usageModel `json:"models"`
}

// usageModel is what was used of a model on a day. Model is a name, or the
// pattern that has matched it.
type usageModel struct {
	Model    string `json:"model"`
	Requests int64  `json:"requests"`
	Tokens   int64  `json:"tokens"`
}

// usage describes the client's limits, and what it has used.
//
// It is the client's own view: no channel, no key and no other client is in it.
func (c *Client) usage(names *usedNames, now time.Time) clientUsage {
	usage := clientUsage{Object: "usage", Client: c.Name, Models: c.Models, Limits: []limitState{}, Days: c.uses.days(names, now)}
	if c.listed != nil {
		usage.Expires = c.listed.Expires
	}
	for _, m := range c.requests {
		usage.Limits = append(usage.Limits, limitState{newQuotaState(ledger.Requests, m), m.Period()})
	}
	for _, m := range c.tokens {
		usage.Limits = append(usage.Limits, limitState{newQuotaState(ledger.Tokens, m), m.Period()})
	}
	return usage
}

// days returns what was used on each of the last days.
//
// The ledger is asked by the names of the present configuration. What was used of a
// model that has left it is not shown.
func (u *uses) days(names *usedNames, now time.Time) []usageDay {
	used := make(map[time.Time]map[string]*usageModel)
	at := func(day time.Time, model string) *usageModel {
		if used[day] == nil {
			used[day] = make(map[string]*usageModel)
		}
		if used[day][model] == nil {
			used[day][model] = &usageModel{Model: model}
		}
		return used[day][model]
	}
	earliest := now.AddDate(0, 0, -usageDays)
	for _, model := range names.all() {
		for day, n := range u.ledger.History(u.name(model), ledger.Requests, ledger.Day, time.UTC) {
			at(day, model).Requests = n
		}
		for day, n := range u.ledger.History(u.name(model), ledger.Tokens, ledger.Day, time.UTC) {
			at(day, model).Tokens = n
		}
	}
	days := []usageDay{}
	for date, models := range used {
		if !date.After(earliest) {
			continue
		}
		day := usageDay{Date: date.Format(time.DateOnly)}
		for _, m := range models {
			day.Models = append(day.Models, *m)
		}
		slices.SortFunc(day.Models, func(a, b usageModel) int { return strings.Compare(a.Model, b.Model) })
		days = append(days, day)
	}
	slices.SortFunc(days, func(a, b usageDay) int { return strings.Compare(b.Date, a.Date) })
	return days
}
