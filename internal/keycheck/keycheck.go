// Package keycheck defines the results of a check of API keys. llm_gateway makes the
// check, and the command `caddy freetier check` shows it. The results are sent as
// lines of JSON, of which the first is a Start and each other one a Result:
//
//	{"keys": 2}
//	{"channel": "groq", "key": "…wxyz", "model": "llama-3.3-70b", "verdict": "good", "status": 200, "milliseconds": 210}
package keycheck

import "time"

// Verdict is the state of a key in a check.
type Verdict string

// The verdicts.
const (
	Good        Verdict = "good"
	Dead        Verdict = "dead"
	NoCredit    Verdict = "no credit"
	Limited     Verdict = "limited"
	NotInPlan   Verdict = "not in plan"
	Overloaded  Verdict = "overloaded"
	NoModel     Verdict = "unknown model"
	Blocked     Verdict = "blocked" // the provider does not serve this address
	Failing     Verdict = "failing"
	Unreachable Verdict = "unreachable"
	Unclear     Verdict = "unclear"
)

// Start is the first line: how many keys are checked.
type Start struct {
	Keys int `json:"keys"`
}

// Result is the result for one key.
type Result struct {
	Channel string `json:"channel"`

	// Key is an ellipsis and the last four characters of the key.
	Key string `json:"key"`

	// Model is the model that was called, by the channel's name for it. Empty if
	// the provider has an endpoint that checks the key itself.
	Model   string  `json:"model,omitempty"`
	Verdict Verdict `json:"verdict"`

	// Reason is the reason of the refusal, as in docs/refusals.md.
	Reason string `json:"reason,omitempty"`

	// Status is the status of the response. 0: there was none.
	Status int `json:"status,omitempty"`

	// Until is when the key can be used again, if the provider states it or its
	// quota is renewed then. Zero: unknown.
	Until time.Time `json:"until,omitzero"`

	// Milliseconds is how long the last call took.
	Milliseconds int64 `json:"milliseconds"`
}
