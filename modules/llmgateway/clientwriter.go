package llmgateway

import (
	"context"
	"net/http"
	"sync"
	"time"

	"github.com/jonboulle/clockwork"

	"github.com/caddy-freetier/caddy-freetier/internal/llm/refusal"
)

// clientWriter is the way to the client. Its heartbeats are comments of the
// stream, which keep proxies in front of the gateway, and clients, from taking a
// silent stream for a dead one:
//
//	held ──────── the response begins ───────▶ passing ──▶ ended
//	  └─ first heartbeat ─▶ begun ──────────────▲
//
// A timer writes them, everything else is written by the request's goroutine, and
// all of it under one lock. Nothing is written once the writer has ended.
type clientWriter struct {
	comment  []byte        // a heartbeat; empty if the client gets none
	interval time.Duration // of silence until there is one
	clock    clockwork.Clock

	ctx context.Context //nolint:containedctx // it ends when the client leaves

	watch writeWatch // on the writes

	mu      sync.Mutex
	w       http.ResponseWriter
	state   writerState
	passes  bool // the response is an event stream, so that heartbeats may go on
	between bool // what was written ends behind an event
	last    time.Time
	timer   clockwork.Timer // set once there are heartbeats
}

type writerState uint8

const (
	writerHeld    writerState = iota // nothing was written
	writerBegun                      // heartbeats were
	writerPassing                    // so is the response
	writerEnded
)

// comments are the heartbeats of the dialects. Gemini's have none: the Gemini
// CLI 0.61 drops the event behind a comment, and asks again.
var comments = map[refusal.Dialect][]byte{
	refusal.DialectChat:      []byte(": ping\n\n"),
	refusal.DialectResponses: []byte(": ping\n\n"),
	refusal.DialectMessages:  []byte("event: ping\ndata: {\"type\": \"ping\"}\n\n"),
}

// startHeartbeats is called with each attempt of a request and has an effect with
// the first one. Only requests that ask for a stream get heartbeats.
func (c *clientWriter) startHeartbeats(q *request) {
	g := q.gateway
	if c.timer != nil || g.heartbeat <= 0 || q.upgrading || !q.streamed() {
		return
	}
	comment := comments[q.dialect()]
	if comment == nil {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.comment, c.interval = comment, g.heartbeat
	c.last = c.clock.Now()
	c.timer = c.clock.AfterFunc(c.interval, c.beat)
}

// open sets whom to write to.
func (c *clientWriter) open(w http.ResponseWriter, r *http.Request, clock clockwork.Clock) {
	c.w, c.ctx, c.clock = w, r.Context(), clock
	c.watch.open(w, r, clock)
}

// hasLeft reports whether the client has.
func (c *clientWriter) hasLeft() bool { return c.ctx.Err() != nil }

// beat writes a heartbeat if nothing was written for as long as the interval, and
// sets the timer for the next one.
func (c *clientWriter) beat() {
	c.mu.Lock()
	defer c.mu.Unlock()
	defer func() {
		if recover() != nil { // a handler around us: on this goroutine nobody else would recover
			c.comment = nil
		}
	}()
	if c.state == writerEnded || c.state == writerPassing && !c.passes || c.comment == nil {
		return
	}
	if silent := c.clock.Since(c.last); silent < c.interval {
		c.timer.Reset(c.interval - silent)
		return
	}
	if c.state == writerHeld {
		c.begin()
	}
	if c.between {
		if c.write(c.comment) != nil || c.flush() != nil {
			return // the client has left
		}
	}
	c.timer.Reset(c.interval)
}

// begin sends the header of a stream of which no event is known yet. It has
// nothing of any attempt.
func (c *clientWriter) begin() {
	header := c.w.Header()
	header["Content-Type"] = []string{"text/event-stream"}
	header["Cache-Control"] = []string{"no-cache"}
	header["X-Accel-Buffering"] = notBuffered
	c.w.WriteHeader(http.StatusOK)
	c.state, c.between = writerBegun, true
}

// notBuffered keeps nginx from holding events back until its buffer is full.
// Source: https://nginx.org/en/docs/http/ngx_http_proxy_module.html#proxy_buffering
var notBuffered = []string{"no"}

// take makes room for the response. begun reports whether heartbeats have begun
// it: then its header has gone.
func (c *clientWriter) take() (begun bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	begun, c.passes = c.state == writerBegun, false
	c.state = writerPassing
	return begun
}

// passEvents lets heartbeats stand between what is written from now on.
func (c *clientWriter) passEvents() {
	if c.timer == nil {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.passes, c.between, c.last = true, true, c.clock.Now()
	c.timer.Reset(c.interval)
}

// send writes a piece of the response, and sends it at once if flush is set.
func (c *clientWriter) send(p []byte, flush bool) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := c.write(p); err != nil || !flush {
		return err
	}
	return c.flush()
}

// write is called with the lock. Of a long p each piece counts as a write, so that the
// client need not take the whole in the time for one.
func (c *clientWriter) write(p []byte) error {
	if len(p) == 0 {
		return nil
	}
	if c.timer != nil {
		c.between, c.last = endsEvent(p), c.clock.Now()
	}
	c.watch.start()
	for len(p) > 0 {
		n := min(len(p), copyBufferSize)
		c.watch.begin()
		_, err := c.w.Write(p[:n])
		if err = c.watch.end(err); err != nil {
			return err
		}
		p = p[n:]
	}
	return nil
}

// flush is called with the lock.
func (c *clientWriter) flush() error {
	c.watch.start()
	c.watch.begin()
	return c.watch.end(http.NewResponseController(c.w).Flush())
}

// end ends all writing.
func (c *clientWriter) end() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.state = writerEnded
	if c.timer != nil {
		c.timer.Stop()
	}
	c.watch.stop()
}

// isHeld reports whether a heartbeat may look at what the request's goroutine is
// about to change, since no response has been chosen yet. It is for callers that
// have the lock, or are the request's goroutine.
func (c *clientWriter) isHeld() bool {
	return c.timer != nil && (c.state == writerHeld || c.state == writerBegun)
}
