// Package cooldownstore keeps cooldowns that last longer than a minute in Caddy's
// storage, so that they outlive a restart, and exchanges them among processes on
// one storage.
//
// Each process writes one file, with the decisions that it has made, and reads
// those of the others. Of the decisions about one thing the latest counts, so
// the order of reading does not matter and nothing needs a lock. The file of a
// process that has ended is taken over by another one and removed. Nothing on a
// request's path ever waits for storage.
//
// Keys and URLs are no part of a file: it has salted hashes in their place.
package cooldownstore

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"errors"
	"maps"
	"time"

	"github.com/caddyserver/certmagic"
	"github.com/jonboulle/clockwork"
	"go.uber.org/zap"

	"github.com/caddy-freetier/caddy-freetier/internal/cooldown"
	"github.com/caddy-freetier/caddy-freetier/internal/safestore"
)

const (
	// interval is how often the files of other processes are read. With more than
	// crowdAt of them it grows with their number, up to maxInterval, so that a
	// process does not read more often the more there are.
	interval    = 10 * time.Second
	crowdAt     = 16
	maxInterval = 5 * time.Minute

	// pause is how long further decisions wait after a file was written.
	pause = time.Second

	// rewriteAfter is how often a file is written without a change, as a sign
	// of life. One that has not changed for silentFor, in so many passes too, is
	// that of a process that has ended.
	rewriteAfter  = 5 * time.Minute
	silentFor     = 15 * time.Minute
	silentLookups = 3

	// maxStates bounds the storages that are remembered. Some look like another
	// one after each reload.
	maxStates = 8

	// What a storage that hangs can cost at most: when Caddy starts and stops,
	// and one pass in between.
	startLimit = 2 * time.Second
	stopLimit  = 3 * time.Second
	passLimit  = 30 * time.Second
)

// errBusy is the trouble of a storage that has not returned from an earlier use.
var errBusy = errors.New("an earlier operation has not ended")

// ID tells what a Breaker is about, such as a channel and a key. Storage has
// nothing but a salted hash of it.
type ID [32]byte

// Item is something with cooldowns.
type Item struct {
	// ID should be a hash, which no other Item has.
	ID      ID
	Breaker *cooldown.Breaker
}

// Site is where a Store finds everything.
type Site struct {
	Storage certmagic.Storage
	Clock   clockwork.Clock
	Logger  *zap.Logger
	// Items returns what has cooldowns at the moment.
	Items func() []Item
}

// Store is what a process knows of the files. It outlives reloads.
type Store struct {
	changed chan struct{} // by the Breakers: there is something to write
	pass    chan struct{} // holds a token during a pass
	busy    chan struct{} // holds a token while the storage is used
	health  safestore.Health
	pace    safestore.Pace

	// states belong to the pass. A reload can change the storage, and while it goes
	// on two are in use.
	states map[any]*state // by the storage's identity
}

// state is what is known of the files in one storage.
type state struct {
	process string    // the name of this process there
	stored  sum       // of the records in the own file
	ended   bool      // as the own file says
	written time.Time // when, zero: there is no own file
	items   ID        // the sum of those at the last pass
	seen    map[string]*seen
	ignored map[string]bool
}

func newState() *state {
	return &state{process: newProcess(), seen: make(map[string]*seen), ignored: make(map[string]bool)}
}

// seen is the file of another process.
type seen struct {
	sum     sum
	file    *file
	since   time.Time // when it was first seen as it is
	lookups int       // since then
}

// New returns a Store that knows nothing yet.
func New() *Store {
	return &Store{
		changed: make(chan struct{}, 1),
		pass:    make(chan struct{}, 1),
		busy:    make(chan struct{}, 1),
		pace:    safestore.Pace{Files: crowdAt, Longest: maxInterval},
		states:  make(map[any]*state),
	}
}

// NewBreaker returns a Breaker that tells the Store of its decisions.
func (s *Store) NewBreaker() *cooldown.Breaker { return cooldown.NewNotifying(s.changed) }

// Changed has the Store write soon.
func (s *Store) Changed() {
	select {
	case s.changed <- struct{}{}:
	default:
	}
}

// Read reads what is stored, unless the storage is slow.
func (s *Store) Read(site Site) {
	if !s.hangs() {
		s.run(context.Background(), site, startLimit, true, false)
	}
}

