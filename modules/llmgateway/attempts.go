package llmgateway

import (
	"context"
	"errors"
	"math/rand/v2"
	"net/http"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"github.com/caddy-freetier/caddy-freetier/internal/llm/refusal"
)

// attempts are what could answer a request, in order, and what has been tried. They
// belong to the request's goroutine. Only count and current are also read by a heartbeat,
// which shows them in the access log's placeholders: they are written under the lock of
// delivery.out.
//
//	findCandidates ─▶ claimed ─▶ make ─▶ answered ───────────────────▶ respond
//	                     ▲         │
//	                     │         ├─▶ refused, another may do better ─┐
//	                     └─────────┼───────────── claimNext ───────────┘
//	                               └─▶ refused, nobody is left: the most useful refusal
//
// What is claimed (a slot, a trial of a cooldown) is given back by the attempt's outcome,
// or by close when the attempt was not made.
type attempts struct {
	*request

	candidates candidates
	claimed    *candidate // of the next attempt, if there is one

	count    int      // of the attempts so far
	current  *attempt // the last one, once count is above 0
	first    attempt  // room for it, which is mostly the only one
	deferred *attempt // was refused; its response is open, in case nothing better comes
	again    bool     // a model that was overloaded has been asked twice

	latest time.Time // until when it may wait for a candidate: its beginning and `wait`

	notSwitched *http.Response // what a channel gave instead of another protocol

	identity   conversationIdentity
	ownership  ownership
	translator translator
	verdicts   verdicts
	charges    charges
	delivery   delivery
}

// newAttempts returns the attempts of a request before its candidates are known.
func newAttempts(q *request) *attempts {
	as := &attempts{
		request:    q,
		identity:   conversationIdentity{request: q},
		ownership:  ownership{request: q},
		translator: translator{request: q},
		charges:    charges{request: q},
		delivery:   delivery{request: q},
	}
	as.verdicts = verdicts{request: q, candidates: &as.candidates, identity: &as.identity}
	return as
}

// findCandidates finds what could answer the request and claims the first of them. Its
// error is the client's: the model is unknown or not theirs (404), no candidate can do
// what the request needs (400), or none may be used before as.latest (429 or 503).
//
// A request that names what an account keeps, such as a file, has that account's key as
// its only candidate (pin). Otherwise the plan decides, by the model's name and what
// `fallback` adds for this client.
func (as *attempts) findCandidates(r *http.Request, w http.ResponseWriter) *apiError {
	if err := as.checkElsewhere(r.URL); err != nil {
		return err
	}
	if as.model != "" && !as.client.mayUse(as.model) {
		return modelNotFound(as.model)
	}
	g := as.gateway
	found, pinned := as.ownership.pin()
	switch {
	case pinned:
	case as.model == "" && (!g.takesUnnamed() || as.client.restricted()):
		return noModel
	default:
		found = as.plan()
	}
	if len(found.legs) == 0 {
		return modelNotFound(as.model)
	}
	choice := newChoice(g.keyPolicy, &g.balancer, r, w)
	if g.affinity && as.model != "" && !found.isLone() && !as.location.isEmbedding() {
		choice.identity = as.identity.conversation()
	}
	as.candidates.begin(found, choice, found.needsOf(as.request), as.isTokenCount())
	if as.candidates.fitNothing() {
		return as.candidates.unfit(as.model, g.tiers, as.client)
	}
	return as.begin(r.Context())
}

// plan returns what could answer the request, by the names of models only. Embeddings
// have no fallback: vectors of two models cannot be compared.
func (as *attempts) plan() *plan {
	if as.model == "" || as.location.isEmbedding() {
		return as.gateway.planner.of([]string{as.model}, true)
	}
	return as.gateway.planner.of(as.gateway.fallbacks.chain(as.model, as.client), false)
}

// prepare does all that comes before the first attempt, in the order of what it costs:
// the client's limits need no body, the body needs no candidate, and only a request that
// has a candidate is charged. Calls that count tokens are bounded by a limit of their
// own, since they cost no quota.
func (as *attempts) prepare(w http.ResponseWriter, r *http.Request) *apiError {
	as.delivery.out.open(w, r, as.gateway.clock)
	now := as.gateway.clock.Now()
	if as.isTokenCount() {
		if err := as.client.auxiliary.charge(now); err != nil {
			return err
		}
	} else if err := as.client.check(w, r, now); err != nil {
		return err
	}
	if err := as.read(w, r); err != nil {
		return err
	}
	if err := as.findCandidates(r, w); err != nil {
		return err
	}
	return as.charges.admit(w, now)
}

var errExhausted = errors.New("the key's quota is exhausted")

