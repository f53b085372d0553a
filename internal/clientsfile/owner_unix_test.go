//go:build linux || darwin || freebsd || netbsd || openbsd || dragonfly

package clientsfile

import (
	"fmt"
	"os"
	"syscall"
	"testing"
)

func ownerOf(t *testing.T, name string) string {
	t.Helper()
	info, err := os.Stat(name)
	if err != nil {
		t.Fatal(err)
	}
	stat := info.Sys().(*syscall.Stat_t)
	return fmt.Sprintf("%d %d", stat.Uid, stat.Gid)
}
