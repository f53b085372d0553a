package machines

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"github.com/caddyserver/caddy/v2/caddyconfig/httpcaddyfile"
	"github.com/miekg/dns"

	_ "github.com/caddy-freetier/caddy-freetier"
	"github.com/caddy-freetier/caddy-freetier/internal/caddytest"
	"github.com/caddy-freetier/caddy-freetier/internal/caddytest/redistest"
)

func TestMain(m *testing.M) { caddytest.Main(m) }

const (
	completion = `{"id":"c","object":"chat.completion","created":1,"model":"m","choices":[{"index":0,"message":{"role":"assistant","content":"hi"},"finish_reason":"stop"}]}`

	goodKey    = "sk-good-key-0001"
	limitedKey = "sk-limited-key-0002"

	chatQuota = 23 // of a day
	dnsQuota  = 17 // of a month
)

func init() {
	// `ledger_interval 400ms` in the global options of a test.
	httpcaddyfile.RegisterGlobalOption("ledger_interval", func(d *caddyfile.Dispenser, _ any) (any, error) {
		d.Next()
		d.NextArg()
		length, err := caddy.ParseDuration(d.Val())
		raw, _ := json.Marshal(map[string]any{"interval": length})
		return httpcaddyfile.App{Name: "freetier.ledger", Value: raw}, err
	})
}

// fleet is Caddy processes with one configuration on one storage.
type fleet struct {
	t       *testing.T
	storage string
	// interval is that of the ledger, and quota that of the DNS server in a month.
	interval time.Duration
	quota    int
	zone     string // of the quotas
	all      []*machine

	chat *caddytest.Upstream // has chatQuota for the good key, and refuses the other
	dns  *caddytest.DNSServer
	app  *caddytest.Upstream // is pinged

	asked atomic.Int64
}

// machine is one of the processes.
type machine struct {
	*caddytest.Process
	fleet       *fleet
	addr, admin string
}

func newFleet(t *testing.T, redis *redistest.Server, manner redistest.Manner, machines int) *fleet {
	t.Helper()
	f := &fleet{
		t:        t,
		interval: 400 * time.Millisecond,
		quota:    dnsQuota,
		zone:     zoneAtNoon(time.Now()),
		storage:  fmt.Sprintf("redistest %s %s", redis.Addr, manner),
		dns:      caddytest.NewDNSServer(t, "udp", caddytest.Records(t, "@ 60 IN A 192.0.2.1")),
		app:      caddytest.NewUpstream(t, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusOK) }),
	}
	f.chat = caddytest.NewUpstream(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		if strings.Contains(r.Header.Get("Authorization"), limitedKey) {
			w.Header().Set("Retry-After", "1800")
			w.WriteHeader(http.StatusTooManyRequests)
			_, _ = io.WriteString(w, `{"error":{"message":"Rate limit reached","type":"requests","code":"rate_limit_exceeded"}}`)
			return
		}
		_, _ = io.WriteString(w, completion)
	})
	f.add(machines)
	return f
}

// zoneAtNoon returns a time zone in which it is about noon: no day, and no month, may
// end while its quota is used up.
func zoneAtNoon(now time.Time) string {
	// The sign of these names is the opposite of the usual one.
	return fmt.Sprintf("Etc/GMT%+d", now.UTC().Hour()-12)
}

// add starts more machines.
func (f *fleet) add(machines int) {
	f.t.Helper()
	for range machines {
		m := &machine{fleet: f, addr: caddytest.Addr(f.t), admin: caddytest.Addr(f.t)}
		f.all = append(f.all, m)
		m.start()
	}
}

// start starts a machine, or starts it again.
func (m *machine) start() {
	m.fleet.t.Helper()
	caddyfile := fmt.Sprintf(`{
	admin %s
	persist_config off
	storage %s
	ledger_interval %s
	log {
		level ERROR
	}
	keepalive {
		interval 1s
		jitter 0%%
		target app %s
	}
}
http://%s {
	handle /dns-query {
		doh {
			cache off
			upstream udp://%s {
				quota %d/month %s
			}
		}
	}
	handle {
		llm_gateway {
			client alice alice-key
			channel limited %s {
				api_key %s
				models  m
			}
			channel good %s {
				api_key %s
				models  m
				quota   %d/day %s
			}
			channel many %s {
				api_key sk-many-key-1001 sk-many-key-1002 sk-many-key-1003 sk-many-key-1004 sk-many-key-1005
				models  k
			}
		}
	}
}
`, m.admin, m.fleet.storage, m.fleet.interval, m.fleet.app.URL, m.addr, m.fleet.dns.Addr(), m.fleet.quota, m.fleet.zone,
		m.fleet.chat.URL, limitedKey, m.fleet.chat.URL, goodKey, chatQuota, m.fleet.zone, m.fleet.chat.URL)
	config, err := caddytest.Adapt(caddyfile)
	if err != nil {
		m.fleet.t.Fatal(err)
	}
	m.Process = caddytest.StartProcess(m.fleet.t, m.fleet.t.TempDir(), string(config))
}

