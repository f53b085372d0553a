package awake

import (
	"testing"
	"time"
)

func TestTouchAt(t *testing.T) {
	tracker := NewTracker()
	const upstream = "at.example:443"
	for _, at := range []time.Time{time.Unix(1_000_000, 5), time.Unix(2_000_000, 7)} {
		tracker.Touch(upstream, at)
		if got := tracker.LastSeen(upstream); !got.Equal(at) {
			t.Errorf("got %v, want %v", got, at)
		}
	}
}
