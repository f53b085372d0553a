package awake

import (
	"fmt"
	"net/url"
	"sync"
	"testing"
	"time"
)

func TestTouch(t *testing.T) {
	tracker := NewTracker()
	if at := tracker.LastSeen("never.example:443"); !at.IsZero() {
		t.Errorf("an upstream that was never touched: got %v, want the zero time", at)
	}
	before := time.Now()
	tracker.Touch("api.example:443", time.Now())
	first := tracker.LastSeen("api.example:443")
	if first.Before(before) || first.After(time.Now()) {
		t.Errorf("got %v, want a time since %v", first, before)
	}
	tracker.Touch("api.example:443", time.Now())
	if again := tracker.LastSeen("api.example:443"); again.Before(first) {
		t.Errorf("a second touch went back from %v to %v", first, again)
	}
}

func TestTouchForgetsTheOldest(t *testing.T) {
	tracker := NewTracker()
	for i := range 2 * maxUpstreams {
		tracker.Touch(fmt.Sprintf("u%d.example:443", i), time.Now())
	}
	if n := tracker.count.Load(); n > maxUpstreams {
		t.Errorf("%d upstreams are remembered, want at most %d", n, maxUpstreams)
	}
	if tracker.LastSeen(fmt.Sprintf("u%d.example:443", 2*maxUpstreams-1)).IsZero() {
		t.Error("the newest upstream was forgotten")
	}
	if !tracker.LastSeen("u0.example:443").IsZero() {
		t.Error("the oldest upstream was kept")
	}
}

func TestTouchConcurrently(t *testing.T) {
	tracker := NewTracker()
	var wg sync.WaitGroup
	for range 16 {
		wg.Go(func() {
			for i := range 200 {
				tracker.Touch(fmt.Sprintf("c%d.example:80", i%20), time.Now())
				tracker.LastSeen("c1.example:80")
			}
		})
	}
	wg.Wait()
	if tracker.LastSeen("c19.example:80").IsZero() {
		t.Error("a touch was lost")
	}
}

func TestUpstream(t *testing.T) {
	for in, want := range map[string]string{
		"https://API.example/v1":   "api.example:443",
		"http://api.example":       "api.example:80",
		"https://api.example:8443": "api.example:8443",
		"wss://api.example/":       "api.example:443",
		"http://[::1]:8080/x":      "[::1]:8080",
	} {
		u, err := url.Parse(in)
		if err != nil {
			t.Fatal(err)
		}
		if got := Upstream(u); got != want {
			t.Errorf("%s: got %s, want %s", in, got, want)
		}
	}
}
