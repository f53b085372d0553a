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
	const upstream = "kept.example:443"
	if State(upstream) != Unknown || Wake(upstream) != nil || Spare(upstream) {
		t.Error("nobody looks after it")
	}
	old, next := &keeper{condition: Asleep}, &keeper{condition: Awake}
	releaseOld := Keep(upstream, old)
	if State(upstream) != Asleep || !Sleeps(upstream) || !Spare(upstream) || Wake(upstream) == nil || old.woken != 1 {
		t.Error("the keeper was not asked")
	}
	// A reload: the new one comes before the old one goes.
	releaseNext := Keep(upstream, next)
	if State(upstream) != Awake || Sleeps(upstream) || Spare(upstream) {
		t.Error("the new one was not asked")
	}
	releaseOld()
	releaseOld()
	if State(upstream) != Awake {
		t.Error("the new one went with the old one")
	}
	releaseNext()
	if State(upstream) != Unknown {
		t.Error("one was left")
	}
}

func TestStateAllocatesNothing(t *testing.T) {
	defer Keep("kept.example:443", &keeper{condition: Awake})()
	if n := testing.AllocsPerRun(100, func() { State("kept.example:443") }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// A probe keeps an instance awake but is no traffic.
func TestProbe(t *testing.T) {
	const upstream = "probed.example:443"
	Probe(upstream, time.Unix(100, 0))
	if !LastSeen(upstream).Equal(time.Unix(100, 0)) || !LastTraffic(upstream).IsZero() {
		t.Errorf("seen %v, traffic %v", LastSeen(upstream), LastTraffic(upstream))
	}
	TouchAt(upstream, time.Unix(50, 0))
	if !LastSeen(upstream).Equal(time.Unix(100, 0)) || !LastTraffic(upstream).Equal(time.Unix(50, 0)) {
		t.Errorf("seen %v, traffic %v", LastSeen(upstream), LastTraffic(upstream))
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
