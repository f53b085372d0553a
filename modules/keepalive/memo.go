package keepalive

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"time"

	"go.uber.org/zap"

	"github.com/caddy-freetier/caddy-freetier/internal/hours"
	"github.com/caddy-freetier/caddy-freetier/internal/safestore"
)

// Where the instances of Caddy on one storage keep what they know in common,
// a file for each target.
const memoFolder = "freetier/keepalive/"

const (
	// storageLimit is how long a storage may take. After that each instance
	// goes on by itself.
	storageLimit = 5 * time.Second

	// farewellLimit is the same when Caddy stops.
	farewellLimit = 2 * time.Second
)

// memo is what instances on one storage know of a target in common.
type memo struct {
	// The tick whose ping was sent last, and who sent it.
	Tick time.Time `json:"tick"`
	By   string    `json:"by,omitempty"`

	// What came of the ping before.
	Before *told `json:"before,omitempty"`

	// The beginning of the period of which it was told that hours are low.
	Low time.Time `json:"low,omitzero"`

	Hours *hours.Memory `json:"hours,omitempty"`

	// That hours are low, if it has not been told before.
	news *hours.Fit
}

// told is what one instance tells the others of a ping.
type told struct {
	At       time.Time     `json:"at"`
	Answered bool          `json:"answered,omitempty"`
	Latency  time.Duration `json:"latency,omitempty"`
	Status   int           `json:"status,omitempty"`
	Error    string        `json:"error,omitempty"`
	Failures int           `json:"failures,omitempty"`
}

// self is the name of this process among the instances.
var self = func() string {
	name := make([]byte, 8)
	rand.Read(name) // never fails
	return hex.EncodeToString(name)
}()

// edit changes the memo of the target. If another instance does the same at
// the same time one of the changes may be lost, which does no harm to what
// they know of awake times: the next one brings it again.
func (t *Target) edit(ctx context.Context, change func(*memo)) error {
	var m memo
	err := t.exchangeMemo(ctx, &m, change)
	if m.news != nil {
		t.reportLow(*m.news)
	}
	return err
}

func (t *Target) exchangeMemo(ctx context.Context, m *memo, change func(*memo)) (err error) {
	select {
	case t.state.sharing <- struct{}{}:
		defer func() { <-t.state.sharing }()
	case <-ctx.Done():
		return ctx.Err()
	}
	if err := t.load(ctx, m); err != nil {
		return err
	}
	before := *m
	if change(m); *m == before {
		return nil
	}
	return t.store(ctx, m)
}

// memoKey is the same for configurations that differ in the request only: what
// was learned of an instance stays when its key is changed.
func (t *Target) memoKey() string {
	sum := sha256.Sum256([]byte(t.Name + "\x00" + t.upstream))
	return memoFolder + hex.EncodeToString(sum[:16])
}

func (t *Target) load(ctx context.Context, m *memo) error {
	raw, err := t.app.ctx.Storage().Load(ctx, t.memoKey()+".json")
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err == nil && json.Unmarshal(raw, m) != nil {
		*m = memo{}
		t.app.logger.Warn("stored state of target is unreadable; starting fresh", zap.String("target", t.Name))
	}
	return err
}

func (t *Target) store(ctx context.Context, m *memo) error {
	raw, err := json.Marshal(m)
	if err != nil {
		return err
	}
	return t.app.ctx.Storage().Store(ctx, t.memoKey()+".json", raw)
}

// locked calls f while no other instance deals with the same tick. Each tick
// has a lock of its own: the file system's locks are not made to be taken and
// released in quick succession.
func (t *Target) locked(ctx context.Context, tick time.Time, f func() error) (err error) {
	storage, name := t.app.ctx.Storage(), fmt.Sprintf("%s-%d", t.memoKey(), t.schedule.number(tick))
	if err := storage.Lock(ctx, name); err != nil {
		return err
	}
	// Without the cancellation of ctx, which must not leave the lock behind.
	defer storage.Unlock(context.WithoutCancel(ctx), name)
	return f()
}

// claim is who sends the ping of a tick.
type claim struct {
	mine bool
	tick time.Time // for which another instance has sent it
}

// claim reports whether the ping of a tick is ours to send. A storage that
// fails or hangs hinders nobody.
func (t *Target) claim(ctx context.Context, tick time.Time) claim {
	c, err := safestore.Within(ctx, storageLimit, func(ctx context.Context) (c claim, err error) {
		err = t.locked(ctx, tick, func() error {
			return t.edit(ctx, func(m *memo) {
				if m.By != "" && m.By != self && t.schedule.covers(m.Tick, tick, t.app.clock.Now()) {
					c.tick = m.Tick
					t.state.hear(m.Before)
				} else {
					c.mine = true
					m.Tick, m.By, m.Before = tick, self, t.state.tell()
				}
				t.sync(m)
			})
		})
		return c, err
	})
	if ctx.Err() == nil {
		t.reportStorage(err)
	}
	if err != nil {
		return claim{mine: true}
	}
	return c
}

// share tells other instances what is known.
func (t *Target) share(ctx context.Context) {
	_, err := safestore.Within(ctx, storageLimit, func(ctx context.Context) (any, error) { return nil, t.edit(ctx, t.sync) })
	if ctx.Err() == nil {
		t.reportStorage(err)
	}
}

// resign lets others begin at once when this instance ends.
func (t *Target) resign(ctx context.Context) {
	_, err := safestore.Within(ctx, farewellLimit, func(ctx context.Context) (any, error) {
		return nil, t.edit(ctx, func(m *memo) {
			if m.By == self {
				m.By = ""
			}
			t.sync(m)
		})
	})
	t.reportStorage(err)
}

// tell returns what is known of the latest ping.
func (s *state) tell() *told {
	s.mu.Lock()
	defer s.mu.Unlock()
	r := s.health.latest
	if r.at.IsZero() {
		return nil
	}
	news := &told{At: r.at, Answered: r.answered, Latency: r.latency, Status: r.status, Failures: s.health.failures}
	if r.err != nil {
		news.Error = r.err.Error()
	}
	return news
}

// hear takes over what another instance knows. It has reported it already.
func (s *state) hear(news *told) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if news == nil || !news.At.After(s.health.latest.at) {
		return
	}
	s.health.failures = news.Failures
	s.health.latest = result{at: news.At, answered: news.Answered, latency: news.Latency, status: news.Status}
	if news.Error != "" {
		s.health.latest.err = errors.New(news.Error)
	}
}

// reportStorage logs once when the storage becomes unavailable and when it is
// back.
func (t *Target) reportStorage(err error) {
	t.state.storage.Report(t.app.logger, err, "storage unavailable; each instance pings by itself",
		"storage recovered; instances share their pings again", zap.String("target", t.Name))
}
