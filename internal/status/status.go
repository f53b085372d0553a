// Package status is what a running configuration shows of itself: on the page of
// `status_page`, as its `status.json`, at `/freetier/status` of the admin API, and
// in `caddy freetier status`.
//
// Modules describe themselves. In Provision each registers a function that adds
// what it has to a Status, and another module asks for all of it:
//
//	app.Status().Describe(func(now time.Time, s *status.Status) { … })
//
// Nothing here is a secret, and no length depends on what clients send: keys are
// counted by state, and lists have a limit.
package status

import (
	"strings"
	"time"
)

// Version is that of the JSON. A field that is added does not change it.
const Version = 1

// Limits of lists. Of more than that the rest is only counted.
const (
	MaxNames     = 5  // of keys in a group
	MaxCooldowns = 10 // of a channel
	MaxGroups    = 20 // of a channel's keys
	MaxQuotas    = 20 // of a channel
	MaxClients   = 50
	MaxEvents    = 50
)

// Status is the state of a configuration. All times are in UTC.
type Status struct {
	Version   int       `json:"version"`
	Generated time.Time `json:"generated"`

	// Lists are in the order of the configuration, and empty rather than absent.

	Targets      []Target   `json:"targets"`       // of keepalive
	Accounts     []Account  `json:"accounts"`      // that give hours to targets
	Upstreams    []Upstream `json:"upstreams"`     // of fastest-swagger
	Channels     []Channel  `json:"channels"`      // of llm_gateway
	Clients      []Client   `json:"clients"`       // of llm_gateway, those with most requests first
	ClientsTotal int        `json:"clients_total"` // Clients has MaxClients of them
	DNS          DNS        `json:"dns"`           // of doh

	// Events are the last changes, the latest first.
	Events []Event `json:"events"`

	Receipt Receipt `json:"receipt"`
}

// New returns a Status of which nothing is known yet.
func New(now time.Time) *Status {
	return &Status{
		Version: Version, Generated: now.UTC(),
		Targets: []Target{}, Accounts: []Account{}, Upstreams: []Upstream{}, Channels: []Channel{}, Clients: []Client{},
		DNS:     DNS{Upstreams: []DNSUpstream{}, Clients: []DNSClient{}, Responses: []Count{}, Cache: []Count{}},
		Events:  []Event{},
		Receipt: Receipt{Models: []Priced{}},
	}
}

// The states of a target.
const (
	StateUnknown = "unknown" // not pinged yet
	StateUp      = "up"
	StateFailing = "failing" // not often enough to be down
	StateDown    = "down"
)

// Target is an instance that keepalive pings.
type Target struct {
	Name     string `json:"name"`
	Upstream string `json:"upstream"` // host and port
	State    string `json:"state"`    // unknown, up, failing or down
	Awake    *bool  `json:"awake"`    // null: not known

	LastPing   *time.Time `json:"last_ping"` // null: none yet
	LastStatus int        `json:"last_status"`
	LatencyMS  float64    `json:"latency_ms"`
	LastError  string     `json:"last_error"`
	Failures   int        `json:"failures"`  // in a row
	NextPing   *time.Time `json:"next_ping"` // null: none is planned
	Skipped    string     `json:"skipped"`   // why the last ping was left out; empty: it was not
	ColdStarts int        `json:"cold_starts"`

	// Account is the name of the one that its hours are of, empty for none.
	Account string `json:"account"`

	History History `json:"history"`
}

// Account gives hours of awake time to targets.
type Account struct {
	Name        string    `json:"name"`
	Targets     []string  `json:"targets"`
	UsedHours   float64   `json:"used_hours"`
	LimitHours  float64   `json:"limit_hours"`
	Renews      time.Time `json:"renews"`
	ColdStarts  int       `json:"cold_starts_met"`       // by users, in spite of the pings
	Avoided     int       `json:"cold_starts_avoided"`   // requests that found an instance awake because of a ping
	ExhaustedOn time.Time `json:"exhausted_on,omitzero"` // at today's rate; absent: not before it renews
}

// The reasons of the place of an upstream.
const (
	ReasonUnmeasurable = "unmeasurable" // its address depends on the request
	ReasonUnavailable  = "unavailable"  // Caddy holds it for that
	ReasonAsleep       = "asleep"
	ReasonNotLoaded    = "not_loaded"
	ReasonWaking       = "waking"
	ReasonMissing      = "missing" // it does not have the page
	ReasonFailing      = "failing"
	ReasonJustUp       = "just_up"
	ReasonSlower       = "slower"
	ReasonWithinMargin = "within_margin" // faster than the winner, but by less than the margin
	ReasonFastest      = "fastest"
	ReasonKept         = "kept" // the winner, and another is faster by less than the margin
	ReasonOnly         = "only" // that passes
)

// Upstream is one that fastest-swagger ranks.
type Upstream struct {
	Name      string     `json:"name"`
	Page      string     `json:"page"`
	Pool      int        `json:"pool"`     // upstreams of one pool compete
	Winner    bool       `json:"winner"`   // of its pool
	State     string     `json:"state"`    // awake, asleep, waking or unknown
	ScoreMS   *float64   `json:"score_ms"` // null: not measured yet
	LastMS    *float64   `json:"last_load_ms"`
	LastLoad  *time.Time `json:"last_load"`
	Failures  int        `json:"failures"` // in a row
	LastError string     `json:"last_error"`
	Reason    string     `json:"reason"` // of its place, in one word
	Why       string     `json:"why"`    // the same in a sentence

	History History `json:"history"`
}

