package llmgateway

import (
	"errors"
	"net/http"
	"slices"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/caddy-freetier/caddy-freetier/internal/ledger"
	"github.com/caddy-freetier/caddy-freetier/internal/quota"
)

var errHours = errors.New("requests or tokens are counted: write it like 1000/day or 1M tokens/month")

// limits are what a client may use, or the quotas of a key. A request is charged
// when it is admitted to an attempt, tokens when the response has ended: what
// was admitted is never cut.
//
// The meters are set while a client or key is made, before any request can see it, and
// never afterwards, so that reading them needs no lock. The counts are in the ledger
// and outlive the limits: after a reload the same name has the same counts.
type limits struct {
	requests, tokens quota.Meters

	// reserved are the tokens that requests under way are expected to use.
	reserved atomic.Int64
}

// open opens the meters of limits or quotas.
//
// name is what the ledger counts under. Seconds are refused: they are the unit of
// hosting hours, which the app keepalive counts.
func (l *limits) open(quotas []*quota.Quota, book func() (*ledger.Ledger, error), name string) error {
	for _, q := range quotas {
		if q.Unit == ledger.Seconds {
			return errHours
		}
		counts, err := book()
		if err != nil {
			return err
		}
		meter, err := q.Open(counts, name)
		if err != nil {
			return err
		}
		if q.Unit == ledger.Tokens {
			l.tokens = l.tokens.With(meter)
		} else {
			l.requests = l.requests.With(meter)
		}
	}
	return nil
}

// any reports whether there is any limit.
func (l *limits) any() bool { return len(l.requests) > 0 || len(l.tokens) > 0 }

// exhausted returns the meter that allows no further request, nil for none: of
// several the one that renews last.
//
// The last to renew is the one that Retry-After must be about: with a minute and a day
// exhausted, a client that returns after the minute would be refused again.
func (l *limits) exhausted() *quota.Meter {
	requests, tokens := l.requests.Exhausted(1), l.tokens.Exhausted(1)
	if requests == nil || tokens != nil && tokens.Renews().After(requests.Renews()) {
		return tokens
	}
	return requests
}

// chargeRequest counts a request. If that is not allowed it counts nothing and
// returns the meter that does not allow it.
func (l *limits) chargeRequest() *quota.Meter {
	if exhausted := l.exhausted(); exhausted != nil {
		return exhausted
	}
	return l.requests.Take(1)
}

// chargeTokens counts the tokens of a request and its response.
//
// It never refuses, since the response has been delivered: a meter may exceed its limit
// by the requests that were under way, and then refuses the next ones.
func (l *limits) chargeTokens(tokens int64) {
	for _, m := range l.tokens {
		m.Add(tokens)
	}
}

// reserveTokens reserves tokens for a request under way. If those of others leave
// nothing it reserves nothing and returns the meter that does not allow it.
//
// Without it, any number of requests sent at once would pass while the last tokens of a
// limit remain, since tokens are charged only when a response has ended. The first
// request always passes, however large its estimate is: else a limit smaller than the
// estimate of one request would refuse all of them for ever.
func (l *limits) reserveTokens(tokens int64) *quota.Meter {
	others := l.reserved.Add(tokens) - tokens
	for _, m := range l.tokens {
		if others > 0 && !m.May(others+1) {
			l.reserved.Add(-tokens)
			return m
		}
	}
	return nil
}

// check refuses a request when a limit is exhausted. It comes before the body is
// read, so that such a client costs no memory, and charges nothing.
func (l *limits) check(w http.ResponseWriter, r *http.Request, now time.Time) *apiError {
	exhausted := l.exhausted()
	if exhausted == nil {
		return nil
	}
	if r.ProtoMajor == 1 && r.Body != http.NoBody {
		// Else the server would wait for the body before it sends the response.
		w.Header().Set("Connection", "close")
	}
	return l.refuse(exhausted, w, now)
}

// refuse says which limit is exhausted and when to come again.
func (l *limits) refuse(exhausted *quota.Meter, w http.ResponseWriter, now time.Time) *apiError {
	l.show(w.Header(), now)
	unit := "requests"
	if slices.Contains(l.tokens, exhausted) {
		unit = "tokens"
	}
	return limitReached(exhausted, unit, exhausted.Renews().Sub(now))
}

// show shows what is left of the tightest limits, in the headers that OpenAI's
// SDKs know.
// Source: https://platform.openai.com/docs/guides/rate-limits#rate-limits-in-headers
func (l *limits) show(header http.Header, now time.Time) {
	showTightest(header, "Requests", l.requests, now)
	showTightest(header, "Tokens", l.tokens, now)
}

// showTightest sets the headers of one unit from the meter with the least left. Reset
// is written as a Go duration such as 1m26s, which is how OpenAI and Groq write it.
func showTightest(header http.Header, unit string, meters quota.Meters, now time.Time) {
	if len(meters) == 0 {
		return
	}
	tightest := meters[0]
	for _, m := range meters[1:] {
		if m.Left() < tightest.Left() {
			tightest = m
		}
	}
	reset := tightest.Renews().Sub(now).Round(time.Second)
	header.Set("X-Ratelimit-Limit-"+unit, strconv.FormatInt(tightest.Limit(), 10))
	header.Set("X-Ratelimit-Remaining-"+unit, strconv.FormatInt(tightest.Left(), 10))
	header.Set("X-Ratelimit-Reset-"+unit, reset.String())
}
