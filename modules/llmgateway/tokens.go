package llmgateway

import (
	"strings"

	"github.com/caddy-freetier/caddy-freetier/internal/llm/usage"
)

// countsTokens reports whether tokens are counted for the client or for the key
// of the current attempt. Then those are estimated that no response states.
func (c *call) countsTokens() bool {
	return len(c.client.tokens) > 0 || c.current.key != nil && len(c.current.key.tokens) > 0
}

// settle measures the response and charges what it has cost.
func (c *call) settle() {
	if c.current == nil {
		return
	}
	if a := c.reply; a != nil {
		a.tokens.End()
		if c.current.measures != nil {
			c.current.measures.observe(c.start, c.gateway.clock.Now(), a)
		}
	}
	if !c.countsTokens() || c.upgrading {
		return
	}
	input, output := c.tokensUsed()
	c.client.chargeTokens(input + output)
	if c.current.key != nil {
		c.current.key.chargeTokens(input + output)
	}
	if c.estimated = input + output - c.usage().Sum(); c.estimated > 0 {
		collectors.estimated.Add(float64(c.estimated))
	}
}

// tokensUsed returns what the call has cost: what the response states, and an
// estimate in place of what it does not. So nobody pays less by leaving before
// the usage comes, or by a channel or path that tells none.
func (c *call) tokensUsed() (input, output int64) {
	a, stated := c.reply, c.usage()
	switch {
	case c.sentStatus == 0:
		// The client left while a channel worked on the request.
		if c.sent {
			return c.estimateInput(), 0
		}
		return 0, 0
	case a == nil || a.failed || c.model == "" || c.isTokenCount() && !a.tokens.HasOutput():
		return stated.Input(), stated.Output()
	}
	input, output = stated.Input(), stated.Output()
	switch {
	case input == 0:
		input = c.estimateInput()
	case c.body != nil && input < c.body.Len()/usage.TextBytes/usage.FloorFactor:
		input = max(input, c.estimateInput()/usage.FloorFactor)
	}
	estimate := a.tokens.EstimateOutput()
	if a.tokens.StatesOutput() {
		estimate /= usage.FloorFactor
	}
	return input, max(output, estimate)
}

// isTokenCount reports whether the request only asks how many tokens it has,
// which costs none.
func (c *call) isTokenCount() bool {
	path := c.location.path
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
func (c *call) expectedTokens() int64 {
	output := int64(expectedOutput)
	for _, m := range c.client.tokens {
		output = min(output, m.Limit()/16)
	}
	if c.body != nil && c.body.Len() <= smallBody {
		return c.body.Len()/usage.TextBytes + output
	}
	return c.estimateInput() + output
}

// estimateInput estimates the tokens of the request's body.
func (c *call) estimateInput() int64 {
	switch {
	case c.body == nil:
		return 0
	case c.form != nil:
		return usage.EstimateForm(c.body.Len())
	case c.opaque:
		return usage.EstimateMedia(c.body.Len())
	}
	body, _ := c.body.Open()
	defer body.Close()
	tokens, err := usage.EstimateJSON(body)
	if err != nil {
		return c.body.Len() / usage.TextBytes
	}
	return tokens
}
