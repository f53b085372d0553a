package llmgateway

import (
	"errors"
	"net/http"

	"go.uber.org/zap"
)

// attempts are what could answer a request, in order, and what has been tried. They
// belong to the request's goroutine.
type attempts struct {
	*request

	candidates candidates
	claimed    *candidate // of the next attempt, if there is one

	count    int      // of the attempts so far
	current  *attempt // the last one, once count is above 0
	first    attempt  // room for it, which is mostly the only one
	deferred *attempt // was refused; its response is open, in case nothing better comes
	// notSwitched is what a channel gave instead of another protocol.
	notSwitched *http.Response
	refusals    []refusals

	delivered delivery
	charged   charges
}

// newAttempts returns the attempts of a request before its candidates are known.
func newAttempts(q *request) *attempts { return &attempts{request: q} }

// prepare does all that comes before the first attempt.
func (as *attempts) prepare(w http.ResponseWriter, r *http.Request) *apiError {
	now := as.gateway.clock.Now()
	if err := as.client.check(w, r, now); err != nil {
		return err
	}
	if err := as.read(w, r); err != nil {
		return err
	}
	if err := as.plan(r, w); err != nil {
		return err
	}
	return as.admit(w, now)
}

var errExhausted = errors.New("the key's quota is exhausted")

// roundTrip tries one candidate after the other until one gives a response that
// no other candidate may better. It returns an error only when the client has
// left; when no channel could be reached, the response is an error of ours.
func (as *attempts) roundTrip(req *http.Request) (*http.Response, error) {
	for {
		a := as.startNext()
		err := as.make(a, req)
		if left := req.Context().Err(); left != nil {
			if err == nil {
				a.res.Body.Close()
			} else {
				a.candidate.release()
			}
			return nil, left
		}
		if err == nil && !as.gateway.retryOn.contain(a.status) {
			return a.res, nil
		}
		retry := as.claimNext()
		switch {
		case !retry && err == nil:
			return a.res, nil
		case !retry:
			return as.bestRefusal(req, err), nil
		case err == nil:
			as.deferResponse(a)
		}
	}
}

// make makes one attempt and records what its outcome says about the key and the
// channel.
func (as *attempts) make(a *attempt, req *http.Request) error {
	if key := a.candidate.key; key != nil && key.chargeRequest() != nil {
		// Another request took the last one.
		a.candidate.release()
		a.log("no response", zap.Error(errExhausted))
		return errExhausted
	}
	a.awaitInstance(req.Context())
	err := a.send(req)
	if err == nil {
		err = a.receive(func(event []byte) { as.judge(a, statusInside200(event, true)) })
	}
	if err != nil {
		as.recordFailure(a, req, err)
		return err
	}
	as.judge(a, a.status)
	a.sign()
	return nil
}

// bestRefusal returns the response for the client when no candidate is left and
// the last attempt got none: that of the last candidate that refused, or an
// error of ours.
func (as *attempts) bestRefusal(req *http.Request, last error) *http.Response {
	if a := as.deferred; a != nil {
		as.deferred = nil
		as.setCurrent(a)
		return a.res
	}
	if reason := redirectReason(last); reason != "" {
		return notPassed(reason).response(req)
	}
	return notReached(as.count).response(req)
}

// deferResponse keeps a refused response instead of the one before. It stays open
// and unread, so that it can reach the client if nothing better comes.
func (as *attempts) deferResponse(a *attempt) {
	if as.deferred != nil {
		as.deferred.res.Body.Close()
	}
	as.deferred = a
}

// keepNotSwitched is for the response of a channel that does not switch protocols.
func (as *attempts) keepNotSwitched(res *http.Response) { as.notSwitched = res }

// startNext begins the attempt with the claimed candidate.
func (as *attempts) startNext() *attempt {
	a := &as.first
	if as.count > 0 {
		a = new(attempt)
	}
	a.begin(as.request, as.claimed, as.count+1)
	as.claimed = nil
	as.setCurrent(a)
	as.count++
	return a
}

// setCurrent makes a the attempt that counts as open at its channel.
func (as *attempts) setCurrent(a *attempt) {
	if as.count > 0 {
		as.current.candidate.channel.open.Add(-1)
	}
	as.current = a
	a.candidate.channel.open.Add(1)
}

// claimNext claims the next candidate and reports whether there is one.
func (as *attempts) claimNext() bool {
	return as.mayHaveNext() && as.gateway.clock.Since(as.start) < as.gateway.tryDuration && as.claim()
}

// mayHaveNext reports whether another attempt may follow, without claiming it.
func (as *attempts) mayHaveNext() bool {
	limit := as.gateway.retries
	return (limit == 0 || as.count <= limit) && as.candidates.peek() != nil
}

// claim claims the next candidate that may be used.
func (as *attempts) claim() bool {
	as.claimed = as.candidates.claim(as.gateway.clock.Now())
	return as.claimed != nil
}

// respond sends a response to the client.
func (as *attempts) respond(w http.ResponseWriter, res *http.Response) {
	as.delivered.send(w, res, as.current.log)
	as.delivered.duration = as.gateway.clock.Since(as.start)
}

// close ends the attempts: what the response has cost is charged, and the refused
// response's connection, the body's memory, and a trial that was claimed and not
// made are given back.
func (as *attempts) close() {
	if as.count > 0 {
		as.settle()
		as.current.candidate.channel.open.Add(-1)
	}
	as.client.reserved.Add(-as.charged.reserved)
	as.settleRefusals()
	if as.deferred != nil {
		as.deferred.res.Body.Close()
	}
	if as.claimed != nil {
		as.claimed.release()
	}
	as.request.close()
}
