package refusal

import "net/http"

// Settle says what two attempts of one request at the same channel record,
// when the first one asked for a second opinion: [KindUnclear], [KindChannel],
// and [KindModel] or [KindDegraded] with AskAnotherKey. second is the verdict
// on another key; for an unclear first it must be one of another account. What
// comes back takes the place of the verdicts. One of [KindRequest] or
// [KindRequestHere] records nothing.
//
// The principle: what both keys get is about the request or the channel, not
// about a key; what only one of them gets may be about that key. What a client
// can cause by what it sends never becomes a cooldown of a key.
func Settle(first, second Verdict) (Verdict, Verdict) {
	switch {
	case first.Reason == ReasonConfigured:
		return first, second // the user knows better
	case first.Kind == KindUnclear:
		return settleUnclear(first, second)
	case first.Kind == KindChannel:
		return settleFailure(first, second)
	case first.AskAnotherKey:
		return settleModel(first, second)
	}
	return first, second
}

// settleUnclear: the same refusal of two accounts is the request's, or, as a
// 429, everybody's. When the second one is answered, the first key is suspect.
// Anything else is no opinion on the first key, which stays unclear: a short
// cooldown of the key for this model.
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
			// Two unclear refusals, and nobody left to ask. One key at most
			// pays for it.
			return first, second.asRequestHere()
		}
		if first.Status == http.StatusTooManyRequests {
			return first.asRequestHere(), second.asCapacity()
		}
		return first.asRequestHere(), second.asRequestHere()
	}
	return first, second
}

// settleFailure: the same response from two keys means that the request makes
// the backend fail. A proxy's response says only that the backend was not
// reached, so it still counts, once.
func settleFailure(first, second Verdict) (Verdict, Verdict) {
	if second.Kind != KindChannel || !first.sameAs(second) {
		return first, second
	}
	if isProxyFailure(first.Status) {
		return first, second.asRequestHere()
	}
	return first.asRequestHere(), second.asRequestHere()
}

func isProxyFailure(status int) bool {
	switch status {
	case http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		return true
	}
	return status >= 520 && status <= 530
}

// settleModel: a model that two accounts do not have is missing on the channel,
// which is recorded once. If another account was answered, or refused for
// another reason, this account does not have it.
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

// sameAs reports whether two verdicts are on the same response. Without a
// response there is nothing to compare.
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
