package llmgateway

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp/reverseproxy"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"github.com/caddy-freetier/caddy-freetier/internal/llm/refusal"
	"github.com/caddy-freetier/caddy-freetier/internal/llm/usage"
	"github.com/caddy-freetier/caddy-freetier/internal/reqbody"
)

// attempt is asking one candidate, and what came of it.
type attempt struct {
	*request
	candidate *candidate
	number    int // from 1

	sent    bool            // the channel may have got the request
	latency time.Duration   // to the headers of the response
	res     *http.Response  // set once the attempt has succeeded or was refused
	status  int             // that res stands for: of an error inside a 200 the error's
	verdict refusal.Verdict // on the outcome
	missing bool            // the account does not know what the request names
	content responseBody    // the body of res, once that is set
	fields  bodyFields      // what rules change in the request's body

	translation translation // of the request, if the channel does not speak the client's dialect
	rewritten   []byte      // the body in the place of the client's; empty for that one

	// failure is the beginning of the body of a response that is a refusal or an
	// error, or the data of the event that is one, if inStream is set.
	failure  []byte
	inStream bool
}

var errSlow = errors.New("the response did not come in time")

// begin sets what the attempt asks.
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

// timeout returns how long the response may take: a stream to its first output,
// another one to its end. It is not positive if there is no limit.
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

// accept makes a response the attempt's.
func (a *attempt) accept(res *http.Response, d *deadline) {
	a.res = res
	a.content.begin(res, a.candidate.mask(), d, a.gateway.clock)
}

// outgoingRequest turns a shallow copy of the client's request into the attempt's
// own.
func (a *attempt) outgoingRequest(out *http.Request) *http.Request {
	channel := a.candidate.channel
	u := a.urlFor(out.URL, a.candidate.model)
	out.Host, out.Header = channel.base.Host, channel.headers.outgoing(out.Header, a.upgrading, a.contentType)
	if a.translation.isSet() {
		u = a.translation.url(a.candidate.model)
		a.translation.cleanHeader(out.Header)
	}
	dialect, said := a.asked()
	if out.URL = channel.target(u, a.candidate.key); said {
		out.URL = channel.targetIn(dialect, u, a.candidate.key)
	}
	out.Proto, out.ProtoMajor, out.ProtoMinor = "", 0, 0
	out.RequestURI, out.RemoteAddr, out.Pattern, out.TLS = "", "", "", nil
	out.TransferEncoding, out.Trailer, out.Close = nil, nil, false
	out.Form, out.PostForm, out.MultipartForm = nil, nil, nil
	channel.addHeaders(out)
	switch key := a.candidate.key; {
	case key == nil:
	case said:
		channel.showKeyIn(out, dialect, u.Path, key)
	default:
		channel.showKey(out, u.Path, key)
	}
	out.Body, out.ContentLength = a.open()
	out.GetBody = nil
	if a.hasBody() {
		// For a connection that the channel has closed meanwhile.
		out.GetBody = func() (io.ReadCloser, error) {
			body, _ := a.open()
			return body, nil
		}
	}
	return out
}

// open returns the body with the name of this attempt's model put in its place,
// and the wish for the usage added where it is ours.
func (a *attempt) open() (io.ReadCloser, int64) {
	switch {
	case a.translation.isSet():
		body := a.translatedBody()
		return io.NopCloser(bytes.NewReader(body)), int64(len(body))
	case len(a.rewritten) > 0:
		return io.NopCloser(bytes.NewReader(a.rewritten)), int64(len(a.rewritten))
	}
	if !a.hasBody() {
		return http.NoBody, 0
	}
	var room [2]reqbody.Edit
	edits := room[:0]
	if a.inBody && a.candidate.model != a.model {
		edits = append(edits, reqbody.Edit{Start: a.field.Start, End: a.field.End, With: a.written(a.candidate.model)})
	}
	if a.asksUsage() {
		edits = append(edits, *a.usageEdit)
		if edits[0].Start > a.usageEdit.Start {
			edits[0], edits[1] = edits[1], edits[0]
		}
	}
	return a.body.Open(a.withFields(edits)...)
}

// asksUsage reports whether this attempt asks for the usage on its own account.
func (a *attempt) asksUsage() bool {
	if a.usageEdit == nil || a.candidate.channel.NoIncludeUsage || a.translation.isSet() {
		return false
	}
	m := a.candidate.measures
	return m == nil || !m.route.rules.ownUsage
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

// countsTokens reports whether tokens are counted for the client or for the key
// of the current attempt. Then those are estimated that no response states.
func (a *attempt) countsTokens() bool {
	return len(a.client.tokens) > 0 || a.candidate.countsTokens()
}

// usage is what the response states that it has cost, as far as it has been read.
func (a *attempt) usage() *usage.Usage { return &a.content.tokens.Usage }

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
