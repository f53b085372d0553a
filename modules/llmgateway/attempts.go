package llmgateway

import (
	"context"
	"errors"
	"net"
	"net/http"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp/reverseproxy"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"github.com/caddy-freetier/caddy-freetier/internal/llm/usage"
)

var errExhausted = errors.New("the key's quota is exhausted")

// roundTrip tries one candidate after the other until one gives a response that
// no other candidate may better. It returns an error only when the client has
// left; when no channel could be reached, the response is an error of ours.
func (c *call) roundTrip(req *http.Request) (*http.Response, error) {
	for {
		c.startNext()
		res, err := c.attempt(req)
		if left := req.Context().Err(); left != nil {
			if err == nil {
				res.Body.Close()
			} else {
				c.current.release()
			}
			return nil, left
		}
		if err == nil && !c.gateway.retries(c.status) {
			return res, nil
		}
		retry := c.mayTryAgain()
		switch {
		case !retry && err == nil:
			return res, nil
		case !retry:
			return c.bestRefusal(req, err), nil
		case err == nil:
			c.keep(res, c.reply)
		}
	}
}

// attempt makes one attempt with the current candidate and records what its
// outcome says about the key and the channel. c.status is the status that the
// response stands for, which for an error inside a 200 is that of the error.
func (c *call) attempt(req *http.Request) (*http.Response, error) {
	if key := c.current.key; key != nil && key.chargeRequest() != nil {
		// Another request took the last one.
		c.current.release()
		c.logAttempt("no response", zap.Error(errExhausted))
		return nil, errExhausted
	}
	c.await(req.Context())
	c.gateway.awake.Touch(c.current.channel.dial, c.gateway.clock.Now())
	start := c.gateway.clock.Now()
	c.sent = true
	res, err := c.send(req)
	c.latency = c.gateway.clock.Since(start)
	if err == nil {
		res, err = c.pass(req, res)
	}
	err = c.current.mask().inError(err)
	if err != nil {
		c.recordFailure(req, err)
		return nil, err
	}
	c.status, err = c.receive(res)
	if err != nil {
		res.Body.Close()
		c.recordFailure(req, err)
		return nil, err
	}
	c.judge(res, c.status)
	c.sign(res)
	return res, nil
}

// bestRefusal returns the response for the client when no candidate is left and
// the last attempt got none: that of the last candidate that refused, or an
// error of ours.
func (c *call) bestRefusal(req *http.Request, last error) *http.Response {
	if kept := c.refused; kept != nil {
		c.refused, c.reply = nil, c.refusedReply
		return kept
	}
	if reason := redirectReason(last); reason != "" {
		return notPassed(reason).response(req)
	}
	return notReached(c.tries).response(req)
}

// receive reads the beginning of a response, as far as it decides whether there
// is another attempt, and returns the status that it stands for.
func (c *call) receive(res *http.Response) (int, error) {
	a := c.newReply(res)
	if c.reply = a; a == nil || c.model == "" {
		c.inTime()
		return res.StatusCode, nil
	}
	if isPage(res) {
		c.inTime()
		return 0, errNotAPI
	}
	res.Body = a
	if !a.typed {
		if err := a.sniff(c.countsTokens()); err != nil {
			c.inTime()
			return 0, err
		}
	}
	if !a.isText() {
		c.inTime()
		return res.StatusCode, nil
	}
	if a.kind == usage.Events && c.asksUsage() {
		a.filterUsage()
		res.ContentLength = -1
		res.Header.Del("Content-Length")
	}
	if a.kind == usage.Events && c.timer == nil && !c.mayHaveNext() {
		// Nothing to wait for: the stream begins at once.
		a.watch = func(status int) {
			if status != http.StatusOK {
				a.failed = true
				c.judge(res, status)
			}
		}
		return res.StatusCode, nil
	}
	status, err := a.hold()
	c.inTime()
	a.failed = status >= 400
	return status, err
}

// judge records what a response says about the key and the channel.
func (c *call) judge(res *http.Response, status int) {
	tries := &c.current.channel.tries
	switch {
	case status >= 500 || status == http.StatusRequestTimeout:
		tries.failed.Inc()
		c.recordChannelFailure()
	case status == http.StatusUnauthorized || status == http.StatusPaymentRequired || status == http.StatusForbidden:
		tries.refused.Inc()
		c.recordRefusal(res, status)
	case status == http.StatusTooManyRequests:
		tries.limited.Inc()
		c.recordRateLimit(res, status)
	case status >= 400:
		// The client's mistake, which says nothing about the key.
		tries.answered.Inc()
		c.recordReachable()
		c.current.releaseKey()
		return
	default:
		tries.answered.Inc()
		c.recordSuccess()
		return
	}
	c.logAttempt("refused", zap.Int("status", status))
}

// recordFailure is for an attempt without a response, which is nobody's failure
// when the client has left.
func (c *call) recordFailure(req *http.Request, err error) {
	if req.Context().Err() != nil {
		return
	}
	c.current.channel.tries.failed.Inc()
	if c.model != "" || redirectReason(err) == "" {
		c.recordChannelFailure()
	} else {
		c.current.release() // a path that redirects says nothing about the channel
	}
	c.logAttempt("no response", zap.Error(err))
}

func (c *call) logAttempt(message string, reason zap.Field) {
	if entry := c.gateway.logger.Check(zapcore.DebugLevel, message); entry != nil {
		entry.Write(
			zap.String("client", c.client.Name),
			zap.String("channel", c.current.channel.Name),
			zap.String("model", c.current.model),
			zap.Int("attempt", c.tries),
			reason)
	}
}

// retries reports whether another candidate is tried after a response with
// this status.
func (h *Handler) retries(status int) bool {
	if status < 400 {
		return false
	}
	for _, configured := range h.RetryOn {
		if caddyhttp.StatusCodeMatches(status, configured) {
			return true
		}
	}
	return false
}

// dialInfoKey is the context key of reverseproxy.DialInfo. HTTPTransport dials
// that and not the URL, so each attempt carries its own: a request that passes
// a proxy of Caddy's has the proxy's in its context.
const dialInfoKey caddy.CtxKey = "reverse_proxy.dial_info"

// dialContext returns the context of an attempt at the channel.
func (c *Channel) dialContext(ctx context.Context) context.Context {
	return context.WithValue(ctx, dialInfoKey, c.dialInfo)
}

// newDialInfo returns what HTTPTransport dials for a host and port.
func newDialInfo(address string) reverseproxy.DialInfo {
	host, port, _ := net.SplitHostPort(address) // awake.Upstream has joined them
	return reverseproxy.DialInfo{Network: "tcp", Address: address, Host: host, Port: port}
}
