package doh

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/caddy-freetier/caddy-freetier/internal/dnsconn"
)

// Servers close idle connections after 30 to 240 seconds, and some networks
// forget them without a word: hence the pings.
const (
	pingAfter   = 10 * time.Second
	pingTimeout = 5 * time.Second
	idleTimeout = 2 * time.Minute
)

// httpsLink is DNS over HTTPS (RFC 8484).
type httpsLink struct {
	conns
	get  *http.Request
	post *http.Request
}

func newHTTPSLink(address *url.URL, addr string, dial dnsconn.Dial, config *tls.Config, headers http.Header) *httpsLink {
	if address.Path == "" {
		address.Path = "/"
	}
	get := http.Header{
		"Accept":     typeHeader,
		"User-Agent": {""}, // nobody's business
	}
	for field, values := range headers {
		get[field] = values
	}
	post := get.Clone()
	post["Content-Type"] = typeHeader
	return &httpsLink{
		conns: conns{addr: addr, transport: &http.Transport{
			Proxy:               http.ProxyFromEnvironment,
			DialContext:         dial,
			TLSClientConfig:     config,
			TLSHandshakeTimeout: dialTimeout,
			ForceAttemptHTTP2:   true,
			HTTP2: &http.HTTP2Config{
				SendPingTimeout: pingAfter,
				PingTimeout:     pingTimeout,
				// Room for the header fields that are always the same, and not
				// for the path, which never comes again.
				MaxEncoderHeaderTableSize: 192,
			},
			DisableCompression: true,
			IdleConnTimeout:    idleTimeout,
		}},
		get:  &http.Request{Method: http.MethodGet, URL: address, Host: address.Host, Header: get},
		post: &http.Request{Method: http.MethodPost, URL: address, Host: address.Host, Header: post},
	}
}

func (l *httpsLink) exchange(ctx context.Context, q *query) ([]byte, uint32, error) {
	resp, err := l.roundTrip(l.request(ctx, q))
	if err != nil {
		return nil, 0, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return nil, 0, &failure{failStatus, fmt.Errorf("status %d", resp.StatusCode)}
	}
	if !isMessage(resp.Header.Get("Content-Type")) {
		return nil, 0, &failure{failType, errors.New("the answer is not a DNS message")}
	}
	msg, err := readMessage(resp.Body, resp.ContentLength, nil, true)
	switch {
	case errors.Is(err, errLong):
		return nil, 0, &failure{failInvalid, err}
	case err != nil:
		return nil, 0, &failure{kindOf(err), err} // the upstream has had it: no reason to send it again
	}
	return msg, age(resp.Header), nil
}

// request makes a request of its own for each try.
func (l *httpsLink) request(ctx context.Context, q *query) *http.Request {
	if q.param == "" {
		req := l.post.WithContext(ctx)
		req.ContentLength = int64(len(q.msg))
		req.Body = io.NopCloser(bytes.NewReader(q.msg))
		return req
	}
	req := l.get.WithContext(ctx)
	target := *req.URL
	if target.RawQuery != "" {
		target.RawQuery += "&"
	}
	target.RawQuery += q.param
	req.URL = &target
	return req
}

// age is how many seconds an answer has spent in HTTP caches.
func age(h http.Header) uint32 {
	values := h["Age"]
	if len(values) == 0 {
		return 0
	}
	n, err := strconv.ParseUint(values[0], 10, 32)
	if err != nil {
		return 0
	}
	return uint32(n)
}
