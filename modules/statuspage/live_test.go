package statuspage_test

import (
	"bufio"
	"context"
	"crypto/tls"
	"fmt"
	"net/http"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"
	"weak"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/httpcaddyfile"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"github.com/jonboulle/clockwork"

	"github.com/caddy-freetier/caddy-freetier/internal/caddytest"
	fruntime "github.com/caddy-freetier/caddy-freetier/internal/runtime"
	"github.com/caddy-freetier/caddy-freetier/internal/status"
	"github.com/caddy-freetier/caddy-freetier/modules/statuspage"
)

// source is a handler that describes itself with a target whose name says how
// often it was asked.
type source struct{}

var asked atomic.Int64

func init() {
	caddy.RegisterModule(source{})
	httpcaddyfile.RegisterHandlerDirective("source", func(httpcaddyfile.Helper) (caddyhttp.MiddlewareHandler, error) { return new(source), nil })
	httpcaddyfile.RegisterDirectiveOrder("source", httpcaddyfile.Before, "respond")
}

func (source) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "http.handlers.source", New: func() caddy.Module { return new(source) }}
}

func (s *source) Provision(ctx caddy.Context) error {
	app, err := fruntime.FromContext(ctx)
	if err != nil {
		return err
	}
	app.Status().Describe(func(_ time.Time, all *status.Status) {
		all.Targets = append(all.Targets, status.Target{Name: fmt.Sprintf("asked-%d", asked.Add(1)), State: status.StateUp, History: status.NoHistory()})
	})
	return nil
}

func (*source) ServeHTTP(w http.ResponseWriter, r *http.Request, next caddyhttp.Handler) error {
	return next.ServeHTTP(w, r)
}

// viewer reads the events of a page.
type viewer struct {
	lines *bufio.Scanner
	close func() error
}

func view(t *testing.T, client *http.Client, page string) *viewer {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, page+"events", nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := client.Do(req)
	for tries := 0; err != nil && tries < 100; tries++ {
		time.Sleep(10 * time.Millisecond) // Caddy's old listener closes
		resp, err = client.Do(req)
	}
	if err != nil {
		t.Fatal(err)
	}
	if resp.StatusCode != http.StatusOK || resp.Header.Get("Content-Type") != "text/event-stream" {
		t.Fatalf("events: status %d, %v", resp.StatusCode, resp.Header)
	}
	v := &viewer{bufio.NewScanner(resp.Body), resp.Body.Close}
	v.lines.Buffer(nil, 1<<20)
	t.Cleanup(func() { _ = v.close() })
	return v
}

// until reads until a line has a text, and reports whether one has.
func (v *viewer) until(text string) bool {
	for v.lines.Scan() {
		if strings.Contains(v.lines.Text(), text) {
			return true
		}
	}
	return false
}

// patient is a client whose requests have no time limit, each with a connection of
// its own.
func patient(t *testing.T) *http.Client {
	transport := &http.Transport{DisableKeepAlives: true}
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport}
}

// Caddy stops although somebody looks at the page: it would wait for their requests
// as long as these last.
func TestStopWithViewers(t *testing.T) {
	addr := caddytest.Addr(t)
	c := caddytest.Start(t, "http://"+addr+" {\nsource\nstatus_page\n}")
	client := patient(t)
	var viewers []*viewer
	for range 10 {
		v := view(t, client, "http://"+addr+"/")
		if !v.until("asked-") {
			t.Fatal("no event came")
		}
		viewers = append(viewers, v)
	}
	stopped, started := make(chan struct{}), time.Now()
	go func() {
		defer close(stopped)
		c.Stop()
	}()
	select {
	case <-stopped:
		t.Logf("stopped after %v", time.Since(started))
	case <-time.After(20 * time.Second):
		t.Fatal("Caddy waits for the viewers")
	}
	for _, v := range viewers {
		if v.until("no such line") || v.lines.Err() != nil {
			t.Errorf("the events end with %v", v.lines.Err())
		}
	}
}

// After reloads with open pages only the last configuration is left in memory, and
// the pages are sent what that one shows.
func TestReloadsWithViewers(t *testing.T) {
	addr := caddytest.Addr(t)
	config := func(i int) string {
		return fmt.Sprintf("http://%s {\nheader X-Reload %d\nsource\nstatus_page\n}", addr, i)
	}
	before := caddytest.Goroutines()
	c := caddytest.Start(t, config(0))
	client := patient(t)
	var apps []weak.Pointer[statuspage.App]
	for i := range 10 {
		app, err := caddy.ActiveContext().AppIfConfigured("freetier.status")
		if err != nil {
			t.Fatal(err)
		}
		apps = append(apps, weak.Make(app.(*statuspage.App)))
		var viewers []*viewer
		for range 3 {
			v := view(t, client, "http://"+addr+"/")
			if !v.until("retry: ") || !v.until(fmt.Sprintf("asked-%d", asked.Load())) {
				t.Fatal("the page does not follow")
			}
			viewers = append(viewers, v)
		}
		c.Reload(config(i + 1))
		for _, v := range viewers {
			if v.until("no such line") {
				t.Fatal("the events of the old configuration go on")
			}
		}
	}
	deadline := time.Now().Add(20 * time.Second)
	for left := len(apps); left > 0; {
		runtime.GC()
		left = 0
		for _, app := range apps {
			if app.Value() != nil {
				left++
			}
		}
		if left > 0 && time.Now().After(deadline) {
			t.Fatalf("%d old configurations are in memory", left)
		}
		time.Sleep(10 * time.Millisecond)
	}
	c.Stop()
	caddytest.NoLeak(t, before)
}

