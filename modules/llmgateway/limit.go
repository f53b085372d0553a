package llmgateway

import (
	"errors"
	"net/http"
	"slices"
	"strconv"
	"time"

	"github.com/caddy-freetier/caddy-freetier/internal/ledger"
	"github.com/caddy-freetier/caddy-freetier/internal/quota"
)

var errHours = errors.New("requests or tokens are counted: write it like 1000/day or 1M tokens/month")

// allowance is what a client may use, or what a key has. Requests are taken
// before a try, tokens are charged after the answer: what was admitted is
// never cut.
type allowance struct {
	requests, tokens quota.Meters
}

// open opens the meters of limits or quotas.
func (a *allowance) open(quotas []*quota.Quota, book func() (*ledger.Ledger, error), name string) error {
	for _, q := range quotas {
		if q.Unit == ledger.Seconds {
			return errHours
		}
		l, err := book()
		if err != nil {
			return err
		}
		meter, err := q.Open(l, name)
		if err != nil {
			return err
		}
		if q.Unit == ledger.Tokens {
			a.tokens = a.tokens.With(meter)
		} else {
			a.requests = a.requests.With(meter)
		}
	}
	return nil
}

// any tells whether there is any limit.
func (a *allowance) any() bool { return len(a.requests) > 0 || len(a.tokens) > 0 }

// spent returns the meter that allows no further request, nil for none: of
// several the one that renews last.
func (a *allowance) spent() *quota.Meter {
	requests, tokens := a.requests.Exhausted(1), a.tokens.Exhausted(1)
	if requests == nil || tokens != nil && tokens.Renews().After(requests.Renews()) {
		return tokens
	}
	return requests
}

// take counts a request. If that is not allowed it returns the meter that
// does not.
func (a *allowance) take() *quota.Meter {
	if spent := a.spent(); spent != nil {
		return spent
	}
	return a.requests.Take(1)
}

// charge counts the tokens of an answer.
func (a *allowance) charge(tokens int64) {
	for _, m := range a.tokens {
		m.Add(tokens)
	}
}

// admit charges the client for a request. If a limit does not allow it, it
// says when to come again.
func (c *call) admit(w http.ResponseWriter) *apiError {
	allowance := &c.client.allowance
	if !allowance.any() {
		return nil
	}
	spent := allowance.take()
	c.showLimit(w.Header(), "Requests", allowance.requests)
	c.showLimit(w.Header(), "Tokens", allowance.tokens)
	if spent == nil {
		return nil
	}
	unit := "requests"
	if slices.Contains(allowance.tokens, spent) {
		unit = "tokens"
	}
	return limitReached(spent, unit, spent.Renews().Sub(c.gateway.clock.Now()))
}

// showLimit tells the client what is left of its tightest limit, in the words
// that OpenAI's SDKs know.
// Source: https://platform.openai.com/docs/guides/rate-limits#rate-limits-in-headers
func (c *call) showLimit(header http.Header, unit string, meters quota.Meters) {
	if len(meters) == 0 {
		return
	}
	tightest := meters[0]
	for _, m := range meters[1:] {
		if m.Left() < tightest.Left() {
			tightest = m
		}
	}
	reset := tightest.Renews().Sub(c.gateway.clock.Now()).Round(time.Second)
	header.Set("X-Ratelimit-Limit-"+unit, strconv.FormatInt(tightest.Limit(), 10))
	header.Set("X-Ratelimit-Remaining-"+unit, strconv.FormatInt(tightest.Left(), 10))
	header.Set("X-Ratelimit-Reset-"+unit, reset.String())
}

// settle measures the answer and charges what it has cost.
func (c *call) settle() {
	if c.reply == nil || c.current == nil {
		return
	}
	c.reply.tokens.end()
	if c.current.measures != nil {
		c.current.measures.observe(c.start, c.gateway.clock.Now(), c.reply)
	}
	used := c.reply.tokens.usage
	if used.output() == 0 {
		// The client left before the usage came: an event is about a token.
		used.completion = c.reply.tokens.events
	}
	c.client.charge(used.total())
	if c.current.key != nil {
		c.current.key.charge(used.total())
	}
}
