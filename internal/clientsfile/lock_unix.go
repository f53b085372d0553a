//go:build linux || darwin || freebsd || netbsd || openbsd || dragonfly

package clientsfile

import (
	"os"
	"path/filepath"
	"syscall"
)

// lock waits until nobody else changes a file in the folder. It locks the
// folder, since the file itself is replaced, and leaves nothing behind.
func lock(path string) (unlock func(), err error) {
	folder, err := os.Open(filepath.Dir(path))
	if err != nil {
		return nil, err
	}
	for {
		if err = syscall.Flock(int(folder.Fd()), syscall.LOCK_EX); err != syscall.EINTR {
			break
		}
	}
	if err != nil {
		_ = folder.Close()
		return nil, &os.PathError{Op: "lock", Path: folder.Name(), Err: err}
	}
	return func() { _ = folder.Close() }, nil
}

// keepOwner gives a file the owner and group of another one or of its folder.
func keepOwner(file *os.File, model os.FileInfo) error {
	want, ok := model.Sys().(*syscall.Stat_t)
	if !ok {
		return nil
	}
	info, err := file.Stat()
	if err != nil {
		return err
	}
	if is, ok := info.Sys().(*syscall.Stat_t); ok && is.Uid == want.Uid && is.Gid == want.Gid {
		return nil
	}
	err = file.Chown(int(want.Uid), int(want.Gid))
	if err != nil && model.IsDir() && int(want.Uid) == os.Geteuid() {
		return nil // a group that the user is not in has no rights to a new file anyway
	}
	return err
}
