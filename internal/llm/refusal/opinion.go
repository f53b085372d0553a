package refusal

import "net/http"

// Settle returns the verdicts to record for two attempts of one request at the
// same channel, where the first one asked for a second opinion: [KindUnclear],
// [KindChannel], and [KindModel] or [KindDegraded] with AskAnotherKey. second is
// the verdict on another key, which for an unclear first must belong to another
// account. A returned verdict of [KindRequest] or [KindRequestHere] puts nothing
// in cooldown.
//
// The principle: a response that both keys get is about the request or the
// channel; a response that only one of them gets may be about that key. So no
// content of a request can put a key in cooldown.
//
//	first          second                    recorded for the first, the second
//	unclear        answered                  suspect, –
//	unclear        about the request         request here, as it is
//	unclear        the same unclear          request here, request here (a 429: capacity)
//	unclear        another unclear           as it is, request here
//	failing        the same failure          request here, request here (a proxy's: once)
//	model, ask     the same for the model    as it is, request here
//	model, ask     about the request         request here, as it is
//	model, ask     anything else             not in this account's plan, as it is
func Settle(first, second Verdict) (Verdict, Verdict) {
	switch {
	case first.Reason == ReasonConfigured:
		return first, second // the user's own rule is definite
	case first.Kind == KindUnclear:
		return settleUnclear(first, second)
	case first.Kind == KindChannel:
		return settleFailure(first, second)
	case first.AskAnotherKey:
		return settleModel(first, second)
	}
	return first, second
}

// settleUnclear settles a first refusal that no rule matched. If two accounts get
// the same, the request is the cause, or for a 429 a limit of the model for
// everybody. If the second account is answered, the first key is suspect. Any
// other second verdict is about the second key only; the first stays unclear,
// which is a short cooldown of the key for this model.
func settleUnclear(first, second Verdict) (Verdict, Verdict) {
	switch second.Scope() {
	case ScopeAnswered:
		first.Kind = KindSuspect
		first.ClientStatus = clientStatus(first.Kind, first.Status)
		return first, second
	case ScopeRequest, ScopeRequestHere:
		return first.asRequestHere(), second
	case ScopeUnclear:
		if !first.sameAs(second) {
			// Two different unclear refusals, and no third account is asked. At
			// most one key goes into cooldown.
			return first, second.asRequestHere()
		}
		if first.Status == http.StatusTooManyRequests {
			return first.asRequestHere(), second.asCapacity()
		}
		return first.asRequestHere(), second.asRequestHere()
	}
	return first, second
}

// settleFailure settles a first response of a failing server. The same response
// to two keys means that the request makes the backend fail. A proxy's response
// only means that the backend was not reached, so it counts as a failure of the
// channel, once.
func settleFailure(first, second Verdict) (Verdict, Verdict) {
	if second.Kind != KindChannel || !first.sameAs(second) {
		return first, second
	}
	if isProxyFailure(first.Status) {
		return first, second.asRequestHere()
	}
	return first.asRequestHere(), second.asRequestHere()
}

// isProxyFailure reports whether a status is a gateway's, or one of Cloudflare's
// own for an origin that it cannot reach (520 to 530).
func isProxyFailure(status int) bool {
	switch status {
	case http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		return true
	}
	return status >= 520 && status <= 530
}

// settleModel settles a model that may be missing for one account only. If two
// accounts do not have it, the channel does not, which is recorded once. If the
// other account is answered, or refused for another reason, the first account's
// plan does not include the model.
func settleModel(first, second Verdict) (Verdict, Verdict) {
	switch second.Scope() {
	case ScopeChannelModel:
		return first, second.asRequestHere()
	case ScopeRequest, ScopeRequestHere:
		return first.asRequestHere(), second
	}
	first.Kind, first.Reason = KindPlan, ReasonPlan
	first.AskAnotherKey = false
	return first, second
}

// sameAs reports whether two verdicts are on the same response. Attempts without
// a response have a fingerprint of 0 and are never the same.
func (v Verdict) sameAs(other Verdict) bool {
	return v.Fingerprint != 0 && v.Fingerprint == other.Fingerprint
}

func (v Verdict) asRequestHere() Verdict {
	v.Kind = KindRequestHere
	return v
}

func (v Verdict) asCapacity() Verdict {
	v.Kind, v.Reason = KindCapacity, ReasonRateLimit
	return v
}
