package awake

import (
	"net/http"
	"testing"
	"time"
)

type keeper struct {
	condition Condition
	woken     int
}

func (k *keeper) Condition() Condition { return k.condition }
func (k *keeper) Spare() bool          { return k.condition == Asleep }

func (k *keeper) Wake() <-chan struct{} {
	k.woken++
	return make(chan struct{})
}

func TestKeep(t *testing.T) {
	tracker := NewTracker()
	const upstream = "kept.example:443"
	if tracker.State(upstream) != Unknown || tracker.Wake(upstream) != nil || tracker.Spare(upstream) {
		t.Error("nobody looks after it")
	}
	old, next := &keeper{condition: Asleep}, &keeper{condition: Awake}
	releaseOld := tracker.Keep(upstream, old)
	if tracker.State(upstream) != Asleep || !tracker.Sleeps(upstream) || !tracker.Spare(upstream) || tracker.Wake(upstream) == nil || old.woken != 1 {
		t.Error("the keeper was not asked")
	}
	// A reload: the new one comes before the old one goes.
	releaseNext := tracker.Keep(upstream, next)
	if tracker.State(upstream) != Awake || tracker.Sleeps(upstream) || tracker.Spare(upstream) {
		t.Error("the new one was not asked")
	}
	releaseOld()
	releaseOld()
	if tracker.State(upstream) != Awake {
		t.Error("the new one went with the old one")
	}
	releaseNext()
	if tracker.State(upstream) != Unknown {
		t.Error("one was left")
	}
}

func TestStateAllocatesNothing(t *testing.T) {
	tracker := NewTracker()
	defer tracker.Keep("kept.example:443", &keeper{condition: Awake})()
	if n := testing.AllocsPerRun(100, func() { tracker.State("kept.example:443") }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// A probe keeps an instance awake but is no traffic.
func TestProbe(t *testing.T) {
	tracker := NewTracker()
	const upstream = "probed.example:443"
	tracker.Probe(upstream, time.Unix(100, 0))
	if !tracker.LastSeen(upstream).Equal(time.Unix(100, 0)) || !tracker.LastTraffic(upstream).IsZero() {
		t.Errorf("seen %v, traffic %v", tracker.LastSeen(upstream), tracker.LastTraffic(upstream))
	}
	tracker.Touch(upstream, time.Unix(50, 0))
	if !tracker.LastSeen(upstream).Equal(time.Unix(100, 0)) || !tracker.LastTraffic(upstream).Equal(time.Unix(50, 0)) {
		t.Errorf("seen %v, traffic %v", tracker.LastSeen(upstream), tracker.LastTraffic(upstream))
	}
}

// A ping keeps an instance awake but spares no other ping.
func TestPing(t *testing.T) {
	tracker := NewTracker()
	const upstream = "pinged.example:443"
	tracker.Ping(upstream, time.Unix(100, 0))
	tracker.Ping(upstream, time.Unix(50, 0)) // by a target whose response was slow
	if seen := tracker.LastSeen(upstream); !seen.Equal(time.Unix(100, 0)) {
		t.Errorf("seen %v, want 100", seen.Unix())
	}
	if other := tracker.LastOther(upstream); !other.IsZero() {
		t.Errorf("another request was seen at %v", other)
	}
	tracker.Probe(upstream, time.Unix(60, 0))
	if other := tracker.LastOther(upstream); !other.Equal(time.Unix(60, 0)) {
		t.Errorf("another request was seen at %v, want 60", other.Unix())
	}
}

func TestIsWakePage(t *testing.T) {
	for _, test := range []struct {
		name, header, value, body string
		want                      bool
	}{
		{"Render, status 200", "Content-Type", "text/html; charset=utf-8", "<h1>SERVICE WAKING UP ...</h1>", true},
		{"Render, without a body", "X-Render-Routing", "hibernate-wake-error", "", true},
		{"Render, no such service", "X-Render-Routing", "no-server", "", false},
		{"Streamlit", "Content-Type", "text/html", "<button>Yes, get this app back up!</button>", true},
		{"an app's page", "Content-Type", "text/html", "<title>Swagger UI</title>", false},
		{"an app's JSON", "Content-Type", "application/json", `{"content":"service waking up"}`, false},
	} {
		if got := IsWakePage(http.Header{test.header: {test.value}}, []byte(test.body)); got != test.want {
			t.Errorf("%s: got %v", test.name, got)
		}
	}
}
