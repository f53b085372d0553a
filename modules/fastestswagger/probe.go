package fastestswagger

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/netip"
	"net/url"
	"regexp"
	"slices"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp/reverseproxy"
	"github.com/dustin/go-humanize"
	"github.com/jonboulle/clockwork"

	"github.com/caddy-freetier/caddy-freetier/internal/awake"
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

// missingPageError is a failure by which an upstream has no such page.
type missingPageError string

func (m missingPageError) Error() string { return string(m) }

const errNoSwagger missingPageError = "the page does not look like Swagger: there is no `swagger` in it; " +
	"set `contains` to a text that it has, or `path` to another page"

// loader loads a page of an upstream and finds out whether it is the page that
// the configuration asks for.
type loader struct {
	page      *url.URL    // path and query only
	header    http.Header // of loads
	timeout   time.Duration
	expect    []int
	text      string // that the page must contain; empty: none
	swagger   bool   // the page must look like Swagger
	maxSize   int64
	transport http.RoundTripper
	clock     clockwork.Clock
	awake     *awake.Tracker
}

// load loads an upstream's page and returns how long the whole of it took.
func (l *loader) load(ctx context.Context, u *upstream) (took time.Duration, err error) {
	defer func() {
		// Transports are modules too; one that fails must not end the server.
		if p := recover(); p != nil {
			err = fmt.Errorf("the transport panicked: %v", p)
		}
	}()
	tooSlow := fmt.Errorf("took longer than %v", l.timeout)
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	timer := l.clock.AfterFunc(l.timeout, func() { cancel(tooSlow) })
	defer timer.Stop()

	start := l.clock.Now()
	l.awake.Probe(u.name, start)
	err = l.fetch(l.request(ctx, u))
	took = l.clock.Since(start)
	if context.Cause(ctx) == tooSlow {
		err = tooSlow // whatever the transport made of it
	}
	return took, err
}

// request makes the request as the proxy makes those of clients, but with
// nothing of a client, and with no header of the proxy besides Host.
func (l *loader) request(ctx context.Context, u *upstream) *http.Request {
	ctx = context.WithValue(ctx, caddy.ReplacerCtxKey, upstreamReplacer(u.info))
	ctx = context.WithValue(ctx, caddyhttp.VarsCtxKey, map[string]any{
		proxyProtocolVar: reverseproxy.ProxyProtocolInfo{
			AddrPort: netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), 0),
		},
	})
	ctx = context.WithValue(ctx, dialInfoCtxKey, u.info)
	req := &http.Request{
		Method: http.MethodGet,
		// The transport fills in the scheme.
		URL:        &url.URL{Host: u.info.Address, Path: l.page.Path, RawPath: l.page.RawPath, RawQuery: l.page.RawQuery},
		Host:       u.key.host,
		Proto:      "HTTP/1.1",
		ProtoMajor: 1,
		ProtoMinor: 1,
		Header:     http.Header{"User-Agent": {userAgent}, "Accept": {"*/*"}},
	}
	maps.Copy(req.Header, l.header.Clone())
	ctx = context.WithValue(ctx, caddyhttp.OriginalRequestCtxKey, *req)
	return req.WithContext(ctx)
}

// fetch sends the request, follows redirects within the upstream, and checks
// the whole response.
func (l *loader) fetch(req *http.Request) error {
	resp, err := l.transport.RoundTrip(req)
	for hops := 0; err == nil && isRedirect(resp) && !l.expects(resp.StatusCode); hops++ {
		_ = readPage(resp.Body, l.maxSize, "") // so that its connection can be used again
		resp.Body.Close()
		req, err = follow(req, resp, hops)
		if err == nil {
			resp, err = l.transport.RoundTrip(req)
		}
	}
	if err != nil {
		return withoutQuote(err)
	}
	defer resp.Body.Close()
	if err := interstitialHeader(resp.Header); err != nil {
		return err
	}
	var beginning head
	if !l.expects(resp.StatusCode) {
		_, _ = io.Copy(io.Discard, io.TeeReader(io.LimitReader(resp.Body, min(l.maxSize, awake.MaxWakePage)), &beginning))
		return statusError(resp, beginning)
	}
	search := swaggerSearch{found: !l.swagger || !mayHaveContent(resp.StatusCode)}
	err = readPage(io.TeeReader(resp.Body, io.MultiWriter(&beginning, &search)), l.maxSize, l.text)
	if err == nil || errors.Is(err, errNoText) {
		isWanted := l.text != "" && err == nil
		if page := interstitialPage(resp.Header, beginning, isWanted); page != nil {
			return page
		}
	}
	switch {
	case errors.Is(err, errTooLarge):
		return fmt.Errorf("%w: more than %s", err, humanize.Bytes(uint64(l.maxSize)))
	case err == nil && !search.end():
		return errNoSwagger
	}
	return err
}

// quoted is what an error quotes, as net/http does with what is no HTTP.
var quoted = regexp.MustCompile(`"(?:\\.|[^"\\])*"`)

// withoutQuote takes what an error quotes out of it: what came can be what was
// sent, such as the query.
func withoutQuote(err error) error {
	text := err.Error()
	if shown := quoted.ReplaceAllString(text, "…"); shown != text {
		return errors.New(shown)
	}
	return err
}

// statusError says what a response is whose status is not expected: a
// platform's page if it is a known one, or else its status.
func statusError(resp *http.Response, beginning []byte) error {
	if page := platformPage(resp.Header, beginning); page != nil {
		return page
	}
	text := fmt.Sprintf("answered with status %d", resp.StatusCode)
	switch resp.StatusCode {
	case http.StatusNotFound, http.StatusMethodNotAllowed, http.StatusGone:
		return missingPageError(text)
	}
	return errors.New(text)
}

// expects reports whether a load passes with a status.
func (l *loader) expects(status int) bool {
	return slices.ContainsFunc(l.expect, func(expected int) bool {
		return caddyhttp.StatusCodeMatches(status, expected)
	})
}

// mayHaveContent reports whether a page can come with a status. Whoever expects
// one with which none comes does not look for a text.
func mayHaveContent(status int) bool {
	return status/100 == 2 && status != http.StatusNoContent && status != http.StatusResetContent
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
