package fastestswagger

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp/reverseproxy"
	"github.com/dustin/go-humanize"
)

// What reverse_proxy hands to its transport besides the request. The names
// are Caddy's own, which it does not export.
const (
	dialInfoCtxKey   = caddy.CtxKey("reverse_proxy.dial_info")
	proxyProtocolVar = "reverse_proxy.proxy_protocol_info"
)

const (
	userAgent      = "Caddy fastest-swagger"
	readBufferSize = 32 << 10
)

var (
	errTooLarge = errors.New("the page is too large")
	errNoText   = errors.New("the page does not contain the expected text")
)

// load loads a member's page and returns how long the whole of it took.
func (s *Selection) load(ctx context.Context, m *member) (took time.Duration, err error) {
	defer func() {
		// Transports are modules too; one that fails must not end the server.
		if p := recover(); p != nil {
			err = fmt.Errorf("the transport panicked: %v", p)
		}
	}()
	timeout := time.Duration(s.Timeout)
	tooSlow := fmt.Errorf("took longer than %v", timeout)
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	timer := s.clock.AfterFunc(timeout, func() { cancel(tooSlow) })
	defer timer.Stop()

	start := s.clock.Now()
	s.awake.Probe(m.name, start)
	err = s.fetch(s.request(ctx, m))
	took = s.clock.Since(start)
	if context.Cause(ctx) == tooSlow {
		err = tooSlow // whatever the transport made of it
	}
	return took, err
}

// request makes the request as the proxy makes those of clients, but with
// nothing of a client and no header of the configuration besides Host.
func (s *Selection) request(ctx context.Context, m *member) *http.Request {
	ctx = context.WithValue(ctx, caddy.ReplacerCtxKey, upstreamReplacer(m.info))
	ctx = context.WithValue(ctx, caddyhttp.VarsCtxKey, map[string]any{
		proxyProtocolVar: reverseproxy.ProxyProtocolInfo{
			AddrPort: netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), 0),
		},
	})
	ctx = context.WithValue(ctx, dialInfoCtxKey, m.info)
	req := &http.Request{
		Method: http.MethodGet,
		// The transport fills in the scheme.
		URL:        &url.URL{Host: m.info.Address, Path: s.page.Path, RawPath: s.page.RawPath, RawQuery: s.page.RawQuery},
		Host:       m.key.host,
		Proto:      "HTTP/1.1",
		ProtoMajor: 1,
		ProtoMinor: 1,
		Header:     http.Header{"User-Agent": {userAgent}, "Accept": {"*/*"}},
	}
	ctx = context.WithValue(ctx, caddyhttp.OriginalRequestCtxKey, *req)
	return req.WithContext(ctx)
}

// fetch sends the request, follows redirects within the upstream, and checks
// the whole answer.
func (s *Selection) fetch(req *http.Request) error {
	resp, err := s.transport.RoundTrip(req)
	for hops := 0; err == nil && isRedirect(resp) && !s.expects(resp.StatusCode); hops++ {
		_ = readPage(resp.Body, s.MaxSize, "") // so that its connection can be used again
		resp.Body.Close()
		if req, err = follow(req, resp, hops); err == nil {
			resp, err = s.transport.RoundTrip(req)
		}
	}
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if err := impostorBy(resp.Header); err != nil {
		return err
	}
	if !s.expects(resp.StatusCode) {
		return fmt.Errorf("answered with status %d", resp.StatusCode)
	}
	var beginning head
	err = readPage(io.TeeReader(resp.Body, &beginning), s.MaxSize, s.Contains)
	if err == nil || errors.Is(err, errNoText) {
		if impostor := impostor(resp.Header, beginning, s.Contains != "" && err == nil); impostor != nil {
			return impostor
		}
	}
	if errors.Is(err, errTooLarge) {
		return fmt.Errorf("%w: more than %s", err, humanize.Bytes(uint64(s.MaxSize)))
	}
	return err
}

// expects tells whether a load passes with a status.
func (s *Selection) expects(status int) bool {
	return slices.ContainsFunc(s.Expect, func(expected int) bool {
		return caddyhttp.StatusCodeMatches(status, expected)
	})
}

// readPage reads a page to its end and looks for a text in it, which may lie
// across two reads.
func readPage(page io.Reader, maxSize int64, text string) error {
	var (
		buf   = make([]byte, max(readBufferSize, 2*len(text)))
		kept  int // bytes at the start of buf that the text may begin in
		size  int64
		found = text == ""
	)
	for {
		n, err := page.Read(buf[kept:])
		if size += int64(n); size > maxSize {
			return errTooLarge
		}
		if window := buf[:kept+n]; !found {
			found = bytes.Contains(window, []byte(text))
			kept = copy(buf, window[max(0, len(window)-len(text)+1):])
		} else {
			kept = 0
		}
		switch {
		case err == io.EOF && !found:
			return errNoText
		case err == io.EOF:
			return nil
		case err != nil:
			return fmt.Errorf("reading the page: %w", err)
		}
	}
}
