// Package processfiles has the processes on one storage learn what the others know.
// Each writes one file in a folder that they have in common, under a random name, and
// reads the files of the others.
//
// It asks no more of a storage than that a file of one writer is read as it was
// written, sooner or later: storages cannot compare and swap, and the locks of some
// exclude nobody. So no process ever writes to the file of another one. It removes
// it, once its process has ended and all that is in it is in its own file. A process
// says in its file that it ends; one that was killed does not, and is taken for dead
// when its file has not changed for a while. Should it live after all, it finds its
// file missing and writes it again.
//
// Files can be damaged, belong to a later version or to something else. One that is
// damaged is moved away (.bad), all others are left alone. Each is warned of once and
// keeps nothing else from being read, and so does one that the storage cannot read.
//
// [Folder] is that much, for what each process has to add up. [Exchange] is all that
// is needed where the later of two records about a thing counts.
package processfiles

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"path"
	"strings"
	"time"

	"github.com/caddyserver/certmagic"
	"go.uber.org/zap"

	"github.com/caddy-freetier/caddy-freetier/internal/safestore"
)

// silentPasses is in how many passes the file of a process must have been the same
// until the process is taken for dead, besides the time: after a machine has slept,
// the first pass finds everything old.
const silentPasses = 3

// Why a file is ignored.
var (
	errOther    = errors.New("it is the file of another process")
	errFolder   = errors.New("it is a folder")
	errTooLarge = errors.New("it is too large")
)

// Kind is what the files of one folder are. C is their content.
type Kind[C any] struct {
	Name   string // for logs and errors, such as "cooldowns"
	Folder string // in the storage
	Suffix string // of the files' names
	Format safestore.Format
	Most   int64 // size of a file that is read, in bytes

	// SilentFor is for how long a file must not have changed until its process is
	// taken for dead. A process must write its file several times within that.
	SilentFor time.Duration

	// Decode returns what a file has. Its error quarantines the file.
	Decode func(body []byte) (Header, C, error)
}

// Header is what each file has besides its content.
type Header struct {
	// Process is the name of the file. That of a copy under another name is
	// another one, so the copy does not count.
	Process string `json:"process"`
	// Written is when. It makes a new file of one whose content is the same, which
	// is a sign of life.
	Written time.Time `json:"written"`
	// Ended says that the process has ended in order.
	Ended bool `json:"ended,omitempty"`
}

// NewProcess returns a name that no other process has.
func NewProcess() string {
	var name [16]byte
	_, _ = rand.Read(name[:]) // never fails
	return hex.EncodeToString(name[:])
}

// File is the file of another process.
type File[C any] struct {
	Header
	Content C

	sum    [sha256.Size]byte
	since  time.Time // when it was first seen as it is
	passes int       // since then
	unread bool      // the storage has failed to read it in the last pass

	merged bool        // see Exchange.merge
	items  Fingerprint // of when it was merged
}

// Parse decodes the file of a process. The error wraps [safestore.ErrCorrupt] if the
// file is damaged.
func (k *Kind[C]) Parse(process string, raw []byte) (*File[C], error) {
	body, err := k.Format.Decode(raw)
	if err != nil {
		return nil, err
	}
	header, content, err := k.Decode(body)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", safestore.ErrCorrupt, err)
	}
	if header.Process != process {
		return nil, errOther
	}
	return &File[C]{Header: header, Content: content, sum: sha256.Sum256(raw)}, nil
}

// Key returns where the file of a process is in the storage.
func (k *Kind[C]) Key(process string) string { return path.Join(k.Folder, process+k.Suffix) }

// Folder is what a process knows of the files of a kind in one storage. It is not safe
// for concurrent use.
type Folder[C any] struct {
	// Process is the name of this process.
	Process string
	// Others are the files of the other processes, by their names. Those that do
	// not count are not among them.
	Others map[string]*File[C]

	kind    *Kind[C]
	ignored map[string]bool // files that are not read again as long as they are there
}

// NewFolder returns a Folder of which nothing is known.
func (k *Kind[C]) NewFolder(process string) *Folder[C] {
	return &Folder[C]{Process: process, Others: make(map[string]*File[C]), kind: k, ignored: make(map[string]bool)}
}

// Read reads the files that are new or have changed. It returns the names of all
// processes that have a file, nil if the storage cannot say so. The error is also
// that of files that cannot be read: of those remains what was known before.
func (f *Folder[C]) Read(ctx context.Context, storage certmagic.Storage, logger *zap.Logger, now time.Time) (names map[string]bool, err error) {
	files, err := safestore.List(ctx, storage, f.kind.Folder)
	if err != nil {
		return nil, fmt.Errorf("listing %s: %w", f.kind.Name, err)
	}
	names = make(map[string]bool, len(files))
	for _, file := range files {
		if name, ok := strings.CutSuffix(file, f.kind.Suffix); ok {
			names[name] = true
		}
	}
	maps.DeleteFunc(f.Others, func(name string, _ *File[C]) bool { return !names[name] })
	maps.DeleteFunc(f.ignored, func(name string, _ bool) bool { return !names[name] })
	for name := range names {
		if name != f.Process && !f.ignored[name] {
			err = errors.Join(err, f.read(ctx, storage, logger, name, now))
		}
	}
	return names, err
}

