package ledger_test

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"github.com/caddyserver/caddy/v2/caddyconfig/httpcaddyfile"
	"github.com/caddyserver/certmagic"
	"github.com/jonboulle/clockwork"

	"github.com/caddy-freetier/caddy-freetier/internal/caddytest"
	"github.com/caddy-freetier/caddy-freetier/internal/ledger"
)

// troubled is a storage that does what the test wants instead of its work.
type troubled struct {
	Root string `json:"root,omitempty"`
	*certmagic.FileStorage
}

// trouble is asked before each operation of the storage.
var trouble atomic.Pointer[func(op string) error]

func setTrouble(t *testing.T, f func(op string) error) {
	trouble.Store(&f)
	t.Cleanup(func() { trouble.Store(nil) })
}

func (t *troubled) before(op, key string) error {
	// Caddy's own files stay out of it: Caddy does not start without them.
	if f := trouble.Load(); f != nil && strings.HasPrefix(key, "freetier/") {
		return (*f)(op)
	}
	return nil
}

func init() { caddy.RegisterModule((*troubled)(nil)) }

func (*troubled) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "caddy.storage.troubled", New: func() caddy.Module { return new(troubled) }}
}

func (t *troubled) CertMagicStorage() (certmagic.Storage, error) {
	t.FileStorage = &certmagic.FileStorage{Path: t.Root}
	return t, nil
}

func (*troubled) UnmarshalCaddyfile(d *caddyfile.Dispenser) error { d.Next(); return nil }

func (t *troubled) Store(ctx context.Context, key string, value []byte) error {
	if err := t.before("store", key); err != nil {
		return err
	}
	return t.FileStorage.Store(ctx, key, value)
}

func (t *troubled) Load(ctx context.Context, key string) ([]byte, error) {
	if err := t.before("load", key); err != nil {
		return nil, err
	}
	return t.FileStorage.Load(ctx, key)
}

func (t *troubled) List(ctx context.Context, prefix string, recursive bool) ([]string, error) {
	if err := t.before("list", prefix); err != nil {
		return nil, err
	}
	return t.FileStorage.List(ctx, prefix, recursive)
}

const (
	inTrouble = "storage unavailable; keeping"
	wellAgain = "storage recovered"
	interval  = 100 * time.Millisecond
)

func startTroubled(t *testing.T) (c *caddytest.Caddy, addr string) {
	addr = caddytest.Addr(t)
	return caddytest.Start(t, site(addr, "1000000/month", "storage troubled", "ledger_interval 100ms")), addr
}

// mentions returns how often the log says that there is trouble, and that it is over.
func mentions(c *caddytest.Caddy) (began, ended int) {
	return c.Logs.Count(inTrouble), c.Logs.Count(wellAgain)
}

// served asks and fails the test if there is no answer, which there is not before the
// client's time is up if it waits for a storage that hangs.
func served(t *testing.T, addr string) {
	t.Helper()
	if took, _ := ask(t, addr, 1); !took {
		t.Error("refused")
	}
}

func TestTrouble(t *testing.T) {
	full := errors.New("no space left on device")
	hold := make(chan struct{})
	for name, test := range map[string]struct {
		do  func(op string) error
		end func()
	}{
		"full": {do: func(op string) error {
			if op == "store" {
				return full
			}
			return nil
		}},
		"unreachable": {do: func(string) error { return errors.New("connection refused") }},
		"panicking":   {do: func(string) error { panic("on purpose") }},
		"slow":        {do: func(string) error { time.Sleep(2 * interval); return nil }},
		"hanging":     {do: func(string) error { <-hold; return nil }, end: func() { close(hold) }},
	} {
		t.Run(name, func(t *testing.T) {
			c, addr := startTroubled(t)
			served(t, addr)
			eventually(t, "the first count is stored", func() bool {
				total, _ := ledger.Stored(c.Storage)
				return total == 1
			})
			setTrouble(t, test.do)
			served(t, addr)
			asked := int64(2)
			c.Logs.Wait(t, inTrouble, `"level":"warn"`)
			// It must not be said again while it lasts. On a machine that is busy, the
			// storage can have been slow before, so there is a second try.
			isQuiet := func() bool {
				began, ended := mentions(c)
				for range 5 {
					served(t, addr)
					asked++
					time.Sleep(interval)
				}
				stillBegan, stillEnded := mentions(c)
				return began == ended+1 && stillBegan == began && stillEnded == ended
			}
			quiet := isQuiet()
			if !quiet {
				quiet = isQuiet()
			}
			if !quiet {
				began, ended := mentions(c)
				t.Errorf("the trouble was mentioned %d times, and its end %d times:\n%s", began, ended, c.Logs)
			}
			_, before := mentions(c)
			trouble.Store(nil)
			if test.end != nil {
				test.end()
			}
			eventually(t, "the end of the trouble is mentioned", func() bool {
				return c.Logs.Count(wellAgain, `"level":"info"`) > before
			})
			eventually(t, "all is stored", func() bool {
				total, _ := ledger.Stored(c.Storage)
				return total == asked
			})
		})
	}
}

