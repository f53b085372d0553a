package llmgateway

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/textproto"
	"slices"
	"strings"
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
	logger *zap.Logger
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
		return nil, errOutsideGateway
	}
	if key := c.current.key; key != nil && key.quota != nil && !key.quota.Take(1) {
		return t.failed(c, req, errSpent) // another request took the last one
	}
	awake.Touch(c.current.channel.dial)
	res, err := c.current.channel.http.RoundTrip(c.request(req))
	if err != nil {
		return t.failed(c, req, err)
	}
	t.judge(c, res)
	c.sign(res)
	if !c.gateway.retries(res.StatusCode) || !c.mayTryAgain() {
		return res, nil
	}
	c.keep(res)
	return nil, &tryError{c.current.channel.Name, res.Status}
}

// judge notes what an answer says about the key and the channel.
func (t *ChannelTransport) judge(c *call, res *http.Response) {
	switch status := res.StatusCode; {
	case status >= 500 || status == http.StatusRequestTimeout:
		t.channelFailed(c)
	case status == http.StatusUnauthorized || status == http.StatusPaymentRequired || status == http.StatusForbidden:
		t.keyRefused(c, res, wholeKey, time.Time{})
	case status == http.StatusTooManyRequests:
		t.keyRefused(c, res, c.current.model, retryAfter(res.Header, c.gateway.clock.Now()))
	default:
		t.answered(c)
		return
	}
	t.log(c, "refused", zap.Int("status", res.StatusCode))
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
		t.channelFailed(c)
	}
	t.log(c, "no answer", zap.Error(err))
	if c.mayTryAgain() {
		return nil, &tryError{c.current.channel.Name, noCancel(err).Error()}
	}
	if kept := c.refused; kept != nil {
		c.refused = nil
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
func (t *ChannelTransport) keyRefused(c *call, res *http.Response, model string, until time.Time) {
	c.current.channel.pauses.answered(wholeKey)
	key := c.current.key
	if key == nil {
		return
	}
	if key.pauses.rest(model, res.Status, until, c.gateway.clock.Now(), time.Duration(c.gateway.Cooldown)) {
		t.logger.Info("key is refused and rests",
			zap.String("channel", c.current.channel.Name),
			zap.String("key", key.name()),
			zap.String("model", model),
			zap.Int("status", res.StatusCode))
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

// request makes the try's own request.
func (c *call) request(req *http.Request) *http.Request {
	channel := c.current.channel
	out := &http.Request{
		Method: req.Method,
		URL:    channel.target(c.url(req.URL)),
		Host:   channel.base.Host,
		Header: c.outgoing(req.Header),
	}
	if c.current.key != nil {
		channel.Auth.apply(out, c.current.key.secret)
	}
	out.Body, out.ContentLength = c.open()
	if c.body != nil {
		// For a connection that the channel has closed meanwhile.
		out.GetBody = func() (io.ReadCloser, error) {
			body, _ := c.open()
			return body, nil
		}
	}
	return out.WithContext(req.Context())
}

// outgoing returns what of the client's headers the channel gets, and the
// channel's own. proxied are those that the proxy hands on.
func (c *call) outgoing(proxied http.Header) http.Header {
	from, hops := proxied, []string(nil)
	if c.header != nil {
		from, hops = c.header, hopByHop(c.header)
	}
	header := make(http.Header, len(from)+4)
	for name, values := range from {
		if !isAboutClient(name) && !slices.Contains(hops, name) {
			header[name] = values
		}
	}
	if header["User-Agent"] == nil {
		header["User-Agent"] = noUserAgent
	}
	// The answer is passed on as it comes, and read on its way.
	header["Accept-Encoding"] = identity
	for name, values := range c.current.channel.headers {
		header[name] = values
	}
	return header
}

// Values that many requests carry; a header map takes them as they are.
var (
	identity    = []string{"identity"} // no compression
	noUserAgent = []string{""}         // net/http would name itself
)

// standardHops are the headers that belong to the client's own connection.
var standardHops = []string{
	"Connection", "Proxy-Connection", "Keep-Alive", "Proxy-Authenticate", "Proxy-Authorization",
	"Te", "Trailer", "Transfer-Encoding", "Upgrade", "Content-Length", "Expect",
}

// hopByHop returns the headers that end here, those included that the client
// names as such (RFC 9110, section 7.6.1).
func hopByHop(header http.Header) []string {
	hops := standardHops
	for _, value := range header["Connection"] {
		for name := range strings.SplitSeq(value, ",") {
			hops = append(slices.Clip(hops), textproto.CanonicalMIMEHeaderKey(strings.TrimSpace(name)))
		}
	}
	return hops
}

// isAboutClient tells whether a header could say who the client is or what
// stands between it and the channel. Names are in canonical form.
func isAboutClient(name string) bool {
	switch name {
	case "Via", "Forwarded", "X-Real-Ip", "X-Client-Ip", "True-Client-Ip", "X-Cluster-Client-Ip",
		"Cf-Connecting-Ip", "Cf-Connecting-Ipv6", "Fastly-Client-Ip":
		return true
	}
	return strings.HasPrefix(name, "X-Forwarded-")
}

// sign says on the answer who gave it, and drops the channel's own CORS
// headers, which would contradict ours.
func (c *call) sign(res *http.Response) {
	if !c.gateway.cors.off {
		for name := range res.Header {
			if strings.HasPrefix(name, "Access-Control-") {
				delete(res.Header, name)
			}
		}
	}
	if len(c.client.meters) > 0 {
		// The client's limits are ours.
		for name := range res.Header {
			if strings.HasPrefix(name, "X-Ratelimit-") {
				delete(res.Header, name)
			}
		}
	}
	res.Header["X-Gateway-Channel"] = c.current.channel.signature
	if c.current.model != "" {
		res.Header["X-Gateway-Model"] = []string{c.current.model}
	}
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
