package keepalive

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/jonboulle/clockwork"
	"go.uber.org/zap"

	"github.com/caddy-freetier/caddy-freetier/internal/safestore"
)

// queues holds a *queue for each receiver. What waits in it outlives a reload in
// memory, and a restart in Caddy's storage.
var queues = caddy.NewUsagePool()

// outboxFolder is where messages wait in Caddy's storage, a file for each
// receiver and process. See outboxFile.
const outboxFolder = recordFolder + "notify/"

// message is an event that a receiver has not taken yet.
type message struct {
	Fields map[string]string `json:"fields"`
	At     time.Time         `json:"at"`
}

// topic is what a message is about. A later one of the same topic replaces an
// earlier one: what counts is the last state.
func (m message) topic() string {
	name := m.Fields["name"]
	if name == eventUp || name == eventDown {
		name = "health"
	}
	return m.Fields["target"] + "/" + name
}

// queue holds the last message of each topic until its receiver has taken it.
type queue struct {
	guard *safestore.Guard

	changed chan struct{} // has a token after a message was added
	sending chan struct{} // holds a token while messages are sent

	mu       sync.Mutex
	messages map[string]message // by topic
	begun    bool               // whether what waited before the start was read
	tended   time.Time          // when the folder was looked at last
	saved    map[string]message // what the file has
	lapses   time.Time          // the end of the file's lease; zero: it has none
}

func newQueue() *queue {
	return &queue{
		guard:    safestore.NewGuard(),
		changed:  make(chan struct{}, 1),
		sending:  make(chan struct{}, 1),
		messages: make(map[string]message),
	}
}

// outbox is a receiver's queue in the storage of a configuration. A reload makes a new
// storage even if its configuration is the same, and ends the old one.
type outbox struct {
	*queue
	file   *outboxFile
	clock  clockwork.Clock
	logger *zap.Logger
}

// openOutbox takes the receiver's queue from the pool.
func (n *Notification) openOutbox(app *App) error {
	identity, err := json.Marshal([]any{n.url, n.body, n.header, n.Events})
	if err != nil {
		return err
	}
	sum := sha256.Sum256(identity)
	n.key = string(sum[:])
	pooled, _ := queues.LoadOrStore(n.key, newQueue())
	n.outbox = &outbox{
		queue:  pooled.(*queue),
		file:   &outboxFile{storage: app.ctx.Storage(), prefix: outboxFolder + hex.EncodeToString(sum[:16]) + "-", owner: self, logger: app.logger},
		clock:  app.clock,
		logger: app.logger,
	}
	return nil
}

// closeOutbox gives the queue back. What waits stays in the storage.
func (n *Notification) closeOutbox() error {
	last, err := queues.Delete(n.key)
	if last {
		n.outbox.release(context.Background()) // what has come since the end of run
	}
	return err
}

// add puts a message in, in place of an earlier one of its topic.
func (q *queue) add(m message) {
	q.mu.Lock()
	q.messages[m.topic()] = m
	q.mu.Unlock()
	q.signal()
}

// signal wakes up the one who sends.
func (q *queue) signal() {
	select {
	case q.changed <- struct{}{}:
	default:
	}
}

// waiting returns the messages that wait, in the order in which they came.
func (q *queue) waiting() []message {
	q.mu.Lock()
	defer q.mu.Unlock()
	return slices.SortedFunc(maps.Values(q.messages), func(a, b message) int {
		return cmp.Or(a.At.Compare(b.At), cmp.Compare(a.topic(), b.topic()))
	})
}

// remove takes messages out that were sent, unless a later one has come.
func (q *queue) remove(sent []message) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, m := range sent {
		if q.messages[m.topic()].At.Equal(m.At) {
			delete(q.messages, m.topic())
		}
	}
}

// merge adds messages of another process, or of before a restart. Of a topic the
// latest one stays.
func (q *queue) merge(stored map[string]message) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for topic, m := range stored {
		if mine, ok := q.messages[topic]; topic == m.topic() && (!ok || m.At.After(mine.At)) {
			q.messages[topic] = m
		}
	}
}

// tend keeps what is stored in order, every tendEvery: it takes over what processes
// have left that ended, and renews the lease of the file of this process.
func (o *outbox) tend(ctx context.Context) {
	now := o.clock.Now()
	o.mu.Lock()
	due := o.tended.IsZero() || now.Sub(o.tended) >= tendEvery
	if due {
		o.tended = now
	}
	o.mu.Unlock()
	if !due {
		return
	}
	o.store(ctx, storageLimit, func(ctx context.Context) error { return o.takeOver(ctx, now) })
	o.save(ctx, storageLimit)
}

// takeOver takes over what waited before a restart, and what other processes have
// left.
func (o *outbox) takeOver(ctx context.Context, now time.Time) error {
	keep := func(left map[string]message) error {
		o.merge(left)
		return o.write(ctx, false)
	}
	if !o.hasBegun() {
		// The own file is read once: later it can have what was sent meanwhile.
		if err := o.file.takeOverOwn(ctx, keep); err != nil {
			return err
		}
		o.mu.Lock()
		o.begun = true
		o.mu.Unlock()
	}
	return o.file.takeOverOthers(ctx, now, keep)
}

func (q *queue) hasBegun() bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.begun
}

// save writes what waits to the storage, if it has changed or the lease of the
// file must be renewed.
func (o *outbox) save(ctx context.Context, limit time.Duration) {
	o.store(ctx, limit, func(ctx context.Context) error { return o.write(ctx, false) })
}

// release does that a last time, so that another process, or this one after a
// restart, may take over at once what waits.
func (o *outbox) release(ctx context.Context) {
	if o.hasBegun() { // else the configuration has not started
		o.store(ctx, farewellLimit, func(ctx context.Context) error { return o.write(ctx, true) })
	}
}

// write writes to the file, with a lease or, as its process's last act, without one.
func (o *outbox) write(ctx context.Context, released bool) error {
	now := o.clock.Now()
	o.mu.Lock()
	messages := maps.Clone(o.messages)
	same := maps.EqualFunc(messages, o.saved, func(a, b message) bool { return a.At.Equal(b.At) })
	leased := now.Before(o.lapses.Add(-tendEvery)) // for long enough
	if released {
		leased = o.lapses.IsZero()
	}
	o.mu.Unlock()
	if same && (len(messages) == 0 || leased) {
		return nil
	}
	var lapses time.Time
	if !released {
		lapses = now.Add(outboxLease)
	}
	if err := o.file.store(ctx, messages, lapses); err != nil {
		return err
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	o.saved, o.lapses = messages, lapses
	return nil
}

// store has f use the storage, and logs when that has become available or not.
func (o *outbox) store(ctx context.Context, limit time.Duration, f func(context.Context) error) {
	err := o.guard.Do(ctx, limit, f)
	if ctx.Err() == nil {
		o.guard.Report(o.logger, err, "storage unavailable; keeping notifications in memory", "storage recovered; notifications are stored again")
	}
}
