package llmgateway

import (
	"bytes"
	"io"
	"net/http"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/caddy-freetier/caddy-freetier/internal/llm/apierror"
	"github.com/caddy-freetier/caddy-freetier/internal/llm/eventstream"
	"github.com/caddy-freetier/caddy-freetier/internal/llm/peekbody"
	"github.com/caddy-freetier/caddy-freetier/internal/llm/retryhint"
	"github.com/caddy-freetier/caddy-freetier/internal/llm/usage"
)

const (
	// maxRefusal is how much of the body of a refusal is read for its reason.
	maxRefusal = 32 << 10
	// refusalTimeout is how long to wait for that.
	refusalTimeout = time.Second
)

// receive reads the beginning of the response, as far as it decides whether there
// is another attempt, and sets the status that it stands for: for an error inside
// a 200 that of the error. Unless another attempt may follow, a stream does not
// wait; judge is called with the status of its first event as that passes.
func (a *attempt) receive(mayFollow bool, judge func(status int)) (err error) {
	a.status = a.res.StatusCode
	defer func() {
		if err != nil {
			a.res.Body.Close()
		}
	}()
	if !a.isSuccess() || a.model == "" {
		a.content.deadline.meet()
		return nil
	}
	if isPage(a.res) {
		return errNotAPI
	}
	b := &a.content
	if kind, clear := kindOf(a.res.Header); clear {
		b.meter(kind, a.countsTokens())
	} else if err := b.sniff(a.countsTokens()); err != nil {
		return err
	}
	if !b.isText() {
		b.deadline.meet()
		return nil
	}
	if b.kind == usage.Events && a.asksUsage() {
		b.addStage(&usageFilter{seen: b.tokens.WriteFinal})
		a.res.ContentLength = -1
		a.res.Header.Del("Content-Length")
	}
	if b.kind == usage.Events && !b.deadline.set() && !mayFollow {
		b.unjudged, b.judge = true, func(status int) {
			if status != http.StatusOK {
				b.failed = true
				judge(status)
			}
		}
		return nil
	}
	a.status, err = b.peek(a.comesBitByBit())
	b.deadline.meet()
	b.failed = a.status >= 400
	return err
}

// isSuccess reports whether the response has something to look into.
func (a *attempt) isSuccess() bool {
	status := a.res.StatusCode
	return status >= 200 && status <= 299 && status != http.StatusNoContent && a.res.Request.Method != http.MethodHead
}

// comesBitByBit reports whether the response is JSON that is no single text.
func (a *attempt) comesBitByBit() bool {
	return a.inPath.streams() || strings.HasSuffix(a.res.Header.Get("Content-Type"), "ndjson")
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

// isText reports whether the response is looked into for errors and usage.
func (b *responseBody) isText() bool { return b.kind == usage.JSON || b.kind == usage.Events }

// peek reads ahead until it is clear whether the response is an error, and
// returns the status that it stands for: that of the error, or 200.
func (b *responseBody) peek(bitByBit bool) (status int, err error) {
	seen := 0
	for {
		if b.kind == usage.Events {
			event, length, found := eventstream.First(b.head[seen:], b.err != nil)
			if seen += length; found {
				return apierror.StatusOfEvent(event), nil
			}
		} else if text := bytes.TrimLeft(b.head, space); len(text) > 0 {
			if text[0] == '<' {
				return 0, errNotAPI
			}
			// A response of a few kilobytes is read to its end: where that does
			// not come there is still another attempt.
			if (len(b.head) >= headStep || bitByBit) && !apierror.MayContain(text) {
				break
			}
		}
		if b.err != nil || len(b.head) >= maxHead {
			break
		}
		if err := b.readAhead(); err != nil {
			return 0, err
		}
	}
	switch {
	case b.kind == usage.Events && b.err == io.EOF, len(bytes.TrimLeft(b.head, space)) == 0:
		return 0, errEmpty
	case b.kind == usage.Events || b.err != io.EOF:
		return http.StatusOK, nil
	}
	b.tokens.Whole(b.head)
	return apierror.StatusOfBody(b.head), nil
}

// reasonOf reads why the attempt was refused.
func (a *attempt) reasonOf() refusalReason {
	if strings.HasPrefix(strings.ToLower(a.res.Header.Get("Content-Type")), "text/html") {
		return refusalReason{about: aboutRequest}
	}
	return reasonIn(a.refusalText(), a.model, a.candidate.model)
}

// refusalText returns the beginning of a refusal, nil if it does not come in
// time. An error inside a 200 has been read already.
func (a *attempt) refusalText() []byte {
	switch {
	case a.res.StatusCode >= 400:
		return a.beginning()
	case a.content.kind != usage.Events:
		return a.content.head
	}
	event, _, _ := eventstream.First(a.content.head, true)
	return event.Data
}

// mayAgain returns when a provider says that a refused request may be made
// again, in a header or in the body, and the zero time if it does not say.
func (a *attempt) mayAgain() time.Time {
	now := a.gateway.clock.Now()
	at := retryhint.FromHeader(a.res.Header, now)
	if !at.IsZero() || a.res.StatusCode != http.StatusTooManyRequests || !strings.HasPrefix(a.res.Header.Get("Content-Type"), "application/json") {
		return at
	}
	return retryhint.FromBody(a.beginning(), now)
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
