package statuspage_test

import (
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jonboulle/clockwork"

	"github.com/caddy-freetier/caddy-freetier/internal/caddytest"
	"github.com/caddy-freetier/caddy-freetier/internal/status"
)

// statusOf returns the status of a Caddy by its admin API.
func statusOf(t *testing.T, c *caddytest.Caddy) status.Status {
	t.Helper()
	var s status.Status
	code, body := c.Admin(http.MethodGet, "/freetier/status")
	if err := json.Unmarshal(body, &s); err != nil || code != http.StatusOK {
		t.Fatalf("status %d, %v: %s", code, err, body)
	}
	return s
}

// What pings have shown outlives a reload and a restart, with the changes that
// were reported; a target that came back is shown in between as partly well.
func TestHistory(t *testing.T) {
	clock := clockwork.NewFakeClockAt(time.Date(2027, 3, 4, 12, 1, 0, 0, time.UTC))
	fails := true
	up := caddytest.NewUpstream(t, func(w http.ResponseWriter, _ *http.Request) {
		if fails {
			w.WriteHeader(http.StatusBadGateway)
		}
	})
	storage, addr := t.TempDir(), caddytest.Addr(t)
	config := func(more string) string {
		return strings.Replace(site(up.URL, addr, "status_page\n"+more), "target api {", "target api {\ninterval 1h\nfailures 1\n", 1)
	}
	start := func() *caddytest.Caddy {
		return caddytest.Start(t, config(""), caddytest.WithFakeClock(clock), caddytest.WithStorage(storage))
	}
	c := start()
	ping(t, c)
	c.Reload(config("header X-Reload 1"))
	fails = false
	clock.Advance(time.Second)
	ping(t, c)
	check := func(when string, c *caddytest.Caddy, day string) {
		t.Helper()
		s := statusOf(t, c)
		if got := s.Targets[0].History; !strings.HasSuffix(got.Day, day) || strings.Trim(got.Day, "-") != strings.Trim(day, "-") || got.UptimeDay == nil || *got.UptimeDay != .5 {
			t.Errorf("%s: the day is %s, uptime %v; want it to end with %s", when, got.Day, got.UptimeDay, day)
		}
		if len(s.Events) != 2 || s.Events[0].Kind != status.EventUp || s.Events[1].Kind != status.EventDown || s.Events[1].Subject != "api" {
			t.Errorf("%s: events %+v", when, s.Events)
		}
	}
	clock.Advance(time.Second)
	check("after a reload", c, "-~")
	c.Stop()
	clock.Advance(30 * time.Minute)
	check("after a restart", start(), "-~-")
}

// The receipt has what responses have stated, at the price of the configuration,
// also after a restart.
func TestReceipt(t *testing.T) {
	d := newDemo(t)
	check := func(when string) {
		t.Helper()
		receipt := statusOf(t, d.Caddy).Receipt
		want := status.Priced{
			Channel: "groq", Model: "llama-70b", InputTokens: 39 * 900, OutputTokens: 39 * 120,
			InputPrice: .59, OutputPrice: .79, Amount: (39*900*.59 + 39*120*.79) / 1e6,
		}
		if len(receipt.Models) != 1 || receipt.Models[0] != want || receipt.Total != want.Amount {
			t.Errorf("%s the receipt is %+v, want %+v", when, receipt, want)
		}
	}
	check("at first")
	d.Stop()
	d.Caddy = caddytest.Start(t, d.caddyfile("added"), caddytest.WithStorage(d.Storage))
	check("after a restart")
}

// Keys that are dead and channels that fail are among the changes.
func TestChangesOfKeys(t *testing.T) {
	d := newDemo(t)
	var said []string
	for _, e := range statusOf(t, d.Caddy).Events {
		if e.Kind == status.EventKey {
			said = append(said, e.Message)
		}
	}
	slices.Sort(said)
	want := []string{
		"key …0004 of groq is in cooldown: dead key", "key …0007 of openrouter is in cooldown: dead key", "key …0008 of openrouter is in cooldown: dead key",
	}
	if !slices.Equal(said, want) {
		t.Errorf("the changes are %q, want %q", said, want)
	}
}

// A badge says how a target is, in the reader's language, and is an image of its
// own. There is none of a target that there is not.
func TestBadges(t *testing.T) {
	d := newDemo(t)
	got := get(t, d.Caddy, d.page+"badge/blog.svg", "Accept-Language", "zh-CN,en;q=0.8")
	if got.header.Get("Content-Type") != "image/svg+xml" || !strings.Contains(got.body, "<title>blog: 正常 100 %</title>") {
		t.Errorf("%v: %s", got.header, got.body)
	}
	d.down.Store(true)
	d.ping(t, "toggled")
	// A status is shown for a second.
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(50 * time.Millisecond) {
		got := get(t, d.Caddy, d.page+"badge/toggled.svg").body
		if strings.Contains(got, ">down 99.") {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("down: %s", got)
		}
	}
	for _, name := range []string{"badge/nobody.svg", "badge/blog.png", "badge/", "blog.svg"} {
		if got := get(t, d.Caddy, d.page+name); got.body != "" {
			t.Errorf("%s: status %d: %s", name, got.status, got.body)
		}
	}
}
