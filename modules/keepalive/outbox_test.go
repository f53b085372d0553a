package keepalive

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/caddyserver/certmagic"
	"github.com/jonboulle/clockwork"
	"go.uber.org/zap"
)

// newOutbox returns the outbox of a process.
func newOutbox(storage certmagic.Storage, clock clockwork.Clock, process string) *outbox {
	logger := zap.NewNop()
	return &outbox{newQueue(), &outboxFile{storage, outboxFolder + "receiver-", process, logger}, clock, logger}
}

func down(target string, at time.Time) message {
	return message{Fields: map[string]string{"name": eventDown, "target": target, "message": at.Format(time.RFC3339Nano)}, At: at}
}

// Whatever processes on one storage do, and however they end, the last message
// of each topic reaches the receiver, and reaches it once unless a process dies
// with a message that it has sent.
func TestOutboxesOfProcesses(t *testing.T) {
	for seed := range uint64(20) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			ctx, dice := context.Background(), rand.New(rand.NewPCG(seed, 1))
			storage := &certmagic.FileStorage{Path: t.TempDir()}
			clock := clockwork.NewFakeClock()
			sent, killed := make(map[string]int), false
			deliver := func(o *outbox) {
				waiting := o.waiting()
				for _, m := range waiting {
					sent[m.Fields["message"]]++
				}
				o.remove(waiting)
			}
			processes := make(map[int]*outbox)
			start := func(i int) {
				processes[i] = newOutbox(storage, clock, fmt.Sprint(i))
				processes[i].tend(ctx)
			}
			last := make(map[string]string) // by target
			for step := range 40 {
				clock.Advance(time.Duration(1+dice.IntN(90)) * time.Second)
				i := dice.IntN(3)
				o, ok := processes[i]
				if !ok {
					start(i)
					continue
				}
				o.tend(ctx)
				switch dice.IntN(6) {
				case 0, 1, 2:
					m := down(fmt.Sprintf("%d-%d", i, step%4), clock.Now())
					last[m.Fields["target"]] = m.Fields["message"]
					o.add(m)
					o.save(ctx, storageLimit)
				case 3:
					deliver(o)
					o.save(ctx, storageLimit)
				case 4:
					o.release(ctx)
					delete(processes, i)
				case 5:
					killed = true
					delete(processes, i)
				}
			}
			// The rest end in some way, and a new process goes on.
			for i, o := range processes {
				if i%2 == 0 {
					o.release(ctx)
				}
			}
			o := newOutbox(storage, clock, "new")
			for range 10 {
				o.tend(ctx)
				deliver(o)
				o.save(ctx, storageLimit)
				clock.Advance(tendEvery)
			}
			for target, text := range last {
				if sent[text] == 0 {
					t.Errorf("the last message of %s was lost", target)
				}
			}
			for text, n := range sent {
				if n > 1 && !killed {
					t.Errorf("%s was sent %d times", text, n)
				}
			}
			keys, err := storage.List(ctx, "freetier/keepalive/notify", false)
			if len(keys) > 0 {
				t.Errorf("these files are left: %v (%v)", keys, err)
			}
		})
	}
}

// A process that lives keeps its file, however long its receiver is away.
func TestOutboxLease(t *testing.T) {
	ctx, clock := context.Background(), clockwork.NewFakeClock()
	storage := &certmagic.FileStorage{Path: t.TempDir()}
	mine, other := newOutbox(storage, clock, "mine"), newOutbox(storage, clock, "other")
	mine.tend(ctx)
	mine.add(down("a", clock.Now()))
	for range 60 {
		mine.tend(ctx)
		other.tend(ctx)
		if n := len(other.waiting()); n != 0 {
			t.Fatalf("another process has taken %d messages over", n)
		}
		clock.Advance(tendEvery)
	}
	clock.Advance(outboxLease)
	other.tend(ctx)
	if n := len(other.waiting()); n != 1 {
		t.Errorf("after the end of the process another one has %d of its messages, want 1", n)
	}
}

// A lease of a damaged file, or of a process whose clock was far ahead, does not keep
// messages back.
func TestOutboxLeaseFarAhead(t *testing.T) {
	for _, test := range []struct {
		name  string
		ahead time.Duration // the end of the lease
		want  int           // messages that are taken over
	}{
		{"a lease that has ended", 0, 1},
		{"a lease", outboxLease, 0},
		{"a lease by a clock that is ahead", 2 * outboxLease, 0},
		{"longer than a lease lasts", 2*outboxLease + time.Second, 1},
		{"years", 200 * 365 * 24 * time.Hour, 1},
	} {
		t.Run(test.name, func(t *testing.T) {
			ctx, clock := context.Background(), clockwork.NewFakeClock()
			storage := &certmagic.FileStorage{Path: t.TempDir()}
			dead, other := newOutbox(storage, clock, "dead"), newOutbox(storage, clock, "other")
			m := down("a", clock.Now())
			if err := dead.file.store(ctx, map[string]message{m.topic(): m}, clock.Now().Add(test.ahead)); err != nil {
				t.Fatal(err)
			}
			other.tend(ctx)
			if n := len(other.waiting()); n != test.want {
				t.Errorf("%d messages are taken over, want %d", n, test.want)
			}
		})
	}
}

