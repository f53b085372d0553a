package cooldownstore

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"strings"

	"github.com/caddyserver/certmagic"

	"github.com/caddy-freetier/caddy-freetier/internal/safestore"
)

const (
	folder = "freetier/llm_gateway/cooldowns"
	suffix = ".cooldowns"
)

func keyOf(process string) string { return path.Join(folder, process+suffix) }

type sum = [sha256.Size]byte

// found is a file in the folder as it was read. Of one that is as it was known,
// file is nil, and so is err.
type found struct {
	sum    sum
	file   *file
	err    error // why the file does not count
	kept   error // of keeping a corrupt file elsewhere
	unread bool  // the storage has failed
}

// folderView is what the folder held when it was read.
type folderView struct {
	own    bool // the own file is there
	others map[string]found
	err    error // of files that could not be read
}

// readFolder reads the files of all other processes but those to be skipped. It
// touches no state of a Store, since it may go on when nobody waits for it any
// more. What is corrupt it moves away.
func readFolder(ctx context.Context, storage certmagic.Storage, own string, known map[string]sum, skip map[string]bool) (folderView, error) {
	names, err := list(ctx, storage)
	if err != nil {
		return folderView{}, fmt.Errorf("listing the cooldowns: %w", err)
	}
	view := folderView{others: make(map[string]found, len(names))}
	for _, name := range names {
		switch {
		case name == own:
			view.own = true
		case skip[name]:
			view.others[name] = found{}
		default:
			f, err := readFile(ctx, storage, name, known[name])
			switch {
			case errors.Is(err, fs.ErrNotExist): // taken over meanwhile
			case err != nil:
				view.err = errors.Join(view.err, fmt.Errorf("reading the cooldowns: %w", err))
				view.others[name] = found{unread: true}
			default:
				view.others[name] = f
			}
		}
	}
	return view, nil
}

// readFile reads the file of a process. Its error is the storage's.
func readFile(ctx context.Context, storage certmagic.Storage, name string, known sum) (found, error) {
	// Not every storage can tell a file from a folder, and for some Stat is as
	// much work as Load.
	if known == (sum{}) {
		info, err := storage.Stat(ctx, keyOf(name))
		if err != nil {
			return found{}, err
		}
		if info.Size > maxRead {
			return found{err: errTooLarge}, nil
		}
	}
	raw, err := storage.Load(ctx, keyOf(name))
	if errors.Is(err, safestore.ErrFolder) {
		return found{err: errFolder}, nil
	}
	if err != nil {
		return found{}, err
	}
	if len(raw) > maxRead {
		return found{err: errTooLarge}, nil
	}
	f := found{sum: sha256.Sum256(raw)}
	if f.sum == known {
		return f, nil
	}
	f.file, f.err = decodeAs(name, raw)
	if errors.Is(f.err, errCorrupt) {
		f.kept = storage.Store(ctx, keyOf(name)+".bad", raw)
		if f.kept == nil {
			f.kept = storage.Delete(ctx, keyOf(name))
		}
	}
	return f, nil
}

// list returns the names of the processes that have a file, and passes over what
// else lies in the folder.
func list(ctx context.Context, storage certmagic.Storage) (names []string, err error) {
	files, err := safestore.List(ctx, storage, folder)
	for _, file := range files {
		if name, ok := strings.CutSuffix(file, suffix); ok {
			names = append(names, name)
		}
	}
	return names, err
}

// change is what is to be done to the folder.
type change struct {
	key    string
	value  []byte   // to write, nil for nothing
	remove []string // processes whose files go, after that
}

// apply changes the folder.
func (c change) apply(ctx context.Context, storage certmagic.Storage) error {
	if c.value != nil {
		if err := storage.Store(ctx, c.key, c.value); err != nil {
			return fmt.Errorf("writing the cooldowns: %w", err)
		}
	}
	for _, name := range c.remove {
		if err := storage.Delete(ctx, keyOf(name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("removing cooldowns that were taken over: %w", err)
		}
	}
	return nil
}
