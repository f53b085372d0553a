package idstore

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
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

const (
	folder = "freetier/llm_gateway/ids"
	suffix = ".ids"

	// interval is how often files are read and written. With more than crowdAt of
	// them it grows with their number, up to maxInterval.
	interval    = 10 * time.Second
	crowdAt     = 16
	maxInterval = 5 * time.Minute

	// rewriteAfter is how often a file is written without a change, as a sign
	// of life. One that has not changed for silentFor, in so many passes too, is
	// that of a process that has ended.
	rewriteAfter  = 5 * time.Minute
	silentFor     = 15 * time.Minute
	silentLookups = 3

	// What a storage that hangs can cost at most: when Caddy starts and stops,
	// and one pass in between.
	startLimit = 2 * time.Second
	stopLimit  = 3 * time.Second
	passLimit  = 30 * time.Second
)

// errBusy is the trouble of a storage that has not returned from an earlier use.
var errBusy = errors.New("an earlier operation has not ended")

// Site is where a Store finds everything.
type Site struct {
	Storage certmagic.Storage
	Clock   clockwork.Clock
	Logger  *zap.Logger
	// Owners returns the keys that there are at the moment.
	Owners func() []Owner
}

// Store is what a process knows. It outlives reloads.
type Store struct {
	book   *book
	pass   chan struct{} // holds a token during a pass
	busy   chan struct{} // holds a token while the storage is used
	health safestore.Health
	pace   safestore.Pace

	// What follows belongs to the pass.
	place   any // the identity of the storage
	process string
	written time.Time // when the own file was, zero: there is none
	seen    map[string]*seen
	ignored map[string]bool
}

// seen is the file of another process.
type seen struct {
	sum     [sha256.Size]byte
	file    *file
	since   time.Time // when it was first seen as it is
	lookups int       // since then
	owners  Owner     // the sum of those that there were when it was merged
	merged  bool
}

// New returns a Store that knows nothing yet.
func New() *Store {
	return &Store{
		book: newBook(), pass: make(chan struct{}, 1), busy: make(chan struct{}, 1),
		pace: safestore.Pace{Files: crowdAt, Longest: maxInterval},
	}
}

// Learn notes which key has made something for a client.
func (s *Store) Learn(client, name string, owner Owner, now time.Time) {
	s.book.learn(client, name, owner, now)
}

// Find returns the key that has made something for a client.
func (s *Store) Find(client, name string, now time.Time) (owner Owner, ok bool) {
	return s.book.find(client, name, now)
}

// Read reads what is stored, unless the storage is slow.
func (s *Store) Read(site Site) { s.run(context.Background(), site, startLimit, false) }

// Run reads and writes until its context is done. last then says whether the
// process ends, or has no use for the Store any more.
func (s *Store) Run(ctx context.Context, site Site, last func() bool) {
	every := s.pace.Every(interval)
	ticker := site.Clock.NewTicker(every)
	defer ticker.Stop()
	for {
		if now := s.pace.Every(interval); now != every {
			every = now
			ticker.Reset(every)
		}
		select {
		case <-ticker.Chan():
			s.run(ctx, site, passLimit, false)
		case <-ctx.Done():
			s.run(context.WithoutCancel(ctx), site, stopLimit, last())
			return
		}
	}
}

// run makes a pass. ended says that it is the last one.
func (s *Store) run(ctx context.Context, site Site, limit time.Duration, ended bool) {
	if s.health.Unavailable() && len(s.busy) > 0 && limit != passLimit {
		return // it hangs: nothing starts or stops later for that
	}
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	select {
	case s.pass <- struct{}{}:
		defer func() { <-s.pass }()
	case <-ctx.Done():
		return
	}
	err := s.work(ctx, site, ended)
	if err != nil && context.Cause(ctx) == context.Canceled { //nolint:errorlint // it is returned bare
		return // the configuration ends: that is no trouble of the storage
	}
	s.health.Report(site.Logger, err, "storage unavailable; keeping ids of files and responses in memory", "storage recovered; ids of files and responses saved")
}

func (s *Store) work(ctx context.Context, site Site, ended bool) error {
	if place := safestore.Identity(site.Storage); place != s.place {
		// What was learned goes to the new storage as well.
		s.place, s.process, s.written = place, newProcess(), time.Time{}
		s.seen, s.ignored = make(map[string]*seen), make(map[string]bool)
		s.book.touch()
	}
	now, remove := site.Clock.Now(), []string(nil)
	if !ended {
		read, err := s.read(ctx, site.Storage)
		if err != nil {
			return err
		}
		s.pace.Saw(len(read))
		remove = s.merge(site, read, now)
	}
	var content []byte
	if s.book.isChanged() || !s.written.IsZero() && (ended || now.Sub(s.written) >= rewriteAfter) {
		if content = s.book.encode(s.process, ended, now); content == nil && !s.written.IsZero() {
			remove = append(remove, s.process)
		}
	}
	if content == nil && len(remove) == 0 {
		return nil
	}
	process := s.process
	_, err := use(ctx, s.busy, func(ctx context.Context) (struct{}, error) {
		return struct{}{}, write(ctx, site.Storage, process, content, remove)
	})
	if err != nil {
		s.book.touch()
		return err
	}
	if content != nil {
		s.written = now
	}
	for _, name := range remove {
		if delete(s.seen, name); name == process {
			s.written = time.Time{}
		}
	}
	return nil
}

