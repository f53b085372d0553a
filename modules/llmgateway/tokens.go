package llmgateway

import (
	"net/http"
	"strings"
	"time"

	"github.com/caddy-freetier/caddy-freetier/internal/llm/usage"
)

// charges are what a request has been charged beyond what its response states.
type charges struct {
	estimated int64 // tokens
	reserved  int64 // of the client's tokens, until the end
}

// admit charges the client for a request that has a candidate. Whatever the
// number of attempts, it is charged once.
func (as *attempts) admit(w http.ResponseWriter, now time.Time) *apiError {
	if as.isTokenCount() {
		return nil
	}
	if !as.client.any() {
		as.countUse()
		return nil
	}
	if len(as.client.tokens) > 0 {
		tokens := as.expectedTokens()
		if full := as.client.reserveTokens(tokens); full != nil {
			as.client.show(w.Header(), now)
			return limitReached(full, "tokens", time.Second) // one of the others may end by then
		}
		as.charged.reserved = tokens
	}
	if exhausted := as.client.chargeRequest(); exhausted != nil {
		return as.client.refuse(exhausted, w, now) // other requests came first
	}
	as.countUse()
	as.client.show(w.Header(), now)
	return nil
}

// settle measures the response and charges what it has cost.
func (as *attempts) settle() {
	a := as.current
	if b := &a.content; b.metered {
		b.tokens.End()
		a.candidate.measures.observe(as.start, as.gateway.clock.Now(), b)
	}
	if !a.countsTokens() || as.upgrading {
		as.use.countTokens(a.usage().Sum())
		return
	}
	input, output := as.tokensUsed()
	as.use.countTokens(input + output)
	as.client.chargeTokens(input + output)
	a.candidate.chargeTokens(input + output)
	if as.charged.estimated = input + output - a.usage().Sum(); as.charged.estimated > 0 {
		collectors.estimated.Add(float64(as.charged.estimated))
	}
}

// tokensUsed returns what the call has cost: what the response states, and an
// estimate in place of what it does not. So nobody pays less by leaving before
// the usage comes, or by a channel or path that tells none.
func (as *attempts) tokensUsed() (input, output int64) {
	b, stated := &as.current.content, as.current.usage()
	switch {
	case as.delivered.status == 0:
		// The client left while a channel worked on the request.
		if as.current.sent {
			return as.estimateInput(), 0
		}
		return 0, 0
	case !b.metered || b.failed || as.model == "" || as.isTokenCount() && !b.tokens.HasOutput():
		return stated.Input(), stated.Output()
	}
	input, output = stated.Input(), stated.Output()
	switch {
	case input == 0:
		input = as.estimateInput()
	case as.hasBody() && input < as.body.Len()/usage.TextBytes/usage.FloorFactor:
		input = max(input, as.estimateInput()/usage.FloorFactor)
	}
	estimate := b.tokens.EstimateOutput()
	if b.tokens.StatesOutput() {
		estimate /= usage.FloorFactor
	}
	return input, max(output, estimate)
}

// isTokenCount reports whether the request only asks how many tokens it has,
// which costs none.
func (q *request) isTokenCount() bool {
	path := q.location.path
	return strings.HasSuffix(path, "/count_tokens") || strings.HasSuffix(path, ":countTokens") || strings.HasSuffix(path, "/responses/input_tokens")
}

const (
	// expectedOutput is how many tokens of output a request reserves, unless that
	// is more than a sixteenth of a limit.
	expectedOutput = 4096
	// smallBody is how long a request may be that is taken for text without
	// looking at it, in bytes.
	smallBody = 64 << 10
)

// expectedTokens is what a request under way is expected to use.
func (q *request) expectedTokens() int64 {
	output := int64(expectedOutput)
	for _, m := range q.client.tokens {
		output = min(output, m.Limit()/16)
	}
	if q.hasBody() && q.body.Len() <= smallBody {
		return q.body.Len()/usage.TextBytes + output
	}
	return q.estimateInput() + output
}

// estimateInput estimates the tokens of the request's body.
func (q *request) estimateInput() int64 {
	switch {
	case !q.hasBody():
		return 0
	case q.form != nil:
		return usage.EstimateForm(q.body.Len())
	case q.opaque:
		return usage.EstimateMedia(q.body.Len())
	}
	body, _ := q.body.Open()
	defer body.Close()
	tokens, err := usage.EstimateJSON(body)
	if err != nil {
		return q.body.Len() / usage.TextBytes
	}
	return tokens
}
