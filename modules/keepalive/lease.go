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

	"github.com/caddyserver/certmagic"
	"github.com/jonboulle/clockwork"
	"go.uber.org/zap"

	"github.com/caddy-freetier/caddy-freetier/internal/hours"
	"github.com/caddy-freetier/caddy-freetier/internal/safestore"
)

// recordFolder is where the instances of Caddy on one storage keep what they
// know in common, a file for each target.
const recordFolder = "freetier/keepalive/"

const (
	// storageLimit is how long a storage may take. After that each instance
	// goes on by itself.
	storageLimit = 5 * time.Second

	// farewellLimit is the same when Caddy stops.
	farewellLimit = 2 * time.Second
)

// lease is a target's part of Caddy's storage: which instance of Caddy sends the
// ping of a tick, and what all of them know of the target.
//
// Whoever is first to write a tick into the record sends its ping; the others find the
// tick there and merge its result with the next one. The record is edited under the storage's
// lock. Without an answer of the storage in five seconds an instance sends the ping
// itself: two pings do less harm than none.
type lease struct {
	storage  certmagic.Storage
	key      string
	target   string
	schedule *schedule
	clock    clockwork.Clock
	logger   *zap.Logger

	editing chan struct{} // holds a token while the record is edited
	health  *safestore.Health

	sync func(*record)    // exchanges the awake time
	low  func(*hours.Fit) // reports that hours are low
}

// newLease returns the lease of a pinger's target.
func newLease(p *pinger) *lease {
	return &lease{
		storage:  p.app.ctx.Storage(),
		key:      recordKey(p.target.Name, p.upstream),
		target:   p.target.Name,
		schedule: p.schedule,
		clock:    p.app.clock,
		logger:   p.app.logger,
		editing:  p.state.sharing,
		health:   &p.state.storage,
		sync:     p.hours.sync,
		low:      func(fit *hours.Fit) { p.report.hoursLow(p.hours.account.name, *fit) },
	}
}

// recordKey is the same for configurations that differ in the request only:
// what was learned of an instance stays when its key is changed.
func recordKey(name, upstream string) string {
	sum := sha256.Sum256([]byte(name + "\x00" + upstream))
	return recordFolder + hex.EncodeToString(sum[:16])
}

// record is what instances on one storage know of a target in common.
type record struct {
	// The tick whose ping was sent last, and who sent it.
	Tick time.Time `json:"tick"`
	By   string    `json:"by,omitempty"`

	// What came of the ping before.
	Before *sharedResult `json:"before,omitempty"`

	// The beginning of the period of which it was reported that hours are low.
	Low time.Time `json:"low,omitzero"`

	Hours *hours.Memory `json:"hours,omitempty"`

	// That hours are low, if that was not reported before.
	low *hours.Fit
}

// sharedResult is the result of a ping as other instances see it.
type sharedResult struct {
	At       time.Time     `json:"at"`
	Answered bool          `json:"answered,omitempty"`
	Latency  time.Duration `json:"latency,omitempty"`
	Status   int           `json:"status,omitempty"`
	Error    string        `json:"error,omitempty"`
	Failures int           `json:"failures,omitempty"` // in a row
	Since    time.Time     `json:"since,omitzero"`     // the first of them
	Down     bool          `json:"down,omitempty"`     // whether that was reported
}

// self is the name of this process among the instances.
var self = func() string {
	name := make([]byte, 8)
	rand.Read(name) // never fails
	return hex.EncodeToString(name)
}()

// edit changes the record of the target. If another instance does the same at
// the same time one of the changes may be lost, which does no harm to what
// they know of awake times: the next one brings it again.
func (l *lease) edit(ctx context.Context, change func(*record)) error {
	var r record
	err := l.exchange(ctx, &r, change)
	if r.low != nil {
		l.low(r.low)
	}
	return err
}

func (l *lease) exchange(ctx context.Context, r *record, change func(*record)) (err error) {
	select {
	case l.editing <- struct{}{}:
		defer func() { <-l.editing }()
	case <-ctx.Done():
		return ctx.Err()
	}
	if err := ctx.Err(); err != nil { // both can be so, and nothing may be written after the end
		return err
	}
	if err := l.load(ctx, r); err != nil {
		return err
	}
	before := *r
	if change(r); *r == before {
		return nil
	}
	return l.store(ctx, r)
}