// hangs reports whether an operation is under way that was given up before.
func (s *Store) hangs() bool { return s.health.Unavailable() && len(s.busy) > 0 }

// Run reads and writes until its context is done. last then says whether the
// process ends, or uses cooldowns no longer.
func (s *Store) Run(ctx context.Context, site Site, last func() bool) {
	every := s.pace.Every(interval)
	ticker := site.Clock.NewTicker(every)
	defer ticker.Stop()
	for {
		if now := s.pace.Every(interval); now != every {
			every = now
			ticker.Reset(every)
		}
		read := true
		select {
		case <-ticker.Chan():
		case <-s.changed:
			read = false
		case <-ctx.Done():
		}
		if ctx.Err() != nil {
			s.end(ctx, site, last())
			return
		}
		s.run(ctx, site, passLimit, read, false)
		if read {
			continue
		}
		select {
		case <-site.Clock.After(pause):
		case <-ctx.Done():
		}
	}
}

// end writes a last time.
func (s *Store) end(ctx context.Context, site Site, last bool) {
	if !s.hangs() {
		s.run(context.WithoutCancel(ctx), site, stopLimit, false, last)
	}
}

// run makes a pass: it reads, if read says so, and writes. ended says that the
// file is the last one.
func (s *Store) run(ctx context.Context, site Site, limit time.Duration, read, ended bool) {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	select {
	case s.pass <- struct{}{}:
		defer func() { <-s.pass }()
	case <-ctx.Done():
		return
	}
	err := s.work(ctx, site, read, ended)
	if err != nil && context.Cause(ctx) == context.Canceled { //nolint:errorlint // it is returned bare
		return // the configuration ends: that is no trouble of the storage
	}
	s.health.Report(site.Logger, err, "storage unavailable; keeping cooldowns in memory", "storage recovered; all cooldowns saved")
}

func (s *Store) work(ctx context.Context, site Site, read, ended bool) error {
	id := safestore.Identity(site.Storage)
	st := s.states[id]
	if st == nil {
		if len(s.states) >= maxStates {
			clear(s.states) // the files are taken over later
		}
		st = newState()
		s.states[id] = st
	}
	now, items := site.Clock.Now(), site.Items()
	var remove []string
	var trouble error
	if read {
		view, err := s.view(ctx, site.Storage, st)
		if err != nil {
			return err
		}
		trouble = view.err
		s.pace.Saw(len(view.others))
		if !view.own {
			st.written = time.Time{}
		}
		remove = st.merge(site.Logger, view, items, now)
	}
	c, records := st.changes(items, now, ended)
	c.remove = append(c.remove, remove...)
	if c.value == nil && len(c.remove) == 0 {
		return trouble
	}
	if _, err := s.use(ctx, func(ctx context.Context) (struct{}, error) { return struct{}{}, c.apply(ctx, site.Storage) }); err != nil {
		return err
	}
	if c.value != nil {
		st.stored, st.ended, st.written = records, ended, now
	}
	for _, name := range c.remove {
		if delete(st.seen, name); name == st.process {
			st.stored, st.written = sum{}, time.Time{}
		}
	}
	return trouble
}

// newProcess returns a name that no other process has.
func newProcess() string {
	var name [16]byte
	_, _ = rand.Read(name[:]) // never fails
	return hex.EncodeToString(name[:])
}

// view reads the folder.
func (s *Store) view(ctx context.Context, storage certmagic.Storage, st *state) (folderView, error) {
	known := make(map[string]sum, len(st.seen))
	for name, f := range st.seen {
		known[name] = f.sum
	}
	own, skip := st.process, maps.Clone(st.ignored)
	return within(ctx, s.busy, func(ctx context.Context) (folderView, error) {
		return readFolder(ctx, storage, own, known, skip)
	})
}

func (s *Store) use(ctx context.Context, f func(context.Context) (struct{}, error)) (struct{}, error) {
	return within(ctx, s.busy, f)
}

// within uses the storage, after an earlier use that nobody waits for any more.
func within[T any](ctx context.Context, busy chan struct{}, f func(context.Context) (T, error)) (T, error) {
	select {
	case busy <- struct{}{}:
	case <-ctx.Done():
		var none T
		return none, errBusy
	}
	// The limit is that of ctx.
	return safestore.Within(ctx, passLimit, func(ctx context.Context) (T, error) {
		defer func() { <-busy }()
		return f(ctx)
	})
}

