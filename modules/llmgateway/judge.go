package llmgateway

import (
	"net/http"

	"go.uber.org/zap"
)

// judge records what a response with this status says about the key and the
// channel.
func (as *attempts) judge(a *attempt, status int) {
	outcomes := &a.candidate.channel.attempts
	switch {
	case status >= 500 || status == http.StatusRequestTimeout:
		outcomes.failed.Inc()
		as.recordChannelFailure()
	case status == http.StatusUnauthorized || status == http.StatusPaymentRequired || status == http.StatusForbidden:
		outcomes.refused.Inc()
		as.recordRefusal(status)
	case status == http.StatusTooManyRequests:
		outcomes.limited.Inc()
		as.recordRateLimit(status)
	case status >= 400:
		// The client's mistake, which says nothing about the key.
		outcomes.answered.Inc()
		as.recordReachable()
		a.candidate.releaseKey()
		return
	default:
		outcomes.answered.Inc()
		as.recordSuccess()
		return
	}
	a.log("refused", zap.Int("status", status))
}

// recordFailure is for an attempt without a response, which is nobody's failure
// when the client has left.
func (as *attempts) recordFailure(a *attempt, req *http.Request, err error) {
	if req.Context().Err() != nil {
		return
	}
	a.candidate.channel.attempts.failed.Inc()
	if as.model != "" || redirectReason(err) == "" {
		as.recordChannelFailure()
	} else {
		a.candidate.release() // a path that redirects says nothing about the channel
	}
	a.log("no response", zap.Error(err))
}

// putChannelLast puts the other keys of the current channel, which has failed,
// behind all others.
func (as *attempts) putChannelLast() {
	for i := range as.candidates {
		if as.candidates[i].channel == as.current.candidate.channel {
			as.candidates[i].last = true
		}
	}
}
