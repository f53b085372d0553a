package ledger

import (
	"context"
	"errors"
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

func (p *process) newPass() *pass {
	return &pass{Ledger: p.Ledger, files: &p.files, storage: p.storage, logger: p.logger, interval: testInterval}
}

func (p *process) try() error { return p.newPass().run(context.Background()) }

// tryOld makes a pass as the version did before there were mergers: it reads all
// files and removes those of the dead as soon as it has compacted them.
func (p *process) tryOld() error {
	ctx, pass := context.Background(), p.newPass()
	pass.at = p.now()
	pass.watchClock()
	names, err := pass.read(ctx)
	if names != nil {
		pass.settle(ctx, names)
		pass.good = pass.at
	}
	pass.spread(pass.total(), pass.common.file.Compacted[pass.process].Counts)
	if failed := pass.write(ctx); failed != nil || names == nil {
		return errors.Join(err, failed)
	}
	var dead []string
	for name, s := range pass.seen {
		if s.unchanged >= 2*silentIntervals || time.Duration(pass.at-s.file.Written)*time.Second > oldIntervals*pass.interval {
			dead = append(dead, name)
		}
	}
	if len(dead) == 0 {
		return err
	}
	unlock := pass.lock(ctx, folder)
	if unlock == nil {
		return err
	}
	defer unlock()
	if failed := pass.compactLocked(ctx, dead, false); failed != nil {
		return errors.Join(err, failed)
	}
	for _, name := range dead {
		if failed := p.storage.Delete(ctx, keyOf(name)); failed != nil {
			return errors.Join(err, failed)
		}
		delete(pass.seen, name)
	}
	return err
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
