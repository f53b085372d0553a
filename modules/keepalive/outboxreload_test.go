package keepalive

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"github.com/caddyserver/certmagic"
	"github.com/jonboulle/clockwork"

	"github.com/caddy-freetier/caddy-freetier/internal/caddytest"
)

// endingStorage is a storage that ends with its configuration, as one that has a
// connection does.
type endingStorage struct {
	Root string `json:"root,omitempty"`

	ended atomic.Bool
}

func init() { caddy.RegisterModule((*endingStorage)(nil)) }

func (*endingStorage) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "caddy.storage.ending", New: func() caddy.Module { return new(endingStorage) }}
}

func (*endingStorage) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	d.Next()
	return nil
}

func (s *endingStorage) CertMagicStorage() (certmagic.Storage, error) {
	return &storageThatEnds{&certmagic.FileStorage{Path: s.Root}, &s.ended}, nil
}

func (s *endingStorage) Cleanup() error {
	s.ended.Store(true)
	return nil
}

type storageThatEnds struct {
	*certmagic.FileStorage
	ended *atomic.Bool
}

func (s *storageThatEnds) Store(ctx context.Context, key string, value []byte) error {
	if s.ended.Load() {
		return errors.New("use of closed connection")
	}
	return s.FileStorage.Store(ctx, key, value)
}

// After a reload messages are stored by the new storage.
func TestOutboxAfterReload(t *testing.T) {
	up := caddytest.NewUpstream(t, statuses(500))
	receiver := caddytest.NewUpstream(t, statuses(503))
	target := "\n\t\ttarget %s " + up.URL
	config := "{\n\tstorage ending\n\tkeepalive {\n\t\tjitter 0%%\n\t\tfailures 1\n\t\tnotify " + receiver.URL + "%s\n\t}\n}\n"
	clock := clockwork.NewFakeClock()
	c := caddytest.Start(t, fmt.Sprintf(config, fmt.Sprintf(target, "a")), caddytest.WithFakeClock(clock))
	stored := func(target string) {
		t.Helper()
		for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(time.Millisecond) {
			files, err := filepath.Glob(filepath.Join(c.Storage, outboxFolder, "*"))
			if err != nil {
				t.Fatal(err)
			}
			for _, name := range files {
				if text, err := os.ReadFile(name); err == nil && strings.Contains(string(text), target+" is down") {
					return
				}
			}
			if time.Now().After(deadline) {
				t.Fatalf("it is not stored that %s is down; the log is:\n%s", target, c.Logs)
			}
		}
	}
	stored("a")
	c.Reload(fmt.Sprintf(config, fmt.Sprintf(target, "a")+fmt.Sprintf(target, "b")))
	stored("b")
}

// What instances share is stored before the storage ends, whichever Caddy cleans up
// first.
func TestLeaseAtTheEnd(t *testing.T) {
	up := counting(t)
	for range 20 {
		clock := clockwork.NewFakeClock()
		c := caddytest.Start(t, "{\n\tstorage ending\n\tkeepalive {\n\t\tjitter 0%\n\t\ttarget a "+up.URL+"\n\t}\n}\n", caddytest.WithFakeClock(clock))
		b := &bench{t: t, Caddy: c, clock: clock}
		b.settled("a", 1)
		c.Stop()
		if n := c.Logs.Count("storage unavailable"); n != 0 {
			t.Fatalf("the storage was used after its end; the log is:\n%s", c.Logs)
		}
	}
}
