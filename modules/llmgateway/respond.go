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

// delivery is what the client got of a response.
type delivery struct {
	status   int         // 0 before it
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
func (as *attempts) clientLeft() {
	if begun := as.out.take(); !begun {
		as.out.w.WriteHeader(statusClientClosed)
	}
	as.finish(outcomeLeft)
}

// finish records the outcome.
func (as *attempts) finish(o outcome) {
	as.delivered.outcome = o
	as.delivered.duration = as.gateway.clock.Since(as.start)
	collectors.outcomes.WithLabelValues(as.client.label(), string(o)).Inc()
}

// respond sends a response to the client. It does what reverse_proxy does:
// hop-by-hop headers end here, trailers are passed on, and what arrives bit by bit
// leaves bit by bit. A response that breaks off never looks complete: an event
// stream ends with an event that is an error, and for everything else respond
// panics with http.ErrAbortHandler, as reverse_proxy does.
func (as *attempts) respond(res *http.Response) {
	defer res.Body.Close()
	as.learnIDs(res)
	begun := as.out.take()
	as.delivered.status, as.delivered.header = res.StatusCode, res.Header
	if begun {
		as.delivered.status = http.StatusOK
		as.continueStream(res)
		return
	}
	header, isStream := as.out.w.Header(), as.isStream(res)
	copyHeader(header, res)
	announced := len(res.Trailer)
	if announced > 0 {
		header.Add("Trailer", strings.Join(slices.Sorted(maps.Keys(res.Trailer)), ", "))
	}
	if isStream && header["X-Accel-Buffering"] == nil {
		header["X-Accel-Buffering"] = notBuffered
	}
	as.out.w.WriteHeader(res.StatusCode)
	if isStream {
		as.out.passEvents()
	}
	if err := as.copyBody(res, isStream || flushesAtOnce(res)); err != nil {
		as.breakOff(err, isStream)
		return
	}
	res.Body.Close() // fills in res.Trailer
	as.out.copyTrailer(res, announced)
	as.finish(as.outcomeOf(res))
}

// isStream reports whether a response is an event stream of a channel.
func (as *attempts) isStream(res *http.Response) bool {
	a := as.current
	return as.count > 0 && res == a.res && a.content.metered && a.content.kind == usage.Events && res.StatusCode == http.StatusOK
}

// outcomeOf returns the outcome of a response that has passed to its end.
func (as *attempts) outcomeOf(res *http.Response) outcome {
	switch {
	case res.StatusCode >= http.StatusBadRequest:
		return outcomeRefused
	case as.count > 0 && res == as.current.res && as.current.content.failed:
		return outcomeBroken
	}
	return outcomeComplete
}

// breakOff ends a response that cannot be passed on to its end.
func (as *attempts) breakOff(err error, isStream bool) {
	as.current.log("response broke off", zap.Error(err))
	left := as.out.hasLeft() || errors.As(err, new(*writeError))
	if isStream && !left && as.out.send(as.failureEvent(), true) == nil {
		as.finish(outcomeBroken)
		return
	}
	if left {
		as.finish(outcomeLeft)
	} else {
		as.finish(outcomeBroken)
	}
	// What has arrived reaches the client before the connection is cut.
	_ = as.out.send(nil, true)
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
func (as *attempts) copyBody(res *http.Response, flush bool) error {
	buffer := copyBuffers.Get().(*[copyBufferSize]byte)
	defer copyBuffers.Put(buffer)
	if flush {
		if err := as.out.send(nil, true); err != nil { // the headers
			return &writeError{err}
		}
	}
	for {
		n, err := res.Body.Read(buffer[:])
		if n > 0 {
			if err := as.out.send(buffer[:n], flush); err != nil {
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
