package ledger_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"strconv"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"github.com/caddyserver/caddy/v2/caddyconfig/httpcaddyfile"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/caddy-freetier/caddy-freetier/internal/caddytest"
	"github.com/caddy-freetier/caddy-freetier/internal/ledger"
	"github.com/caddy-freetier/caddy-freetier/internal/quota"
)

// spend is a handler that takes from a quota as our modules do: `?n=` says how
// much, 0 by default, and the answer how much is used.
type spend struct {
	Quota *quota.Quota `json:"quota"`
	Fail  bool         `json:"fail,omitempty"`
	meter *quota.Meter
}

func init() {
	caddy.RegisterModule((*spend)(nil))
	httpcaddyfile.RegisterDirectiveOrder("spend", httpcaddyfile.Before, "respond")
	httpcaddyfile.RegisterHandlerDirective("spend", func(h httpcaddyfile.Helper) (caddyhttp.MiddlewareHandler, error) {
		h.Next()
		args := h.RemainingArgs()
		fail := len(args) > 0 && args[0] == "fail"
		if fail {
			args = args[1:]
		}
		q, err := quota.Parse(args)
		if err != nil {
			return nil, h.Err(err.Error())
		}
		return &spend{Quota: q, Fail: fail}, nil
	})
	// `ledger_interval 200ms` in the global options of a test.
	httpcaddyfile.RegisterGlobalOption("ledger_interval", func(d *caddyfile.Dispenser, _ any) (any, error) {
		d.Next()
		d.NextArg()
		length, err := caddy.ParseDuration(d.Val())
		raw, _ := json.Marshal(map[string]any{"interval": length})
		return httpcaddyfile.App{Name: "freetier.ledger", Value: raw}, err
	})
}

func (*spend) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "http.handlers.spend", New: func() caddy.Module { return new(spend) }}
}

func (s *spend) Provision(ctx caddy.Context) error {
	l, err := ledger.FromContext(ctx)
	if err != nil {
		return err
	}
	if s.meter, err = s.Quota.Open(l, "test"); err != nil {
		return err
	}
	if s.Fail {
		return fmt.Errorf("half a Provision")
	}
	return nil
}

func (s *spend) ServeHTTP(w http.ResponseWriter, r *http.Request, _ caddyhttp.Handler) error {
	n, _ := strconv.ParseInt(r.FormValue("n"), 10, 64)
	if n > 0 && !s.meter.Take(n) {
		w.WriteHeader(http.StatusTooManyRequests)
	}
	_, err := fmt.Fprint(w, s.meter.Used())
	return err
}

// client makes a new connection for each request, because a reload closes them.
var client = &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: time.Minute}

// ask calls the handler and returns whether it took n and how much is used.
func ask(t testing.TB, addr string, n int) (took bool, used int64) {
	t.Helper()
	resp, err := client.Get(fmt.Sprintf("http://%s/?n=%d", addr, n))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	if used, err = strconv.ParseInt(string(body), 10, 64); err != nil {
		t.Fatalf("status %d: %s", resp.StatusCode, body)
	}
	return resp.StatusCode == http.StatusOK, used
}

func wantUsed(t testing.TB, addr string, want int64) {
	t.Helper()
	if _, used := ask(t, addr, 0); used != want {
		t.Errorf("%d used, want %d", used, want)
	}
}

// eventually waits until f holds, and fails the test when it does not within a minute.
func eventually(t testing.TB, what string, f func() bool) {
	t.Helper()
	deadline := time.Now().Add(time.Minute)
	for !f() {
		if time.Now().After(deadline) {
			t.Fatalf("not within a minute: %s", what)
		}
		time.Sleep(5 * time.Millisecond)
	}
}

func site(addr, quota string, options ...string) string {
	global := ""
	for _, option := range options {
		global += "\t" + option + "\n"
	}
	return fmt.Sprintf("{\n%s}\nhttp://%s {\n\tspend %s\n}\n", global, addr, quota)
}

