package history

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"strings"
	"time"

	"github.com/caddyserver/certmagic"
	"github.com/jonboulle/clockwork"
	"go.uber.org/zap"

	"github.com/caddy-freetier/caddy-freetier/internal/safestore"
)

// Where histories lie in the storage.
const (
	folder = "freetier/history"
	suffix = ".history"
	lock   = "freetier-history"
)

const (
	// every is how often a process writes its history and reads the others': what
	// a crash loses at most.
	every = 5 * time.Minute

	// silentPasses is after how many passes in which a file has not changed its
	// process is taken for dead. A live one writes its file at each pass.
	silentPasses = 4

	// keepAbsorbed is for how long it is remembered which files were absorbed.
	keepAbsorbed = 48 * time.Hour

	// What a storage that hangs can cost, when Caddy starts and stops and in
	// between.
	startLimit = 2 * time.Second
	stopLimit  = 2 * time.Second
	passLimit  = time.Minute
)

// other is what another process has written.
type other struct {
	contents
	sum     string // of the file
	ended   bool   // its process writes it no longer
	same    int    // passes in a row in which the file was the same
	foreign bool   // it is none of a history, or one that cannot be read
}

// dead reports whether the process has ended.
func (o *other) dead() bool { return !o.foreign && (o.ended || o.same >= silentPasses) }

// Keeper keeps a history in the storage of a configuration.
type Keeper struct {
	History *History
	Storage certmagic.Storage
	Clock   clockwork.Clock
	Logger  *zap.Logger
}

// Start reads what is stored, unless the storage is slow.
func (k *Keeper) Start() { k.pass(context.Background(), startLimit, false) }

// Run writes and reads from time to time until the configuration ends.
func (k *Keeper) Run(ctx context.Context) {
	ticker := k.Clock.NewTicker(every)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.Chan():
			k.pass(ctx, passLimit, false)
		case <-ctx.Done():
			return
		}
	}
}

// Stop writes the history. The last configuration says that the process has ended,
// so that the next process absorbs the file at once.
func (k *Keeper) Stop(last bool) { k.pass(context.Background(), stopLimit, last) }

var errBusy = errors.New("the storage has not answered an earlier request")

func (k *Keeper) pass(ctx context.Context, limit time.Duration, ended bool) {
	h := k.History
	_, err := safestore.Within(ctx, limit, func(ctx context.Context) (struct{}, error) {
		select {
		case h.busy <- struct{}{}:
		case <-ctx.Done():
			return struct{}{}, errBusy
		}
		defer func() { <-h.busy }()
		p := pass{Keeper: k, now: k.Clock.Now(), ended: ended}
		return struct{}{}, p.run(ctx)
	})
	if ctx.Err() != nil {
		return // the configuration ends; Stop writes
	}
	h.health.Report(k.Logger, err,
		"storage unavailable; keeping the history of the status page in memory",
		"storage recovered; the history of the status page is saved")
}

// pass is one going over the storage. It may go on when nobody waits for it any
// more: what it changes in memory it changes under the lock.
type pass struct {
	*Keeper
	now   time.Time
	ended bool
}

// run reads before it writes, so that files of processes that have ended are
// absorbed in one go.
func (p *pass) run(ctx context.Context) error {
	names, err := p.list(ctx)
	if err != nil {
		return fmt.Errorf("listing histories: %w", err)
	}
	var failed error
	for _, name := range names {
		failed = errors.Join(failed, p.read(ctx, name))
	}
	p.forget(names)
	if err := p.absorb(ctx); err != nil {
		failed = errors.Join(failed, err)
	}
	return errors.Join(failed, p.write(ctx))
}

func keyOf(process string) string { return path.Join(folder, process+suffix) }

// list returns the names of the other processes that have a file.
func (p *pass) list(ctx context.Context) (names []string, err error) {
	files, err := safestore.List(ctx, p.Storage, folder)
	if err != nil {
		return nil, err
	}
	p.History.mu.Lock()
	own := p.History.own.process
	p.History.mu.Unlock()
	for _, file := range files {
		if name, ok := strings.CutSuffix(file, suffix); ok && name != own {
			names = append(names, name)
		}
	}
	return names, nil
}

