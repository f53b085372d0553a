package keepalive

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"time"

	"go.uber.org/zap"

	"github.com/caddy-freetier/caddy-freetier/internal/hours"
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

	// The beginning of the period of which it was told that hours are low.
	Low time.Time `json:"low,omitzero"`

	Hours *hours.Memory `json:"hours,omitempty"`

	// That hours are low, if it has not been told before.
	news *hours.Fit
}

// self is the name of this process among the instances.
var self = func() string {
	name := make([]byte, 8)
	rand.Read(name) // never fails
	return hex.EncodeToString(name)
}()

var errMemo = errors.New("what the storage holds of the target cannot be read; it is written anew")

// edit changes the memo of the target under a lock that other instances
// respect.
func (t *Target) edit(ctx context.Context, change func(*memo)) error {
	var m memo
	err := t.editLocked(ctx, &m, change)
	if m.news != nil {
		t.reportLow(*m.news)
	}
	return err
}

func (t *Target) editLocked(ctx context.Context, m *memo, change func(*memo)) (err error) {
	defer func() {
		if r := recover(); r != nil { // in a storage
			err = fmt.Errorf("panic: %v", r)
		}
	}()
	storage, name := t.app.ctx.Storage(), memoFolder+hex.EncodeToString([]byte(t.key[:16]))
	if err := storage.Lock(ctx, name); err != nil {
		return err
	}
	// Without the cancellation of ctx, which must not leave the lock behind.
	defer storage.Unlock(context.WithoutCancel(ctx), name)

	raw, err := storage.Load(ctx, name+".json")
	switch {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		return err
	case json.Unmarshal(raw, m) != nil:
		*m = memo{}
		t.app.logger.Warn(errMemo.Error(), zap.String("target", t.Name))
	}
	before := *m
	change(m)
	if *m == before {
		return nil
	}
	if raw, err = json.Marshal(m); err != nil {
		return err
	}
	return storage.Store(ctx, name+".json", raw)
}

// claim reports whether the ping of a tick is ours to send. If another
// instance has sent it, the tick that it was for is returned. A storage that
// fails hinders nobody.
func (t *Target) claim(ctx context.Context, tick time.Time) (theirs time.Time, mine bool) {
	ctx, cancel := context.WithTimeout(ctx, storageLimit)
	defer cancel()
	mine = true
	err := t.edit(ctx, func(m *memo) {
		if m.By != "" && m.By != self && t.schedule.covers(m.Tick, tick) {
			theirs, mine = m.Tick, false
		} else {
			m.Tick, m.By = tick, self
		}
		t.sync(m)
	})
	t.state.storageAnswered(t, err)
	return theirs, mine
}

// resign lets others begin at once when this instance ends.
func (t *Target) resign() {
	ctx, cancel := context.WithTimeout(context.Background(), farewellLimit)
	defer cancel()
	err := t.edit(ctx, func(m *memo) {
		if m.By == self {
			m.By = ""
		}
		t.sync(m)
	})
	t.state.storageAnswered(t, err)
}

// storageAnswered logs when the storage fails and when it is back.
func (s *state) storageAnswered(t *Target, err error) {
	s.mu.Lock()
	was := s.storageFails
	s.storageFails = err != nil
	s.mu.Unlock()
	switch {
	case err != nil && !was:
		t.app.logger.Warn("the storage is in trouble; meanwhile each instance pings by itself",
			zap.String("target", t.Name), zap.Error(err))
	case err == nil && was:
		t.app.logger.Info("the storage is well again", zap.String("target", t.Name))
	}
}