// newProcess returns a name that no other process has.
func newProcess() string {
	var name [16]byte
	_, _ = rand.Read(name[:]) // never fails
	return hex.EncodeToString(name[:])
}

// use uses the storage, after an earlier use that nobody waits for any more.
func use[T any](ctx context.Context, busy chan struct{}, f func(context.Context) (T, error)) (T, error) {
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

// found is a file as it was read. It has none if it is as it was known.
type found struct {
	sum  [sha256.Size]byte
	file *file
	err  error // why the file does not count
	kept error // of keeping a corrupt file elsewhere
}

// read reads the files of the other processes. What it starts touches no state of
// the Store, since it may go on when nobody waits for it any more.
func (s *Store) read(ctx context.Context, storage certmagic.Storage) (map[string]found, error) {
	known, own := make(map[string][sha256.Size]byte, len(s.seen)), s.process
	for name, f := range s.seen {
		known[name] = f.sum
	}
	skip := make(map[string]bool, len(s.ignored))
	for name := range s.ignored {
		skip[name] = true
	}
	return use(ctx, s.busy, func(ctx context.Context) (map[string]found, error) {
		names, err := safestore.List(ctx, storage, folder)
		if err != nil {
			return nil, fmt.Errorf("listing the ids: %w", err)
		}
		files := make(map[string]found, len(names))
		for _, key := range names {
			name, ok := strings.CutSuffix(key, suffix)
			if !ok || name == own {
				continue
			}
			if skip[name] {
				files[name] = found{}
				continue
			}
			f, err := readFile(ctx, storage, name, known[name])
			if errors.Is(err, fs.ErrNotExist) {
				continue // taken over meanwhile
			}
			if err != nil {
				return nil, fmt.Errorf("reading the ids: %w", err)
			}
			files[name] = f
		}
		return files, nil
	})
}

func keyOf(process string) string { return path.Join(folder, process+suffix) }

// readFile reads the file of a process. Its error is the storage's.
func readFile(ctx context.Context, storage certmagic.Storage, name string, known [sha256.Size]byte) (found, error) {
	info, err := storage.Stat(ctx, keyOf(name))
	if err != nil {
		return found{}, err
	}
	if info.Size > maxRead {
		return found{err: errTooLarge}, nil
	}
	raw, err := storage.Load(ctx, keyOf(name))
	if errors.Is(err, safestore.ErrFolder) {
		return found{err: safestore.ErrForeign}, nil
	}
	if err != nil {
		return found{}, err
	}
	f := found{sum: sha256.Sum256(raw)}
	if f.sum == known {
		return f, nil
	}
	if f.file, f.err = decode(name, raw); errors.Is(f.err, safestore.ErrCorrupt) {
		if f.kept = storage.Store(ctx, keyOf(name)+".bad", raw); f.kept == nil {
			f.kept = storage.Delete(ctx, keyOf(name))
		}
	}
	return f, nil
}

// write writes the own file, removes it if it has no content and is there, and
// then those that were taken over.
func write(ctx context.Context, storage certmagic.Storage, process string, content []byte, remove []string) error {
	if content != nil {
		if err := storage.Store(ctx, keyOf(process), content); err != nil {
			return fmt.Errorf("writing the ids: %w", err)
		}
	}
	for _, name := range remove {
		if err := storage.Delete(ctx, keyOf(name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("removing ids that were taken over: %w", err)
		}
	}
	return nil
}

// merge takes in what is new in the files of others and returns the processes
// whose files are taken over.
func (s *Store) merge(site Site, files map[string]found, now time.Time) (over []string) {
	for name := range s.seen {
		if _, there := files[name]; !there {
			delete(s.seen, name)
		}
	}
	owners := site.Owners()
	all := sumOf(owners)
	for name, f := range files {
		if f.err != nil {
			s.ignored[name] = true
			site.Logger.Warn("file of ids ignored", zap.String("file", keyOf(name)), zap.NamedError("reason", f.err), zap.NamedError("kept", f.kept))
			continue
		}
		known := s.seen[name]
		switch {
		case f.file != nil:
			known = &seen{sum: f.sum, file: f.file, since: now}
			s.seen[name] = known
		case known == nil:
			continue // ignored
		default:
			known.lookups++
		}
		ended := known.file.Ended || known.lookups >= silentLookups && now.Sub(known.since) >= silentFor
		if known.merged && known.owners == all && !ended {
			continue
		}
		unknown := s.book.merge(known.file, owners, ended, now)
		if known.owners, known.merged = all, true; ended && (!unknown || now.Sub(known.since) > keptFor) {
			over = append(over, name)
		}
	}
	return over
}

// sumOf tells one set of owners from another, whatever their order.
func sumOf(owners []Owner) (all Owner) {
	for i := range owners {
		subtle.XORBytes(all[:], all[:], owners[i][:])
	}
	return all
}
