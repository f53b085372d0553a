package llmgateway

import (
	"net/http"
	"time"

	"github.com/caddy-freetier/caddy-freetier/internal/llm/usage"
)

// charges are what a request is charged: the request itself when it has a candidate,
// and at its end the tokens that its response has cost.
//
// It belongs to one request and its goroutine. Order: admit, attempts, settle, release;
// a request that admit refuses has been charged nothing but may have reserved tokens,
// which release returns in any case.
type charges struct {
	*request

	use       *use  // of the client, of the model that it asked for
	estimated int64 // tokens that no response states
	reserved  int64 // of the client's tokens, until the end
}

// admit charges the client for a request that has a candidate. Whatever the
// number of attempts, it is charged once.
//
// Tokens are reserved before the request is charged, so that a refusal for lack of
// tokens costs no request. The headers show what is left after it.
func (c *charges) admit(w http.ResponseWriter, now time.Time) *apiError {
	if c.isTokenCount() {
		return nil
	}
	if !c.client.any() {
		c.countUse()
		return nil
	}
	if len(c.client.tokens) > 0 {
		tokens := c.expectedTokens()
		if full := c.client.reserveTokens(tokens); full != nil {
			c.client.show(w.Header(), now)
			return limitReached(full, "tokens", time.Second) // one of the others may end by then
		}
		c.reserved = tokens
	}
	if exhausted := c.client.chargeRequest(); exhausted != nil {
		return c.client.refuse(exhausted, w, now) // other requests came first
	}
	c.countUse()
	c.client.show(w.Header(), now)
	return nil
}

// settle measures the response and charges what it has cost: to the client's limits, to
// the key's quotas, and to the counts of /v1/usage. It is called once, when the response
// has ended, however it did; a WebSocket, which states no usage, is not charged.
func (c *charges) settle(a *attempt, d *delivery) {
	if b := &a.content; b.metered {
		b.tokens.End()
		a.candidate.measures.observe(c.start, c.gateway.clock.Now(), b)
	}
	if !a.countsTokens() || c.upgrading {
		c.use.countTokens(a.usage().Sum())
		return
	}
	input, output := c.tokensUsed(a, d)
	c.use.countTokens(input + output)
	c.client.chargeTokens(input + output)
	a.candidate.chargeTokens(input + output)
	if c.estimated = input + output - a.usage().Sum(); c.estimated > 0 {
		collectors.estimated.Add(float64(c.estimated))
	}
}

// tokensUsed returns what the call has cost: what the response states, and an
// estimate in place of what it does not. So nobody pays less by leaving before
// the usage comes, or by a channel or path that states none.
func (c *charges) tokensUsed(a *attempt, d *delivery) (input, output int64) {
	b, stated := &a.content, a.usage()
	switch {
	case d.status == 0:
		// The client left while a channel worked on the request.
		if a.sent {
			return c.estimateInput(), 0
		}
		return 0, 0
	case !b.metered || b.failed || c.model == "" || c.isTokenCount() && !b.tokens.HasOutput():
		return stated.Input(), stated.Output()
	}
	input, output = stated.Input(), stated.Output()
	switch {
	case input == 0:
		input = c.estimateInput()
	case c.hasBody() && input < c.body.Len()/usage.TextBytes/usage.FloorFactor:
		input = max(input, c.estimateInput()/usage.FloorFactor)
	}
	estimate := b.tokens.EstimateOutput()
	if b.tokens.StatesOutput() {
		estimate /= usage.FloorFactor
	}
	return input, max(output, estimate)
}

// countUse counts the request for its client, once.
func (c *charges) countUse() {
	c.use = c.client.uses.of(c.gateway.usedNames.of(c.model))
	c.use.requests.Add(1)
}

// release gives the reserved tokens back.
func (c *charges) release() { c.client.reserved.Add(-c.reserved) }
