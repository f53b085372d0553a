package llmgateway

import (
	"encoding/json"
	"errors"
	"io"
	"mime"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"
	"unicode"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp/reverseproxy"

	"github.com/caddy-freetier/caddy-freetier/modules/modelfield"
)

// callVar is the request variable through which a try finds its call.
const callVar = "llm_gateway.call"

// call is one client's request: what it asks for, its body, and the candidates
// in the order in which they are tried. It belongs to the request's goroutine.
type call struct {
	gateway *Handler
	client  *Client
	start   time.Time

	model   string            // that the client asked for, "" for none
	field   *modelfield.Value // where it stands in the body
	inQuery bool              // it stands in the query
	body    *modelfield.Body  // nil: none
	opaque  bool              // the body is passed on unread
	header  http.Header       // the client's, nil for a protocol upgrade

	candidates []candidate
	current    *candidate // of this try
	next       *candidate // of the next try, claimed already
	tries      int
	refused    *http.Response // the last refused answer, still open
}

// candidate is a key of a channel, and the model to ask it for.
type candidate struct {
	channel *Channel
	key     *key   // nil for auth none
	model   string // the channel's own name
	tried   bool
	last    bool // the channel has failed: only when nothing else is left
}

// scanners are reused: their state is larger than a small request.
var scanners = sync.Pool{New: func() any { return modelfield.NewScanner("model") }}

// read finds the model and keeps the body for the tries.
func (c *call) read(r *http.Request) *apiError {
	asked, queryErr := queryModel(r)
	if queryErr != nil {
		return queryErr
	}
	if err := c.readBody(r); err != nil {
		return err
	}
	switch {
	case asked == "" || asked == c.model:
	case c.model == "":
		c.model, c.inQuery = asked, true
	default:
		return invalidModel("The query and the body name two models.")
	}
	if strings.ContainsFunc(c.model, unicode.IsControl) {
		return invalidModel("The model's name has a control character.")
	}
	return nil
}

// queryModel returns the model in the query, which is where WebSockets have it.
func queryModel(r *http.Request) (string, *apiError) {
	if !strings.Contains(r.URL.RawQuery, "model") && !strings.Contains(r.URL.RawQuery, "%") {
		return "", nil
	}
	query, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return "", invalidRequest("The query cannot be read.")
	}
	if len(query["model"]) > 1 {
		return "", invalidModel("The query names the model more than once.")
	}
	return query.Get("model"), nil
}

func (c *call) readBody(r *http.Request) *apiError {
	if r.Body == nil || r.Body == http.NoBody || r.ContentLength == 0 {
		return nil
	}
	limit := c.gateway.MaxBody
	if r.ContentLength > limit {
		return bodyTooLarge(limit)
	}
	opaque, err := isOpaque(r.Header.Get("Content-Type"))
	if err != nil {
		return invalidRequest("The Content-Type cannot be read.")
	}
	if c.opaque = opaque; opaque {
		c.body, err = modelfield.ReadBody(r.Body, r.ContentLength, limit, nil)
		return c.bodyError(err)
	}
	return c.readJSON(r, limit)
}

func (c *call) readJSON(r *http.Request, limit int64) *apiError {
	scanner := scanners.Get().(*modelfield.Scanner)
	scanner.Reset()
	defer scanners.Put(scanner)
	var err error
	if c.body, err = modelfield.ReadBody(r.Body, r.ContentLength, limit, scanner); err != nil {
		return c.bodyError(err)
	}
	value, err := scanner.Finish()
	if errors.Is(err, modelfield.ErrMissing) {
		return nil
	}
	if err != nil {
		return c.bodyError(err)
	}
	if value.Text == "" {
		return invalidModel("The model is an empty string.")
	}
	c.model, c.field = value.Text, &value
	return nil
}

// bodyError turns a failure to read the body into an answer.
func (c *call) bodyError(err error) *apiError {
	var (
		invalid   *modelfield.InvalidError
		ambiguous *modelfield.AmbiguousError
		tooLarge  *http.MaxBytesError
	)
	switch {
	case err == nil:
		return nil
	case errors.Is(err, modelfield.ErrTooLarge):
		return bodyTooLarge(c.gateway.MaxBody)
	case errors.As(err, &tooLarge):
		return bodyTooLarge(tooLarge.Limit)
	case errors.As(err, &invalid), errors.As(err, &ambiguous):
		return invalidModel(sentence(err))
	default:
		return invalidRequest("The request body could not be read to its end.")
	}
}

// sentence makes an error's text one for people.
func sentence(err error) string {
	text := err.Error()
	return strings.ToUpper(text[:1]) + text[1:] + "."
}

