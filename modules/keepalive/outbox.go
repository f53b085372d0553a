package keepalive

import (
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

// outboxes holds an *outbox for each receiver. What waits in it outlives a
// reload in memory, and a restart in Caddy's storage.
var outboxes = caddy.NewUsagePool()

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

// outbox holds the last message of each topic until its receiver has taken it.
type outbox struct {
	file   *outboxFile
	clock  clockwork.Clock
	logger *zap.Logger
	health safestore.Health

	changed chan struct{} // has a token after a message was added
	sending chan struct{} // holds a token while messages are sent

	mu       sync.Mutex
	messages map[string]message // by topic
	begun    bool               // whether what waited before the start was read
	tended   time.Time          // when the folder was looked at last
	saved    map[string]message // what the file has
	lapses   time.Time          // when the file may be taken over by others
}

// openOutbox takes the receiver's outbox from the pool.
func (n *Notification) openOutbox(app *App) error {
	identity, err := json.Marshal([]any{n.url, n.body, n.header, n.Events})
	if err != nil {
		return err
	}
	sum := sha256.Sum256(identity)
	n.key = string(sum[:])
	value, _, err := outboxes.LoadOrNew(n.key, func() (caddy.Destructor, error) {
		return &outbox{
			file:     &outboxFile{storage: app.ctx.Storage(), prefix: outboxFolder + hex.EncodeToString(sum[:16]) + "-", owner: self},
			clock:    app.clock,
			logger:   app.logger,
			changed:  make(chan struct{}, 1),
			sending:  make(chan struct{}, 1),
			messages: make(map[string]message),
		}, nil
	})
	if err != nil {
		return err
	}
	n.outbox = value.(*outbox)
	return nil
}

// Destruct implements caddy.Destructor. What waits stays in the storage, and
// another process, or this one after a restart, may take it over at once.
func (o *outbox) Destruct() error {
	o.mu.Lock()
	messages, begun := o.messages, o.begun
	o.mu.Unlock()
	if !begun {
		return nil // the configuration has not started
	}
	_, err := safestore.Within(context.Background(), farewellLimit, func(ctx context.Context) (any, error) {
		return nil, o.file.store(ctx, messages, time.Time{})
	})
	o.report(context.Background(), err)
	return nil
}

// add puts a message in, in place of an earlier one of its topic.
func (o *outbox) add(m message) {
	o.mu.Lock()
	o.messages[m.topic()] = m
	o.mu.Unlock()
	o.signal()
}

// signal wakes up the one who sends.
func (o *outbox) signal() {
	select {
	case o.changed <- struct{}{}:
	default:
	}
}

// waiting returns the messages that wait, in the order in which they came.
func (o *outbox) waiting() []message {
	o.mu.Lock()
	defer o.mu.Unlock()
	return slices.SortedFunc(maps.Values(o.messages), func(a, b message) int { return a.At.Compare(b.At) })
}

// remove takes messages out that were sent, unless a later one has come.
func (o *outbox) remove(sent []message) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, m := range sent {
		if o.messages[m.topic()].At.Equal(m.At) {
			delete(o.messages, m.topic())
		}
	}
}

// tend keeps what is stored in order, every tendEvery: it takes over what
// processes have left that ended, this one's own before a restart among it, and
// renews the hold on this process's file.
func (o *outbox) tend(ctx context.Context) {
	now := o.clock.Now()
	o.mu.Lock()
	due, begun := o.tended.IsZero() || now.Sub(o.tended) >= tendEvery, o.begun
	if due {
		o.tended = now
	}
	o.mu.Unlock()
	if !due {
		return
	}
	_, err := safestore.Within(ctx, storageLimit, func(ctx context.Context) (any, error) {
		// The own file is read once: later it can have what was sent meanwhile.
		return nil, o.file.takeOver(ctx, now, !begun, func(left map[string]message) error {
			o.merge(left)
			return o.write(ctx)
		})
	})
	o.report(ctx, err)
	o.mu.Lock()
	o.begun = begun || err == nil
	o.mu.Unlock()
	o.save(ctx, storageLimit)
}

// merge adds messages of another process, or of before a restart. Of a topic the
// latest one stays.
func (o *outbox) merge(stored map[string]message) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for topic, m := range stored {
		if mine, ok := o.messages[topic]; topic == m.topic() && (!ok || m.At.After(mine.At)) {
			o.messages[topic] = m
		}
	}
}

// save writes what waits to the storage, if it has changed or the hold on the
// file must be renewed.
func (o *outbox) save(ctx context.Context, limit time.Duration) {
	_, err := safestore.Within(ctx, limit, func(ctx context.Context) (any, error) { return nil, o.write(ctx) })
	o.report(ctx, err)
}

// write does that without a time limit.
func (o *outbox) write(ctx context.Context) error {
	now := o.clock.Now()
	o.mu.Lock()
	messages := maps.Clone(o.messages)
	same := maps.EqualFunc(messages, o.saved, func(a, b message) bool { return a.At.Equal(b.At) })
	same = same && (len(messages) == 0 || now.Before(o.lapses.Add(-tendEvery)))
	o.mu.Unlock()
	if same {
		return nil
	}
	lapses := now.Add(outboxHold)
	if err := o.file.store(ctx, messages, lapses); err != nil {
		return err
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	o.saved, o.lapses = messages, lapses
	return nil
}

func (o *outbox) report(ctx context.Context, err error) {
	if ctx.Err() == nil {
		o.health.Report(o.logger, err, "storage unavailable; keeping notifications in memory", "storage recovered; notifications are stored again")
	}
}
