package dnsclient

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// The name servers of the machine are read again when their file changes.
func TestSystem(t *testing.T) {
	file := filepath.Join(t.TempDir(), "resolv.conf")
	s := NewSystem(file)
	write := func(text string, at time.Time) {
		t.Helper()
		if err := errors.Join(os.WriteFile(file, []byte(text), 0o600), os.Chtimes(file, at, at)); err != nil {
			t.Fatal(err)
		}
		s.checked = time.Time{}
	}
	want := func(servers string) {
		t.Helper()
		got, err := s.Servers()
		if strings.Join(got, " ") != servers || (err == nil) != (servers != "") {
			t.Errorf("the servers are %v, %v, want %s", got, err, servers)
		}
		if err != nil && !strings.Contains(err.Error(), file) {
			t.Errorf("the error %q does not name the file", err)
		}
	}
	want("")
	now := time.Now()
	write("nameserver 192.0.2.1\nnameserver 2001:db8::1\nnameserver fe80::1%eth0\nsearch example\n", now)
	want("192.0.2.1:53 [2001:db8::1]:53 [fe80::1%eth0]:53")
	write("nameserver 192.0.2.2\n", now.Add(time.Second))
	want("192.0.2.2:53")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	want("192.0.2.2:53") // not read again so soon
	write("# none\n", now.Add(2*time.Second))
	want("")

	// It goes and comes back as it was.
	write("nameserver 192.0.2.3\n", now)
	want("192.0.2.3:53")
	if err := os.Rename(file, file+".old"); err != nil {
		t.Fatal(err)
	}
	s.checked = time.Time{}
	want("")
	if err := os.Rename(file+".old", file); err != nil {
		t.Fatal(err)
	}
	s.checked = time.Time{}
	want("192.0.2.3:53")
}
