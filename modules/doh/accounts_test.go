package doh_test

import (
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/miekg/dns"

	"github.com/caddy-freetier/caddy-freetier/internal/caddytest"
)

func TestMain(m *testing.M) { caddytest.Main(m) }

// Ten accounts of 30,000 queries share 100,000 evenly, over restarts in order
// and kills. Then they are used up: none is asked more than its quota allows,
// but for what a kill makes the ledger forget, the counts of one write interval.
//
// With the race detector, or FREETIER_SHORT set, it is a tenth of all.
func TestAccounts(t *testing.T) {
	const accounts, scale = 10, 10
	queries, each := 100_000, 30_000
	if raceDetector || os.Getenv("FREETIER_SHORT") != "" {
		queries, each = queries/scale, each/scale
	}
	var asked [accounts]atomic.Int64
	sound := caddytest.DoH(caddytest.Records(t, "@ 60 IN A 192.0.2.1"))
	upstream := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked[r.URL.Path[1]-'0'].Add(1)
		sound(w, r)
	}))
	upstream.EnableHTTP2 = true
	upstream.StartTLS()
	defer upstream.Close()
	recorder := &caddytest.Upstream{Server: upstream}
	var lines strings.Builder
	for i := range accounts {
		fmt.Fprintf(&lines, "upstream %s/%d {\ntls_ca %s\nquota %d/month\n}\n", upstream.URL, i, recorder.CAFile(t), each)
	}
	addr, home := caddytest.Addr(t), t.TempDir()
	config, err := caddytest.Adapt("{\nadmin off\npersist_config off\nlog {\nlevel ERROR\n}\n}\n" +
		"http://" + addr + " {\ndoh {\ncache off\n" + lines.String() + "}\n}\n")
	if err != nil {
		t.Fatal(err)
	}
	name, lost := 0, int64(0)
	const runs = 10
	run := func(n int, kill bool) {
		t.Helper()
		p := caddytest.StartProcess(t, home, string(config))
		began := time.Now()
		askAll(t, addr, &name, n)
		if !kill {
			p.End()
			return
		}
		p.Kill()
		// At most what was counted in the last interval, five seconds, and
		// while it was written.
		lost += min(int64(n), int64(float64(n)*7/max(time.Since(began).Seconds(), 1e-9)))
	}
	for i := range runs {
		run(queries/runs, i%5 == 4)
	}
	total, fair := int64(0), float64(queries)/accounts
	for i := range asked {
		n := asked[i].Load()
		total += n
		if d := float64(n)/fair - 1; d < -0.02 || d > 0.02 {
			t.Errorf("account %d was asked %d times, want %.0f within 2 %%", i, n, fair)
		}
	}
	if total < int64(queries) || total > int64(queries)+100 {
		t.Errorf("%d queries were sent for %d", total, queries)
	}
	// All that is left, and a little more.
	run(accounts*each-queries+each/10, false)
	for i := range asked {
		if n := asked[i].Load(); n > int64(each)+lost/accounts+int64(each)/50 || n < int64(each) {
			t.Errorf("account %d was asked %d times, its quota is %d and kills lost up to %d of all", i, n, each, lost)
		}
	}
	files, err := filepath.Glob(filepath.Join(home, ".local/share/caddy/freetier/ledger/*.bad"))
	if err != nil || len(files) > 0 {
		t.Errorf("set aside were %v, %v", files, err)
	}
}

// askAll sends n queries for new names, 32 at a time.
func askAll(t *testing.T, addr string, name *int, n int) {
	t.Helper()
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 32}}
	defer client.CloseIdleConnections()
	next := make(chan int)
	var wg sync.WaitGroup
	for range 32 {
		wg.Go(func() {
			for i := range next {
				query := pack(t, question(fmt.Sprintf("www%d-%d.example.", i, rand.Uint32()), dns.TypeA))
				resp, err := client.Post("http://"+addr+"/dns-query", messageType, strings.NewReader(string(query)))
				if err != nil {
					t.Error(err)
					continue
				}
				_, _ = io.Copy(io.Discard, resp.Body)
				resp.Body.Close()
				if resp.StatusCode != http.StatusOK {
					t.Errorf("status %d", resp.StatusCode)
				}
			}
		})
	}
	for range n {
		*name++
		next <- *name
	}
	close(next)
	wg.Wait()
}
