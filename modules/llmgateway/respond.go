package llmgateway

import (
	"errors"
	"io"
	"maps"
	"net/http"
	"net/textproto"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"go.uber.org/zap"

	"github.com/caddy-freetier/caddy-freetier/internal/llm/usage"
)

// statusClientClosed is what the access log shows for a client that left before
// the response. nginx introduced it, and Caddy's reverse_proxy logs it too.
const statusClientClosed = 499

// copyBufferSize is how much of a response is read at a time.
const copyBufferSize = 32 << 10

// copyBuffers are reused: a buffer is larger than most responses.
var copyBuffers = sync.Pool{New: func() any { return new([copyBufferSize]byte) }}

// delivery is how the response reaches the client, and what the client has got of it.
type delivery struct {
	*request
	out     clientWriter
	attempt *attempt // the last one, set by respond

	status   int         // 0 before the response
	header   http.Header // as the channel sent it
	duration time.Duration
	outcome  outcome
}

// outcome is what came of a request for its client. A stream's status does not
// say it.
type outcome string

const (
	outcomeComplete outcome = "complete"    // the response has passed to its end
	outcomeRefused  outcome = "refused"     // the client got an error
	outcomeBroken   outcome = "broken"      // the response broke off, or an error came behind its first output
	outcomeLeft     outcome = "client_left" // before the end
)

// clientLeft is for a client that has left before a response was chosen.
func (d *delivery) clientLeft() {
	if begun := d.out.take(); !begun {
		d.out.w.WriteHeader(statusClientClosed)
	}
	d.finish(outcomeLeft)
}

// finish records the outcome.
func (d *delivery) finish(o outcome) {
	d.outcome = o
	d.duration = d.gateway.clock.Since(d.start)
	collectors.outcomes.WithLabelValues(d.client.label(), string(o)).Inc()
}

// respond sends a response to the client. It does what reverse_proxy does:
// hop-by-hop headers end here, trailers are passed on, and what arrives bit by bit
// leaves bit by bit. A response that breaks off never looks complete: an event
// stream ends with an event that is an error, and for everything else respond
// panics with http.ErrAbortHandler, as reverse_proxy does.
func (d *delivery) respond(res *http.Response, a *attempt) {
	d.attempt = a
	begun := d.out.take()
	d.status, d.header = res.StatusCode, res.Header
	if begun {
		d.status = http.StatusOK
		d.continueStream(res)
		return
	}
	header, isStream := d.out.w.Header(), d.isStream(res)
	copyHeader(header, res)
	announced := len(res.Trailer)
	if announced > 0 {
		header.Add("Trailer", strings.Join(slices.Sorted(maps.Keys(res.Trailer)), ", "))
	}
	if isStream && header["X-Accel-Buffering"] == nil {
		header["X-Accel-Buffering"] = notBuffered
	}
	d.out.w.WriteHeader(res.StatusCode)
	if isStream {
		d.out.passEvents()
	}
	if err := d.copyBody(res, isStream || flushesAtOnce(res)); err != nil {
		d.breakOff(err, isStream)
		return
	}
	res.Body.Close() // fills in res.Trailer
	d.out.copyTrailer(res, announced)
	d.finish(d.outcomeOf(res))
}

// isStream reports whether a response is an event stream of a channel.
func (d *delivery) isStream(res *http.Response) bool {
	a := d.attempt
	return d.isOf(res) && a.content.metered && a.content.kind == usage.Events && res.StatusCode == http.StatusOK
}

// isOf reports whether a response is the attempt's, and not an error of the gateway's.
func (d *delivery) isOf(res *http.Response) bool { return res == d.attempt.res }

// outcomeOf returns the outcome of a response that has passed to its end.
func (d *delivery) outcomeOf(res *http.Response) outcome {
	switch {
	case res.StatusCode >= http.StatusBadRequest:
		return outcomeRefused
	case d.isOf(res) && d.attempt.content.failed:
		return outcomeBroken
	}
	return outcomeComplete
}