// Channel is an account, or several alike, at a provider.
type Channel struct {
	Name        string     `json:"name"`
	Host        string     `json:"host"`
	Tier        int        `json:"tier"`
	Attempts    int64      `json:"attempts"`
	Answered    int64      `json:"answered"`
	Refused     int64      `json:"refused"`
	LastRefusal *Refusal   `json:"last_refusal"` // null: none
	Keys        Keys       `json:"keys"`
	Cooldowns   []Cooldown `json:"cooldowns"` // of the channel itself
	Quotas      []Quota    `json:"quotas"`    // of all its keys together
}

// Refusal is what a provider has said last instead of answering.
type Refusal struct {
	At     time.Time `json:"at"`
	Status int       `json:"status"`
	Scope  string    `json:"scope"`
	Reason string    `json:"reason"`
}

// Keys counts the keys of a channel by their state.
type Keys struct {
	Total  int        `json:"total"`
	Usable int        `json:"usable"`
	Groups []KeyGroup `json:"groups"` // those that are not, or not for all models
}

// The states of keys.
const (
	KeyDead      = "dead"
	KeyCooldown  = "cooldown"
	KeyPartly    = "partly" // in cooldown for some models
	KeyExhausted = "exhausted"
)

// KeyGroup is the keys in one state for one reason.
type KeyGroup struct {
	State  string    `json:"state"` // dead, cooldown, partly or exhausted
	Reason string    `json:"reason"`
	Count  int       `json:"count"`
	Names  []string  `json:"names"`          // MaxNames of them, by their last characters
	Until  time.Time `json:"until,omitzero"` // when the first of them may be used again
}

// Cooldown is one of a channel, for a model or for all.
type Cooldown struct {
	Model  string    `json:"model"` // empty: all
	Until  time.Time `json:"until"`
	Reason string    `json:"reason"`
}

// Quota is what a provider gives, or a limit of a client.
type Quota struct {
	Model  string    `json:"model"` // that it is of by itself; empty: of all together
	Unit   string    `json:"unit"`
	Period string    `json:"period"`
	Limit  int64     `json:"limit"`
	Used   int64     `json:"used"`
	Renews time.Time `json:"renews"`

	ExhaustedOn time.Time `json:"exhausted_on,omitzero"` // at today's rate; absent: not before it renews
}

// Client is one of llm_gateway.
type Client struct {
	Name     string  `json:"name"`
	Requests int64   `json:"requests_today"`
	Tokens   int64   `json:"tokens_today"`
	Limits   []Quota `json:"limits"`
}

// DNS is what doh does, since the start of the process.
type DNS struct {
	Upstreams []DNSUpstream `json:"upstreams"`
	Clients   []DNSClient   `json:"clients"`
	Responses []Count       `json:"responses"` // by response code
	Cache     []Count       `json:"cache"`     // by what it made of a query
}

// DNSUpstream is an account that doh asks.
type DNSUpstream struct {
	Name          string     `json:"name"`
	Tier          int        `json:"tier"`
	Queries       int64      `json:"queries"`
	Failures      int64      `json:"failures"`
	LatencyMS     float64    `json:"latency_ms"`
	LastError     string     `json:"last_error"`
	CooldownUntil *time.Time `json:"cooldown_until"` // null: none
	Quota         *Quota     `json:"quota"`          // null: none
}

// DNSClient is a person with a path or a host name of their own.
type DNSClient struct {
	Name    string  `json:"name"`
	Queries int64   `json:"queries"`
	Limited int64   `json:"limited"` // not answered because a limit was reached
	Limits  []Quota `json:"limits"`
}

// Count is how often something was.
type Count struct {
	Name  string `json:"name"`
	Count int64  `json:"count"`
}

// The kinds of events.
const (
	EventDown      = "down"
	EventUp        = "up"
	EventColdStart = "cold_start"
	EventHoursLow  = "hours_low"
	EventWinner    = "winner"
	EventKey       = "key" // in cooldown for all models, such as a dead one
	EventUnhealthy = "unhealthy"
	EventHealthy   = "healthy"
)

// Event is a change of something.
type Event struct {
	At      time.Time `json:"at"`
	Kind    string    `json:"kind"`
	Subject string    `json:"subject"`
	Message string    `json:"message"`
}

// History is what pings or loads have shown, as long as it was recorded.
type History struct {
	// Day is the last 24 hours, one character for each half an hour, the latest
	// last: `.` all were well, `c` one found it asleep, `~` some failed, `x` all
	// failed, `-` there was none.
	Day string `json:"day"`

	// Latencies are the mean latencies in milliseconds of the last 24 hours, one
	// for each half an hour; null where there is none. Empty where there is none
	// at all.
	Latencies []*float64 `json:"latencies"`

	// The share of those that were well, from 0 to 1. Null: there was none.
	UptimeDay   *float64 `json:"uptime_day"`
	UptimeMonth *float64 `json:"uptime_month"`
}

// Slots is how many half hours a History has.
const Slots = 48

// NoHistory returns a history in which nothing was recorded.
func NoHistory() History {
	return History{Day: strings.Repeat("-", Slots), Latencies: []*float64{}}
}

// Receipt is what was used, and what it would have cost.
type Receipt struct {
	Since  time.Time `json:"since,omitzero"` // the first day of the month
	Models []Priced  `json:"models"`
	Total  float64   `json:"total"`
}

// Priced is the use of models with a price.
type Priced struct {
	Channel      string  `json:"channel"`
	Model        string  `json:"model"`
	InputTokens  int64   `json:"input_tokens"`
	OutputTokens int64   `json:"output_tokens"`
	InputPrice   float64 `json:"input_price"`  // for a million tokens
	OutputPrice  float64 `json:"output_price"` // for a million tokens
	Amount       float64 `json:"amount"`
}