// brokenStorage fails while it is broken.
type brokenStorage struct {
	certmagic.Storage
	broken     bool
	unreadable string // what is in the keys of files that cannot be read
}

func (s *brokenStorage) Load(ctx context.Context, key string) ([]byte, error) {
	if s.unreadable != "" && strings.Contains(key, s.unreadable) {
		return nil, errors.New("input/output error")
	}
	return s.Storage.Load(ctx, key)
}

func (s *brokenStorage) Store(ctx context.Context, key string, value []byte) error {
	if s.broken {
		return errors.New("broken")
	}
	return s.Storage.Store(ctx, key, value)
}

func (s *brokenStorage) Delete(ctx context.Context, key string) error {
	if s.broken {
		return errors.New("broken")
	}
	return s.Storage.Delete(ctx, key)
}

func (s *brokenStorage) List(ctx context.Context, path string, recursive bool) ([]string, error) {
	if s.broken {
		return nil, errors.New("broken")
	}
	return s.Storage.List(ctx, path, recursive)
}

// What was sent while the storage was away is not sent again when it is back.
func TestOutboxWithoutStorage(t *testing.T) {
	ctx, clock := context.Background(), clockwork.NewFakeClock()
	storage := &brokenStorage{Storage: &certmagic.FileStorage{Path: t.TempDir()}}
	o := newOutbox(storage, clock, "mine")
	o.tend(ctx)
	o.add(down("a", clock.Now()))
	o.save(ctx, storageLimit)
	storage.broken = true
	o.remove(o.waiting())
	for range 20 {
		o.save(ctx, storageLimit)
		o.tend(ctx)
		clock.Advance(tendEvery)
	}
	storage.broken = false
	for range 3 {
		o.tend(ctx)
		clock.Advance(tendEvery)
	}
	if n := len(o.waiting()); n != 0 {
		t.Errorf("%d messages wait, want none", n)
	}
	if storage.Exists(ctx, o.file.key()) {
		t.Error("its file is still there")
	}
}

// A file that is damaged or cannot be read keeps no other one from being taken over,
// nor the process from leaving its own.
func TestOutboxBesideBadFiles(t *testing.T) {
	ctx, clock := context.Background(), clockwork.NewFakeClock()
	storage := &brokenStorage{Storage: &certmagic.FileStorage{Path: t.TempDir()}}
	bad := make(map[string]string)
	for _, name := range []string{"0", "z"} { // before and after the good one
		for what, text := range map[string]string{"damaged": `{"messages":{`, "unreadable": "{}"} {
			key := outboxFolder + "receiver-" + name + what + suffix
			if err := storage.Store(ctx, key, []byte(text)); err != nil {
				t.Fatal(err)
			}
			bad[key] = what
		}
	}
	storage.unreadable = "unreadable"
	left := newOutbox(storage, clock, "left")
	left.tend(ctx)
	left.add(down("a", clock.Now()))
	left.release(ctx)
	o := newOutbox(storage, clock, "new")
	for range 3 {
		o.tend(ctx)
		clock.Advance(tendEvery)
	}
	if n := len(o.waiting()); n != 1 || storage.Exists(ctx, left.file.key()) {
		t.Errorf("%d messages wait, want the one of the process that has ended", n)
	}
	o.release(ctx)
	if stored, err := o.file.load(ctx, o.file.key()); err != nil || stored == nil || stored.isLeased(clock.Now()) {
		t.Errorf("the process has left %+v, %v", stored, err)
	}
	for key, what := range bad {
		if damaged := what == "damaged"; storage.Exists(ctx, key) == damaged || storage.Exists(ctx, key+".bad") != damaged {
			t.Errorf("%s is there: %v", key, storage.Exists(ctx, key))
		}
	}
}

// Messages of one moment are sent in the same order each time.
func TestOutboxOrder(t *testing.T) {
	o, now := newOutbox(nil, nil, "mine"), time.Unix(1, 0)
	for _, target := range []string{"c", "a", "d", "b"} {
		o.add(down(target, now))
	}
	o.add(down("z", now.Add(-time.Second)))
	for range 20 {
		order := ""
		for _, m := range o.waiting() {
			order += m.Fields["target"]
		}
		if order != "zabcd" {
			t.Fatalf("the order is %s, want zabcd", order)
		}
	}
}
