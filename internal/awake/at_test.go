package awake

import (
	"testing"
	"time"
)

func TestTouchAt(t *testing.T) {
	const upstream = "at.example:443"
	for _, at := range []time.Time{time.Unix(1_000_000, 5), time.Unix(2_000_000, 7)} {
		TouchAt(upstream, at)
		if got := LastSeen(upstream); !got.Equal(at) {
			t.Errorf("got %v, want %v", got, at)
		}
	}
}
