package llmgateway

import (
	"net/http"
	"time"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"github.com/jonboulle/clockwork"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"github.com/caddy-freetier/caddy-freetier/internal/llm/usage"
	"github.com/caddy-freetier/caddy-freetier/internal/reqbody"
)

// call is one client's request: what it asks for, its body, and the candidates
// in the order in which they are tried. It belongs to the request's goroutine.
type call struct {
	gateway *Handler
	client  *Client
	start   time.Time

	modelRef                // what the request says
	usageEdit *reqbody.Edit // makes the stream tell its usage, nil: nothing to add
	source    upload        // the body as it comes in
	body      *reqbody.Body // nil: none
	location  location      // where the request goes
	upgrading bool          // the client asks for a WebSocket

	candidates   []candidate
	room         [2]candidate // for the usual number of them
	current      *candidate   // of this try
	next         *candidate   // of the next try, claimed already
	tries        int
	status       int            // what the current response stands for
	latency      time.Duration  // of the current attempt, to its headers
	duration     time.Duration  // from the request to the end of the response
	sentStatus   int            // of the response that the client got, 0 before it
	sentHeader   http.Header    // of it, as the channel sent them
	notSwitched  *http.Response // what a channel gave instead of another protocol
	refused      *http.Response // the last refused answer, still open
	refusedReply *reply         // of it
	refusals     []refusals     // by channel and model
	reply        *reply         // of this try, nil: none that can be read
	firstReply   reply          // room for that of the first try
	timer        clockwork.Timer
	sent         bool  // an attempt has sent the request
	reserved     int64 // of the client's tokens
	estimated    int64 // tokens charged beyond those that the response states
}

// candidate is a key of a channel, and the model to ask it for.
type candidate struct {
	channel  *Channel
	key      *key      // nil for auth none
	model    string    // the channel's own name
	measures *measures // nil without a model
	tried    bool
	last     bool // the channel has failed: only when nothing else is left
}

// release ends the call: what the answer has cost is charged, and the body's memory, the refused answer's connection,
// and a trial that was claimed and not made are given back.
func (c *call) release() {
	c.settle()
	if c.reserved > 0 {
		c.client.reserved.Add(-c.reserved)
	}
	c.settleRefusals()
	if c.current != nil {
		c.current.channel.open.Add(-1)
	}
	if c.body != nil {
		c.body.Release()
	}
	c.keep(nil, nil)
	if c.next != nil {
		c.next.release()
	}
}

// keep remembers a refused answer instead of the one before. It stays open and
// unread, so that it can reach the client unchanged if nothing better comes.
func (c *call) keep(refused *http.Response, r *reply) {
	if c.refused != nil {
		c.refused.Body.Close()
	}
	c.refused, c.refusedReply = refused, r
}

// mayTryAgain claims the next candidate and tells whether there is one.
func (c *call) mayTryAgain() bool {
	if !c.mayHaveNext() {
		return false
	}
	if c.gateway.clock.Since(c.start) >= time.Duration(c.gateway.TryDuration) {
		return false
	}
	return c.advance()
}

// mayHaveNext tells whether another try may follow, without claiming it.
func (c *call) mayHaveNext() bool {
	limit := c.gateway.Retries
	return (limit == 0 || c.tries <= limit) && c.peek() != nil
}

// advance claims the next candidate: the first one not tried, those of
// channels that have failed coming last. One that is in cooldown meanwhile is
// passed over.
func (c *call) advance() bool {
	now := c.gateway.clock.Now()
	for {
		next := c.peek()
		if next == nil {
			return false
		}
		next.tried = true
		if next.acquire(now) {
			c.next = next
			return true
		}
	}
}

// peek returns the next candidate that was not tried, nil for none.
func (c *call) peek() *candidate {
	var last *candidate
	for i := range c.candidates {
		next := &c.candidates[i]
		switch {
		case next.tried:
		case !next.last:
			return next
		case last == nil:
			last = next
		}
	}
	return last
}

// startNext makes the claimed candidate the current one.
func (c *call) startNext() {
	if c.current != nil {
		c.current.channel.open.Add(-1)
	}
	c.current, c.next = c.next, nil
	c.current.channel.open.Add(1)
	c.tries++
}

// channelFailed puts the failed channel's other keys behind all others.
func (c *call) channelFailed() {
	for i := range c.candidates {
		if c.candidates[i].channel == c.current.channel {
			c.candidates[i].last = true
		}
	}
}

// usage is what the response states that it has cost, as far as it has been read.
func (c *call) usage() *usage.Usage {
	if c.reply == nil {
		return new(usage.Usage)
	}
	return &c.reply.tokens.Usage
}

// MarshalLogObject is the field `llm_gateway` of the access log.
func (c *call) MarshalLogObject(enc zapcore.ObjectEncoder) error {
	enc.AddString("client", c.client.Name)
	enc.AddString("model", c.model)
	enc.AddInt("tries", c.tries)
	if c.current != nil {
		enc.AddString("channel", c.current.channel.Name)
		enc.AddString("sent_model", c.current.model)
		enc.AddInt64("input_tokens", c.usage().Input())
		enc.AddInt64("output_tokens", c.usage().Output())
		if c.estimated > 0 {
			enc.AddInt64("estimated_tokens", c.estimated)
		}
	}
	return nil
}

// addToLog adds the call to the access log, if there is one.
func (c *call) addToLog(r *http.Request) {
	server, ok := r.Context().Value(caddyhttp.ServerCtxKey).(*caddyhttp.Server)
	if !ok || server.Logs == nil {
		return
	}
	if extra, ok := r.Context().Value(caddyhttp.ExtraLogFieldsCtxKey).(*caddyhttp.ExtraLogFields); ok {
		extra.Add(zap.Object("llm_gateway", c))
	}
}

// Interface guards
var (
	_ zapcore.ObjectMarshaler = (*call)(nil)
)
