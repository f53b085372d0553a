package caddytest

import (
	"context"
	"io"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
)

// current is the Caddy whose configuration is being loaded. The first two
// modules below reach the test through it.
var current atomic.Pointer[Caddy]

func use(c *Caddy) { current.Store(c) }

func init() {
	caddy.RegisterModule(clockModule{})
	caddy.RegisterModule(logModule{})
	caddy.RegisterModule(eventModule{})
}

// logModule writes Caddy's log into the test's Logs.
type logModule struct{}

// CaddyModule returns the Caddy module information.
func (logModule) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{
		ID:  "caddy.logging.writers.caddytest",
		New: func() caddy.Module { return new(logModule) },
	}
}

func (logModule) String() string    { return "caddytest" }
func (logModule) WriterKey() string { return "caddytest" }

// OpenWriter implements caddy.WriterOpener.
func (logModule) OpenWriter() (io.WriteCloser, error) { return logWriter{}, nil }

// logWriter outlives a test (Caddy keeps the writer of a key open while two
// configurations overlap), so it asks each time where to write.
type logWriter struct{}

func (logWriter) Write(p []byte) (int, error) { return current.Load().Logs.Write(p) }
func (logWriter) Close() error                { return nil }

// eventModule takes events and leaves it at that: where a Caddyfile has the
// option `events`, Logs has the events.
type eventModule struct{}

// CaddyModule returns the Caddy module information.
func (eventModule) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{
		ID:  "events.handlers.caddytest",
		New: func() caddy.Module { return new(eventModule) },
	}
}

// UnmarshalCaddyfile implements caddyfile.Unmarshaler.
func (*eventModule) UnmarshalCaddyfile(*caddyfile.Dispenser) error { return nil }

// Handle implements caddyevents.Handler.
func (*eventModule) Handle(context.Context, caddy.Event) error { return nil }

// Logs collects log lines. The zero value is ready to use.
type Logs struct {
	mu    sync.Mutex
	lines []string
	grown chan struct{}
}

// Write adds a line.
func (l *Logs) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.lines = append(l.lines, string(p))
	if l.grown != nil {
		close(l.grown)
		l.grown = nil
	}
	return len(p), nil
}

// Forget frees the lines collected so far.
func (l *Logs) Forget() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.lines = nil
}

// String returns everything logged so far.
func (l *Logs) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Join(l.lines, "")
}

// Count returns how many lines contain all the given texts.
func (l *Logs) Count(texts ...string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.count(texts)
}

func (l *Logs) count(texts []string) int {
	n := 0
lines:
	for _, line := range l.lines {
		for _, text := range texts {
			if !strings.Contains(line, text) {
				continue lines
			}
		}
		n++
	}
	return n
}

// Wait blocks until a line contains all the given texts, and fails the test
// when none does within a minute.
func (l *Logs) Wait(t testing.TB, texts ...string) {
	t.Helper()
	deadline := time.After(time.Minute)
	for {
		l.mu.Lock()
		if l.count(texts) > 0 {
			l.mu.Unlock()
			return
		}
		if l.grown == nil {
			l.grown = make(chan struct{})
		}
		grown := l.grown
		l.mu.Unlock()
		select {
		case <-grown:
		case <-deadline:
			t.Fatalf("no log line contains %q; the log is:\n%s", texts, l)
		}
	}
}
