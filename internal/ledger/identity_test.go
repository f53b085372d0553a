package ledger

import (
	"testing"
	"time"

	"github.com/caddyserver/certmagic"
	"github.com/jonboulle/clockwork"

	"github.com/caddy-freetier/caddy-freetier/internal/safestore"
)

type remote struct {
	certmagic.Storage `json:"-"`

	Address  string `json:"address"`
	Password string `json:"password"`
	conn     int
}

type opaque struct {
	certmagic.Storage

	Done chan int
}

func TestIdentity(t *testing.T) {
	channel := &opaque{Done: make(chan int)}
	for _, test := range []struct {
		a, b certmagic.Storage
		same bool
	}{
		{&certmagic.FileStorage{Path: "/a"}, &certmagic.FileStorage{Path: "/a"}, true},
		{&certmagic.FileStorage{Path: "/a"}, &certmagic.FileStorage{Path: "/b"}, false},
		{&remote{Address: "x", conn: 1}, &remote{Address: "x", conn: 2}, true},
		{&remote{Address: "x"}, &remote{Address: "y"}, false},
		{&remote{Address: "x"}, &remote{Address: "x", Password: "p"}, false},
		{channel, channel, true},
		{channel, &opaque{Done: make(chan int)}, false},
	} {
		if same := safestore.Identity(test.a) == safestore.Identity(test.b); same != test.same {
			t.Errorf("%+v and %+v: the same is %v, want %v", test.a, test.b, same, test.same)
		}
	}
}

// A laptop wakes up after so long that the others have compacted its file and
// forgotten about it.
func TestBackAfterHours(t *testing.T) {
	storage := newMemory()
	clock := clockwork.NewFakeClockAt(time.Date(2028, 3, 1, 0, 0, 0, 0, time.UTC))
	laptop, server := newTestProcess(t, storage, clock), newTestProcess(t, storage, clock)
	count := func(p *process, n int64) { p.requests("x", Month).Add(n) }
	count(laptop, 5)
	laptop.pass()
	count(laptop, 2) // not written when it falls asleep
	count(server, 1)
	for range 500 {
		clock.Advance(20 * time.Second)
		server.pass()
	}
	if compacted := server.files.common.file; len(compacted.Compacted) > 0 || len(compacted.Counts) == 0 {
		t.Fatalf("the common file is %+v, want it to have compacted and forgotten", compacted)
	}
	count(laptop, 10)
	for range 3 {
		laptop.pass()
		server.pass()
	}
	for name, p := range map[string]*process{"laptop": laptop, "server": server} {
		want(t, name, p.requests("x", Month).Sum(), 18)
	}
}