// merge applies what is new in the files of others and returns the processes
// whose files are taken over.
func (st *state) merge(logger *zap.Logger, view folderView, items []Item, now time.Time) (over []string) {
	maps.DeleteFunc(st.seen, func(name string, _ *seen) bool { _, there := view.others[name]; return !there })
	maps.DeleteFunc(st.ignored, func(name string, _ bool) bool { _, there := view.others[name]; return !there })
	all := sumOf(items)
	first, again, applied := st.items == ID{}, all != st.items, 0
	st.items = all
	for name, f := range view.others {
		if f.err != nil {
			delete(st.seen, name)
			st.ignore(logger, name, f)
			continue
		}
		known, fresh := st.seen[name], f.file != nil
		switch {
		case f.unread:
			continue
		case fresh:
			known = &seen{sum: f.sum, file: f.file, since: now}
			st.seen[name] = known
		case known == nil:
			continue // ignored
		default:
			known.lookups++
		}
		ended := known.hasEnded(now)
		if !fresh && !again && !ended {
			continue
		}
		changed, unknown := known.file.apply(items, ended, now)
		if applied += changed; ended && !unknown {
			over = append(over, name)
		}
	}
	if first && applied > 0 {
		logger.Info("cooldowns read from storage", zap.Int("count", applied))
	}
	return over
}

// hasEnded reports whether the process of a file writes it no longer.
func (f *seen) hasEnded(now time.Time) bool {
	return f.file.Ended || f.lookups >= silentLookups && now.Sub(f.since) >= silentFor
}

// ignore notes a file that does not count and warns of it. It is not read again.
func (st *state) ignore(logger *zap.Logger, name string, f found) {
	st.ignored[name] = true
	if errors.Is(f.err, errCorrupt) {
		logger.Warn("file of cooldowns quarantined: its cooldowns are missing",
			zap.String("file", keyOf(name)), zap.String("kept_as", keyOf(name)+".bad"), zap.NamedError("reason", f.err), zap.Error(f.kept))
		return
	}
	logger.Warn("file of cooldowns ignored", zap.String("file", keyOf(name)), zap.NamedError("reason", f.err))
}

// apply applies the decisions of a file to the items that they are about. It
// returns how many have changed something, and whether some are about no item.
func (f *file) apply(items []Item, own bool, now time.Time) (changed int, unknown bool) {
	if len(f.Cooldowns) == 0 {
		return 0, false
	}
	index := make(map[string]*cooldown.Breaker, len(items))
	for _, item := range items {
		index[hash(f.Process, item.ID)] = item.Breaker
	}
	for i := range f.Cooldowns {
		r := &f.Cooldowns[i]
		b := index[r.Item]
		switch {
		case b == nil:
			unknown = unknown || r.ends().After(now)
		case b.Apply(r.decision(), own, now):
			changed++
		}
	}
	return changed, unknown
}

// sumOf tells one set of items from another, whatever their order.
func sumOf(items []Item) (all ID) {
	for i := range items {
		subtle.XORBytes(all[:], all[:], items[i].ID[:])
	}
	return all
}

// changes returns what is to be done so that the own file has the decisions of
// this process, and the sum of its records.
func (st *state) changes(items []Item, now time.Time, ended bool) (change, sum) {
	var records []record
	for _, item := range items {
		decisions := item.Breaker.Decisions(now)
		if len(decisions) == 0 {
			continue
		}
		name := hash(st.process, item.ID)
		for _, d := range decisions {
			records = append(records, newRecord(name, d))
		}
	}
	if len(records) == 0 {
		if st.written.IsZero() {
			return change{}, sum{}
		}
		return change{remove: []string{st.process}}, sum{}
	}
	order(records)
	lines, err := encodeRecords(records)
	if err != nil {
		return change{}, sum{} // no record has what JSON cannot have
	}
	now = now.Round(0)
	is := sha256.Sum256(lines)
	if is == st.stored && ended == st.ended && !st.written.IsZero() && now.Sub(st.written) < rewriteAfter {
		return change{}, is
	}
	return change{key: keyOf(st.process), value: encode(st.process, now, ended, lines)}, is
}
