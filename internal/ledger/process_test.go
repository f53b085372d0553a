package ledger_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/certmagic"

	"github.com/caddy-freetier/caddy-freetier/internal/caddytest"
	"github.com/caddy-freetier/caddy-freetier/internal/ledger"
)

func TestMain(m *testing.M) { caddytest.Main(m) }

func adapt(t testing.TB, caddyfile string) string {
	t.Helper()
	config, err := caddytest.Adapt(caddyfile)
	if err != nil {
		t.Fatal(err)
	}
	return string(config)
}

// Two processes with one storage agree within two intervals, and together they
// pass an account's quota by no more than they count within one.
func TestTwoProcesses(t *testing.T) {
	// With a longer interval, a storage that takes its time for once matters less.
	const (
		interval = 1200 * time.Millisecond
		pace     = 12 * time.Millisecond
		limit    = 300
	)
	for name, storage := range map[string]string{
		"one storage folder": "storage file_system " + t.TempDir(),
		"one home":           "skip_install_trust",
	} {
		t.Run(name, func(t *testing.T) {
			home := t.TempDir()
			addrs := []string{caddytest.Addr(t), caddytest.Addr(t)}
			config := func(addr string) string {
				return adapt(t, site(addr, fmt.Sprintf("%d/month acct", limit),
					"admin off", "persist_config off", "ledger_interval "+interval.String(), storage))
			}
			first, second := caddytest.StartProcess(t, home, config(addrs[0])), caddytest.StartProcess(t, home, config(addrs[1]))

			agree := func(want int64) {
				t.Helper()
				eventually(t, fmt.Sprintf("both know of %d", want), func() bool {
					_, a := ask(t, addrs[0], 0)
					_, b := ask(t, addrs[1], 0)
					return a == want && b == want
				})
			}
			ask(t, addrs[0], 30)
			agree(30)
			ask(t, addrs[1], 20)
			ask(t, addrs[0], 10)
			agree(60)

			// Both serve as much as they can, one request each in the pace.
			var taken atomic.Int64
			var wg sync.WaitGroup
			for _, addr := range addrs {
				wg.Go(func() {
					ticker := time.NewTicker(pace)
					defer ticker.Stop()
					for refused := 0; refused < 50; <-ticker.C {
						if took, _ := ask(t, addr, 1); took {
							taken.Add(1)
						} else {
							refused++
						}
					}
				})
			}
			wg.Wait()
			perInterval := int64(2 * interval / pace)
			if n := 60 + taken.Load(); n < limit || n > limit+perInterval {
				t.Errorf("%d were taken, want %d to %d", n, limit, limit+perInterval)
			}
			agree(60 + taken.Load())

			first.End()
			second.End()
			third := caddytest.StartProcess(t, home, config(addrs[0]))
			wantUsed(t, addrs[0], 60+taken.Load())
			if took, _ := ask(t, addrs[0], 1); took {
				t.Error("a quota that was used up was exceeded after a restart")
			}
			third.End()
		})
	}
}

// busy is an app that counts as fast as once a millisecond and prints how far it
// got.
type busy struct{ counter *ledger.Counter }

func init() { caddy.RegisterModule((*busy)(nil)) }

func (*busy) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "busy", New: func() caddy.Module { return new(busy) }}
}

func (b *busy) Provision(ctx caddy.Context) error {
	l, err := ledger.FromContext(ctx)
	if err != nil {
		return err
	}
	b.counter = l.Counter("busy", ledger.Requests, ledger.Month, time.UTC)
	return nil
}

func (b *busy) Start() error {
	go func() {
		for n := 1; ; n++ {
			b.counter.Add(1)
			fmt.Println(n)
			time.Sleep(time.Millisecond)
		}
	}()
	return nil
}

func (b *busy) Stop() error { return nil }

// reporting is a storage on the disk that prints what it does: "storing" before a
// file of the ledger is written, and how many counts are in it after that.
type reporting struct {
	Root string `json:"root,omitempty"`
	*certmagic.FileStorage
}

func init() { caddy.RegisterModule((*reporting)(nil)) }

