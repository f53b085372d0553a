package keepalive

import (
	"context"
	"encoding/json"
	"errors"
	"io/fs"
	"strings"
	"time"

	"github.com/caddyserver/certmagic"
	"go.uber.org/zap"

	"github.com/caddy-freetier/caddy-freetier/internal/safestore"
)

const (
	// outboxLease is for how long a file belongs to the process that has written
	// it. A living process renews the lease while messages wait.
	outboxLease = 5 * time.Minute

	// tendEvery is how often files are looked for whose process has ended.
	tendEvery = time.Minute
)

// outboxFile is where the messages for one receiver wait in Caddy's storage.
//
// Each process has a file of its own, so that none overwrites what another one is
// about to send. The file is there only while messages wait, and has a lease. When
// that is over its process has died, and another one takes the messages over: it
// writes them to its own file, then removes the old one, under a lock of the storage.
// This is not an exchange of package processfiles, in which all processes know
// everything, because a message must be sent by one process only.
//
// Files have no checksum: earlier versions wrote them as plain JSON.
type outboxFile struct {
	storage certmagic.Storage
	prefix  string // of the keys of all processes
	owner   string // this process
	logger  *zap.Logger
}

// suffix is how the keys of all files end.
const suffix = ".json"

// storedOutbox is what a file has.
type storedOutbox struct {
	Until    time.Time          `json:"until,omitzero"` // the end of the lease; zero: its process has ended
	Messages map[string]message `json:"messages"`       // by topic
}

func (f *outboxFile) key() string { return f.prefix + f.owner + suffix }

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

// load reads a file, nil if there is none. One that is no JSON is quarantined.
func (f *outboxFile) load(ctx context.Context, key string) (*storedOutbox, error) {
	raw, err := f.storage.Load(ctx, key)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, safestore.ErrFolder) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	stored := new(storedOutbox)
	if err := json.Unmarshal(raw, stored); err != nil {
		return nil, f.quarantine(ctx, key, raw, err)
	}
	return stored, nil
}

// quarantine moves a damaged file away.
func (f *outboxFile) quarantine(ctx context.Context, key string, raw []byte, reason error) error {
	bad := key + ".bad"
	if err := f.storage.Store(ctx, bad, raw); err != nil {
		return err
	}
	if err := f.remove(ctx, key); err != nil {
		return err
	}
	f.logger.Warn("file of notifications quarantined: they are not sent",
		zap.String("file", key), zap.String("kept_as", bad), zap.NamedError("reason", reason))
	return nil
}

// takeOverOwn calls keep with the messages of this process's file.
func (f *outboxFile) takeOverOwn(ctx context.Context, keep func(map[string]message) error) error {
	stored, err := f.load(ctx, f.key())
	if err != nil || stored == nil {
		return err
	}
	return keep(stored.Messages)
}

// takeOverOthers calls keep, which must store them, with the messages of each file
// whose lease is over, and then removes the file. A file that cannot be taken over
// does not keep others from being taken over.
func (f *outboxFile) takeOverOthers(ctx context.Context, now time.Time, keep func(map[string]message) error) error {
	names, err := safestore.List(ctx, f.storage, strings.TrimSuffix(outboxFolder, "/"))
	for _, name := range names {
		key := outboxFolder + name
		if strings.HasPrefix(key, f.prefix) && strings.HasSuffix(key, suffix) && key != f.key() {
			err = errors.Join(err, f.takeOver(ctx, key, now, keep))
		}
	}
	return err
}

func (f *outboxFile) takeOver(ctx context.Context, key string, now time.Time, keep func(map[string]message) error) error {
	stored, err := f.load(ctx, key)
	if err != nil || stored == nil || stored.isLeased(now) {
		return err
	}
	if err := f.storage.Lock(ctx, key); err != nil {
		return err
	}
	// Without the cancellation of ctx, which must not leave the lock behind.
	defer f.storage.Unlock(context.WithoutCancel(ctx), key)
	stored, err = f.load(ctx, key) // another process may have been faster
	if err != nil || stored == nil || stored.isLeased(now) {
		return err
	}
	if err := keep(stored.Messages); err != nil {
		return err
	}
	return f.remove(ctx, key)
}

// isLeased reports whether a file belongs to a process that may be alive.
//
// A lease that ends later than any could, with clocks that differ by as much as it
// lasts, is none: it comes from a damaged file or from a clock that was far ahead, and
// nobody would take the messages over until then.
func (s *storedOutbox) isLeased(now time.Time) bool {
	left := s.Until.Sub(now)
	return left > 0 && left <= 2*outboxLease
}
