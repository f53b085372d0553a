package llmgateway

import (
	"context"
	"errors"
	"net"
	"net/http"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp/reverseproxy"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"github.com/caddy-freetier/caddy-freetier/internal/llm/refusal"
)

// attempt is asking one candidate, and what came of it:
//
//	request ── as the channel gets it ──▶ call ── its response ──▶ reply ── its meaning ──▶ attempt
type attempt struct {
	reply
	number int // from 1

	sent    bool            // the channel may have got the request
	latency time.Duration   // to the headers of the response
	verdict refusal.Verdict // on the outcome
	missing bool            // the account does not know what the request names
}

var errSlow = errors.New("the response did not come in time")

// begin sets what the attempt asks. An attempt is used once.
func (a *attempt) begin(q *request, c *candidate, number int) {
	a.request, a.candidate, a.number = q, c, number
}

// send makes the attempt's request and leaves the response, cleaned of what must
// not be passed on, in res. mayFollow says that there may be another attempt.
func (a *attempt) send(req *http.Request, mayFollow bool) error {
	channel, clock := a.candidate.channel, a.gateway.clock
	a.gateway.awake.Touch(channel.dial, clock.Now())
	ctx, deadline := channel.dialContext(req.Context()), noDeadline
	if timeout := a.timeout(mayFollow); timeout > 0 {
		ctx, deadline = newDeadline(ctx, clock, timeout)
		deadline.whole = !a.streamed()
	}
	start := clock.Now()
	a.sent = true
	a.candidate.stats().recordAttempt()
	res, err := channel.http.RoundTrip(a.outgoingRequest(req.WithContext(ctx)))
	a.latency = clock.Since(start)
	if err != nil {
		deadline.end()
		return a.candidate.mask().inError(deadline.cause(err))
	}
	a.learn(res.Header)
	if res, err = a.pass(req, res); err != nil {
		deadline.end()
		return a.candidate.mask().inError(err)
	}
	a.accept(res, deadline)
	return nil
}

// pass makes of a channel's response what can be passed on: redirects end here,
// URLs of uploads become ours, and no secret of the channel is left in it.
func (a *attempt) pass(req *http.Request, res *http.Response) (*http.Response, error) {
	if isRedirect(res.StatusCode) {
		var err error
		if res, err = a.follow(req, res); err != nil {
			return nil, err
		}
	}
	err := a.checkStatus(res)
	if err == nil {
		err = a.sealUpload(req, res)
	}
	if err != nil {
		res.Body.Close()
		return nil, err
	}
	cleanResponse(res, a.candidate.mask())
	return res, nil
}

// learn keeps the limits that the header of the attempt's response states.
func (a *attempt) learn(header http.Header) {
	c := a.candidate
	if c.key == nil || c.auxiliary || c.model == "" {
		return
	}
	now := a.gateway.clock.Now()
	if limits := refusal.Limits(header, c.channel.provider, now); limits != nil {
		c.key.learned.record(c.model, limits, a.gateway.maxCooldown, now)
	}
}

// timeout returns how long the response may take: a stream to its first output,
// another one to its end. It is not positive if there is no limit.
//
//	a WebSocket, or no model           none: a file may take as long as it likes
//	no stream                          `response_timeout`
//	a stream                           `first_byte_timeout` if it is set
//	a stream, another may follow       a minute, if there is still time for it
//	a stream, the last candidate       none: a slow model is better than an error
func (a *attempt) timeout(mayFollow bool) time.Duration {
	g := a.gateway
	switch {
	case a.upgrading, a.model == "":
		return 0
	case !a.streamed():
		return g.responseTimeout
	case g.firstByteTimeout > 0:
		return g.firstByteTimeout
	case mayFollow && g.clock.Since(a.start)+defaultFirstByteTimeout < g.tryDuration:
		return defaultFirstByteTimeout
	}
	return 0
}

// awaitInstance waits until the channel's instance is awake: what it would answer
// before that is its platform's waking-up page.
func (a *attempt) awaitInstance(ctx context.Context) {
	done := a.gateway.awake.Wake(a.candidate.channel.dial)
	if done == nil {
		return
	}
	clock := a.gateway.clock
	timer := clock.NewTimer(a.gateway.tryDuration - clock.Since(a.start))
	defer timer.Stop()
	select {
	case <-done:
	case <-timer.Chan():
	case <-ctx.Done():
	}
}

func (a *attempt) log(message string, reason zap.Field) {
	if entry := a.gateway.logger.Check(zapcore.DebugLevel, message); entry != nil {
		entry.Write(
			zap.String("client", a.client.Name),
			zap.String("channel", a.candidate.channel.Name),
			zap.String("model", a.candidate.model),
			zap.Int("attempt", a.number),
			reason)
	}
}

// dialInfoKey is the context key of reverseproxy.DialInfo. HTTPTransport dials
// that and not the URL, so each attempt carries its own: a request that passes
// a proxy of Caddy's has the proxy's in its context.
const dialInfoKey caddy.CtxKey = "reverse_proxy.dial_info"

// newDialInfo returns what HTTPTransport dials for a host and port.
func newDialInfo(address string) reverseproxy.DialInfo {
	host, port, _ := net.SplitHostPort(address) // awake.Upstream has joined them
	return reverseproxy.DialInfo{Network: "tcp", Address: address, Host: host, Port: port}
}
