package llmgateway

import (
	"errors"
	"net/http"
	"strconv"
	"time"

	"github.com/caddy-freetier/caddy-freetier/internal/ledger"
	"github.com/caddy-freetier/caddy-freetier/internal/quota"
)

var errOnlyRequests = errors.New("only requests are counted: write it like 1000/day")

// openMeter opens the meter of a limit or quota of requests.
func openMeter(q *quota.Quota, book func() (*ledger.Ledger, error), name string) (*quota.Meter, error) {
	if q.Unit != "" && q.Unit != ledger.Requests {
		return nil, errOnlyRequests
	}
	l, err := book()
	if err != nil {
		return nil, err
	}
	return q.Open(l, name)
}

// admit charges the client for a request. If a limit does not allow it, it
// says when to come again.
func (c *call) admit(w http.ResponseWriter) *apiError {
	meters := c.client.meters
	if len(meters) == 0 {
		return nil
	}
	spent := meters.Take(1)
	c.showLimit(w.Header())
	if spent == nil {
		return nil
	}
	return limitReached(spent.Limit(), spent.Renews().Sub(c.gateway.clock.Now()))
}

// showLimit tells the client what is left of its tightest limit, in the words
// that OpenAI's SDKs know.
// Source: https://platform.openai.com/docs/guides/rate-limits#rate-limits-in-headers
func (c *call) showLimit(header http.Header) {
	tightest := c.client.meters[0]
	for _, m := range c.client.meters[1:] {
		if m.Left() < tightest.Left() {
			tightest = m
		}
	}
	reset := tightest.Renews().Sub(c.gateway.clock.Now()).Round(time.Second)
	header.Set("X-Ratelimit-Limit-Requests", strconv.FormatInt(tightest.Limit(), 10))
	header.Set("X-Ratelimit-Remaining-Requests", strconv.FormatInt(tightest.Left(), 10))
	header.Set("X-Ratelimit-Reset-Requests", reset.String())
}
