package caddytest

import (
	"fmt"
	"io"
	"net/http"
	"sync/atomic"
	"time"
)

// Answer answers with a status, a content type (none if empty) and a body.
func Answer(status int, contentType, body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		if contentType != "" {
			w.Header().Set("Content-Type", contentType)
		}
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
	}
}

// JSON answers with a status and a JSON body.
func JSON(status int, body string) http.HandlerFunc {
	return Answer(status, "application/json", body)
}

// Echo answers with the request's body and content type.
func Echo(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", r.Header.Get("Content-Type"))
	_, _ = io.Copy(w, r.Body)
}

// Slow answers after a delay, or not at all when the client leaves first.
func Slow(delay time.Duration, then http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		select {
		case <-time.After(delay):
			then(w, r)
		case <-r.Context().Done():
		}
	}
}

// Hang never answers and ends when the client leaves.
func Hang(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }

// Reset cuts the connection without an answer.
func Reset(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }

// CutOff announces more than it sends and cuts the connection.
func CutOff(contentType, body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", contentType)
		w.Header().Set("Content-Length", fmt.Sprint(len(body)+1000))
		_, _ = io.WriteString(w, body)
		_ = http.NewResponseController(w).Flush()
		panic(http.ErrAbortHandler)
	}
}

// SSE streams the events it receives, each flushed on its own, until the
// channel is closed or the client leaves. An event is a whole block such as
// "data: {}\n\n".
func SSE(events <-chan string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		flush := http.NewResponseController(w).Flush
		_ = flush()
		for {
			select {
			case event, ok := <-events:
				if !ok {
					return
				}
				_, _ = io.WriteString(w, event)
				_ = flush()
			case <-r.Context().Done():
				return
			}
		}
	}
}

// Events streams the given events at once and ends.
func Events(events ...string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		ch := make(chan string, len(events))
		for _, event := range events {
			ch <- event
		}
		close(ch)
		SSE(ch)(w, r)
	}
}

// Sequence answers the first request with the first handler and so on; the
// last handler answers all that follow.
func Sequence(handlers ...http.HandlerFunc) http.HandlerFunc {
	var n atomic.Int64
	return func(w http.ResponseWriter, r *http.Request) {
		i := min(int(n.Add(1)), len(handlers))
		handlers[i-1](w, r)
	}
}