// The storage folder disappears, and something else is in its place.
func TestStorageGone(t *testing.T) {
	c, addr := startTroubled(t)
	served(t, addr)
	// A write under way can make the folder again, or put a file in it.
	eventually(t, "the folder is gone", func() bool {
		return errors.Join(os.RemoveAll(c.Storage), os.WriteFile(c.Storage, nil, 0o600)) == nil
	})
	served(t, addr)
	c.Logs.Wait(t, inTrouble)
	served(t, addr)
	if err := os.Remove(c.Storage); err != nil {
		t.Fatal(err)
	}
	c.Logs.Wait(t, wellAgain)
	eventually(t, "all is stored again", func() bool {
		total, _ := ledger.Stored(c.Storage)
		return total == 3
	})
	// Beside it, the storage can be slow on a machine that is busy.
	if n := c.Logs.Count(inTrouble) - c.Logs.Count(inTrouble, "longer than an interval"); n > 1 {
		t.Errorf("the trouble was mentioned %d times", n)
	}
}

// hastyClock is a clock on which what waits for a storage that hangs has waited as soon
// as the storage hangs.
type hastyClock struct {
	clockwork.Clock
	hangs  chan struct{} // is closed then
	waited atomic.Int64  // for how long it would have been, in nanoseconds
}

// hasty is the clock of the configurations that say `hasty_clock`.
var hasty atomic.Pointer[hastyClock]

func init() {
	caddy.RegisterModule(hastyClockModule{})
	httpcaddyfile.RegisterGlobalOption("hasty_clock", func(d *caddyfile.Dispenser, _ any) (any, error) {
		d.Next()
		return httpcaddyfile.App{Name: "freetier", Value: json.RawMessage(`{"clock":{"source":"hasty"}}`)}, nil
	})
}

type hastyClockModule struct{}

func (hastyClockModule) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "freetier.clocks.hasty", New: func() caddy.Module { return new(hastyClockModule) }}
}

func (hastyClockModule) Clock() clockwork.Clock { return hasty.Load() }

func (c *hastyClock) AfterFunc(d time.Duration, f func()) clockwork.Timer {
	c.waited.Add(int64(d))
	go func() {
		<-c.hangs
		f()
	}()
	return c.NewTimer(d)
}

// A storage that hangs delays start, reload and stop for a few seconds, not
// for ever, and a count that could not be stored is not lost in silence.
func TestStorageHangsFromTheStart(t *testing.T) {
	clock := &hastyClock{Clock: clockwork.NewRealClock(), hangs: make(chan struct{})}
	hasty.Store(clock)
	hold, hangs := make(chan struct{}), sync.OnceFunc(func() { close(clock.hangs) })
	setTrouble(t, func(string) error { hangs(); <-hold; return nil })
	addr := caddytest.Addr(t)
	config := site(addr, "1000000/month", "storage troubled", "ledger_interval 100ms", "hasty_clock")
	c := caddytest.Start(t, config)
	served(t, addr)
	c.Reload(config + "# changed\n")
	served(t, addr)
	wantUsed(t, addr, 2)
	c.Stop()
	if total := time.Duration(clock.waited.Load()); total == 0 || total > 10*time.Second {
		t.Errorf("start, reload and stop waited for %v, want a few seconds", total)
	}
	if n := c.Logs.Count("the last counts", `"level":"warn"`); n != 1 {
		t.Errorf("the loss was mentioned %d times", n)
	}
	close(hold) // and it is well after all
	eventually(t, "the last counts are stored", func() bool {
		total, _ := ledger.Stored(c.Storage)
		return total == 2
	})
}

// Ledger files that are not what they seem do not keep Caddy from serving.
func TestCorruptFile(t *testing.T) {
	storage, addr := t.TempDir(), caddytest.Addr(t)
	config := site(addr, "100/month acct", "ledger_interval 100ms")
	c := caddytest.Start(t, config, caddytest.WithStorage(storage))
	ask(t, addr, 10)
	c.Stop()
	folder := storage + "/freetier/ledger/"
	if err := os.WriteFile(folder+"fedcba9876543210.ledger", []byte("not ours"), 0o600); err != nil {
		t.Fatal(err)
	}
	c = caddytest.Start(t, config, caddytest.WithStorage(storage))
	wantUsed(t, addr, 10)
	ask(t, addr, 1)
	eventually(t, "the count is stored", func() bool {
		total, err := ledger.Stored(storage)
		return err == nil && total == 11
	})
	if n := c.Logs.Count("not a file of the ledger"); n != 1 {
		t.Errorf("the file was mentioned %d times", n)
	}
	if raw, err := os.ReadFile(folder + "fedcba9876543210.ledger"); string(raw) != "not ours" {
		t.Errorf("the file is %q (%v)", raw, err)
	}
}
