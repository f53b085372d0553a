//go:build !(linux || darwin || freebsd || netbsd || openbsd || dragonfly)

package clientsfile

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"time"
)

// lockWait is how long lock waits for another process.
const lockWait = 10 * time.Second

// lock waits until no other process changes the file. The lock is a file beside it,
// since these systems have no flock. It remains after a crash.
func lock(path string) (unlock func(), err error) {
	name := path + ".lock"
	for began := time.Now(); ; time.Sleep(50 * time.Millisecond) {
		file, err := os.OpenFile(name, os.O_CREATE|os.O_EXCL|os.O_WRONLY, newMode)
		if err == nil {
			return func() { _ = file.Close(); _ = os.Remove(name) }, nil
		}
		if !errors.Is(err, fs.ErrExist) {
			return nil, err
		}
		if time.Since(began) > lockWait {
			return nil, fmt.Errorf("another process is changing %s; if none is, remove %s", path, name)
		}
	}
}

// keepOwner does nothing on these systems: a new file inherits the rights of its
// folder.
func keepOwner(*os.File, os.FileInfo) error { return nil }
