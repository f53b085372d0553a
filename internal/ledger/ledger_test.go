package ledger

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/caddyserver/certmagic"
	"github.com/jonboulle/clockwork"
	"go.uber.org/zap"
)

// process is a ledger without a Caddy around it: its passes are made by hand.
type process struct {
	*Ledger
	t       *testing.T
	clock   *clockwork.FakeClock
	storage certmagic.Storage
	logger  *zap.Logger
}

var start = time.Date(2028, 2, 28, 23, 59, 50, 0, time.UTC)

func newTestProcess(t *testing.T, storage certmagic.Storage, clock *clockwork.FakeClock) *process {
	p := &process{Ledger: newLedger(), t: t, clock: clock, storage: storage, logger: zap.NewNop()}
	var c clockwork.Clock = clock
	p.Ledger.clock.Store(&c)
	return p
}

const testInterval = 4 * time.Second

func (p *process) try() error {
	pass := pass{Ledger: p.Ledger, files: &p.files, storage: p.storage, logger: p.logger, interval: testInterval}
	return pass.run(context.Background())
}

func (p *process) pass() {
	p.t.Helper()
	if err := p.try(); err != nil {
		p.t.Fatal(err)
	}
}

func (p *process) requests(name string, period Period) *Counter {
	return p.Counter(name, Requests, period, time.UTC)
}

func want(t *testing.T, what string, got, want int64) {
	t.Helper()
	if got != want {
		t.Errorf("%s: got %d, want %d", what, got, want)
	}
}

func names(t *testing.T, storage certmagic.Storage) []string {
	t.Helper()
	keys, err := storage.List(context.Background(), folder, false)
	if err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	for i, key := range keys {
		keys[i] = filepath.Base(key)
	}
	return keys
}

func TestAThinThread(t *testing.T) {
	storage := &certmagic.FileStorage{Path: t.TempDir()}
	clock := clockwork.NewFakeClockAt(start)
	a, b := newTestProcess(t, storage, clock), newTestProcess(t, storage, clock)

	a.requests("x", Month).Add(3)
	b.requests("x", Month).Add(4)
	a.pass()
	b.pass()
	a.pass()
	want(t, "a", a.requests("x", Month).Sum(), 7)
	want(t, "b", b.requests("x", Month).Sum(), 7)

	c := newTestProcess(t, storage, clock)
	c.pass()
	want(t, "a restarted process", c.requests("x", Month).Sum(), 7)
	if n := len(names(t, storage)); n != 2 {
		t.Errorf("%d files, want those of the two processes that have counted", n)
	}
	for _, name := range names(t, storage) {
		info, err := os.Stat(filepath.Join(storage.Path, folder, name))
		if err != nil {
			t.Fatal(err)
		}
		if mode := info.Mode().Perm(); mode != 0o600 {
			t.Errorf("%s has mode %o, want 600", name, mode)
		}
		raw, _ := os.ReadFile(filepath.Join(storage.Path, folder, name))
		if !strings.HasPrefix(string(raw), "freetier-ledger 1 ") {
			t.Errorf("%s begins with %.40q", name, raw)
		}
	}
}
