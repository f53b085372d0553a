package processfiles

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"errors"
	"time"

	"github.com/caddyserver/certmagic"
	"github.com/jonboulle/clockwork"
	"go.uber.org/zap"

	"github.com/caddy-freetier/caddy-freetier/internal/safestore"
)

const (
	// interval is how often the files of other processes are read. With more than
	// crowdAt of them it grows with their number, up to maxInterval, so that a
	// process does not read more often the more there are.
	interval    = 10 * time.Second
	crowdAt     = 16
	maxInterval = 5 * time.Minute

	// pause is how long further changes wait after a file was written.
	pause = time.Second

	// rewriteAfter is how often a file is written without a change, as a sign of
	// life. SilentFor is after what time without one a process is taken for dead.
	rewriteAfter = 5 * time.Minute
	SilentFor    = 15 * time.Minute

	// maxStates bounds the storages that are remembered. Some look like another
	// one after each reload.
	maxStates = 8

	// What a storage that hangs can cost at most: when Caddy starts and stops,
	// and one pass in between.
	startLimit = 2 * time.Second
	stopLimit  = 3 * time.Second
	passLimit  = 30 * time.Second
)

// Content is what a process knows at the time of a pass. Records are about items, such
// as keys, of which files have hashes only: a record can be used as soon as the
// configuration has its item.
type Content[C any] interface {
	// Items tells the items that there are from others.
	Items() Fingerprint

	// Merge merges the file of another process. The order of files must not matter,
	// nor how often one is merged. take says that the file will be removed, so what
	// is in it must be in Own from now on. Merge returns how many records have
	// changed something, and whether some are about items that are unknown here:
	// then the file stays.
	Merge(file *File[C], take bool, now time.Time) (changed int, unknown bool)

	// Own returns a JSON object with what the file of this process is to have
	// besides a Header, nil for no file. What has not changed should be equal.
	Own(process string, now time.Time) []byte
}

// Fingerprint tells sets of hashes apart, whatever their order.
type Fingerprint [4]uint64

// Add adds a hash. A hash that is there twice counts twice: it must not vanish as it
// would by XOR.
func (f *Fingerprint) Add(hash [sha256.Size]byte) {
	for i := range f {
		f[i] += binary.BigEndian.Uint64(hash[8*i:])
	}
}

// Site is where an Exchange finds the storage. It is that of a configuration.
type Site struct {
	Storage certmagic.Storage
	Clock   clockwork.Clock
	Logger  *zap.Logger
}

// Exchange keeps what a process knows in step with the files of the others. It belongs
// to the process and outlives reloads; while a reload goes on, two configurations use
// it at a time. Nothing on a request's path waits for it, and a crash loses what was
// learned since the last pass.
type Exchange[C any] struct {
	kind    *Kind[C]
	content func() Content[C]
	changed <-chan struct{}
	guard   *safestore.Guard
	pace    safestore.Pace

	// states are touched under the guard only. There is one for each storage, since
	// a reload can change the storage.
	states map[any]*state[C] // by the storage's identity
}

// state is what is known of the files in one storage.
type state[C any] struct {
	*Folder[C]
	begun   bool              // a pass has read the files
	stored  [sha256.Size]byte // of what the own file has
	ended   bool              // as the own file says
	written time.Time         // when, zero: there is no own file
}

// NewExchange returns an Exchange that has read nothing. content is called at each
// pass. After a value from changed, which can be nil, the file is written soon;
// otherwise changes are found at the next pass.
func NewExchange[C any](kind *Kind[C], content func() Content[C], changed <-chan struct{}) *Exchange[C] {
	return &Exchange[C]{
		kind: kind, content: content, changed: changed,
		guard:  safestore.NewGuard(),
		pace:   safestore.Pace{Files: crowdAt, Longest: maxInterval},
		states: make(map[any]*state[C]),
	}
}

// Read reads what is stored, unless the storage is slow. It is for the start.
func (e *Exchange[C]) Read(site Site) {
	if !e.guard.Hangs() {
		e.Sync(context.Background(), site, startLimit)
	}
}

// Sync reads and writes, and waits for that no longer than limit.
func (e *Exchange[C]) Sync(ctx context.Context, site Site, limit time.Duration) {
	e.pass(ctx, site, limit, true, false)
}

// End writes a last time. last says that the process writes its file no more.
func (e *Exchange[C]) End(ctx context.Context, site Site, last bool) {
	if !e.guard.Hangs() {
		e.pass(context.WithoutCancel(ctx), site, stopLimit, false, last)
	}
}

// Unavailable reports whether the storage has failed in the last pass.
func (e *Exchange[C]) Unavailable() bool { return e.guard.Unavailable() }

