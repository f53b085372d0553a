package llmgateway

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"time"
)

const (
	// mostRefusal is how much of a refused answer is looked at.
	mostRefusal = 32 << 10
	// refusalTime is how long is waited for it.
	refusalTime = time.Second
)

// refusal is what an answer with status 429 may say in its body.
// Sources: for `details` Google's API design guide (AIP-193, google.rpc.RetryInfo
// and QuotaFailure) and https://ai.google.dev/gemini-api/docs/rate-limits; for
// `metadata` https://openrouter.ai/docs/api/reference/errors-and-debugging, and
// for its `headers` what users report.
type refusal struct {
	Error struct {
		Details []struct {
			RetryDelay string `json:"retryDelay"`
			Violations []struct {
				QuotaID string `json:"quotaId"`
			} `json:"violations"`
		} `json:"details"`
		Metadata struct {
			Headers map[string]string `json:"headers"`
		} `json:"metadata"`
	} `json:"error"`
}

// mayAgain returns when a provider says that a refused request may be made
// again, in a header or in the body, and the zero time if it does not say.
func (a *attempt) mayAgain() time.Time {
	now := a.gateway.clock.Now()
	at := retryAfter(a.res.Header, now)
	if !at.IsZero() || a.res.StatusCode != http.StatusTooManyRequests || !strings.HasPrefix(a.res.Header.Get("Content-Type"), "application/json") {
		return at
	}
	return parseRefusalTimes(a.beginning()).mayAgain(now)
}

// beginning returns the beginning of a refusal's body, nil if it does not come
// in time or cannot be read. The client gets the body whole all the same.
func (a *attempt) beginning() []byte {
	if a.res.Header["Content-Encoding"] != nil {
		return nil
	}
	p := peek(a.res.Body)
	a.res.Body = p
	select {
	case <-p.done:
		return p.beginning
	case <-a.gateway.clock.After(refusalTime):
		return nil
	}
}

// mayAgain returns when the refusal says that the request may be made again.
func (r *refusal) mayAgain(now time.Time) time.Time {
	header := make(http.Header)
	for name, value := range r.Error.Metadata.Headers {
		header.Set(name, value)
	}
	at := retryAfter(header, now)
	for _, detail := range r.Error.Details {
		if wait, err := time.ParseDuration(detail.RetryDelay); err == nil && wait >= 0 {
			at = latest(at, now.Add(min(wait, longestWait)))
		}
		for _, violation := range detail.Violations {
			// The delay that comes with it is that of the minute.
			if strings.Contains(violation.QuotaID, "PerDay") {
				at = latest(at, nextDay(now))
			}
		}
	}
	return at
}

// nextDay returns when Google's day ends: at midnight Pacific time.
func nextDay(now time.Time) time.Time {
	zone, err := time.LoadLocation("America/Los_Angeles")
	if err != nil {
		return time.Time{}
	}
	year, month, day := now.In(zone).Date()
	return time.Date(year, month, day+1, 0, 0, 0, 0, zone)
}

func latest(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// peeked is a body whose beginning is read in the background.
type peeked struct {
	io.ReadCloser // what comes behind the beginning
	done          chan struct{}
	beginning     []byte // read it after done, as err
	err           error
}

func peek(body io.ReadCloser) *peeked {
	p := &peeked{ReadCloser: body, done: make(chan struct{})}
	go func() {
		defer close(p.done)
		p.beginning, p.err = io.ReadAll(io.LimitReader(body, mostRefusal))
	}()
	return p
}

// parseRefusalTimes parses the beginning of a refusal. Google's compatible API
// wraps it in an array.
func parseRefusalTimes(text []byte) *refusal {
	var r refusal
	text = bytes.TrimSpace(text)
	if bytes.HasPrefix(text, []byte("[")) {
		text = bytes.TrimSuffix(text[1:], []byte("]"))
	}
	_ = json.Unmarshal(text, &r) // what is not JSON says nothing
	return &r
}

// Read implements io.Reader.
func (p *peeked) Read(b []byte) (int, error) {
	<-p.done
	if len(p.beginning) > 0 {
		n := copy(b, p.beginning)
		p.beginning = p.beginning[n:]
		return n, nil
	}
	if p.err != nil {
		return 0, p.err
	}
	return p.ReadCloser.Read(b)
}

// Close implements io.Closer. While the beginning is still being read, that is
// ended by the body itself, or by the end of the request.
func (p *peeked) Close() error {
	select {
	case <-p.done:
		return p.ReadCloser.Close()
	default:
		go p.ReadCloser.Close()
		return nil
	}
}