// breakOff ends a response that cannot be passed on to its end.
func (d *delivery) breakOff(err error, isStream bool) {
	d.attempt.log("response broke off", zap.Error(err))
	left := d.out.hasLeft() || errors.As(err, new(*writeError))
	if isStream && !left && d.out.send(d.failureEvent(), true) == nil {
		d.finish(outcomeBroken)
		return
	}
	if left {
		d.finish(outcomeLeft)
	} else {
		d.finish(outcomeBroken)
	}
	// What has arrived reaches the client before the connection is cut.
	_ = d.out.send(nil, true)
	panic(http.ErrAbortHandler)
}

// copyHeader passes the response's headers on, after those that the gateway
// and the handlers around it have set.
func copyHeader(to http.Header, res *http.Response) {
	removeHopHeaders(res.Header)
	delete(to, "Server")
	to["Via"] = append(to["Via"], via(res))
	for name, values := range res.Header {
		to[name] = append(to[name], values...)
	}
}

// via is the value of the header Via for a response (RFC 9110, section 7.6.3).
func via(res *http.Response) string {
	switch res.ProtoMajor {
	case 2:
		return "2.0 Caddy"
	case 3:
		return "3.0 Caddy"
	}
	if res.ProtoMinor == 0 {
		return "1.0 Caddy"
	}
	return "1.1 Caddy"
}

// hopHeaders belong to one connection and are not passed on (RFC 9110, section
// 7.6.1). Content-Length is not among them: net/http checks it.
var hopHeaders = [...]string{
	"Connection", "Proxy-Connection", "Keep-Alive", "Proxy-Authenticate", "Proxy-Authorization",
	"Te", "Trailer", "Transfer-Encoding", "Upgrade", "Alt-Svc",
}

// removeHopHeaders removes the headers of the channel's own connection, and
// those that its header Connection names.
func removeHopHeaders(header http.Header) {
	for _, value := range header["Connection"] {
		for name := range strings.SplitSeq(value, ",") {
			delete(header, textproto.CanonicalMIMEHeaderKey(strings.TrimSpace(name)))
		}
	}
	for _, name := range hopHeaders {
		delete(header, name)
	}
}

// writeError is an error of writing to the client.
type writeError struct{ error }

// Unwrap returns what the connection to the client said.
func (e *writeError) Unwrap() error { return e.error }

// copyBody copies the response's body to the client, each piece at once if flush
// is set.
func (d *delivery) copyBody(res *http.Response, flush bool) error {
	buffer := copyBuffers.Get().(*[copyBufferSize]byte)
	defer copyBuffers.Put(buffer)
	if flush {
		if err := d.out.send(nil, true); err != nil { // the headers
			return &writeError{err}
		}
	}
	for {
		n, err := res.Body.Read(buffer[:])
		if n > 0 {
			if err := d.out.send(buffer[:n], flush); err != nil {
				return &writeError{err}
			}
		}
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// flushesAtOnce reports whether each piece of the response is sent as it
// arrives: of event streams and of everything whose length is not known.
func flushesAtOnce(res *http.Response) bool {
	return res.ContentLength == -1 || caddyhttp.IsIncremental(res.Header) || isEventStream(res.Header)
}

// isEventStream reports whether a response says that it is one.
func isEventStream(header http.Header) bool {
	return strings.HasPrefix(strings.ToLower(header.Get("Content-Type")), "text/event-stream")
}

// copyTrailer passes the response's trailers on, of which some were announced.
func (c *clientWriter) copyTrailer(res *http.Response, announced int) {
	if len(res.Trailer) == 0 {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.passes = false
	// A flushed response is chunked, so that trailers have a place.
	_ = c.flush()
	prefix := ""
	if len(res.Trailer) != announced {
		prefix = http.TrailerPrefix
	}
	for name, values := range res.Trailer {
		c.w.Header()[prefix+name] = values
	}
}
