package quota_test

import (
	"math"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/httpcaddyfile"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"github.com/jonboulle/clockwork"

	"github.com/caddy-freetier/caddy-freetier/internal/caddytest"
	"github.com/caddy-freetier/caddy-freetier/internal/ledger"
	"github.com/caddy-freetier/caddy-freetier/internal/quota"
)

// holder is a handler that gives the ledger of its Caddy to the test.
type holder struct{}

var held atomic.Pointer[ledger.Ledger]

func init() {
	caddy.RegisterModule(holder{})
	httpcaddyfile.RegisterDirectiveOrder("holder", httpcaddyfile.Before, "respond")
	httpcaddyfile.RegisterHandlerDirective("holder", func(httpcaddyfile.Helper) (caddyhttp.MiddlewareHandler, error) {
		return new(holder), nil
	})
}

func (holder) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "http.handlers.holder", New: func() caddy.Module { return new(holder) }}
}

func (*holder) Provision(ctx caddy.Context) error {
	l, err := ledger.FromContext(ctx)
	held.Store(l)
	return err
}

func (*holder) ServeHTTP(http.ResponseWriter, *http.Request, caddyhttp.Handler) error { return nil }

// book returns the ledger of a running Caddy and its clock.
func book(t *testing.T) (*ledger.Ledger, *clockwork.FakeClock) {
	t.Helper()
	clock := clockwork.NewFakeClockAt(time.Date(2028, 2, 29, 15, 59, 30, 0, time.UTC))
	caddytest.Start(t, "http://"+caddytest.Addr(t)+" {\n\tholder\n}", caddytest.WithFakeClock(clock))
	return held.Load(), clock
}

func open(t *testing.T, l *ledger.Ledger, line, name string) *quota.Meter {
	t.Helper()
	q, err := quota.Parse(strings.Fields(line))
	if err != nil {
		t.Fatal(err)
	}
	m, err := q.Open(l, name)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func TestMeter(t *testing.T) {
	l, clock := book(t)
	m := open(t, l, "10/day Asia/Shanghai", "a")
	for n, want := range map[int64]bool{10: true, 11: false} {
		if m.May(n) != want {
			t.Errorf("May(%d) is not %v", n, want)
		}
	}
	if !m.Take(7) || m.Take(4) || !m.Take(3) || m.Take(1) {
		t.Error("taken are not 7 and 3")
	}
	if m.Used() != 10 || m.Left() != 0 || m.Limit() != 10 {
		t.Errorf("used %d, left %d of %d", m.Used(), m.Left(), m.Limit())
	}
	m.Add(5) // tokens are known after the answer
	if m.Used() != 15 || m.Left() != 0 || m.May(0) {
		t.Errorf("used %d, left %d", m.Used(), m.Left())
	}
	// Midnight in Shanghai.
	from, until := m.Window()
	if want := time.Date(2028, 2, 29, 16, 0, 0, 0, time.UTC); !m.Renews().Equal(want) || !until.Equal(want) {
		t.Errorf("begins anew at %v, want %v", m.Renews(), want)
	}
	if lasts := until.Sub(from); lasts != 24*time.Hour {
		t.Errorf("a day lasts %v", lasts)
	}
	clock.Advance(29 * time.Second)
	if m.Take(1) {
		t.Error("taken a second before midnight")
	}
	clock.Advance(time.Second)
	if m.Left() != 10 || !m.Take(10) {
		t.Errorf("left %d at midnight", m.Left())
	}
}

func TestAccounts(t *testing.T) {
	l, _ := book(t)
	open(t, l, "100/day acct", "a").Add(1)
	for _, test := range []struct {
		line, name string
		used       int64
	}{
		{"100/day acct", "a", 1},
		{"100/day acct", "b", 1}, // the account counts, not the name
		{"500/day acct", "b", 1}, // nor the amount
		{"100/day", "a", 0},
		{"100/day", "account acct", 0},
		{"100/day other", "a", 0},
		{"100 tokens/day acct", "a", 0},
		{"100/month acct", "a", 0},
		{"24h/day acct", "a", 0},
		{"100/day acct Asia/Shanghai", "a", 0},
		{"100/day acct UTC", "a", 1},
	} {
		if used := open(t, l, test.line, test.name).Used(); used != test.used {
			t.Errorf("%s of %s: used %d, want %d", test.line, test.name, used, test.used)
		}
	}
}

func TestMeters(t *testing.T) {
	l, clock := book(t)
	minute, day := open(t, l, "3/minute", "a"), open(t, l, "5/day", "a")
	ms := quota.Meters{}.With(day).With(minute)
	take := func(n int64, exhausted *quota.Meter) {
		t.Helper()
		if got := ms.Take(n); got != exhausted {
			t.Errorf("Take(%d) names the wrong limit", n)
		}
	}
	take(3, nil)
	take(1, minute)
	if day.Used() != 3 {
		t.Errorf("a refused request was counted: %d", day.Used())
	}
	clock.Advance(time.Minute)
	take(2, nil)
	take(1, day)
	take(9, day) // both are spent, and the day renews last
	if ms.Exhausted(0) != nil {
		t.Error("nothing is refused")
	}
	if quota.Meters(nil).Take(1) != nil {
		t.Error("no limit refuses")
	}
}

// What a limit of a short period refuses is not counted against that of a long
// one, however many ask at once and in whatever order the limits are written.
func TestMetersConcurrently(t *testing.T) {
	l, _ := book(t)
	for round := range 300 {
		name := strconv.Itoa(round)
		day, minute := open(t, l, "5/day", name), open(t, l, "2/minute", name)
		ms := quota.Meters{}.With(day).With(minute)
		if ms[0] != minute || ms[1] != day {
			t.Fatal("the day would be counted first")
		}
		begin := make(chan struct{})
		var taken atomic.Int64
		var wg sync.WaitGroup
		for range 64 {
			wg.Go(func() {
				<-begin
				if ms.Take(1) == nil {
					taken.Add(1)
				}
			})
		}
		close(begin)
		wg.Wait()
		if taken.Load() != 2 || day.Used() != 2 || minute.Used() != 2 {
			t.Fatalf("round %d: %d were taken, the day counts %d, the minute %d", round, taken.Load(), day.Used(), minute.Used())
		}
	}
}

// What is left is never below zero, and no number overflows.
func TestMeterExtremes(t *testing.T) {
	l, _ := book(t)
	m := open(t, l, "1000000000000000/month", "a")
	if m.May(math.MaxInt64) || m.May(-1) || m.May(math.MinInt64) || m.Take(math.MaxInt64) || m.Take(-1) {
		t.Error("an impossible number is allowed")
	}
	for range 3 {
		m.Add(math.MaxInt64)
	}
	if m.Used() != 1e15 || m.Left() != 0 || m.May(1) || m.Take(1) {
		t.Errorf("used %d, left %d", m.Used(), m.Left())
	}
}

func TestMeterConcurrently(t *testing.T) {
	l, _ := book(t)
	m := open(t, l, "1k/month acct", "a")
	var taken atomic.Int64
	var wg sync.WaitGroup
	for range 32 {
		wg.Go(func() {
			for m.Take(1) {
				taken.Add(1)
			}
		})
	}
	wg.Wait()
	if taken.Load() != 1000 || m.Used() != 1000 {
		t.Errorf("taken %d, used %d, want 1000", taken.Load(), m.Used())
	}
}
