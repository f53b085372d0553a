package statuspage_test

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/caddyserver/certmagic"
	"github.com/jonboulle/clockwork"
	"go.uber.org/zap"

	"github.com/caddy-freetier/caddy-freetier/internal/caddytest"
	"github.com/caddy-freetier/caddy-freetier/internal/history"
	"github.com/caddy-freetier/caddy-freetier/internal/status"
)

// maxPage is the bound for a page of 50 targets and 50 upstreams.
const maxPage = 60_000

// large returns a Caddyfile with so many targets, upstreams and keys.
func large(addr, upstream string, targets, upstreams, keys int) string {
	var b strings.Builder
	b.WriteString("{\n\tkeepalive {\n\t\tinterval 1h\n")
	for i := range targets {
		fmt.Fprintf(&b, "\t\ttarget target-%d {\n\t\t\turl %s/%d\n\t\t\tplatform render\n\t\t}\n", i, upstream, i)
	}
	fmt.Fprintf(&b, "\t}\n}\nhttp://%s {\n\tstatus_page\n", addr)
	if upstreams > 0 {
		b.WriteString("\treverse_proxy /pool")
		for i := range upstreams {
			fmt.Fprintf(&b, " upstream-%d.invalid:80", i)
		}
		b.WriteString(" {\n\t\tlb_policy fastest-swagger {\n\t\t\tinterval 1h\n\t\t}\n\t}\n")
	}
	b.WriteString("\tllm_gateway {\n\t\tclient me sk-the-key-of-a-client\n\t\tchannel groq " + upstream + " {\n\t\t\tapi_key")
	for i := range keys {
		fmt.Fprintf(&b, " sk-one-of-many-keys-%05d", i)
	}
	b.WriteString("\n\t\t\tquota 100/day\n\t\t\tquota 10k tokens/day\n\t\t\tmodels m\n\t\t}\n\t}\n}\n")
	return b.String()
}

// The page and the JSON do not grow with the number of keys, and with 50 targets
// and 50 upstreams the page has less than 60 kB, although each half hour of their
// day is another than the one before.
func TestSizes(t *testing.T) {
	up := caddytest.NewUpstream(t, caddytest.Answer(200, "text/plain", "ok"))
	sizes := make(map[int]int)
	for _, keys := range []int{100, 1000} {
		addr := caddytest.Addr(t)
		storage := t.TempDir()
		writeBusyHistory(storage)
		c := caddytest.Start(t, large(addr, up.URL, 50, 50, keys), caddytest.WithStorage(storage))
		page := get(t, c, "http://"+addr+"/").body
		sizes[keys] = len(page)
		if n := len(page); n > maxPage {
			t.Errorf("the page has %d bytes", n)
		}
		if n := strings.Count(page, "<tr><th>") - 2; n != 100 {
			t.Errorf("the page has %d rows of targets and upstreams, want 100", n)
		}
		var zipped bytes.Buffer
		zip := gzip.NewWriter(&zipped)
		_, _ = zip.Write([]byte(page))
		_ = zip.Close()
		answer := get(t, c, "http://"+addr+"/status.json").body
		if n := len(answer); n > 100_000 {
			t.Errorf("status.json has %d bytes", n)
		}
		t.Logf("%d keys: page %d bytes (%d compressed), JSON %d", keys, len(page), zipped.Len(), len(answer))
		var s status.Status
		if err := json.Unmarshal([]byte(answer), &s); err != nil {
			t.Fatal(err)
		}
		if len(s.Targets) != 50 || len(s.Upstreams) != 50 || s.Channels[0].Keys.Total != keys || s.Channels[0].Quotas[0].Limit < int64(100*keys) {
			t.Errorf("%d targets, %d upstreams, %+v", len(s.Targets), len(s.Upstreams), s.Channels)
		}
		c.Stop()
	}
	// 900 keys more would take more than 5 bytes each, were they listed. Smaller
	// differences come from pings that one of the pages already has.
	if sizes[1000] > sizes[100]+5*900 {
		t.Errorf("with 100 keys the page has %d bytes, with 1000 %d", sizes[100], sizes[1000])
	}
	addr := caddytest.Addr(t)
	c := caddytest.Start(t, large(addr, up.URL, 1, 0, 1))
	if n := len(get(t, c, "http://"+addr+"/").body); n > 20_000 {
		t.Errorf("a small page has %d bytes", n)
	}
}

// writeBusyHistory writes a day of targets and upstreams of which each half hour
// is another than the one before.
func writeBusyHistory(storage string) {
	k := &history.Keeper{History: history.New(), Storage: &certmagic.FileStorage{Path: storage}, Clock: caddytest.RunningClock(), Logger: zap.NewNop()}
	now := k.Clock.Now()
	for i := range 50 {
		for slot := range status.Slots {
			s := status.Sample{
				At: now.Add(-time.Duration(slot) * 30 * time.Minute), OK: slot%3 != 0, Cold: slot%3 == 1, Latency: time.Duration(1+(slot*7919+i)%97) * time.Millisecond,
			}
			s.Kind, s.Name = status.SampleTarget, fmt.Sprintf("target-%d", i)
			k.History.Record(s)
			s.Kind, s.Name = status.SampleUpstream, status.UpstreamSeries(fmt.Sprintf("upstream-%d.invalid:80", i), "/swagger/index.html")
			k.History.Record(s)
		}
	}
	k.Stop(true)
}

// BenchmarkPage is the time of a request for a page that is rendered anew.
func BenchmarkPage(b *testing.B) {
	up := caddytest.NewUpstream(b, caddytest.Answer(200, "text/plain", "ok"))
	addr := caddytest.Addr(b)
	clock := clockwork.NewFakeClockAt(time.Date(2027, 3, 4, 12, 0, 0, 0, time.UTC))
	c := caddytest.Start(b, large(addr, up.URL, 50, 50, 1000), caddytest.WithFakeClock(clock))
	client := c.Client()
	for b.Loop() {
		clock.Advance(time.Second)
		resp, err := client.Get("http://" + addr + "/")
		if err != nil || resp.StatusCode != http.StatusOK {
			b.Fatalf("%v, %v", resp, err)
		}
		resp.Body.Close()
	}
}