// exhaustedVerdict is that of an attempt that was not made: the key's quota, as
// the configuration has it, was used up meanwhile.
var exhaustedVerdict = refusal.Verdict{Kind: refusal.KindRateLimit, Reason: refusal.ReasonRateLimit, NamedByField: true}

// roundTrip tries one candidate after the other until one gives a response that
// no other candidate may better. It returns an error only when the client has
// left; when nobody could answer, the response is a refusal.
func (as *attempts) roundTrip(req *http.Request) (*http.Response, error) {
	for {
		a := as.startNext()
		err := as.make(a, req)
		if left := req.Context().Err(); left != nil {
			as.leave(a, err)
			return nil, left
		}
		if a.verdict.Kind == refusal.KindAnswered {
			as.verdicts.settleOpinions()
			return a.res, nil
		}
		a.candidate.releaseSlot()
		if err == nil {
			as.deferResponse(a)
		}
		if !as.mayRetry(a) || !as.claimNext(req, a) {
			as.verdicts.settleOpinions()
			return as.refusal(req, err), req.Context().Err()
		}
	}
}

// make makes one attempt and records what its outcome says about the key and the
// channel. An error says that there is no response that could be passed on; else a.res
// is open, whatever its verdict.
//
// The key's quota is charged here and not when the candidate is claimed: between the two
// lies a wait for a slot or for an instance that wakes up. What the client's leaving has
// brought about is not judged.
func (as *attempts) make(a *attempt, req *http.Request) error {
	if err := as.translator.translate(a, req.URL); err != nil {
		a.candidate.release()
		a.verdict, as.translator.failure = untranslatable, err
		as.candidates.excludeChannel(a.candidate.channel)
		a.log("no translation", zap.Error(err))
		return err
	}
	if a.candidate.key != nil && !a.candidate.auxiliary && a.candidate.chargeRequest() != nil {
		// Another request took the last one.
		a.candidate.release()
		a.verdict = exhaustedVerdict
		a.log("no response", zap.Error(errExhausted))
		return errExhausted
	}
	a.awaitInstance(req.Context())
	err := a.send(req, a.streamed() && as.mayHaveNext())
	if err == nil {
		err = a.receive(func(event []byte) { as.judgeLate(a, event) })
	}
	if err == nil && a.translation.isSet() && a.status < http.StatusMultipleChoices {
		err = a.translateResponse()
	}
	if req.Context().Err() != nil {
		return err // whatever came of it is the client's doing
	}
	a.classify(err)
	if err == nil && as.ownership.isMissing(a) {
		as.ownership.passOver(a)
	} else {
		as.verdicts.judge(a)
	}
	switch {
	case err != nil:
		a.log("no response", zap.Error(err))
	case a.verdict.Kind != refusal.KindAnswered:
		a.log("refused", zap.Object("refusal", loggedVerdict(a.verdict)))
		fallthrough
	default:
		a.sign()
	}
	return err
}

// judgeLate records an error that comes when the response is on its way to the client,
// as an event of a stream that has begun. Nobody can be asked instead any more, but the
// key's cooldown begins, so that the next request goes to another one. It is called on
// the request's goroutine, while the body is read.
func (as *attempts) judgeLate(a *attempt, event []byte) {
	in := a.refusalInput()
	in.Body, in.InStream = event, true
	a.verdict = refusal.Classify(in)
	a.candidate.recordLateFailure(a.verdict, in.Now)
	as.verdicts.record(a)
	a.log("refused", zap.Object("refusal", loggedVerdict(a.verdict)))
}

// leave ends the attempts of a client that has left, which says nothing about the
// candidate.
func (as *attempts) leave(a *attempt, err error) {
	if err == nil {
		a.res.Body.Close()
	}
	a.candidate.release()
	as.verdicts.abandonOpinions()
}

// mayRetry reports whether another candidate may do better than a. By default the
// refusal's meaning decides: what is wrong with the request is wrong everywhere. With
// `retry_on` the status does, as people know it from other gateways.
func (as *attempts) mayRetry(a *attempt) bool {
	if a.missing {
		return true
	}
	if a.res == nil || len(as.gateway.retryOn) == 0 {
		return a.verdict.Kind != refusal.KindRequest
	}
	return as.gateway.retryOn.contain(a.status)
}

// deferResponse keeps a refused response unless a better one is kept already: one
// about the request, which is of most use to the client. It stays open and unread, so
// that it can reach the client if nothing better comes.
func (as *attempts) deferResponse(a *attempt) {
	worse := as.deferred
	as.deferred = a
	if worse == nil {
		return
	}
	if better := refusal.MoreUseful(worse.verdict, a.verdict); better.Scope() != a.verdict.Scope() {
		as.deferred, worse = worse, a
	}
	worse.res.Body.Close()
}

