package keepalive

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io/fs"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/certmagic"
	"go.uber.org/zap"

	"github.com/caddy-freetier/caddy-freetier/internal/safestore"
)

// outboxes holds an *outbox for each receiver. What waits in it outlives a
// reload in memory, and a restart in Caddy's storage.
var outboxes = caddy.NewUsagePool()

// outboxFolder is where messages wait in Caddy's storage, a file for each
// receiver and instance of Caddy.
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
	storage certmagic.Storage
	file    string
	logger  *zap.Logger
	health  safestore.Health

	changed chan struct{} // has a token after a message was added
	sending chan struct{} // holds a token while messages are sent

	mu       sync.Mutex
	messages map[string]message // by topic
	loaded   bool
	saved    []byte // what the file has
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
			storage:  app.ctx.Storage(),
			file:     hex.EncodeToString(sum[:16]),
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

// Destruct implements caddy.Destructor. What waits is in the storage.
func (*outbox) Destruct() error { return nil }

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

// key is the name of the file. Instances of Caddy on one storage have one each,
// so that none sends what another one is about to send.
func (o *outbox) key() string {
	instance, err := caddy.InstanceID()
	if err != nil {
		return outboxFolder + o.file + ".json"
	}
	return outboxFolder + o.file + "-" + instance.String() + ".json"
}

// load reads, once, what waited before a restart.
func (o *outbox) load(ctx context.Context) {
	o.mu.Lock()
	loaded := o.loaded
	o.loaded = true
	o.mu.Unlock()
	if loaded {
		return
	}
	stored, err := safestore.Within(ctx, storageLimit, func(ctx context.Context) (stored map[string]message, err error) {
		raw, err := o.storage.Load(ctx, o.key())
		if errors.Is(err, fs.ErrNotExist) {
			return nil, nil
		}
		if err == nil && json.Unmarshal(raw, &stored) != nil {
			o.logger.Warn("stored notifications are unreadable; starting fresh")
		}
		return stored, err
	})
	o.report(ctx, err)
	o.mu.Lock()
	defer o.mu.Unlock()
	for topic, m := range stored {
		if _, later := o.messages[topic]; !later && topic == m.topic() {
			o.messages[topic] = m
		}
	}
}

// save writes what waits to the storage, if it has changed.
func (o *outbox) save(ctx context.Context, limit time.Duration) {
	o.mu.Lock()
	raw, err := json.Marshal(o.messages)
	same := string(raw) == string(o.saved) || (len(o.messages) == 0 && o.saved == nil)
	o.mu.Unlock()
	if err != nil || same {
		return
	}
	_, err = safestore.Within(ctx, limit, func(ctx context.Context) (any, error) {
		return nil, o.storage.Store(ctx, o.key(), raw)
	})
	o.report(ctx, err)
	if err == nil {
		o.mu.Lock()
		o.saved = raw
		o.mu.Unlock()
	}
}

func (o *outbox) report(ctx context.Context, err error) {
	if ctx.Err() == nil {
		o.health.Report(o.logger, err, "storage unavailable; keeping notifications in memory", "storage recovered; notifications are stored again")
	}
}
