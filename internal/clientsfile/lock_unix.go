//go:build linux || darwin || freebsd || netbsd || openbsd || dragonfly

package clientsfile

import (
	"os"
	"path/filepath"
	"syscall"
)

// lock waits until no other process changes a file in the same folder. It locks the
// folder and not the file, since the file is replaced: a process that waited for
// the old one would hold a lock that nobody else sees. The kernel releases the lock
// when the process ends.
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

// keepOwner gives a file the owner and group of model, which is the file that it
// replaces or its folder. Without that, root would take the file from the user that
// the gateway runs as.
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
		return nil // only the group differs, and it has no rights to a file of mode 0600
	}
	return err
}