func (*reporting) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "caddy.storage.reporting", New: func() caddy.Module { return new(reporting) }}
}

func (r *reporting) CertMagicStorage() (certmagic.Storage, error) {
	r.FileStorage = &certmagic.FileStorage{Path: r.Root}
	return r, nil
}

func (r *reporting) Store(ctx context.Context, key string, value []byte) error {
	counts, ours := ledger.OwnCounts(value)
	if ours {
		fmt.Println("storing")
	}
	err := r.FileStorage.Store(ctx, key, value)
	if ours && err == nil {
		fmt.Println("stored", counts)
	}
	return err
}

// After a kill at any moment, in the middle of a write too, the ledger is readable
// and has everything that was ever stored. FREETIER_KILLS says how many there are.
func TestKill(t *testing.T) {
	kills := 24
	if n, err := strconv.Atoi(os.Getenv("FREETIER_KILLS")); err == nil {
		kills = n
	}
	// With the short interval files are also compacted, since they are old sooner.
	const short, long = 50 * time.Millisecond, 200 * time.Millisecond
	for i, interval := range []time.Duration{short, short, long, long} {
		t.Run(fmt.Sprint(i, interval), func(t *testing.T) {
			t.Parallel()
			storage := t.TempDir()
			for n := range kills / 4 {
				killOnce(t, storage, interval, n%2 == 0)
			}
		})
	}
}

// killOnce kills a process soon after it has begun to write, or at any time.
func killOnce(t *testing.T, storage string, interval time.Duration, writing bool) {
	t.Helper()
	before, err := ledger.Stored(storage)
	if err != nil {
		t.Fatal(err)
	}
	c := caddytest.StartProcess(t, storage, fmt.Sprintf(`{"admin":{"disabled":true},"logging":{"logs":{"default":{"level":"ERROR"}}},`+
		`"storage":{"module":"reporting","root":%q},"apps":{"freetier.ledger":{"interval":%d},"busy":{}}}`, storage, interval))
	var counted, safe int64 // as last printed
	killed := false
	kill := func(after time.Duration) {
		if !killed {
			killed = true
			time.AfterFunc(after, func() { _ = c.Process.Kill() })
		}
	}
	writes, after := 0, rand.IntN(4)
	for c.Lines.Scan() {
		line := c.Lines.Text()
		switch {
		case line == "storing":
			if writes++; writing && writes > after {
				kill(rand.N(3 * time.Millisecond))
			}
		case strings.HasPrefix(line, "stored "):
			_, err = fmt.Sscanf(line, "stored %d", &safe)
		default:
			_, err = fmt.Sscan(line, &counted)
			if !writing {
				kill(rand.N(3 * interval))
			}
		}
		if err != nil {
			t.Fatalf("the process printed %q", line)
		}
	}
	_ = c.Wait()
	if counted == 0 {
		t.Fatal("the process did not count")
	}
	now, err := ledger.Stored(storage)
	if err != nil {
		t.Fatal(err)
	}
	// It is killed between a count and the line about it, at worst.
	if stored := now - before; stored < safe || stored > counted+1 {
		t.Fatalf("%d counts are stored, want %d that were to %d that were counted", stored, safe, counted+1)
	}
}

// Names can be secrets: no file has one, and none is for others to read.
func TestSecrets(t *testing.T) {
	storage, addr := t.TempDir(), caddytest.Addr(t)
	c := caddytest.Start(t, site(addr, "100/month s3cret-account"), caddytest.WithStorage(storage))
	ask(t, addr, 1)
	c.Stop()
	files, err := filepath.Glob(filepath.Join(storage, "freetier", "ledger", "*"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no files (%v)", err)
	}
	for _, file := range files {
		info, err := os.Stat(file)
		if err != nil {
			t.Fatal(err)
		}
		if mode := info.Mode().Perm(); mode != 0o600 {
			t.Errorf("%s has mode %o, want 600", file, mode)
		}
		raw, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(string(raw), "s3cret") {
			t.Errorf("the account is in %s:\n%s", file, raw)
		}
	}
}
