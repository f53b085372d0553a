package cooldownstore

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/jonboulle/clockwork"

	"github.com/caddy-freetier/caddy-freetier/internal/cooldown"
)

// A file is bounded, and what matters most stays in it.
func TestBounded(t *testing.T) {
	storage, clock := newMemory(), clockwork.NewFakeClockAt(start)
	names := make([]string, 400)
	for i := range names {
		names[i] = fmt.Sprint("key ", i)
	}
	p := newTestProcess(t, storage, clock, names...)
	now := clock.Now()
	for _, item := range p.items {
		item.Breaker.Start(cooldown.All, cooldown.Cooldown{Until: now.Add(time.Hour)}, now)
		item.Breaker.Start("configured", cooldown.Cooldown{Until: now.Add(time.Hour)}, now)
		for j := range cooldown.MaxRequested {
			name := fmt.Sprintf("%d %s", j, strings.Repeat("\x01", 250))
			item.Breaker.Start(name, cooldown.Cooldown{Until: now.Add(2 * time.Hour), Requested: true}, now)
		}
	}
	p.sync()
	text := storage.files()[p.file()]
	if len(text) > maxWritten+1000 || len(text) < maxWritten/2 {
		t.Errorf("a file of %d bytes, want almost %d", len(text), maxWritten)
	}
	q := newTestProcess(t, storage, clock, names...)
	q.sync()
	for i, item := range q.items {
		if item.Breaker.Until("", now).IsZero() || item.Breaker.Until("configured", now).IsZero() {
			t.Fatalf("key %d has lost its cooldowns", i)
		}
	}
}

// The cooldowns of 10,000 keys outlive a restart.
func TestTenThousandKeys(t *testing.T) {
	storage, clock := newMemory(), clockwork.NewFakeClockAt(start)
	names := make([]string, 10_000)
	for i := range names {
		names[i] = fmt.Sprint("key ", i)
	}
	p := newTestProcess(t, storage, clock, names...)
	for i, item := range p.items {
		item.Breaker.Start(cooldown.All, cooldown.Cooldown{Until: start.Add(time.Duration(i+61) * time.Second), Reason: "dead key"}, start)
	}
	p.sync()
	p.end()
	q := newTestProcess(t, storage, clock, names...)
	q.sync()
	for i, item := range q.items {
		if got, want := item.Breaker.Until(cooldown.All, start), start.Add(time.Duration(i+61)*time.Second); !got.Equal(want) {
			t.Fatalf("key %d is in cooldown until %v, want %v", i, got, want)
		}
	}
	for _, item := range q.items {
		item.Breaker.LiftEverything(start)
	}
	q.sync()
	r := newTestProcess(t, storage, clock, names...)
	r.sync()
	for i, item := range r.items {
		if item.Breaker.Any(start) {
			t.Fatalf("key %d is in cooldown after the lift", i)
		}
	}
}

// A pass over 10,000 keys, of which none or all are in cooldown.
func BenchmarkPass(b *testing.B) {
	for _, cooled := range []bool{false, true} {
		b.Run(fmt.Sprintf("cooldowns %v", cooled), func(b *testing.B) {
			storage, clock := newMemory(), clockwork.NewFakeClockAt(start)
			names := make([]string, 10_000)
			for i := range names {
				names[i] = fmt.Sprint("key ", i)
			}
			p := newTestProcess(b, storage, clock, names...)
			for _, item := range p.items {
				if cooled {
					item.Breaker.Start(cooldown.All, cooldown.Cooldown{Until: start.Add(time.Hour), Reason: "dead key"}, start)
				}
			}
			for b.Loop() {
				p.sync()
			}
			size := 0
			for _, text := range storage.files() {
				size += len(text)
			}
			b.ReportMetric(float64(size), "file-bytes")
		})
	}
}