var client = &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: 30 * time.Second}

// send is for goroutines, too: an error fails the test and is status 0.
func (m *machine) send(method, url, contentType string, body []byte) (int, []byte) {
	m.fleet.t.Helper()
	req, err := http.NewRequest(method, url, bytes.NewReader(body))
	if err != nil {
		m.fleet.t.Error(err)
		return 0, nil
	}
	req.Header.Set("Authorization", "Bearer alice-key")
	if contentType != "" {
		req.Header.Set("Content-Type", contentType)
	}
	resp, err := client.Do(req)
	if err != nil {
		m.fleet.t.Error(err)
		return 0, nil
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		m.fleet.t.Error(err)
	}
	return resp.StatusCode, text
}

// complete asks for a chat and reports whether it was answered.
func (m *machine) complete() bool {
	m.fleet.t.Helper()
	// Each is a conversation of its own: one that goes on stays with its key.
	return m.say("m", fmt.Sprint("hi ", m.fleet.asked.Add(1)))
}

// say begins a conversation with a model, or goes on with it.
func (m *machine) say(model, text string) bool {
	m.fleet.t.Helper()
	status, answer := m.send(http.MethodPost, "http://"+m.addr+"/v1/chat/completions", "application/json",
		fmt.Appendf(nil, `{"model":%q,"messages":[{"role":"user","content":%q}]}`, model, text))
	if status != http.StatusOK && status != http.StatusTooManyRequests {
		m.fleet.t.Errorf("a chat has status %d: %s", status, answer)
	}
	return status == http.StatusOK
}

// resolve makes a query and reports whether it was answered.
func (m *machine) resolve() bool {
	m.fleet.t.Helper()
	query, err := new(dns.Msg).SetQuestion(fmt.Sprintf("www%d.example.", m.fleet.asked.Add(1)), dns.TypeA).Pack()
	if err != nil {
		m.fleet.t.Error(err)
		return false
	}
	_, text := m.send(http.MethodPost, "http://"+m.addr+"/dns-query", "application/dns-message", query)
	response := new(dns.Msg)
	if err := response.Unpack(text); err != nil {
		m.fleet.t.Errorf("%v: %q", err, text)
		return false
	}
	return response.Rcode == dns.RcodeSuccess
}

// used returns how much of the quotas is used, as the machine sees it.
func (m *machine) used() (chats, queries int64) {
	m.fleet.t.Helper()
	var channels []struct {
		Name string
		Keys []struct{ Quotas []struct{ Used int64 } }
	}
	m.admins("/llm-gateway/channels", &channels)
	for _, channel := range channels {
		for _, key := range channel.Keys {
			for _, quota := range key.Quotas {
				chats += quota.Used
			}
		}
	}
	var upstreams []struct{ Quota *struct{ Used int64 } }
	m.admins("/doh/upstreams", &upstreams)
	for _, upstream := range upstreams {
		if upstream.Quota != nil {
			queries += upstream.Quota.Used
		}
	}
	return chats, queries
}

// inCooldown reports whether the machine knows that the limited key is in cooldown.
func (m *machine) inCooldown() bool {
	m.fleet.t.Helper()
	_, text := m.send(http.MethodGet, "http://"+m.admin+"/llm-gateway/channels", "", nil)
	return strings.Contains(string(text), `"until"`)
}

func (m *machine) admins(path string, into any) {
	m.fleet.t.Helper()
	status, text := m.send(http.MethodGet, "http://"+m.admin+path, "", nil)
	if err := json.Unmarshal(text, into); err != nil || status != http.StatusOK {
		m.fleet.t.Fatalf("%s: status %d, %v: %s", path, status, err, text)
	}
}

// eventually waits until f holds.
func (f *fleet) eventually(what string, hold func() bool) {
	f.t.Helper()
	for deadline := time.Now().Add(60 * time.Second); !hold(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			f.t.Fatalf("never: %s", what)
		}
	}
}

// agree waits until all machines have counted what the upstreams were asked.
func (f *fleet) agree(when string) {
	f.t.Helper()
	deadline := time.Now().Add(60 * time.Second)
	for i, m := range f.all {
		for {
			chats, queries := m.used()
			if chats == int64(f.chats(goodKey)) && queries == int64(f.queries()) {
				break
			}
			if time.Now().After(deadline) {
				f.t.Fatalf("%s, machine %d knows of %d chats and %d queries; sent were %d and %d",
					when, i, chats, queries, f.chats(goodKey), f.queries())
			}
			time.Sleep(20 * time.Millisecond)
		}
	}
}

// chats returns how often the provider was asked with a key.
func (f *fleet) chats(key string) (n int) {
	for _, r := range f.chat.Requests() {
		if strings.Contains(r.Header.Get("Authorization"), key) {
			n++
		}
	}
	return n
}

func (f *fleet) queries() int { return len(f.dns.Queries()) }
