package llmgateway

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/caddy-freetier/caddy-freetier/internal/caddytest"
	"github.com/caddy-freetier/caddy-freetier/internal/cooldown"
)

// slowReader is a client of the admin API that stops reading.
type slowReader struct {
	http.ResponseWriter
	writing, goOn chan struct{}
}

func (w *slowReader) Write(p []byte) (int, error) {
	w.writing <- struct{}{}
	<-w.goOn
	return w.ResponseWriter.Write(p)
}

// Neither requests nor a reload wait for a client of the admin API that does not
// read.
func TestSlowAdminReader(t *testing.T) {
	up := caddytest.NewUpstream(t, caddytest.JSON(200, completion))
	options := "channel a " + up.URL + " {\napi_key sk-long-key-0001 sk-long-key-0002\nmodels m\n}"
	g, clock, config := startAt(t, options)
	channelOf(t, "a").keys()[0].cooldowns.Start("m", cooldown.Cooldown{Until: clock.Now().Add(time.Hour)}, clock.Now())
	w := &slowReader{httptest.NewRecorder(), make(chan struct{}), make(chan struct{})}
	done := make(chan error)
	go func() {
		done <- new(Admin).serveChannels(w, httptest.NewRequest(http.MethodGet, "/llm-gateway/channels", nil))
	}()
	<-w.writing
	g.chat(t, "m").wantStatus(t, 200)
	g.Reload(config("retries 1\n" + options))
	g.client.CloseIdleConnections()
	g.chat(t, "m").wantStatus(t, 200)
	close(w.goOn)
	if err := <-done; err != nil {
		t.Error(err)
	}
}

// tenThousandKeys runs a gateway with a channel of 10,000 keys.
func tenThousandKeys(b *testing.B) *testGateway {
	b.Helper()
	up := caddytest.NewUpstream(b, caddytest.JSON(200, completion))
	var keys strings.Builder
	for i := range 10_000 {
		fmt.Fprintf(&keys, " sk-one-of-many-%05d", i)
	}
	return start(b, "client alice alice-key\nchannel a "+up.URL+" {\napi_key"+keys.String()+"\nmodels m\n}")
}

// What the admin API costs with 10,000 keys, half of them in cooldown.
func BenchmarkAdmin(b *testing.B) {
	tenThousandKeys(b)
	now := caddytest.RunningClock().Now()
	for i, k := range channelOf(b, "a").keys() {
		if i%2 == 0 {
			k.cooldowns.Start("m", cooldown.Cooldown{Until: now.Add(time.Hour), Reason: "day quota"}, now)
		}
	}
	for _, query := range []string{"", "?summary"} {
		b.Run("channels"+query, func(b *testing.B) {
			for b.Loop() {
				w := httptest.NewRecorder()
				if err := new(Admin).serveChannels(w, httptest.NewRequest(http.MethodGet, "/llm-gateway/channels"+query, nil)); err != nil {
					b.Fatal(err)
				}
				b.ReportMetric(float64(w.Body.Len()), "bytes")
			}
		})
	}
}

// How long a key is acquired for while the admin API is asked without pause, and
// while it is not.
func BenchmarkAcquireBesideAdmin(b *testing.B) {
	tenThousandKeys(b)
	now := caddytest.RunningClock().Now()
	keys := channelOf(b, "a").keys()
	for _, k := range keys {
		k.cooldowns.Start("other", cooldown.Cooldown{Until: now.Add(time.Hour), Reason: "day quota"}, now)
	}
	for _, asked := range []bool{false, true} {
		b.Run(fmt.Sprintf("asked %v", asked), func(b *testing.B) {
			var stop atomic.Bool
			done := make(chan struct{})
			go func() {
				defer close(done)
				for asked && !stop.Load() {
					_ = new(Admin).serveChannels(httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, "/llm-gateway/channels", nil))
				}
			}()
			longest, i := time.Duration(0), 0
			for b.Loop() {
				began := time.Now()
				keys[i%len(keys)].cooldowns.Acquire("m", began)
				longest = max(longest, time.Since(began))
				i++
			}
			b.ReportMetric(float64(longest.Microseconds()), "longest-µs")
			stop.Store(true)
			<-done
		})
	}
}

// The memory of 10,000 keys, without cooldowns and with one for each.
func BenchmarkMemoryOfKeys(b *testing.B) {
	heap := func() float64 {
		runtime.GC()
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return float64(m.HeapAlloc)
	}
	const n = 10_000
	before := heap()
	tenThousandKeys(b)
	idle := heap()
	now := caddytest.RunningClock().Now()
	for _, k := range channelOf(b, "a").keys() {
		k.cooldowns.Start(cooldown.All, cooldown.Cooldown{Until: now.Add(time.Hour), Reason: "dead key"}, now)
		k.stats.recordRefusal(lastRefusal{At: now, Status: 401, Scope: "key", Reason: "dead key"})
	}
	time.Sleep(3 * time.Second) // the cooldowns are written meanwhile
	dead := heap()
	for b.Loop() {
		runtime.Gosched()
	}
	b.ReportMetric((idle-before)/n, "idle-B/key")
	b.ReportMetric((dead-idle)/n, "dead-B/key")
}
