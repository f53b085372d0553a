package llmgateway

import (
	"bytes"
	"net/http"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/caddy-freetier/caddy-freetier/internal/llm/peekbody"
	"github.com/caddy-freetier/caddy-freetier/internal/llm/refusal"
	"github.com/caddy-freetier/caddy-freetier/internal/llm/usage"
)

// reply is what has come of a call. Its response is open until somebody has closed or
// passed it on: the attempts keep a refused one open, unread behind its beginning, in
// case nothing better comes.
type reply struct {
	call

	res     *http.Response // set once the attempt has succeeded or was refused
	status  int            // that res stands for: of an error inside a 200 the error's
	content responseBody   // the body of res, once that is set

	// failure is the beginning of the body of a response that is a refusal or an
	// error, or the data of the event that is one, if inStream is set.
	failure  []byte
	inStream bool
}

const (
	// maxRefusal is how much of the body of a refusal is read for its reason.
	maxRefusal = 32 << 10
	// refusalTimeout is how long to wait for that: a server that sends a status and then
	// stalls must not hold up the next candidate.
	refusalTimeout = time.Second
)

// receive reads the beginning of the response until it is clear what the attempt
// has come to:
//
//   - It has output, or is nothing to look into: no error, and no failure.
//   - It was refused, or is an error inside a 200: failure is the error.
//   - It has ended without output: errNoOutput.
//   - It is a web page with status 200: errNotAPI, and failure is the page.
//   - It did not come in time: errSlow. It broke off: another error.
//
// failed is called with the data of each event that is a failure behind the
// first output. With an error the response is closed.
func (r *reply) receive(failed func(event []byte)) (err error) {
	r.status = r.res.StatusCode
	defer func() {
		r.failure = bytes.Clone(r.failure[:min(len(r.failure), maxRefusal)]) // it may lie in a buffer that is reused
		if err != nil {
			r.res.Body.Close()
		}
	}()
	b := &r.content
	switch {
	case r.status >= http.StatusBadRequest:
		b.deadline.meet()
		r.failure = r.beginning()
		return nil
	case r.lacksContent():
		return errNoOutput
	case !r.isSuccess() || r.model == "":
		b.deadline.meet()
		return nil
	case isPage(r.res):
		r.failure = r.beginning()
		return errNotAPI
	}
	kind, clear := kindOf(r.res.Header)
	if clear {
		b.meter(kind, r.countsTokens())
	} else if err := b.sniff(r.countsTokens()); err != nil {
		r.failure = b.head
		return err
	}
	if b.kind == usage.Events && r.asksUsage() {
		b.addStage(&usageFilter{seen: b.tokens.WriteFinal})
		r.res.ContentLength = -1
		r.res.Header.Del("Content-Length")
	}
	if r.namesRequestedModel() {
		r.nameRequestedModel()
	}
	found, err := r.awaitOutput()
	if err != nil {
		return err
	}
	b.deadline.meet()
	switch {
	case found == refusal.Failure:
		r.status = statusInside200(r.failure, r.inStream)
		b.failed = true
	case found != refusal.Output:
		r.failure = b.head
		return errNoOutput
	case b.kind == usage.Events:
		b.watch(r.dialect(), failed)
	}
	return nil
}

// isSuccess reports whether the response has something to look into.
func (r *reply) isSuccess() bool {
	status := r.res.StatusCode
	return status >= 200 && status <= 299 && status != http.StatusNoContent && r.res.Request.Method != http.MethodHead
}

// lacksContent reports whether a response says itself that it has nothing of what a
// model was asked for, with status 204.
//
// Of endpoints in no known dialect, which allow_path lets pass, nobody knows whether
// they have to say anything.
func (r *reply) lacksContent() bool {
	return r.status == http.StatusNoContent && r.model != "" && r.dialect() != refusal.DialectOther &&
		r.res.Request.Method == http.MethodPost
}

