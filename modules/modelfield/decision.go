package modelfield

import (
	"context"
	"errors"
	"io"
	"mime"
	"net/http"
	"slices"
	"strings"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp/reverseproxy"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"github.com/caddy-freetier/caddy-freetier/internal/reqbody"
)

// decision is what was decided for a request at its first try: which policy
// selects among which upstreams, and the body that each try sends.
type decision struct {
	policy reverseproxy.Selector // nil: the request is for none
	dials  []string              // of the route, nil for all upstreams
	tried  reverseproxy.UpstreamPool

	body *reqbody.Body // nil: none, or not kept
	once io.ReadCloser // a body that can be sent only once
	sent bool
}

// decide reads the field and finds its route.
func (p *Policy) decide(r *http.Request) *decision {
	d := new(decision)
	value, err := p.read(r, d)
	if d.body != nil {
		context.AfterFunc(r.Context(), d.body.Release)
	}
	if err == nil {
		for _, route := range p.Routes {
			if slices.ContainsFunc(route.Values, func(pattern string) bool { return reqbody.Match(pattern, value) }) {
				d.policy, d.dials = p.choose, route.dials
				return d
			}
		}
		err = errors.New("no route matches")
	}
	if !errors.Is(err, reqbody.ErrExhausted) {
		d.policy = p.fallback // else status 503: part of the body is lost
	}
	if c := p.logger.Check(zapcore.DebugLevel, "the request is for the fallback"); c != nil {
		c.Write(zap.String("field", p.Field), zap.Bool("fallback", p.fallback != nil), zap.Error(err))
	}
	return d
}

// read returns the field's value and keeps the body in d.
func (p *Policy) read(r *http.Request, d *decision) (string, error) {
	if r.Body == nil || r.Body == http.NoBody {
		if values := r.URL.Query()[p.Field]; len(values) == 1 {
			return values[0], nil
		}
		return "", reqbody.ErrMissing
	}
	if !isJSON(r.Header.Get("Content-Type")) {
		return "", reqbody.ErrMissing
	}
	if r.ContentLength > p.MaxBody {
		return "", reqbody.ErrTooLarge
	}
	// One byte more than is allowed shows whether there is more.
	limit := p.MaxBody + 1
	scanner := &tolerant{scanner: reqbody.NewScanner(p.Field)}
	body, err := p.bodies.Budget.Read(io.LimitReader(r.Body, limit), r.ContentLength, limit, scanner)
	if err != nil {
		d.once = failed{err}
		return "", err
	}
	d.body = body
	if body.Len() == limit {
		begin, _ := body.Open()
		d.once = struct {
			io.Reader
			io.Closer
		}{io.MultiReader(begin, r.Body), begin}
		return "", reqbody.ErrTooLarge
	}
	value, err := scanner.scanner.Finish()
	return value.Text, err
}

// next returns the upstream of the next try: one that was not tried, or, when
// all were, any again.
func (d *decision) next(pool reverseproxy.UpstreamPool, r *http.Request, w http.ResponseWriter) *reverseproxy.Upstream {
	if d.policy == nil {
		return nil
	}
	u := d.policy.Select(d.left(pool), r, w)
	if u == nil && len(d.tried) > 0 {
		d.tried = nil
		u = d.policy.Select(d.left(pool), r, w)
	}
	if u != nil {
		d.tried = append(d.tried, u)
	}
	return u
}

// left returns what the request may still try.
func (d *decision) left(pool reverseproxy.UpstreamPool) reverseproxy.UpstreamPool {
	left := make(reverseproxy.UpstreamPool, 0, len(pool))
	for _, u := range pool {
		if (d.dials == nil || slices.Contains(d.dials, dialAddress(u.Dial))) && !d.hasTried(u) {
			left = append(left, u)
		}
	}
	return left
}

// hasTried knows a static upstream by its pointer. A dynamic source returns
// new ones for each try, which only their address tells apart.
func (d *decision) hasTried(u *reverseproxy.Upstream) bool {
	return slices.ContainsFunc(d.tried, func(t *reverseproxy.Upstream) bool { return t == u || t.Dial == u.Dial })
}

// giveBody gives a try the whole body from its beginning, and reports whether it
// could.
func (d *decision) giveBody(r *http.Request) bool {
	switch {
	case d.once != nil && d.sent:
		return false
	case d.once != nil:
		r.Body = d.once
	case d.body != nil:
		r.Body, _ = d.body.Open()
	}
	d.sent = true
	return true
}

// isJSON reports whether a body of this type is read. Some clients send JSON
// without saying so.
func isJSON(contentType string) bool {
	if contentType == "" {
		return true
	}
	mediaType, _, err := mime.ParseMediaType(contentType)
	return err == nil && (mediaType == "application/json" || strings.HasSuffix(mediaType, "+json"))
}

// tolerant reads on after an error and skips a byte order mark: the body is
// passed on as it is.
type tolerant struct {
	scanner *reqbody.Scanner
	skipped int // bytes of the mark
	begun   bool
}

// byteOrderMark begins a text in UTF-8, of some clients on Windows.
const byteOrderMark = "\xef\xbb\xbf"

func (t *tolerant) Write(p []byte) (int, error) {
	text := p
	for !t.begun && len(text) > 0 {
		if t.skipped == len(byteOrderMark) || text[0] != byteOrderMark[t.skipped] {
			t.begun = true
			_, _ = t.scanner.Write([]byte(byteOrderMark[:t.skipped%len(byteOrderMark)])) // it was none
			break
		}
		text = text[1:]
		t.skipped++
	}
	_, _ = t.scanner.Write(text) // Finish returns the error again
	return len(p), nil
}

// failed is a body that could not be read.
type failed struct{ err error }

func (f failed) Read([]byte) (int, error) { return 0, f.err }
func (f failed) Close() error             { return nil }
