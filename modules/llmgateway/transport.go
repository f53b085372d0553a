package llmgateway

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"github.com/caddy-freetier/caddy-freetier/internal/awake"
)

func init() {
	caddy.RegisterModule((*ChannelTransport)(nil))
}

// ChannelTransport makes one try of an llm_gateway's request: with the
// channel's URL, Host, key and model name, on a request of its own, so that
// nothing of one try can reach another channel. It has no options and works
// inside llm_gateway only.
type ChannelTransport struct {
	gateway *Handler // nil: none
	logger  *zap.Logger
}

// CaddyModule returns the Caddy module information.
func (*ChannelTransport) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{
		ID:  "http.reverse_proxy.transport.llm_channel",
		New: func() caddy.Module { return new(ChannelTransport) },
	}
}

// Provision sets up the transport.
func (t *ChannelTransport) Provision(ctx caddy.Context) error {
	t.logger = ctx.Logger()
	for _, module := range ctx.Modules() {
		if gateway, ok := module.(*Handler); ok {
			t.gateway = gateway
		}
	}
	return nil
}

var errOutsideGateway = errors.New("the transport llm_channel works inside llm_gateway only")

var errSpent = errors.New("the key's quota is spent")

// tryError makes the proxy go on to the next candidate.
type tryError struct {
	channel string
	reason  string
}

func (e *tryError) Error() string { return fmt.Sprintf("channel %s: %s", e.channel, e.reason) }

// RoundTrip makes one try. It returns an error as long as another candidate
// may give a better answer, and else the best answer there is: that of this
// try, or the one kept from the last candidate that refused.
func (t *ChannelTransport) RoundTrip(req *http.Request) (*http.Response, error) {
	c, ok := caddyhttp.GetVar(req.Context(), callVar).(*call)
	if !ok || c.current == nil {
		return t.probe(req)
	}
	if key := c.current.key; key != nil && key.take() != nil {
		return t.failed(c, req, errSpent) // another request took the last one
	}
	c.await(req.Context())
	awake.TouchAt(c.current.channel.dial, c.gateway.clock.Now())
	res, err := c.send(req)
	if err != nil {
		return t.failed(c, req, err)
	}
	status, err := t.receive(c, res)
	if err != nil {
		res.Body.Close()
		return t.failed(c, req, err)
	}
	t.judge(c, res, status)
	if c.mayRefuse(status) {
		c.mask(res)
	}
	c.sign(res)
	if !c.gateway.retries(status) || !c.mayTryAgain() {
		return res, nil
	}
	c.keep(res, c.reply)
	return nil, &tryError{c.current.channel.Name, http.StatusText(status)}
}

// receive looks into an answer before it goes on, as far as that decides
// whether there is another try, and returns the status that it stands for.
func (t *ChannelTransport) receive(c *call, res *http.Response) (int, error) {
	a := c.newReply(res)
	if c.reply = a; a == nil || c.model == "" {
		c.inTime()
		if c.model != "" && isPage(res) {
			return 0, errNotAPI
		}
		return res.StatusCode, nil
	}
	res.Body, a.live = a, c.inPath.streams()
	if a.stream && c.asksUsage() {
		a.body = &usageFilter{body: a.body, seen: a.tokens.find}
		res.ContentLength = -1
		res.Header.Del("Content-Length")
	}
	if a.stream && c.timer == nil && !c.mayHaveNext() {
		// Nothing to wait for: the stream begins at once.
		a.watch = func(status int) {
			if status != http.StatusOK {
				t.judge(c, res, status)
			}
		}
		return res.StatusCode, nil
	}
	status, err := a.hold()
	c.inTime()
	return status, err
}

// judge notes what an answer says about the key and the channel.
func (t *ChannelTransport) judge(c *call, res *http.Response, status int) {
	tries := &c.current.channel.tries
	switch {
	case status >= 500 || status == http.StatusRequestTimeout:
		tries.failed.Inc()
		t.channelFailed(c)
	case status == http.StatusUnauthorized || status == http.StatusPaymentRequired || status == http.StatusForbidden:
		tries.refused.Inc()
		t.keyRefused(c, status, wholeKey, time.Time{})
	case status == http.StatusTooManyRequests:
		tries.limited.Inc()
		t.keyRefused(c, status, c.current.model, c.mayAgain(res))
	default:
		tries.answered.Inc()
		t.answered(c)
		return
	}
	t.log(c, "refused", zap.Int("status", status))
}