func TestRestartKeepsCounts(t *testing.T) {
	storage, addr := t.TempDir(), caddytest.Addr(t)
	config := site(addr, "100/month acct")
	for i := range int64(5) {
		c := caddytest.Start(t, config, caddytest.WithStorage(storage))
		wantUsed(t, addr, 20*i)
		if took, _ := ask(t, addr, 20); !took {
			t.Errorf("refused at %d of 100", 20*i)
		}
		c.Stop()
		if total, err := ledger.Stored(storage); total != 20*(i+1) || err != nil {
			t.Errorf("%d stored after the stop (%v), want %d", total, err, 20*(i+1))
		}
	}
	caddytest.Start(t, config, caddytest.WithStorage(storage))
	if took, used := ask(t, addr, 1); took || used != 100 {
		t.Errorf("took %v with %d of 100 used", took, used)
	}
}

// Requests go on over 50 reloads, some of them refused; each is counted once.
func TestFiftyReloads(t *testing.T) {
	before := caddytest.Goroutines()
	storage, addr := t.TempDir(), caddytest.Addr(t)
	config := func(i int) string {
		return site(addr, fmt.Sprintf("%d/month acct", 1_000_000+i), "ledger_interval 20ms")
	}
	c := caddytest.Start(t, config(0), caddytest.WithStorage(storage))
	stop, done := make(chan struct{}), make(chan int64)
	go func() {
		var taken int64
		defer func() { done <- taken }()
		for {
			select {
			case <-stop:
				return
			default:
			}
			resp, err := client.Get("http://" + addr + "/?n=1")
			if err != nil {
				continue // the server was being replaced: nothing was counted
			}
			resp.Body.Close()
			taken++
		}
	}()
	for i := range 50 {
		c.Reload(config(i + 1))
		if i%10 == 0 {
			if err := c.TryReload(site(addr, "fail 1/day")); err == nil {
				t.Error("half a Provision was accepted")
			}
		}
		if ledgers, uses := ledger.Pooled(); ledgers != 1 || uses != 1 {
			t.Fatalf("%d ledgers with %d uses after reload %d, want 1 and 1", ledgers, uses, i+1)
		}
	}
	close(stop)
	taken := <-done
	wantUsed(t, addr, taken)
	c.Stop()
	if total, err := ledger.Stored(storage); total != taken || err != nil {
		t.Errorf("%d stored (%v), want %d", total, err, taken)
	}
	if ledgers, _ := ledger.Pooled(); ledgers != 0 {
		t.Errorf("%d ledgers are left", ledgers)
	}
	caddytest.NoLeak(t, before)
	t.Logf("%d requests", taken)
}

func TestValidateTouchesNothing(t *testing.T) {
	home := t.TempDir()
	addr := caddytest.Addr(t)
	storage := fmt.Sprintf("storage file_system %s", home)
	for _, config := range []string{site(addr, "1/day", storage), site(addr, "fail 1/day", storage)} {
		caddytest.Validate(config)
		if entries, err := os.ReadDir(home); err != nil || len(entries) > 0 {
			t.Errorf("the storage holds %v (%v)", entries, err)
		}
		if ledgers, _ := ledger.Pooled(); ledgers != 0 {
			t.Errorf("%d ledgers are left", ledgers)
		}
	}
}

// A reload can change the storage; each has its own counts.
func TestAnotherStorage(t *testing.T) {
	addr := caddytest.Addr(t)
	one, two := t.TempDir(), t.TempDir()
	with := func(dir string) string { return site(addr, "100/month", "storage file_system "+dir) }
	c := caddytest.Start(t, with(one))
	ask(t, addr, 5)
	c.Reload(with(two))
	wantUsed(t, addr, 0)
	ask(t, addr, 7)
	c.Reload(with(one))
	wantUsed(t, addr, 5)
	c.Reload(with(two))
	wantUsed(t, addr, 7)
}

func TestNegativeInterval(t *testing.T) {
	if err := caddytest.Validate(site("127.0.0.1:1", "1/day", "ledger_interval -1s")); err == nil {
		t.Error("a negative interval was accepted")
	}
}
