package refusal

import (
	"net/http"
	"time"
)

// Input is a response, or an error inside one, as far as it has been read.
type Input struct {
	// Status is the response's status.
	Status int

	// Header is the response's header. Content-Type, Retry-After and the
	// headers about limits are read.
	Header http.Header

	// Body is the beginning of the response's body, decoded if it had a content
	// coding, or the data of one event. At most 32 KB are looked at.
	Body []byte

	// InStream says that Body is the data of an event, which has no status of
	// its own.
	InStream bool

	// Dialect is what the channel speaks. It matters for output inside a 200.
	Dialect Dialect

	// Provider is whose rules apply besides those for everybody. It may be
	// empty; see [ProviderOf].
	Provider Provider

	// Model is the model that was asked for, as it was sent.
	Model string

	// Now is the time, for cooldowns.
	Now time.Time

	// MaxCooldown is how far the reset of a rate limit is believed.
	// Default: one hour.
	MaxCooldown time.Duration

	// Rules are the user's own rules, which come first.
	Rules []UserRule
}

// longestBody is how much of a body is looked at.
const longestBody = 32 << 10

// Reason says in standard words why a response was refused. It is one of
// [Reasons], so it can be a metric's label.
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
	ReasonDead         Reason = "dead key"
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

// Reasons returns every reason there is, but the empty one.
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

// Verdict is what a response means.
type Verdict struct {
	Kind   Kind
	Reason Reason

	// Rule is the name of the rule that decided, as in docs/refusals.md.
	Rule string

	// NamedByField says that a field, not a text, named a dead key or an
	// exhausted quota of a day or longer. Such a key does not count towards the
	// keys that one request may try and put in cooldown.
	NamedByField bool

	// AskAnotherKey says that the model may be missing for this account only.
	AskAnotherKey bool

	// Models is the pattern of the models that share the quota: empty for the
	// model that was asked for, "*" for all models of the key.
	Models string

	// Until is when the cooldown ends, if the provider said so by a time that
	// is believed or by a quota whose reset is known. Zero: by the policy.
	Until time.Time

	// Hint is the time that the provider stated, before it was limited.
	Hint Hint

	// Zone is where the day of the exhausted quota ends, if that is known.
	Zone string

	// Length is a cooldown that a rule of the user gives. It takes the place of
	// the policy's and starts at once.
	Length time.Duration

	// Message is the provider's message, not masked. It may repeat a part of a
	// key or of the prompt: it is for the client that asked, after masking, and
	// for nobody else.
	Message string

	// Status is what the response stands for: its own status or, for an error
	// inside a 200, that of the error, if it gives one.
	Status int

	// ClientStatus is the status for the client if nothing better is left.
	ClientStatus int

	// Fingerprint tells the same refusal again, whatever ids, times and keys it
	// contains. It is zero when there was no response.
	Fingerprint uint64
}

// Scope returns whom the refusal is about.
func (v Verdict) Scope() Scope { return v.Kind.Scope() }

// ClientCode returns the code of the error for the client, where it is not the
// provider's own.
func (v Verdict) ClientCode() string {
	if v.ClientStatus == http.StatusServiceUnavailable && (v.Scope() == ScopeKey || v.Scope() == ScopeUnclear) {
		return "channel_key_refused"
	}
	return ""
}

// MoreUseful returns which of two refusals the client gets when nothing is
// left: one about its request if there was one, else the later one.
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

// Cooldown returns until when the target is put in cooldown. last is the
// length of the one before, zero if there was none, and configured the
// gateway's option `cooldown`. stated says that the time is not a guess of ours.
func (v Verdict) Cooldown(now time.Time, last, configured time.Duration) (until time.Time, stated bool) {
	switch {
	case v.Length > 0:
		return now.Add(v.Length), true
	case v.Until.After(now):
		return v.Until, true
	}
	return now.Add(v.Kind.Policy().Cooldown.Following(last, configured)), false
}

// NoResponse is the verdict on an attempt that got no response: a time-out, or
// another error of the network.
func NoResponse(timeout bool) Verdict {
	v := Verdict{
		Kind: KindChannel, Reason: ReasonNetwork, Rule: "network error",
		Status: http.StatusBadGateway, ClientStatus: http.StatusBadGateway,
	}
	if timeout {
		v.Reason, v.Rule = ReasonTimeout, "time-out"
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