// answered ends what rested of the key and the channel.
func (t *ChannelTransport) answered(c *call) {
	key := c.current.key
	if key != nil && key.pauses.answered(c.current.model) {
		t.logger.Info("key answers again", zap.String("channel", c.current.channel.Name), zap.String("key", key.name()))
	}
	if c.current.channel.pauses.answered(wholeKey) {
		t.logger.Info("channel answers again", zap.String("channel", c.current.channel.Name))
	}
}

// failed is for a try without an answer.
func (t *ChannelTransport) failed(c *call, req *http.Request, err error) (*http.Response, error) {
	if cause := req.Context().Err(); cause != nil {
		c.current.abandon()
		return nil, cause // the client has left
	}
	if errors.Is(err, errSpent) {
		c.current.abandon()
	} else {
		c.current.channel.tries.failed.Inc()
		t.channelFailed(c)
	}
	t.log(c, "no answer", zap.Error(err))
	if c.mayTryAgain() {
		return nil, &tryError{c.current.channel.Name, noCancel(err).Error()}
	}
	if kept := c.refused; kept != nil {
		c.refused, c.reply = nil, c.refusedReply
		return kept, nil
	}
	return notReached(c.tries).response(req), nil
}

// channelFailed notes a failure that is not the key's.
func (t *ChannelTransport) channelFailed(c *call) {
	c.channelFailed()
	if c.current.key != nil {
		c.current.key.pauses.abandon(c.current.model)
	}
	channel := c.current.channel
	if channel.pauses.failed(c.gateway.clock.Now(), time.Duration(c.gateway.Cooldown)) {
		t.logger.Info("channel fails and is asked last", zap.String("channel", channel.Name))
	}
}

// keyRefused makes a key rest that its provider refuses: for one model, or for
// all of them.
func (t *ChannelTransport) keyRefused(c *call, status int, model string, until time.Time) {
	c.current.channel.pauses.answered(wholeKey)
	key := c.current.key
	if key == nil {
		return
	}
	reason := strconv.Itoa(status) + " " + http.StatusText(status)
	if key.pauses.rest(model, reason, until, c.gateway.clock.Now(), time.Duration(c.gateway.Cooldown)) {
		t.logger.Info("key is refused and rests",
			zap.String("channel", c.current.channel.Name),
			zap.String("key", key.name()),
			zap.String("model", model),
			zap.Int("status", status))
	}
}

func (t *ChannelTransport) log(c *call, message string, reason zap.Field) {
	if entry := t.logger.Check(zapcore.DebugLevel, message); entry != nil {
		entry.Write(
			zap.String("client", c.client.Name),
			zap.String("channel", c.current.channel.Name),
			zap.String("model", c.current.model),
			zap.Int("try", c.tries),
			reason)
	}
}

// noCancel keeps a time-out of ours from looking like a client that left,
// which would end the proxy's loop.
func noCancel(err error) error {
	if errors.Is(err, context.Canceled) {
		return errors.New(err.Error())
	}
	return err
}

// retries tells whether an answer with this status is worth another try.
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

// response makes an answer of ours that goes the way of a channel's.
func (e *apiError) response(req *http.Request) *http.Response {
	body := e.body(req)
	return &http.Response{
		Status:        fmt.Sprintf("%d %s", e.status, http.StatusText(e.status)),
		StatusCode:    e.status,
		Proto:         "HTTP/1.1",
		ProtoMajor:    1,
		ProtoMinor:    1,
		Header:        e.header(),
		Body:          io.NopCloser(bytes.NewReader(body)),
		ContentLength: int64(len(body)),
		Request:       req,
	}
}

// Interface guards
var (
	_ caddy.Provisioner = (*ChannelTransport)(nil)
	_ http.RoundTripper = (*ChannelTransport)(nil)
)
