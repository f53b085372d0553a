package keepalive

import (
	"context"
	"encoding/json"
	"errors"
	"io/fs"
	"strings"
	"time"

	"github.com/caddyserver/certmagic"
)

const (
	// outboxHold is for how long a file belongs to the process that has written
	// it. A process that lives renews the hold while messages wait.
	outboxHold = 5 * time.Minute

	// tendEvery is how often files are looked for whose process has ended.
	tendEvery = time.Minute
)

// outboxFile is where the messages for one receiver wait in Caddy's storage.
// Each process has a file of its own, so that none overwrites what another one
// is about to send. A file is there only while messages wait. One that its
// process does not hold any more is taken over by another process.
type outboxFile struct {
	storage certmagic.Storage
	prefix  string // of the keys of all processes
	owner   string // this process
}

// storedOutbox is what a file has.
type storedOutbox struct {
	Until    time.Time          `json:"until,omitzero"` // of the hold; zero: its process has ended
	Messages map[string]message `json:"messages"`       // by topic
}

func (f *outboxFile) key() string { return f.prefix + f.owner + ".json" }

// store writes the messages to the file of this process, and removes it when
// there are none.
func (f *outboxFile) store(ctx context.Context, messages map[string]message, until time.Time) error {
	if len(messages) == 0 {
		return f.remove(ctx, f.key())
	}
	raw, err := json.Marshal(storedOutbox{until, messages})
	if err != nil {
		return err
	}
	return f.storage.Store(ctx, f.key(), raw)
}

func (f *outboxFile) remove(ctx context.Context, key string) error {
	if err := f.storage.Delete(ctx, key); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// load reads a file. One that is missing or unreadable is empty.
func (f *outboxFile) load(ctx context.Context, key string) (stored storedOutbox, err error) {
	raw, err := f.storage.Load(ctx, key)
	if errors.Is(err, fs.ErrNotExist) {
		return stored, nil
	}
	if err == nil && json.Unmarshal(raw, &stored) != nil {
		stored = storedOutbox{}
	}
	return stored, err
}

// takeOver calls keep with the messages of each file whose process does not hold
// it any more, and then removes the file. keep must have stored them by then. own
// says whether that includes the file of this process.
func (f *outboxFile) takeOver(ctx context.Context, now time.Time, own bool, keep func(map[string]message) error) error {
	if own { // first, since keep writes to it
		if err := f.takeOverFile(ctx, f.key(), now, keep); err != nil {
			return err
		}
	}
	keys, err := f.storage.List(ctx, strings.TrimSuffix(outboxFolder, "/"), false)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	for _, key := range keys {
		if !strings.HasPrefix(key, f.prefix) || key == f.key() {
			continue
		}
		if err := f.takeOverFile(ctx, key, now, keep); err != nil {
			return err
		}
	}
	return nil
}

func (f *outboxFile) takeOverFile(ctx context.Context, key string, now time.Time, keep func(map[string]message) error) error {
	stored, err := f.load(ctx, key)
	if err != nil || f.isHeld(key, stored, now) || (key == f.key() && len(stored.Messages) == 0) {
		return err
	}
	if err := f.storage.Lock(ctx, key); err != nil {
		return err
	}
	// Without the cancellation of ctx, which must not leave the lock behind.
	defer f.storage.Unlock(context.WithoutCancel(ctx), key)
	stored, err = f.load(ctx, key) // another process may have been faster
	if err != nil || f.isHeld(key, stored, now) {
		return err
	}
	if err := keep(stored.Messages); err != nil || key == f.key() {
		return err
	}
	return f.remove(ctx, key)
}

// isHeld reports whether a file belongs to another process that may live.
func (f *outboxFile) isHeld(key string, stored storedOutbox, now time.Time) bool {
	return key != f.key() && now.Before(stored.Until)
}