func (l *lease) load(ctx context.Context, r *record) error {
	raw, err := l.storage.Load(ctx, l.key+".json")
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err == nil && json.Unmarshal(raw, r) != nil {
		*r = record{}
		l.logger.Warn("stored state of target is unreadable; starting fresh", zap.String("target", l.target))
	}
	return err
}

func (l *lease) store(ctx context.Context, r *record) error {
	raw, err := json.Marshal(r)
	if err != nil {
		return err
	}
	return l.storage.Store(ctx, l.key+".json", raw)
}

// locked calls f while no other instance deals with the same tick. Each tick
// has a lock of its own: the file system's locks are not made to be taken and
// released in quick succession.
func (l *lease) locked(ctx context.Context, tick time.Time, f func() error) (err error) {
	name := fmt.Sprintf("%s-%d", l.key, l.schedule.number(tick))
	if err := l.storage.Lock(ctx, name); err != nil {
		return err
	}
	// Without the cancellation of ctx, which must not leave the lock behind.
	defer l.storage.Unlock(context.WithoutCancel(ctx), name)
	return f()
}

// holder is who sends the ping of a tick.
type holder struct {
	mine   bool
	tick   time.Time     // for which another instance has sent it
	result *sharedResult // what came of a ping before, by that instance or before a restart
}

// acquire acquires the lease of a tick, and shares the result of our ping
// before. A storage that fails or hangs hinders nobody.
func (l *lease) acquire(ctx context.Context, tick time.Time, before *sharedResult) holder {
	got, err := safestore.Within(ctx, storageLimit, func(ctx context.Context) (h holder, err error) {
		err = l.locked(ctx, tick, func() error {
			return l.edit(ctx, func(r *record) {
				if r.By != "" && r.By != self && l.schedule.covers(r.Tick, tick, l.clock.Now()) {
					h.tick, h.result = r.Tick, r.Before
				} else {
					h.mine = true
					r.Tick, r.By = tick, self
					if before == nil {
						h.result = r.Before
					} else {
						r.Before = before
					}
				}
				l.sync(r)
			})
		})
		return h, err
	})
	if ctx.Err() == nil {
		l.reportStorage(err)
	}
	if err != nil {
		return holder{mine: true}
	}
	return got
}

// publish stores a result at once, since others need to know of it.
func (l *lease) publish(ctx context.Context, result *sharedResult) {
	_, err := safestore.Within(ctx, storageLimit, func(ctx context.Context) (any, error) {
		return nil, l.edit(ctx, func(r *record) { r.Before = result })
	})
	if ctx.Err() == nil {
		l.reportStorage(err)
	}
}

// read returns the last result that was stored, nil if there is none.
func (l *lease) read(ctx context.Context) *sharedResult {
	result, err := safestore.Within(ctx, storageLimit, func(ctx context.Context) (*sharedResult, error) {
		var r record
		err := l.load(ctx, &r)
		return r.Before, err
	})
	if ctx.Err() == nil {
		l.reportStorage(err)
	}
	return result
}

// share exchanges with other instances what is known.
func (l *lease) share(ctx context.Context) {
	_, err := safestore.Within(ctx, storageLimit, func(ctx context.Context) (any, error) { return nil, l.edit(ctx, l.sync) })
	if ctx.Err() == nil {
		l.reportStorage(err)
	}
}

// resign lets others begin at once when this instance ends, and stores its last
// result if there is one.
func (l *lease) resign(ctx context.Context, last *sharedResult) {
	_, err := safestore.Within(ctx, farewellLimit, func(ctx context.Context) (any, error) {
		return nil, l.edit(ctx, func(r *record) {
			if r.By == self {
				r.By = ""
			}
			if last != nil {
				r.Before = last
			}
			l.sync(r)
		})
	})
	l.reportStorage(err)
}

// reportStorage logs once when the storage becomes unavailable and when it is
// back.
func (l *lease) reportStorage(err error) {
	l.health.Report(l.logger, err, "storage unavailable; each instance pings by itself",
		"storage recovered; instances share their pings again", zap.String("target", l.target))
}
