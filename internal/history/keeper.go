package history

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/caddyserver/certmagic"
	"github.com/jonboulle/clockwork"
	"go.uber.org/zap"
)

// lock is that of the storage under which a file is absorbed.
const lock = "freetier-history"

const (
	// every is how often a process writes its history and reads the others': what
	// a crash loses at most.
	every = 5 * time.Minute

	// silentFor is after what time a process whose file has not changed is taken for
	// dead. A live one writes its file at each pass.
	silentFor = 4 * every

	// keepAbsorbed is for how long it is remembered which files were absorbed.
	keepAbsorbed = 48 * time.Hour

	// What a storage that hangs can cost, when Caddy starts and stops and in
	// between.
	startLimit = 2 * time.Second
	stopLimit  = 2 * time.Second
	passLimit  = time.Minute
)

// Keeper keeps a history in the storage of a configuration.
//
// The History outlives it: during a reload two Keepers use one History for a moment,
// which its guard lets into the storage one at a time.
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

func (k *Keeper) pass(ctx context.Context, limit time.Duration, ended bool) {
	guard := k.History.guard
	err := guard.Do(ctx, limit, func(ctx context.Context) error {
		p := pass{Keeper: k, now: k.Clock.Now(), ended: ended}
		return p.run(ctx)
	})
	if ctx.Err() != nil {
		return // the configuration ends; Stop writes
	}
	guard.Report(k.Logger, err,
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
	names, failed := p.History.folder.Read(ctx, p.Storage, p.Logger, p.now)
	if names == nil {
		return failed
	}
	p.History.learn()
	if err := p.absorb(ctx); err != nil {
		failed = errors.Join(failed, err)
	}
	return errors.Join(failed, p.write(ctx))
}

// learn takes over what was read. If another process has absorbed what this one has
// written, it goes on under another name with the rest.
//
// The others' contents are replaced and not merged: they were read as a whole.
func (h *History) learn() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.others = nil
	taken := false
	for _, file := range h.folder.Others {
		h.others = append(h.others, file.Content)
		if _, ok := file.Content.absorbed[h.own.process]; ok {
			taken = true
		}
	}
	if taken {
		h.own = newContents(h.folder.Rename())
		h.own.merge(&h.fresh)
	}
}

// absorb takes over the files of processes that have ended, one process at a
// time: in the storage a file goes only after its content is in another.
func (p *pass) absorb(ctx context.Context) error {
	h := p.History
	var ended []string
	for name, file := range h.folder.Others {
		if h.folder.Ended(file, p.now) {
			ended = append(ended, name)
		}
	}
	if len(ended) == 0 {
		return nil
	}
	if err := p.Storage.Lock(ctx, lock); err != nil {
		return fmt.Errorf("locking histories: %w", err)
	}
	// Without the cancellation of ctx, which must not leave the lock behind.
	defer func() { _ = p.Storage.Unlock(context.WithoutCancel(ctx), lock) }()
	var absorbed []string
	for _, name := range ended {
		if h.folder.IsUnchanged(ctx, p.Storage, name) { // else another process was faster, or it lives
			h.absorb(name, p.now)
			absorbed = append(absorbed, name)
		}
	}
	if err := p.write(ctx); err != nil {
		return err
	}
	for _, name := range absorbed {
		if err := h.folder.Remove(ctx, p.Storage, name); err != nil {
			return err
		}
	}
	return nil
}

// absorb adds what is in the file of a process that has ended, unless somebody has it
// already and has left the file behind.
func (h *History) absorb(process string, now time.Time) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if !h.taken(process) {
		h.own.absorb(h.folder.Others[process].Content, now)
	}
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
	body, err := own.encode(p.now, p.ended)
	if err == nil {
		err = h.folder.Write(ctx, p.Storage, body)
	}
	if err != nil {
		h.mu.Lock()
		h.fresh.merge(&written)
		h.mu.Unlock()
	}
	return err
}
