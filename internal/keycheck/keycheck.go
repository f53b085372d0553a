// Package keycheck holds what a check of keys says: llm_gateway makes it, and the
// command `caddy freetier check` shows it. It goes from one to the other as lines
// of JSON: the first one is a Start, each of the others a Result.
package keycheck

import "time"

// Verdict is what a check has found out about a key, in a few words.
type Verdict string

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

// Start says how many keys are checked.
type Start struct {
	Keys int `json:"keys"`
}

// Result is what came of the check of a key.
type Result struct {
	Channel string `json:"channel"`
	// Key are the last four characters of the key, behind an ellipsis.
	Key string `json:"key"`
	// Model is what was asked, as the channel calls it. Without one the provider
	// was asked about the key itself.
	Model   string  `json:"model,omitempty"`
	Verdict Verdict `json:"verdict"`
	// Reason is the classifier's, in its words, as in docs/refusals.md.
	Reason string `json:"reason,omitempty"`
	// Status is that of the response, 0 if there was none.
	Status int `json:"status,omitempty"`
	// Until is when the key can be used again, if the provider has said so or its
	// quota renews then.
	Until time.Time `json:"until,omitzero"`
	// Milliseconds is how long the last call took.
	Milliseconds int64 `json:"milliseconds"`
}
