package keepalive

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/caddyserver/caddy/v2"
)

const (
	// maxAnswer is how much of an answer is read. The app has done its work by then.
	maxAnswer = 1 << 20

	dialTimeout = 15 * time.Second
	userAgent   = "caddy-freetier keepalive"
)

// result is what came of a ping.
type result struct {
	at       time.Time
	answered bool
	latency  time.Duration // until the answer began
	status   int           // 0: no answer
	cold     bool          // it was asleep
	err      error         // nil: healthy. Never with a URL, header or body.
}

var (
	errTimeout = errors.New("no complete answer in time")
	errCutOff  = errors.New("the answer broke off")
)

// newClient returns a client that keeps no connection: until the next ping a
// platform would have closed it. A redirect is an answer like any other.
func newClient() *http.Client {
	return &http.Client{
		Transport: &http.Transport{
			Proxy:               http.ProxyFromEnvironment,
			DialContext:         (&net.Dialer{Timeout: dialTimeout}).DialContext,
			TLSHandshakeTimeout: dialTimeout,
			ForceAttemptHTTP2:   true,
			DisableKeepAlives:   true,
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// ping waits for a place, sends one request and reads the answer. It returns
// false when ctx ended before that.
func (t *Target) ping(ctx context.Context) (result, bool) {
	if err := t.app.slots.Acquire(ctx, 1); err != nil {
		return result{}, false
	}
	defer t.app.slots.Release(1)

	r := result{at: t.app.clock.Now()}
	asleep := t.asleep(r.at)
	t.state.touch(t, r.at)
	if t.pings != nil {
		t.pings.Add(1)
	}
	timed, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	timer := t.app.clock.AfterFunc(time.Duration(t.Timeout), func() { cancel(errTimeout) })
	defer timer.Stop()

	err := t.exchange(timed, &r, asleep)
	switch {
	case ctx.Err() != nil:
		return result{}, false
	case err == errBooting && context.Cause(timed) == errTimeout:
		r.err = fmt.Errorf("%w (after %v)", errBooting, time.Duration(t.Timeout))
	case err != nil && context.Cause(timed) == errTimeout:
		r.err = fmt.Errorf("%w (%v)", errTimeout, time.Duration(t.Timeout))
	case err != nil:
		r.err = withoutURL(err)
	case !t.expects(r.status):
		r.err = fmt.Errorf("status %d, expected %s", r.status, t.expected())
	}
	return r, true
}

// request makes the request with all placeholders replaced, so that a time is
// that of the ping and a key is read again from its file.
func (t *Target) request(ctx context.Context) (*http.Request, error) {
	repl := caddy.NewReplacer()
	replace := func(what, s string) (string, error) {
		s, err := repl.ReplaceOrErr(s, true, false)
		if err != nil {
			return "", fmt.Errorf("%s: %w", what, err)
		}
		return s, nil
	}

	address, err := replace("url", t.URL)
	if err != nil {
		return nil, err
	}
	if _, err := parseURL(address); err != nil {
		return nil, err
	}
	body, err := replace("body", t.Body)
	if err != nil {
		return nil, err
	}
	req, err := http.NewRequestWithContext(ctx, t.Method, address, strings.NewReader(body))
	if err != nil {
		return nil, withoutURL(err)
	}
	req.Header.Set("User-Agent", userAgent)
	for name, values := range t.Header {
		req.Header.Del(name)
		for _, value := range values {
			if value, err = replace("header "+name, value); err != nil {
				return nil, err
			}
			req.Header.Add(name, value)
		}
	}
	if host := req.Header.Get("Host"); host != "" {
		req.Host = host
	}
	return req, nil
}

// withoutURL takes the URL out of an error of the HTTP client.
func withoutURL(err error) error {
	var withURL *url.Error
	if errors.As(err, &withURL) {
		return withURL.Err
	}
	return err
}
