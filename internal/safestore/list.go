package safestore

import (
	"context"
	"errors"
	"io/fs"
	"path"

	"github.com/caddyserver/certmagic"
)

// listTries is how often a list is asked for that was cut off.
const listTries = 10

// List returns the names of the files in a folder, without the folder; there may
// be others among them, which are not in the folder itself. Of a folder that does
// not exist it returns none.
func List(ctx context.Context, storage certmagic.Storage, folder string) ([]string, error) {
	keys, err := storage.List(ctx, folder, false)
	// The file system's List gives up when a temporary file of another process
	// disappears under its eyes.
	for try := 0; try < listTries && errors.Is(err, fs.ErrNotExist) && storage.Exists(ctx, folder); try++ {
		keys, err = storage.List(ctx, folder, false)
	}
	if err == nil && namesOnly(keys, folder) {
		// Object stores list the folder in place of what is in it. Others cannot
		// list folders within folders, so this is not what is asked for first.
		keys, err = storage.List(ctx, folder, true)
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	names := make([]string, 0, len(keys))
	for _, key := range keys {
		names = append(names, path.Base(key))
	}
	return names, nil
}

// namesOnly reports whether a list names nothing but the folder itself.
func namesOnly(keys []string, folder string) bool {
	found := false
	for _, key := range keys {
		switch path.Clean("/" + key) {
		case "/": // some lists have empty keys
		case path.Clean("/" + folder):
			found = true
		default:
			return false
		}
	}
	return found
}
