package refusal

import (
	"net/http"
	"time"
)

// Input is a response or an error inside one, and what is known about its request.
type Input struct {
	// Status is the response's status.
	Status int

	// Header is the response's header. Content-Type, Retry-After and the
	// headers about limits are read.
	Header http.Header

	// Body is the beginning of the response's body, without content coding, or
	// the data of one event. At most 32 KB are read.
	Body []byte

	// InStream reports whether Body is the data of an event. Such an error has no
	// status of its own.
	InStream bool

	// Dialect is the API that the channel speaks. It is needed to find output in
	// a response with status 200.
	Dialect Dialect

	// Provider selects the rules of one provider, besides those for all. It may
	// be empty; see [ProviderOf].
	Provider Provider

	// Model is the requested model, as it was sent to the channel.
	Model string

	// Now is the time from which cooldowns are counted.
	Now time.Time

	// MaxCooldown bounds the stated reset of a rate limit. Default: one hour.
	MaxCooldown time.Duration

	// Rules are the user's own rules, which come first.
	Rules []UserRule
}

// longestBody is how much of a body is read. Errors are small; pages and
// validation errors that repeat the request are not.
const longestBody = 32 << 10

// Reason is why a response was refused, in one of a fixed set of words; see
// [Reasons]. So it can be the label of a metric.
type Reason string

const (
	ReasonNone         Reason = ""
	ReasonContent      Reason = "content policy"
	ReasonInvalid      Reason = "invalid request"
	ReasonContext      Reason = "context length"
	ReasonTooLarge     Reason = "request too large"
	ReasonMaxTokens    Reason = "max_tokens too high"
	ReasonUnsupported  Reason = "unsupported parameter"
	ReasonEndpoint     Reason = "unsupported endpoint"
	ReasonClient       Reason = "unsupported client"
	ReasonDead         Reason = "dead key" //nolint:gosec // not a credential
	ReasonNoCredit     Reason = "no credit"
	ReasonRateLimit    Reason = "rate limit"
	ReasonDayQuota     Reason = "day quota"
	ReasonMonthQuota   Reason = "month quota"
	ReasonUsageLimit   Reason = "usage limit"
	ReasonPlan         Reason = "not in plan"
	ReasonOverloaded   Reason = "overloaded"
	ReasonUnknownModel Reason = "unknown model"
	ReasonWithdrawn    Reason = "withdrawn model"
	ReasonNoFreeTier   Reason = "no free tier"
	ReasonDegraded     Reason = "degraded model"
	ReasonServerError  Reason = "server error"
	ReasonTimeout      Reason = "timeout"
	ReasonNetwork      Reason = "network error"
	ReasonNoOutput     Reason = "no output"
	ReasonRedirect     Reason = "redirect"
	ReasonNotAPI       Reason = "not an API response"
	ReasonRegion       Reason = "region"
	ReasonChallenge    Reason = "challenge page"
	ReasonBlocked      Reason = "address blocked"
	ReasonUnclear      Reason = "unclear"
	ReasonConfigured   Reason = "configured"
)

// Reasons returns all reasons except the empty one.
func Reasons() []Reason {
	return []Reason{
		ReasonContent, ReasonInvalid, ReasonContext, ReasonTooLarge, ReasonMaxTokens, ReasonUnsupported,
		ReasonEndpoint, ReasonClient, ReasonDead, ReasonNoCredit, ReasonRateLimit, ReasonDayQuota,
		ReasonMonthQuota, ReasonUsageLimit, ReasonPlan, ReasonOverloaded, ReasonUnknownModel,
		ReasonWithdrawn, ReasonNoFreeTier, ReasonDegraded, ReasonServerError, ReasonTimeout,
		ReasonNetwork, ReasonNoOutput, ReasonRedirect, ReasonNotAPI, ReasonRegion, ReasonChallenge,
		ReasonBlocked, ReasonUnclear, ReasonConfigured,
	}
}

