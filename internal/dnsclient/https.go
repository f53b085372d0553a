package dnsclient

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/caddy-freetier/caddy-freetier/internal/dnsmsg"
)

// Servers close idle connections after 30 to 240 seconds, and some networks drop them
// without notice, which pings detect.
const (
	pingAfter   = 10 * time.Second
	pingTimeout = 5 * time.Second
	idleTimeout = 2 * time.Minute
)

// HTTPS is DNS over HTTPS (RFC 8484).
type HTTPS struct {
	conns

	// Templates of requests, which are copied and never changed.
	get, post *http.Request

	varying requestHeaders // the header fields that differ between queries
}

// NewHTTPS returns a client of the server with a URL, at addr (host:port). Each
// request has the header fields.
func NewHTTPS(address *url.URL, addr string, dial Dial, config *tls.Config, headers http.Header) *HTTPS {
	if address.Path == "" {
		address.Path = "/"
	}
	get := http.Header{
		"Accept":     MediaTypeHeader,
		"User-Agent": {""}, // omits net/http's own; RFC 8484, section 8.2, on privacy
	}
	fixed, varying := splitHeaders(headers)
	maps.Copy(get, fixed)
	post := get.Clone()
	post["Content-Type"] = MediaTypeHeader
	return &HTTPS{
		conns: conns{addr: addr, most: maxOpen, transport: &http.Transport{
			Proxy:               http.ProxyFromEnvironment,
			DialContext:         monitor(dial),
			TLSClientConfig:     config,
			TLSHandshakeTimeout: dialTimeout,
			ForceAttemptHTTP2:   true,
			HTTP2: &http.HTTP2Config{
				SendPingTimeout: pingAfter,
				PingTimeout:     pingTimeout,
				// Large enough for the header fields that all requests share. A
				// larger table would be filled with paths, which never occur
				// again.
				MaxEncoderHeaderTableSize: 192,
			},
			DisableCompression: true,
			IdleConnTimeout:    idleTimeout,
		}},
		get:     &http.Request{Method: http.MethodGet, URL: address, Host: address.Host, Header: get},
		post:    &http.Request{Method: http.MethodPost, URL: address, Host: address.Host, Header: post},
		varying: varying,
	}
}

// StatusError is the error of an HTTP response with another status than 200.
type StatusError struct {
	Status int

	// RetryAfter is the server's Retry-After. 0: it sent none.
	RetryAfter time.Duration
}

func (e *StatusError) Error() string { return fmt.Sprintf("status %d", e.Status) }

// ErrMediaType is the error of an HTTP response with another content type than
// MediaType.
var ErrMediaType = errors.New("the response is not a DNS message")

// Exchange implements Client.
func (c *HTTPS) Exchange(ctx context.Context, q *dnsmsg.Outgoing, a *Attempt) ([]byte, uint32, error) {
	resp, err := c.send(ctx, q, a)
	if err != nil {
		return nil, 0, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return nil, 0, &StatusError{resp.StatusCode, retryAfter(resp, time.Now())}
	}
	if !IsMessage(resp.Header.Get("Content-Type")) {
		return nil, 0, ErrMediaType
	}
	msg, err := ReadMessage(resp.Body, resp.ContentLength, nil, true)
	if err != nil {
		return nil, 0, &FinalError{err}
	}
	a.respond()
	return msg, age(resp.Header), nil
}

// maxUnprocessed is how often a query is sent over connections that the server closes
// without having answered any query on them.
const maxUnprocessed = 32

// send sends a query, and again over another connection as long as the server says that
// it has not processed it: that is no failure of the server. Of many queries at once,
// only as many are answered on each connection as the server takes.
func (c *HTTPS) send(ctx context.Context, q *dnsmsg.Outgoing, a *Attempt) (*http.Response, error) {
	for unserved := 0; ; {
		resp, err := c.roundTrip(c.request(ctx, q), a)
		if !isUnprocessed(err) || ctx.Err() != nil {
			return resp, err
		}
		if a.served() {
			continue
		}
		if unserved++; unserved == maxUnprocessed {
			return nil, err
		}
	}
}

// isUnprocessed reports whether the server closes an HTTP/2 connection and has not
// processed the request: GOAWAY names the last stream that it processes (RFC 9113,
// section 6.8). nginx sends it after `keepalive_requests` requests. http.Transport
// sends such requests again, http.ClientConn leaves that to its caller. net/http does
// not export the errors.
func isUnprocessed(err error) bool {
	if err == nil {
		return false
	}
	switch err.Error() {
	case "http2: Transport received Server's graceful shutdown GOAWAY", "http2: client conn not usable":
		return true
	}
	return false
}

// maxGet is the longest message that is sent with GET, in bytes. GET needs a single
// frame, but servers limit the length of URLs.
const maxGet = 512

// request returns a new request for each attempt.
func (c *HTTPS) request(ctx context.Context, q *dnsmsg.Outgoing) *http.Request {
	if len(q.Padded) > maxGet {
		req := c.post.WithContext(ctx)
		c.vary(req, q)
		req.ContentLength = int64(len(q.Padded))
		req.Body = io.NopCloser(bytes.NewReader(q.Padded))
		return req
	}
	req := c.get.WithContext(ctx)
	c.vary(req, q)
	target := *req.URL
	target.RawQuery = withMessage(target.RawQuery, q.Padded)
	req.URL = &target
	return req
}

// withMessage appends a message to the query string of a URL (RFC 8484, section
// 4.1).
func withMessage(query string, msg []byte) string {
	var stack [256]byte // enough for a query string of the usual length
	buf := append(stack[:0], query...)
	if query != "" {
		buf = append(buf, '&')
	}
	buf = append(buf, "dns="...)
	return string(base64.RawURLEncoding.AppendEncode(buf, msg))
}

// vary adds the header fields that differ between queries.
func (c *HTTPS) vary(req *http.Request, q *dnsmsg.Outgoing) {
	if len(c.varying) > 0 {
		req.Header = c.varying.apply(req.Header, q)
	}
}

// retryAfter returns the Retry-After of a response with status 429 or 503 (RFC 9110,
// section 10.2.3), and 0 if there is none.
func retryAfter(resp *http.Response, now time.Time) time.Duration {
	if resp.StatusCode != http.StatusTooManyRequests && resp.StatusCode != http.StatusServiceUnavailable {
		return 0
	}
	text := resp.Header.Get("Retry-After")
	if n, err := strconv.ParseUint(text, 10, 31); err == nil {
		return time.Duration(n) * time.Second
	}
	if at, err := http.ParseTime(text); err == nil {
		return max(at.Sub(now), 0)
	}
	return 0
}
