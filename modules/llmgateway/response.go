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

const (
	// maxRefusal is how much of the body of a refusal is read for its reason.
	maxRefusal = 32 << 10
	// refusalTimeout is how long to wait for that.
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
func (a *attempt) receive(failed func(event []byte)) (err error) {
	a.status = a.res.StatusCode
	defer func() {
		a.failure = bytes.Clone(a.failure[:min(len(a.failure), maxRefusal)]) // it may lie in a buffer that is reused
		if err != nil {
			a.res.Body.Close()
		}
	}()
	b := &a.content
	switch {
	case a.status >= http.StatusBadRequest:
		b.deadline.meet()
		a.failure = a.beginning()
		return nil
	case !a.isSuccess() || a.model == "":
		b.deadline.meet()
		return nil
	case isPage(a.res):
		a.failure = a.beginning()
		return errNotAPI
	}
	kind, clear := kindOf(a.res.Header)
	if clear {
		b.meter(kind, a.countsTokens())
	} else if err := b.sniff(a.countsTokens()); err != nil {
		a.failure = b.head
		return err
	}
	if b.kind == usage.Events && a.asksUsage() {
		b.addStage(&usageFilter{seen: b.tokens.WriteFinal})
		a.res.ContentLength = -1
		a.res.Header.Del("Content-Length")
	}
	if a.namesRequestedModel() {
		a.nameRequestedModel()
	}
	found, err := a.awaitOutput()
	if err != nil {
		return err
	}
	b.deadline.meet()
	switch {
	case found == refusal.Failure:
		a.status = statusInside200(a.failure, a.inStream)
		b.failed = true
	case found != refusal.Output:
		a.failure = b.head
		return errNoOutput
	case b.kind == usage.Events:
		b.watch(a.dialect(), failed)
	}
	return nil
}

// isSuccess reports whether the response has something to look into.
func (a *attempt) isSuccess() bool {
	status := a.res.StatusCode
	return status >= 200 && status <= 299 && status != http.StatusNoContent && a.res.Request.Method != http.MethodHead
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
func (a *attempt) beginning() []byte {
	if a.res.Header["Content-Encoding"] != nil {
		return nil
	}
	body := peekbody.New(a.res.Body, maxRefusal)
	a.res.Body = body
	select {
	case <-body.Done():
		return body.Beginning()
	case <-a.gateway.clock.After(refusalTimeout):
		return nil
	}
}

// space is what may stand around JSON.
const space = " \t\r\n"
