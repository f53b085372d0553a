package llmgateway

import (
	"slices"

	"github.com/caddy-freetier/caddy-freetier/internal/llm/refusal"
)

// What a client sends can be the reason for a refusal: a flagged prompt, a too
// large max_tokens, a model that the plan does not include. So one request tries
// few keys of a channel and puts fewer in cooldown. Those do not count whose
// refusal names, by a field, what no request brings about: a dead key, or a quota
// of a day or longer.
const (
	maxTried      = 3
	maxCooledDown = 2
	// maxFailures is how many keys of a channel are tried with a model that fails.
	maxFailures = 2
)

// visit is what a request has tried at one channel.
type visit struct {
	channel    *Channel
	keys       []*key // tried, but for those that do not count
	cooledDown int
	failed     []*candidate
	pending    *attempt // whose verdict waits for a second opinion
}

// verdicts draws the conclusions from the verdicts on a request's attempts: which keys,
// models and channels are put in cooldown or come out of it, and which candidates are
// not tried any more.
type verdicts struct {
	*request
	candidates *candidates
	identity   *conversationIdentity

	visits []*visit // the channels that have refused
}

// visitTo returns what has been tried at a channel.
func (vs *verdicts) visitTo(channel *Channel) *visit {
	i := slices.IndexFunc(vs.visits, func(v *visit) bool { return v.channel == channel })
	if i < 0 {
		i = len(vs.visits)
		vs.visits = append(vs.visits, &visit{channel: channel})
	}
	return vs.visits[i]
}

// judge draws the conclusions from an attempt's verdict: what is put in cooldown,
// and which candidates are not tried any more.
//
// Some verdicts depend on what another key gets for the same request. They wait (pending)
// for a second opinion, which refusal.Settle weighs with the first: if both keys are
// refused in the same way it was the request, or the channel; if the second one answers it
// was the first key. Without a second opinion the first verdict stands (settleOpinions).
func (vs *verdicts) judge(a *attempt) {
	a.count()
	if a.verdict.Kind == refusal.KindAnswered && len(vs.visits) == 0 {
		vs.record(a)
		return
	}
	v := vs.visitTo(a.candidate.channel)
	v.add(a)
	first := v.pending
	switch {
	case first != nil && first.candidate.isAt(a.candidate):
		v.pending = nil
		first.verdict, a.verdict = refusal.Settle(first.verdict, a.verdict)
		vs.record(first)
		vs.record(a)
	case first == nil && vs.needsOpinion(v, a):
		v.pending = a
	default:
		vs.record(a)
	}
	vs.excludeAfter(v, a)
}

// add counts a key that was tried.
func (v *visit) add(a *attempt) {
	switch a.verdict.Scope() {
	case refusal.ScopeChannel:
		v.failed = append(v.failed, a.candidate)
	case refusal.ScopeAnswered:
		return
	}
	if k := a.candidate.key; k != nil && !a.verdict.NamedByField && !slices.Contains(v.keys, k) {
		v.keys = append(v.keys, k)
	}
}

// failures returns how many keys have failed as c has, with the same model.
func (v *visit) failures(c *candidate) (n int) {
	for _, other := range v.failed {
		if other.isAt(c) {
			n++
		}
	}
	return n
}

// isFull reports whether no further key of the channel is to be tried.
func (v *visit) isFull() bool { return len(v.keys) >= maxTried }

// needsOpinion reports whether the verdict depends on what another key gets, and
// there is another one to ask.
func (vs *verdicts) needsOpinion(v *visit, a *attempt) bool {
	unclear := a.verdict.Kind == refusal.KindUnclear
	switch {
	case a.verdict.Reason == refusal.ReasonConfigured || v.isFull():
		return false
	case unclear, a.verdict.Kind == refusal.KindChannel, a.verdict.AskAnotherKey:
		return vs.candidates.hasOther(a.candidate, unclear, vs.gateway.clock.Now())
	}
	return false
}

// excludeAfter takes the candidates out that would get the same refusal as a: all of an
// address that is blocked, the model at a channel that fails for two keys, the account
// whose limit was reached, the key that is dead, or the model; after a request that is too
// large for that, larger models come first.
func (vs *verdicts) excludeAfter(v *visit, a *attempt) {
	c := a.candidate
	switch next := a.verdict.Kind.Policy().OtherKey; {
	case a.verdict.Kind == refusal.KindAnswered:
		return
	case a.verdict.Scope() == refusal.ScopeAddress:
		vs.candidates.excludeChannel(c.channel)
	case a.verdict.Scope() == refusal.ScopeChannel:
		if v.failures(c) >= maxFailures || next == refusal.NextNo {
			vs.candidates.excludeModel(c)
		}
		vs.candidates.putLast(c.channel)
	case v.pending == a && a.verdict.Kind == refusal.KindUnclear:
		vs.candidates.excludeAccount(c)
	case v.pending == a, next == refusal.NextYes:
		if a.verdict.Kind.Target() == refusal.TargetKey {
			vs.candidates.excludeKey(c)
		}
	default:
		vs.candidates.excludeModel(c)
		vs.candidates.preferWider(c, a.verdict)
	}
	if v.isFull() {
		vs.candidates.excludeKeysBut(c.channel, v.keys)
	}
}

// settleOpinions records the verdicts for which no second opinion has come.
func (vs *verdicts) settleOpinions() {
	for _, v := range vs.visits {
		if first := v.pending; first != nil {
			v.pending = nil
			vs.record(first)
		}
	}
}

// abandonOpinions gives the trials back whose verdicts nobody waits for, since
// the client has left.
func (vs *verdicts) abandonOpinions() {
	for _, v := range vs.visits {
		if first := v.pending; first != nil {
			v.pending = nil
			first.candidate.release()
		}
	}
}
