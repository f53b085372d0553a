package keepalive

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"time"
)

const (
	// maxBody is how much of a response is read. The app has done its work by then.
	maxBody = 1 << 20

	dialTimeout = 15 * time.Second
	userAgent   = "caddy-freetier keepalive"
)

// result is what came of a ping. Its error is shown in logs, messages and on the status
// page.
type result struct {
	at       time.Time
	reached  time.Time     // when a request last reached the instance; zero: none did
	answered bool          // there was a response, the right one or not
	latency  time.Duration // until the response began
	status   int           // 0: no response
	cold     bool          // it was asleep
	mismatch error         // in what the response is not the expected one
	err      error         // nil: healthy. Never with a URL, header or body.
}

var (
	errTimeout = errors.New("no complete response in time")
	errCutOff  = errors.New("the response was cut off")
)

// newClient returns a client that keeps no connection: until the next ping a
// platform would have closed it. It takes the proxy of the environment, as curl does, and
// no timeout of its own: that is the target's.
func newClient(redirect func(*http.Request, []*http.Request) error) *http.Client {
	return &http.Client{
		Transport: &http.Transport{
			Proxy:               http.ProxyFromEnvironment,
			DialContext:         (&net.Dialer{Timeout: dialTimeout}).DialContext,
			TLSHandshakeTimeout: dialTimeout,
			ForceAttemptHTTP2:   true,
			DisableKeepAlives:   true,
		},
		CheckRedirect: redirect,
	}
}

// ping waits for a place, sends one request and reads the response. It returns
// false when ctx ended before that.
// It waits no longer than until patient ends: then somebody waits for the ping,
// and it needs no place.
func (p *pinger) ping(ctx, patient context.Context) (result, bool) {
	if err := p.app.slots.Acquire(patient, 1); err == nil {
		defer p.app.slots.Release(1)
	} else if ctx.Err() != nil {
		return result{}, false
	}

	r := result{at: p.app.clock.Now()}
	asleep := p.asleep(r.at)
	if p.pings != nil {
		p.pings.Add(1)
	}
	timed, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	timer := p.app.clock.AfterFunc(time.Duration(p.target.Timeout), func() { cancel(errTimeout) })
	defer timer.Stop()

	err := p.exchange.run(timed, &r, asleep)
	if !r.reached.IsZero() {
		p.state.touch(p, r.reached)
	}
	switch {
	case ctx.Err() != nil:
		return result{}, false
	case err == errBooting && context.Cause(timed) == errTimeout:
		r.err = fmt.Errorf("%w (after %v)", errBooting, time.Duration(p.target.Timeout))
	case err != nil && context.Cause(timed) == errTimeout:
		r.err = fmt.Errorf("%w (%v)", errTimeout, time.Duration(p.target.Timeout))
	case err != nil:
		r.err = err
	default:
		r.err = r.mismatch
	}
	return r, true
}