// Verdict is the meaning of a response.
type Verdict struct {
	Kind   Kind
	Reason Reason

	// Rule is the name of the rule that decided, as in docs/refusals.md.
	Rule string

	// NamedByField reports whether a field, and not a text, names a dead key or
	// an exhausted quota of a day or longer. Such a key does not count towards
	// the keys that one request may try and put in cooldown.
	NamedByField bool

	// AskAnotherKey reports whether the model may be missing for this account
	// only.
	AskAnotherKey bool

	// Models is the pattern of the models that share the quota: empty for the
	// requested model, "*" for all models of the key, "*:free" for OpenRouter's
	// free ones.
	Models string

	// Until is the end of the cooldown, from a time that the provider states or
	// from a quota whose reset is known. Zero: the policy decides.
	Until time.Time

	// Hint is the time that the provider states, before it is bounded.
	Hint Hint

	// Zone is the time zone of the exhausted quota's day. Empty: unknown.
	Zone string

	// Length is the cooldown that a rule of the user gives. It replaces the
	// policy's and starts at the first response. Zero: none is given.
	Length time.Duration

	// Message is the provider's message, not masked. It may repeat a part of a
	// key or of the prompt: only the client of this request may see it, after
	// masking, and no log.
	Message string

	// Status is the status that the response stands for: its own or, for an
	// error inside a 200, that of the error. 502 if the error gives none.
	Status int

	// ClientStatus is the status for the client if no candidate is left.
	ClientStatus int

	// Fingerprint is equal for two refusals that differ only in ids, times and
	// keys. Zero: there was no response.
	Fingerprint uint64
}

// Scope returns the subject of the refusal.
func (v Verdict) Scope() Scope { return v.Kind.Scope() }

// ClientCode returns the error code for the client, and "" if the provider's own
// is used. A refused key of the gateway gets a code of its own, so that no agent
// takes it for the client's key.
func (v Verdict) ClientCode() string {
	if v.ClientStatus == http.StatusServiceUnavailable && (v.Scope() == ScopeKey || v.Scope() == ScopeUnclear) {
		return "channel_key_refused"
	}
	return ""
}

// MoreUseful returns the one of two refusals that the client gets when no
// candidate is left: one about its request if there is one, else the later one.
func MoreUseful(earlier, later Verdict) Verdict {
	rank := func(v Verdict) int {
		switch v.Scope() {
		case ScopeRequest:
			return 2
		case ScopeRequestHere:
			return 1
		}
		return 0
	}
	if rank(earlier) > rank(later) {
		return earlier
	}
	return later
}

// Cooldown returns the end of the target's cooldown. last is the length of the
// previous one, zero if there was none; configured is the gateway's option
// `cooldown`. stated reports whether the end comes from the provider or the user,
// and not from the policy.
func (v Verdict) Cooldown(now time.Time, last, configured time.Duration) (until time.Time, stated bool) {
	switch {
	case v.Length > 0:
		return now.Add(v.Length), true
	case v.Until.After(now):
		return v.Until, true
	}
	return now.Add(v.Kind.Policy().Cooldown.Following(last, configured)), false
}

// NoResponse is the verdict on an attempt without a response: after a timeout, or
// after another network error.
func NoResponse(timeout bool) Verdict {
	v := Verdict{
		Kind: KindChannel, Reason: ReasonNetwork, Rule: "network error",
		Status: http.StatusBadGateway, ClientStatus: http.StatusBadGateway,
	}
	if timeout {
		v.Reason, v.Rule = ReasonTimeout, "timeout"
		v.Status, v.ClientStatus = http.StatusGatewayTimeout, http.StatusGatewayTimeout
	}
	return v
}

// NoOutput is the verdict on a response that ended without output.
func NoOutput() Verdict {
	return Verdict{
		Kind: KindChannel, Reason: ReasonNoOutput, Rule: "no output", Status: http.StatusOK,
		ClientStatus: http.StatusBadGateway, Fingerprint: fingerprintNoOutput,
	}
}
