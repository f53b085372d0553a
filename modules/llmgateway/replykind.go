package llmgateway

import (
	"bytes"
	"net/http"
	"strings"
	"unicode/utf8"

	"github.com/caddy-freetier/caddy-freetier/internal/llm/usage"
)

// kindOf tells by its headers how a response is read. typed is false if they do
// not say what it is: providers, and relays in front of them, send event streams
// and JSON as text/plain, or without a type.
func kindOf(header http.Header) (kind usage.Kind, typed bool) {
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

// sniff finds out by its beginning what a response is whose type does not say.
func (a *reply) sniff(estimates bool) error {
	for {
		kind, clear := kindOfText(a.held, a.err != nil)
		if clear {
			a.kind, a.tokens = kind, usage.NewMeter(kind, estimates)
			break
		}
		if err := a.more(); err != nil {
			return err
		}
	}
	text := bytes.ToLower(bytes.TrimLeft(a.held[:min(len(a.held), 100)], space))
	if bytes.HasPrefix(text, []byte("<!doctype html")) || bytes.HasPrefix(text, []byte("<html")) {
		return errNotAPI
	}
	return nil
}

// isText reports whether the response is looked into for errors and usage.
func (a *reply) isText() bool { return a.kind == usage.JSON || a.kind == usage.Events }