// isOpaque tells whether a body of this type is passed on unread. Everything
// that a provider might take for JSON is read as JSON, so that no model hides
// behind a content type.
func isOpaque(contentType string) (bool, error) {
	if contentType == "" {
		return false, nil
	}
	mediaType, _, err := mime.ParseMediaType(contentType)
	if err != nil {
		return false, err
	}
	kind, _, _ := strings.Cut(mediaType, "/")
	switch kind {
	case "multipart", "audio", "image", "video":
		return true, nil
	}
	return mediaType == "application/octet-stream", nil
}

// attach returns the request that the proxy works on. It has no body, since
// each try reads that from the beginning, and none of the client's headers:
// the proxy would only clone, filter and log what each try takes from here.
// With a protocol upgrade it does more than that, and gets them.
func (c *call) attach(r *http.Request) *http.Request {
	caddyhttp.SetVar(r.Context(), callVar, c)
	modelfield.SetCandidates(r, c)
	inner := r.WithContext(r.Context()) // a shallow copy
	inner.Body, inner.ContentLength, inner.TransferEncoding = http.NoBody, 0, nil
	if r.Header["Upgrade"] == nil && r.Method != http.MethodConnect {
		c.header = r.Header
		inner.Header = make(http.Header)
	}
	return inner
}

// release ends the call: the body's memory, the refused answer's connection,
// and a trial that was claimed and not made are given back.
func (c *call) release() {
	if c.body != nil {
		c.body.Release()
	}
	c.keep(nil)
	if c.next != nil {
		c.next.abandon()
	}
}

// abandon ends the candidate's trial, if it is one, without an outcome.
func (c *candidate) abandon() {
	if c.key != nil {
		c.key.pauses.abandon(c.model)
	}
	c.channel.pauses.abandon(wholeKey)
}

// keep remembers a refused answer instead of the one before. It stays open and
// unread, so that it can reach the client unchanged if nothing better comes.
func (c *call) keep(refused *http.Response) {
	if c.refused != nil {
		c.refused.Body.Close()
	}
	c.refused = refused
}

// mayTryAgain claims the next candidate and tells whether there is one.
func (c *call) mayTryAgain() bool {
	if limit := c.gateway.Retries; limit > 0 && c.tries > limit {
		return false
	}
	if c.gateway.clock.Since(c.start) >= time.Duration(c.gateway.TryDuration) {
		return false
	}
	return c.advance()
}

// advance claims the next candidate: the first one not tried, those of
// channels that have failed coming last. One that has begun to rest meanwhile
// is passed over.
func (c *call) advance() bool {
	now := c.gateway.clock.Now()
	for {
		next := c.peek()
		if next == nil {
			return false
		}
		next.tried = true
		if next.claim(now) {
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

// Next implements modelfield.Candidates: it goes on to the candidate that was
// claimed and returns its upstream.
func (c *call) Next() *reverseproxy.Upstream {
	if c.next == nil {
		return nil
	}
	c.current, c.next = c.next, nil
	c.tries++
	return c.current.channel.upstream
}

// claim reports whether the candidate may be tried now. A channel's own pause
// only puts it last: what keeps failing is still better than nothing.
func (c *candidate) claim(now time.Time) bool {
	if c.key != nil && (c.key.quota != nil && !c.key.quota.May(1) || !c.key.pauses.claim(c.model, now)) {
		return false
	}
	c.channel.pauses.claim(wholeKey, now)
	return true
}

// channelFailed puts the failed channel's other keys behind all others.
func (c *call) channelFailed() {
	for i := range c.candidates {
		if c.candidates[i].channel == c.current.channel {
			c.candidates[i].last = true
		}
	}
}

// open returns the body with the model's name put in its place.
func (c *call) open() (io.ReadCloser, int64) {
	if c.body == nil {
		return http.NoBody, 0
	}
	if c.field == nil || c.current.model == c.model {
		return c.body.Open(0, 0, nil)
	}
	name, err := json.Marshal(c.current.model)
	if err != nil {
		return http.NoBody, 0 // cannot happen: a string
	}
	return c.body.Open(c.field.Start, c.field.End, name)
}

// placeholder implements caddy.ReplacerFunc.
func (c *call) placeholder(key string) (any, bool) {
	key, ok := strings.CutPrefix(key, "http.llm_gateway.")
	if !ok {
		return nil, false
	}
	switch key {
	case "client":
		return c.client.Name, true
	case "model":
		return c.model, true
	case "tries":
		return c.tries, true
	case "sent_model":
		if c.current != nil {
			return c.current.model, true
		}
		return "", true
	case "channel":
		if c.current != nil {
			return c.current.channel.Name, true
		}
		return "", true
	}
	return nil, false
}

// Interface guards
var _ modelfield.Candidates = (*call)(nil)