// Run reads and writes until its context is done. last then says whether this was the
// last configuration, so that the file will be written no more.
func (e *Exchange[C]) Run(ctx context.Context, site Site, last func() bool) {
	every := e.pace.Every(interval)
	ticker := site.Clock.NewTicker(every)
	defer ticker.Stop()
	for {
		if now := e.pace.Every(interval); now != every {
			every = now
			ticker.Reset(every)
		}
		read := true
		select {
		case <-ticker.Chan():
		case <-e.changed:
			read = false
		case <-ctx.Done():
		}
		if ctx.Err() != nil {
			e.End(ctx, site, last())
			return
		}
		e.pass(ctx, site, passLimit, read, false)
		if read {
			continue
		}
		select {
		case <-site.Clock.After(pause):
		case <-ctx.Done():
		}
	}
}

// pass reads, if read says so, and writes. ended says that the file is the last one.
func (e *Exchange[C]) pass(ctx context.Context, site Site, limit time.Duration, read, ended bool) {
	err := e.guard.Do(ctx, limit, func(ctx context.Context) error { return e.work(ctx, site, read, ended) })
	if ctx.Err() != nil {
		return // the configuration ends: that is no trouble of the storage
	}
	e.guard.Report(site.Logger, err,
		"storage unavailable; keeping "+e.kind.Name+" in memory",
		"storage recovered; all "+e.kind.Name+" saved")
}

func (e *Exchange[C]) work(ctx context.Context, site Site, read, ended bool) error {
	st, now := e.stateOf(site.Storage), site.Clock.Now()
	var over []string
	var trouble error
	if read {
		var names map[string]bool
		if names, trouble = st.Read(ctx, site.Storage, site.Logger, now); names == nil {
			return trouble
		}
		if !names[st.Process] {
			st.written = time.Time{}
		}
		delete(names, st.Process)
		e.pace.Saw(len(names))
	}
	if err := ctx.Err(); err != nil {
		return err // nobody waits any more
	}
	content := e.content()
	if read {
		over = st.merge(site.Logger, content, now)
	}
	return errors.Join(trouble, st.write(ctx, site.Storage, content, over, ended, now))
}

func (e *Exchange[C]) stateOf(storage certmagic.Storage) *state[C] {
	id := safestore.Identity(storage)
	st := e.states[id]
	if st == nil {
		if len(e.states) >= maxStates {
			clear(e.states) // the files are taken over later
		}
		st = &state[C]{Folder: e.kind.NewFolder(NewProcess())}
		e.states[id] = st
	}
	return st
}

// merge merges what is new in the files of others, or about new items, and returns the
// processes whose files are taken over.
func (st *state[C]) merge(logger *zap.Logger, content Content[C], now time.Time) (over []string) {
	items, changed := content.Items(), 0
	for name, file := range st.Others {
		ended := st.Ended(file, now)
		if file.unread || file.merged && file.items == items && !ended {
			continue
		}
		n, unknown := content.Merge(file, ended, now)
		file.merged, file.items = true, items
		if changed += n; ended && !unknown {
			over = append(over, name)
		}
	}
	if !st.begun && changed > 0 {
		logger.Info(st.kind.Name+" read from storage", zap.Int("count", changed))
	}
	st.begun = true
	return over
}

// write writes the own file if it must change, and then removes those that were taken
// over: what is in them is in a file at any time.
func (st *state[C]) write(ctx context.Context, storage certmagic.Storage, content Content[C], over []string, ended bool, now time.Time) error {
	own := content.Own(st.Process, now)
	sum := sha256.Sum256(own)
	switch {
	case own == nil:
		if !st.written.IsZero() {
			over = append(over, st.Process)
		}
	case st.written.IsZero(), sum != st.stored, ended != st.ended, now.Sub(st.written) >= rewriteAfter:
		if err := st.Write(ctx, storage, withHeader(Header{Process: st.Process, Written: now.UTC(), Ended: ended}, own)); err != nil {
			return err
		}
		st.stored, st.ended, st.written = sum, ended, now.Round(0) // by the clock on the wall: machines sleep
	}
	for _, name := range over {
		if err := st.Remove(ctx, storage, name); err != nil {
			return err
		}
		if name == st.Process {
			st.written = time.Time{}
		}
	}
	return nil
}

// withHeader returns a JSON object with the fields of a header and those of another
// object.
func withHeader(h Header, object []byte) []byte {
	head, err := json.Marshal(h)
	if err != nil {
		return object // only for years beyond 9999
	}
	return append(append(head[:len(head)-1], ','), append(object[1:len(object):len(object)], '\n')...)
}
