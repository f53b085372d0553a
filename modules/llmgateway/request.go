package llmgateway

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"time"
)

var errSlow = errors.New("no answer within first_byte_timeout")

// send makes the try's request. Where the answer is to be streamed, its first
// event must come within first_byte_timeout.
func (c *call) send(req *http.Request) (*http.Response, error) {
	transport := c.current.channel.http
	ctx := c.current.channel.dialContext(req.Context())
	timeout := time.Duration(c.gateway.FirstByteTimeout)
	if timeout == 0 || !c.streamed() {
		return transport.RoundTrip(c.request(req.WithContext(ctx)))
	}
	ctx, cancel := context.WithCancelCause(ctx)
	c.timer = c.gateway.clock.AfterFunc(timeout, func() { cancel(errSlow) })
	res, err := transport.RoundTrip(c.request(req.WithContext(ctx)))
	body := &timedBody{ctx: ctx, cancel: cancel}
	if err != nil {
		err = body.cause(err)
		c.inTime()
		cancel(nil)
		return nil, err
	}
	body.ReadCloser, res.Body = res.Body, body
	return res, nil
}

// inTime says that the first event has come.
func (c *call) inTime() {
	if c.timer != nil {
		c.timer.Stop()
		c.timer = nil
	}
}

// timedBody is a body that must begin within a time.
type timedBody struct {
	io.ReadCloser
	ctx    context.Context //nolint:containedctx // it says why the body broke off
	cancel context.CancelCauseFunc
}

func (b *timedBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	return n, b.cause(err)
}

func (b *timedBody) Close() error {
	b.cancel(nil)
	return b.ReadCloser.Close()
}

// cause makes of an error of ours what it is: a cancelled context would look
// like a client that left.
func (b *timedBody) cause(err error) error {
	if err != nil && err != io.EOF && context.Cause(b.ctx) == errSlow { //nolint:errorlint // bodies return it bare
		return errSlow
	}
	return err
}

// request turns a shallow copy of the client's request into the attempt's own.
func (c *call) request(out *http.Request) *http.Request {
	channel := c.current.channel
	out.URL, out.Host, out.Header = channel.target(c.url(out.URL)), channel.base.Host, c.outgoing(out.Header)
	out.Proto, out.ProtoMajor, out.ProtoMinor = "", 0, 0
	out.RequestURI, out.RemoteAddr, out.Pattern, out.TLS = "", "", "", nil
	out.TransferEncoding, out.Trailer, out.Close = nil, nil, false
	out.Form, out.PostForm, out.MultipartForm = nil, nil, nil
	if key := c.current.key; key != nil {
		channel.Auth.apply(out, key)
	}
	out.Body, out.ContentLength = c.open()
	out.GetBody = nil
	if c.body != nil {
		// For a connection that the channel has closed meanwhile.
		out.GetBody = func() (io.ReadCloser, error) {
			body, _ := c.open()
			return body, nil
		}
	}
	return out
}

// sign says on the answer who gave it, and drops the channel's own CORS
// headers, which would contradict ours.
func (c *call) sign(res *http.Response) {
	if !c.gateway.cors.passesOn() {
		for name := range res.Header {
			if strings.HasPrefix(name, "Access-Control-") {
				delete(res.Header, name)
			}
		}
	}
	if c.client.any() {
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