// However many look at the page, the modules are asked once a second, and while
// nobody looks they are not asked at all.
func TestViewersShare(t *testing.T) {
	clock := clockwork.NewFakeClockAt(time.Date(2027, 3, 4, 12, 0, 0, 0, time.UTC))
	addr := caddytest.Addr(t)
	c := caddytest.Start(t, "http://"+addr+" {\nsource\nstatus_page\n}", caddytest.WithFakeClock(clock))
	client := patient(t)
	before := asked.Load()
	var viewers []*viewer
	for i := range 100 {
		page := "http://" + addr + "/"
		v := view(t, client, page)
		if i%10 == 0 {
			get(t, c, page)
		}
		viewers = append(viewers, v)
	}
	for seconds := int64(1); seconds <= 3; seconds++ {
		for _, v := range viewers {
			if !v.until(fmt.Sprintf("asked-%d", before+seconds)) {
				t.Fatal("an event is missing")
			}
		}
		if n := asked.Load() - before; n != seconds {
			t.Fatalf("asked %d times, want %d", n, seconds)
		}
		clock.Advance(time.Second)
	}
	for _, v := range viewers {
		_ = v.close()
	}
}

// A change that a module reports is seen before the status is a second old.
func TestChangesAreSeenSoon(t *testing.T) {
	clock := clockwork.NewFakeClockAt(time.Date(2027, 3, 4, 12, 0, 0, 0, time.UTC))
	var failing atomic.Bool
	target := caddytest.NewUpstream(t, func(w http.ResponseWriter, _ *http.Request) {
		if failing.Load() {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
	})
	addr := caddytest.Addr(t)
	c := caddytest.Start(t, strings.Replace(site(target.URL, addr, "status_page"), "target api {", "target api {\nfailures 1", 1), caddytest.WithFakeClock(clock))
	ping(t, c)
	v := view(t, patient(t), "http://"+addr+"/")
	if !v.until("<i class=up>") {
		t.Fatal("the page does not show the target")
	}
	began := clock.Now()
	for _, down := range []bool{true, false} {
		failing.Store(down)
		ping(t, c)
		seen := make(chan bool, 1)
		go func() { seen <- v.until(map[bool]string{true: "<i class=down>", false: "<i class=up>"}[down]) }()
		// The clock stands still but for the time that a change may wait.
		ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
		for done := false; !done; {
			select {
			case ok := <-seen:
				done = true
				if !ok {
					t.Fatal("the events end")
				}
			case <-ctx.Done():
				t.Fatalf("down %v is not seen", down)
			case <-time.After(10 * time.Millisecond):
				if clock.Now().Sub(began) < 800*time.Millisecond {
					clock.Advance(50 * time.Millisecond)
				}
			}
		}
		cancel()
	}
}

// Events come at once, compressed or not, over HTTP/1.1 and HTTP/2, and a connection
// that had some is good for further requests.
func TestTransports(t *testing.T) {
	cert, key := caddytest.Certificate(t)
	plain, secure := caddytest.Addr(t), caddytest.Addr(t)
	caddytest.Start(t, fmt.Sprintf("{\nauto_https disable_redirects\n}\n(page) {\nencode\nsource\nstatus_page /a/b\n}\nhttp://%s {\nimport page\n}\nhttps://%s {\ntls %s %s\nimport page\n}\n",
		plain, secure, cert, key))
	transport := &http.Transport{ForceAttemptHTTP2: true, TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}
	t.Cleanup(transport.CloseIdleConnections)
	client := &http.Client{Transport: transport}
	for proto, page := range map[string]string{"HTTP/1.1": "http://" + plain + "/a/b/", "HTTP/2.0": "https://" + secure + "/a/b/"} {
		for range 3 {
			v := view(t, client, page)
			if !v.until("event: build") || !v.until("asked-") {
				t.Errorf("%s: no event", proto)
			}
			_ = v.close()
			resp, err := client.Get(page)
			if err != nil || resp.StatusCode != http.StatusOK || resp.Proto != proto {
				t.Fatalf("%s: %v, %v", proto, resp, err)
			}
			resp.Body.Close()
		}
	}
}
