package llmgateway

import (
	"bytes"
	"net/http"
	"strings"

	"github.com/caddy-freetier/caddy-freetier/internal/llm/apierror"
	"github.com/caddy-freetier/caddy-freetier/internal/llm/eventstream"
	"github.com/caddy-freetier/caddy-freetier/internal/llm/refusal"
	"github.com/caddy-freetier/caddy-freetier/internal/llm/usage"
)

// shortestText is how much of a text that is no JSON must have come before it is
// judged: `null` in two pieces is no output either.
const shortestText = 16

// awaitOutput reads ahead until the response has output, or an error, which it
// leaves in failure. What it has read goes to the client as it came. Of a
// response that hides its output behind more than maxHead, or that nobody can
// look into, output is taken for granted once there is a byte.
//
// Until it returns nothing has been sent of this response, so that another candidate
// can take over without a trace. That is what makes an attempt's success: status 200
// alone is sent by providers before the model has begun, and before it fails.
func (r *reply) awaitOutput() (refusal.Found, error) {
	b, d := &r.content, r.dialect()
	switch {
	case b.kind == usage.Text && d == refusal.DialectOther:
		return refusal.Output, nil
	case b.kind == usage.Media, b.kind == usage.Text && r.res.Header["Content-Encoding"] != nil:
		return b.readUntil(anyByte)
	case b.kind == usage.Events:
		watch := refusal.Watch{Dialect: d}
		found, err := b.readUntil(func(head []byte, whole bool) refusal.Found { return watch.Look(head, whole) })
		if found == refusal.Failure {
			r.failure, r.inStream = watch.Event.Data, true
		}
		return found, err
	case isLines(r.res.Header):
		return r.awaitLine(d)
	}
	return r.awaitText(d)
}

// anyByte takes for output whatever there is.
func anyByte(head []byte, whole bool) refusal.Found {
	switch {
	case len(head) > 0:
		return refusal.Output
	case whole:
		return refusal.End
	}
	return refusal.Nothing
}

// awaitLine looks for output in a response of one JSON text a line.
//
// Ollama's own API streams so (application/x-ndjson), which allow_path lets pass.
func (r *reply) awaitLine(d refusal.Dialect) (refusal.Found, error) {
	at := 0
	return r.content.readUntil(func(head []byte, whole bool) refusal.Found {
		for at < len(head) {
			line, _, ended := bytes.Cut(head[at:], []byte("\n"))
			if !ended && !whole {
				break
			}
			at += len(line) + 1
			if found := refusal.InspectEvent(d, nil, line); found != refusal.Nothing {
				if found == refusal.Failure {
					r.failure, r.inStream = line, true
				}
				return found
			}
		}
		return refusal.Nothing
	})
}

// awaitText looks for output in one JSON text, or in what should be one.
//
// A text that begins with < is a page: a login, a challenge of a CDN, or an error of a
// proxy. No API of models answers so, whatever its Content-Type says.
func (r *reply) awaitText(d refusal.Dialect) (refusal.Found, error) {
	b := &r.content
	inspections := looks{next: headStep}
	switch {
	case r.inPath.streams():
		inspections.next = 1
	case b.kind == usage.Text:
		inspections.next = shortestText
	}
	found, err := b.readUntil(func(head []byte, whole bool) refusal.Found {
		text := bytes.TrimLeft(head, space)
		switch {
		case whole && d == refusal.DialectOther && len(text) > 0 && text[0] != '<':
			return onlyFailure(refusal.InspectBody(d, text))
		case whole:
			return refusal.InspectBody(d, text)
		case len(text) > 0 && text[0] == '<':
			return refusal.End
		case inspections.due(len(text)) && refusal.InspectBody(d, text) == refusal.Output:
			// A response of a few kilobytes is read to its end: where that does
			// not come there is still another attempt.
			return refusal.Output
		}
		return refusal.Nothing
	})
	if err != nil {
		return found, err
	}
	if text := bytes.TrimLeft(b.head, space); len(text) > 0 && text[0] == '<' {
		r.failure = b.head
		return found, errNotAPI
	}
	if b.atEnd() {
		b.tokens.Whole(b.head)
	}
	if found == refusal.Failure {
		r.failure, r.inStream = b.head, false
	}
	return found, nil
}

// looks says when a text that is read ahead is inspected, which begins at its first
// byte each time. Beyond headStep it must have grown by a sixteenth since: a server that
// sends single bytes would have 64 KB inspected 60,000 times.
type looks struct {
	next int // the length from which on the text is inspected
}

// due reports whether a text of a length is to be inspected now.
func (l *looks) due(length int) bool {
	if length < l.next {
		return false
	}
	if length >= headStep {
		l.next = length + length/16
	}
	return true
}

// onlyFailure takes everything but an error for output: nobody knows what the
// responses of such endpoints look like.
func onlyFailure(found refusal.Found) refusal.Found {
	if found == refusal.Failure {
		return found
	}
	return refusal.Output
}

// isLines reports whether a response is JSON texts, one a line.
func isLines(header http.Header) bool {
	contentType, _, _ := strings.Cut(header.Get("Content-Type"), ";")
	contentType = strings.ToLower(strings.TrimSpace(contentType))
	return strings.HasSuffix(contentType, "ndjson") || strings.HasSuffix(contentType, "jsonl") || strings.HasSuffix(contentType, "stream+json")
}

// statusInside200 returns the status of an error that came with status 200.
//
// A failure that states no status of its own, or one that is no error, counts as 502:
// the channel has failed and the client has done nothing wrong.
func statusInside200(failure []byte, inStream bool) int {
	var status int
	if inStream {
		status = apierror.StatusOfEvent(eventstream.Event{Data: failure})
	} else {
		status = apierror.StatusOfBody(failure)
	}
	if status < http.StatusBadRequest {
		return http.StatusBadGateway
	}
	return status
}