// keepNotSwitched is for the response of a channel that does not switch protocols.
func (as *attempts) keepNotSwitched(res *http.Response) { as.notSwitched = res }

// respond sends a response to the client.
func (as *attempts) respond(res *http.Response) {
	defer res.Body.Close()
	as.ownership.learnIDs(res, as.current)
	as.delivery.respond(res, as.current)
}

// startNext begins the attempt with the claimed candidate.
func (as *attempts) startNext() *attempt {
	a := &as.first
	if as.count > 0 {
		a = new(attempt)
	}
	a.begin(as.request, as.claimed, as.count+1)
	as.claimed = nil
	as.setCurrent(a)
	as.delivery.out.mu.Lock()
	as.count++
	as.delivery.out.mu.Unlock()
	as.delivery.out.startHeartbeats(as.request)
	return a
}

// setCurrent makes a the attempt that counts as open at its channel. A heartbeat
// may be about to show it in a header.
func (as *attempts) setCurrent(a *attempt) {
	as.delivery.out.mu.Lock()
	defer as.delivery.out.mu.Unlock()
	if as.count > 0 {
		as.current.candidate.channel.open.Add(-1)
	}
	as.current = a
	a.candidate.channel.open.Add(1)
}

// claimNext claims the next candidate after a and reports whether there is one.
func (as *attempts) claimNext(req *http.Request, a *attempt) bool {
	switch {
	case !as.mayRetryNow():
		return false
	case as.claim(), as.claimBusy(req.Context()):
		return true
	}
	return as.mayRetryNow() && as.claimAgain(req, a)
}

// mayHaveNext reports whether another attempt may follow, without claiming it.
func (as *attempts) mayHaveNext() bool {
	return as.mayRetryNow() && as.candidates.hasNext(as.gateway.clock.Now())
}

// mayRetryNow reports whether number and time of the attempts allow another one.
func (as *attempts) mayRetryNow() bool {
	return as.count <= as.gateway.retries && as.gateway.clock.Since(as.start) < as.gateway.tryDuration
}

// claim claims the next candidate that may be used.
func (as *attempts) claim() bool {
	next, ok := as.candidates.claim(as.gateway.clock.Now())
	if ok {
		as.claimed = next
	}
	return ok
}

// claimAgain claims the last candidate once more, after a while, if it was
// overloaded and nobody else is left. It does so once a request, after the time that the
// provider states, or one to two seconds, and not for longer than `wait`.
func (as *attempts) claimAgain(req *http.Request, a *attempt) bool {
	if as.again || a.verdict.Kind != refusal.KindCapacity {
		return false
	}
	as.again = true
	pause := time.Second + rand.N(time.Second)
	if now := as.gateway.clock.Now(); a.verdict.Until.After(now) {
		pause = a.verdict.Until.Sub(now)
	}
	if pause > as.gateway.wait || !as.sleep(req.Context(), pause) || !a.candidate.acquireSlot() {
		return false
	}
	as.claimed = a.candidate
	return true
}

// sleep waits and reports whether the client is still there.
func (as *attempts) sleep(ctx context.Context, pause time.Duration) bool {
	select {
	case <-as.gateway.clock.After(pause):
		return true
	case <-ctx.Done():
		return false
	}
}

// close ends the attempts: what the response has cost is charged, and the refused
// response's connection, the body's memory, and a trial that was claimed and not
// made are given back.
func (as *attempts) close() {
	as.delivery.out.end()
	if as.count > 0 {
		as.charges.settle(as.current, &as.delivery)
		as.current.candidate.channel.open.Add(-1)
		as.current.candidate.releaseSlot()
	}
	as.charges.release()
	as.translator.close()
	if as.deferred != nil {
		as.deferred.res.Body.Close()
	}
	if as.claimed != nil {
		as.claimed.release()
		as.claimed.releaseSlot()
	}
	as.request.close()
}

// loggedVerdict is a verdict as the log shows it. The provider's message, which
// may repeat a key or the prompt, is not for the log.
type loggedVerdict refusal.Verdict

// MarshalLogObject implements zapcore.ObjectMarshaler.
func (v loggedVerdict) MarshalLogObject(enc zapcore.ObjectEncoder) error {
	enc.AddInt("status", v.Status)
	enc.AddString("scope", refusal.Verdict(v).Scope().String())
	enc.AddString("reason", string(v.Reason))
	enc.AddString("rule", v.Rule)
	if !v.Until.IsZero() {
		enc.AddTime("until", v.Until)
	}
	return nil
}
