package keepalive

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptrace"
	"strings"
	"sync/atomic"
	"time"

	"github.com/jonboulle/clockwork"

	"github.com/caddy-freetier/caddy-freetier/internal/awake"
)

// askAgain is how long a platform that is still waking up an instance is left
// alone. It has heard the request; more of them would not make it faster.
const askAgain = 10 * time.Second

var errBooting = errors.New("the instance is still waking up")

// exchange sends a target's request and judges the response.
type exchange struct {
	target *Target
	checks *checks
	client *http.Client
	clock  clockwork.Clock
}

func newExchange(app *App, t *Target) *exchange {
	e := &exchange{target: t, checks: t.checks(), client: app.client, clock: app.clock}
	if t.Follow {
		e.client = app.following
	}
	return e
}

// run sends the request until the instance itself responds, which is one long
// ping, and records the response in r. asleep says that the instance is known to sleep:
// then a 502 or 503 is taken for its platform's, which has heard the request.
//
//	the response is                         the ping
//	a page of the platform's, "waking up"   goes on after ten seconds
//	502 or 503, and the instance slept      goes on after ten seconds
//	what the checks expect                  is healthy; a cold start if it took long
//	anything else                           has failed
func (e *exchange) run(ctx context.Context, r *result, asleep bool) error {
	for {
		booting, err := e.ask(ctx, r, asleep)
		if r.cold && ctx.Err() != nil {
			return errBooting
		}
		if err != nil || !booting {
			r.cold = r.answered && (r.cold || r.latency > time.Duration(e.target.ColdStart))
			return err
		}
		r.cold = true
		select {
		case <-e.clock.After(askAgain):
		case <-ctx.Done():
			return errBooting
		}
	}
}

// ask sends the request once and reports whether the platform has answered in
// place of an instance that wakes up. The instance counts as reached as soon as the
// request was written, also if no response comes: platforms count the request. It does
// not if the platform says that there is no instance.
func (e *exchange) ask(ctx context.Context, r *result, asleep bool) (booting bool, err error) {
	req, err := e.target.request(ctx)
	if err != nil {
		return false, err
	}
	var sent atomic.Bool
	at := e.clock.Now()
	req = req.WithContext(httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
		WroteRequest: func(info httptrace.WroteRequestInfo) { sent.Store(info.Err == nil) },
	}))
	resp, err := e.client.Do(req)
	if sent.Load() && !isAbsent(resp) {
		r.reached = at
	}
	if err != nil {
		return false, concealError(req, err)
	}
	defer resp.Body.Close()
	r.answered, r.status, r.latency = true, resp.StatusCode, e.clock.Since(r.at)
	body, err := e.read(resp.Body)
	if err != nil {
		return false, errCutOff
	}
	if awake.IsWakePage(resp.Header, body) {
		return true, nil
	}
	if asleep && isBooting(resp.StatusCode) && !isAbsent(resp) && !e.checks.expects(resp.StatusCode) {
		return true, nil
	}
	r.mismatch = e.checks.verify(resp, body)
	return false, nil
}

// read reads a response up to maxBody, and returns as much of its beginning as
// somebody looks at.
func (e *exchange) read(body io.Reader) ([]byte, error) {
	kept := int64(awake.MaxWakePage)
	if e.checks.needBody() {
		kept = maxBody
	}
	beginning, err := io.ReadAll(io.LimitReader(body, kept))
	if err != nil {
		return nil, err
	}
	if _, err := io.CopyN(io.Discard, body, maxBody-kept); err != nil && err != io.EOF {
		return nil, err
	}
	return beginning, nil
}

// isAbsent reports whether a platform has responded because there is no
// instance: it was removed or suspended. resp is nil if there is no response.
func isAbsent(resp *http.Response) bool {
	if resp == nil {
		return false
	}
	routing := resp.Header.Get("X-Render-Routing")
	return routing == "no-server" || strings.HasPrefix(routing, "suspend")
}

// isBooting reports whether a status is one that platforms give while an
// instance starts.
func isBooting(status int) bool {
	return status == http.StatusBadGateway || status == http.StatusServiceUnavailable
}
