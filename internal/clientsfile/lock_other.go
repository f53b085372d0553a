//go:build !(linux || darwin || freebsd || netbsd || openbsd || dragonfly)

package clientsfile

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"time"
)

// lockWait is how long a lock that somebody else holds is waited for.
const lockWait = 10 * time.Second

// lock waits until nobody else changes the file. It makes a file beside it.
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
			return nil, fmt.Errorf("somebody else changes %s; if nobody does, remove %s", path, name)
		}
	}
}

// keepOwner does nothing: here a file belongs to whom its folder says.
func keepOwner(*os.File, os.FileInfo) error { return nil }