// read reads the file of another process.
func (p *pass) read(ctx context.Context, name string) error {
	raw, err := p.load(ctx, name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil // absorbed meanwhile
	}
	if err != nil {
		return fmt.Errorf("reading a history: %w", err)
	}
	h, sum := p.History, checksum(raw)
	h.mu.Lock()
	known := h.others[name]
	if known != nil && known.sum == sum {
		known.same++
		h.mu.Unlock()
		return nil
	}
	h.mu.Unlock()
	c, ended, err := decodeAs(name, raw)
	if err != nil {
		p.refuse(ctx, name, raw, err)
		c = newContents(name)
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.others[name] = &other{contents: c, sum: sum, ended: ended, foreign: err != nil}
	if _, taken := c.absorbed[h.own.process]; taken {
		h.rename() // it was silent for so long that it was taken for dead
	}
	return nil
}

func (p *pass) load(ctx context.Context, name string) ([]byte, error) {
	info, err := p.Storage.Stat(ctx, keyOf(name))
	if err != nil {
		return nil, err
	}
	// Not every storage can tell a file from a folder before it is read.
	if info.Size > maxFile {
		return []byte("too large"), nil
	}
	raw, err := p.Storage.Load(ctx, keyOf(name))
	if errors.Is(err, safestore.ErrFolder) {
		return []byte("a folder"), nil
	}
	return raw, err
}

// refuse warns of a file that cannot be used. One that is corrupt is quarantined.
func (p *pass) refuse(ctx context.Context, name string, raw []byte, reason error) {
	if !errors.Is(reason, errCorrupt) {
		p.Logger.Warn("file of the status page's history ignored", zap.String("file", keyOf(name)), zap.NamedError("reason", reason))
		return
	}
	err := p.Storage.Store(ctx, keyOf(name)+".bad", raw)
	if err == nil {
		err = p.Storage.Delete(ctx, keyOf(name))
	}
	p.Logger.Warn("file of the status page's history quarantined: what it had is missing",
		zap.String("file", keyOf(name)), zap.String("kept_as", keyOf(name)+".bad"), zap.NamedError("reason", reason), zap.Error(err))
}

// forget drops what is known of files that are no longer there.
func (p *pass) forget(names []string) {
	h := p.History
	h.mu.Lock()
	defer h.mu.Unlock()
	there := make(map[string]bool, len(names))
	for _, name := range names {
		there[name] = true
	}
	for name := range h.others {
		if !there[name] {
			delete(h.others, name)
		}
	}
}

// absorb takes over the files of processes that have ended, one process at a
// time: in the storage a file goes only after its content is in another.
func (p *pass) absorb(ctx context.Context) error {
	if len(p.dead()) == 0 {
		return nil
	}
	if err := p.Storage.Lock(ctx, lock); err != nil {
		return fmt.Errorf("locking histories: %w", err)
	}
	defer func() { _ = p.Storage.Unlock(ctx, lock) }()
	var taken []string
	h := p.History
	for _, name := range p.dead() {
		raw, err := p.load(ctx, name)
		if err != nil {
			continue // another process was faster
		}
		h.mu.Lock()
		if o := h.others[name]; o != nil && o.sum == checksum(raw) {
			if !h.taken(name) { // else its file was left behind
				h.own.absorb(&o.contents, p.now)
			}
			taken = append(taken, name)
		}
		h.mu.Unlock()
	}
	if err := p.write(ctx); err != nil {
		return err
	}
	for _, name := range taken {
		if err := p.Storage.Delete(ctx, keyOf(name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("removing a history that was absorbed: %w", err)
		}
	}
	return nil
}

// dead returns the processes that have ended, and those that somebody has
// absorbed whose files are still there.
func (p *pass) dead() (names []string) {
	h := p.History
	h.mu.Lock()
	defer h.mu.Unlock()
	for name, o := range h.others {
		if o.dead() {
			names = append(names, name)
		}
	}
	return names
}

// write writes the own file.
func (p *pass) write(ctx context.Context) error {
	h := p.History
	h.mu.Lock()
	h.own.prune(p.now)
	h.fresh.prune(p.now)
	if h.own.empty() {
		h.mu.Unlock()
		return nil
	}
	own, written := h.own.clone(), h.fresh
	h.fresh = newContents("")
	h.mu.Unlock()
	// Without the lock: pings and requests wait for it.
	raw, err := own.encode(p.now, p.ended)
	if err == nil {
		err = p.Storage.Store(ctx, keyOf(own.process), raw)
	}
	if err != nil {
		h.mu.Lock()
		h.fresh.merge(&written)
		h.mu.Unlock()
		return fmt.Errorf("writing the history: %w", err)
	}
	return nil
}