// read reads the file of a process. Its error is the storage's.
func (f *Folder[C]) read(ctx context.Context, storage certmagic.Storage, logger *zap.Logger, name string, now time.Time) error {
	known := f.Others[name]
	raw, err := f.load(ctx, storage, name)
	if known != nil {
		known.unread = err != nil
	}
	switch {
	case errors.Is(err, fs.ErrNotExist): // taken over meanwhile
		delete(f.Others, name)
		return nil
	case errors.Is(err, errTooLarge), errors.Is(err, errFolder):
		f.ignore(logger, name, err)
		return nil
	case err != nil:
		return fmt.Errorf("reading %s: %w", f.kind.Name, err)
	case known != nil && known.sum == sha256.Sum256(raw):
		known.passes++
		return nil
	}
	file, err := f.kind.Parse(name, raw)
	switch {
	case err == nil:
		file.since = now
		f.Others[name] = file
	case errors.Is(err, safestore.ErrCorrupt):
		f.quarantine(ctx, storage, logger, name, raw, err)
	default:
		f.ignore(logger, name, err)
	}
	return nil
}

// load loads a file, unless it is too large.
func (f *Folder[C]) load(ctx context.Context, storage certmagic.Storage, name string) ([]byte, error) {
	key := f.kind.Key(name)
	// For some storages Stat is as much work as Load, so it is asked for the size of
	// unknown files only. What else it says is not the same for all storages.
	if f.Others[name] == nil {
		info, err := storage.Stat(ctx, key)
		if err != nil {
			return nil, err
		}
		if info.Size > f.kind.Most {
			return nil, errTooLarge
		}
	}
	raw, err := storage.Load(ctx, key)
	switch {
	case errors.Is(err, safestore.ErrFolder):
		return nil, errFolder
	case err == nil && int64(len(raw)) > f.kind.Most:
		return nil, errTooLarge
	}
	return raw, err
}

// ignore leaves a file as it is: it may be somebody else's.
func (f *Folder[C]) ignore(logger *zap.Logger, name string, reason error) {
	delete(f.Others, name)
	f.ignored[name] = true
	logger.Warn("file of "+f.kind.Name+" ignored", zap.String("file", f.kind.Key(name)), zap.NamedError("reason", reason))
}

// quarantine moves a damaged file away.
func (f *Folder[C]) quarantine(ctx context.Context, storage certmagic.Storage, logger *zap.Logger, name string, raw []byte, reason error) {
	delete(f.Others, name)
	f.ignored[name] = true // should it not go
	bad := f.kind.Key(name) + ".bad"
	err := storage.Store(ctx, bad, raw)
	if err == nil {
		err = storage.Delete(ctx, f.kind.Key(name))
	}
	logger.Warn("file of "+f.kind.Name+" quarantined: what it had is missing",
		zap.String("file", f.kind.Key(name)),
		zap.String("kept_as", bad),
		zap.NamedError("reason", reason),
		zap.Error(err))
}

// Ended reports whether the process of a file writes it no longer.
func (f *Folder[C]) Ended(file *File[C], now time.Time) bool {
	return file.Ended || file.passes >= silentPasses && now.Sub(file.since) >= f.kind.SilentFor
}

// IsUnchanged reports whether the file of another process is still as it was read.
func (f *Folder[C]) IsUnchanged(ctx context.Context, storage certmagic.Storage, name string) bool {
	raw, err := storage.Load(ctx, f.kind.Key(name))
	return err == nil && sha256.Sum256(raw) == f.Others[name].sum
}

// Rename gives this process another name, under which it has no file yet.
func (f *Folder[C]) Rename() string {
	f.Process = NewProcess()
	return f.Process
}

// Write writes the file of this process.
func (f *Folder[C]) Write(ctx context.Context, storage certmagic.Storage, body []byte) error {
	if err := storage.Store(ctx, f.kind.Key(f.Process), f.kind.Format.Encode(body)); err != nil {
		return fmt.Errorf("writing %s: %w", f.kind.Name, err)
	}
	return nil
}

// Remove removes the file of a process. Some storages fail if there is none.
func (f *Folder[C]) Remove(ctx context.Context, storage certmagic.Storage, name string) error {
	if err := storage.Delete(ctx, f.kind.Key(name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("removing %s: %w", f.kind.Name, err)
	}
	delete(f.Others, name)
	return nil
}
