package clientsfile

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// newMode is the mode of a new file. Hashes of keys are not secret, but limits and
// names may be.
const newMode = 0o600

// Update changes the list in a file. Updates of several processes are made one after
// the other, and a reader sees either the old list or the new one. The file keeps
// its owner and mode; a new one gets its folder's owner and mode 0600. If change
// returns an error, nothing is written.
func Update(path string, change func([]Client) ([]Client, error)) error {
	path, err := target(path)
	if err != nil {
		return err
	}
	unlock, err := lock(path)
	if err != nil {
		return err
	}
	defer unlock()
	clients, err := Read(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if clients, err = change(clients); err != nil {
		return err
	}
	if clients == nil {
		clients = []Client{}
	}
	text, err := json.MarshalIndent(clients, "", "\t")
	if err != nil {
		return err
	}
	if _, err := Parse(text); err != nil {
		return err // the gateway would not load it
	}
	return replace(path, append(text, '\n'))
}

// target returns the file that symbolic links lead to, so that the file is replaced
// and not a link.
func target(path string) (string, error) {
	real, err := filepath.EvalSymlinks(path)
	if errors.Is(err, fs.ErrNotExist) {
		if _, err := os.Lstat(path); err == nil {
			return "", fmt.Errorf("%s is a link to a file that does not exist", path)
		}
		folder, err := filepath.EvalSymlinks(filepath.Dir(path))
		return filepath.Join(folder, filepath.Base(path)), err
	}
	return real, err
}

// replace writes the text to a new file in the same folder, and renames it to path.
// The new file is synced first, since a crash after the rename would otherwise
// leave an empty one.
func replace(path string, text []byte) (err error) {
	folder := filepath.Dir(path)
	mode := fs.FileMode(newMode)
	model, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		if model, err = os.Stat(folder); err != nil {
			return err
		}
	case err != nil:
		return err
	case !model.Mode().IsRegular():
		return fmt.Errorf("%s is not a regular file", path)
	default:
		mode = model.Mode().Perm()
	}
	file, err := os.CreateTemp(folder, "."+filepath.Base(path)+".*")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			_ = file.Close()
			_ = os.Remove(file.Name())
		}
	}()
	if err = keepOwner(file, model); err != nil {
		return fmt.Errorf("%w; run the command as the user that owns %s", err, model.Name())
	}
	if err = file.Chmod(mode); err != nil {
		return err
	}
	if _, err = file.Write(text); err != nil {
		return err
	}
	if err = file.Sync(); err != nil {
		return err
	}
	if err = file.Close(); err != nil {
		return err
	}
	return os.Rename(file.Name(), path)
}