// isPage reports whether a response is a web page, as providers and the proxies
// before them send when they are in trouble.
func isPage(res *http.Response) bool {
	return res.StatusCode == http.StatusOK && strings.HasPrefix(strings.ToLower(res.Header.Get("Content-Type")), "text/html")
}

// kindOf tells by its headers how a response is read. It is not clear if they do
// not say what it is: providers, and relays in front of them, send event streams
// and JSON as text/plain, or without a type.
func kindOf(header http.Header) (kind usage.Kind, clear bool) {
	if header["Content-Encoding"] != nil {
		return usage.Text, true // nobody has asked for it, and it is not decoded
	}
	contentType, _, _ := strings.Cut(header.Get("Content-Type"), ";")
	switch contentType = strings.ToLower(strings.TrimSpace(contentType)); {
	case contentType == "application/json":
		return usage.JSON, true
	case contentType == "text/event-stream":
		return usage.Events, true
	case contentType == "", contentType == "text/plain", contentType == "application/octet-stream":
		return usage.Text, false
	case strings.HasSuffix(contentType, "json"): // ndjson, problem+json
		return usage.JSON, true
	}
	switch main, _, _ := strings.Cut(contentType, "/"); main {
	case "audio", "image", "video":
		return usage.Media, true
	}
	return usage.Text, true
}

// eventFields begin the lines of an event stream.
var eventFields = []string{"data:", "event:", "id:", "retry:", ":"}

// kindOfText tells by its beginning how a response is read. It is not clear if
// more of it must be read.
func kindOfText(text []byte, whole bool) (kind usage.Kind, clear bool) {
	text = bytes.TrimLeft(text, space)
	if len(text) == 0 {
		return usage.Text, whole
	}
	if text[0] == '{' || text[0] == '[' {
		return usage.JSON, true
	}
	for _, field := range eventFields {
		n := min(len(text), len(field))
		if string(text[:n]) == field[:n] {
			return usage.Events, whole || n == len(field)
		}
	}
	if bytes.IndexByte(text, 0) >= 0 || !utf8.Valid(text[:max(0, len(text)-utf8.UTFMax)]) {
		return usage.Media, true
	}
	return usage.Text, true
}

// meter sets how the response is read, and begins to count its tokens.
func (b *responseBody) meter(kind usage.Kind, estimates bool) {
	b.kind, b.metered, b.tokens = kind, true, usage.NewMeter(kind, estimates)
}

// sniff finds out by its beginning what a response is whose type does not say.
func (b *responseBody) sniff(estimates bool) error {
	for {
		if kind, clear := kindOfText(b.head, b.err != nil); clear {
			b.meter(kind, estimates)
			break
		}
		if err := b.readAhead(); err != nil {
			return err
		}
	}
	text := bytes.ToLower(bytes.TrimLeft(b.head[:min(len(b.head), 100)], space))
	if bytes.HasPrefix(text, []byte("<!doctype html")) || bytes.HasPrefix(text, []byte("<html")) {
		return errNotAPI
	}
	return nil
}

// beginning returns the beginning of a refusal's body, nil if it does not come
// in time or cannot be read. The client gets the whole body all the same.
func (r *reply) beginning() []byte {
	if r.res.Header["Content-Encoding"] != nil {
		return nil
	}
	body := peekbody.New(r.res.Body, maxRefusal)
	r.res.Body = body
	select {
	case <-body.Done():
		return body.Beginning()
	case <-r.gateway.clock.After(refusalTimeout):
		return nil
	}
}

// space is what may stand around JSON.
const space = " \t\r\n"

// accept makes a response the attempt's.
func (r *reply) accept(res *http.Response, d *deadline) {
	r.res = res
	r.content.begin(res, r.candidate.mask(), d, r.gateway.clock)
}

// usage is what the response states that it has cost, as far as it has been read.
func (r *reply) usage() *usage.Usage { return &r.content.tokens.Usage }
