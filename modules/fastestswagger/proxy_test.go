package fastestswagger_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/jonboulle/clockwork"

	"github.com/caddy-freetier/caddy-freetier/internal/caddytest"
	"github.com/caddy-freetier/caddy-freetier/modules/fastestswagger"
)

// A load has nothing of a client and no key of the proxy's, and is sent to
// the host that requests are sent to.
func TestLoadsCarryNothing(t *testing.T) {
	p := newPlatform(t, caddytest.Echo)
	p.page = "/docs/"
	s := start(t, "/docs/?lang=en", `
		header_up Authorization "Bearer upstream-key"
		header_up X-Api-Key upstream-key
		header_up Host {env.NOT_SET}{http.reverse_proxy.upstream.host}.example
		rewrite /base{uri}
	`, p)
	s.do(http.MethodGet, "")
	s.loaded(p, 0, swagger)
	load := p.Requests()[0]
	if load.Method != http.MethodGet || load.URI != "/docs/?lang=en" || len(load.Body) > 0 {
		t.Errorf("loaded with %s %s", load.Method, load.URI)
	}
	if want := p.Addr(); load.Host != want { // {env.NOT_SET} is unknown, so the Host of header_up is not used
		t.Errorf("Host %q, want %q", load.Host, want)
	}
	for name := range load.Header {
		switch name {
		case "User-Agent", "Accept", "Accept-Encoding":
		default:
			t.Errorf("the load has the header %s: %s", name, load.Header.Get(name))
		}
	}
	if got := s.upstreams()[0]; got.Page != "/docs/" {
		t.Errorf("the admin API shows the page %s, want it without its query", got.Page)
	}
	for _, secret := range []string{"upstream-key", "lang=en"} {
		if n := s.Logs.Count(`"logger":"http.reverse_proxy.selection_policies.fastest-swagger"`, secret); n > 0 {
			t.Errorf("%q is in the policy's log", secret)
		}
	}
}

func TestHostOfThePlatform(t *testing.T) {
	p := newPlatform(t, caddytest.Echo)
	start(t, "", "header_up Host app-{upstream_hostport}", p)
	if got, want := p.Requests()[0].Host, "app-"+p.Addr(); got != want {
		t.Errorf("Host %q, want %q", got, want)
	}
}

// https upstreams are loaded with the proxy's own trust, name and Host.
func TestHTTPS(t *testing.T) {
	names := make(chan string, 10)
	up := caddytest.NewTLSUpstream(t, func(w http.ResponseWriter, r *http.Request) {
		names <- r.TLS.ServerName
		swagger(w, r)
	})
	config := func(transport string) string {
		return "http://" + caddytest.Addr(t) + " {\n\treverse_proxy " + up.URL + " {\n\tlb_policy fastest-swagger\n\ttransport http {\n" + transport + "\n}\n}\n}"
	}
	c := caddytest.Start(t, config("tls_trust_pool file "+up.CAFile(t)+"\ntls_server_name example.com"))
	c.Logs.Wait(t, "upstream loaded", up.Addr())
	if name := <-names; name != "example.com" {
		t.Errorf("TLS name %q, want example.com", name)
	}
	if load := up.Requests()[0]; load.Host != up.Addr() || load.Proto != "HTTP/2.0" {
		t.Errorf("%s with Host %q, want HTTP/2.0 with %q", load.Proto, load.Host, up.Addr())
	}
	// A name from a placeholder that the proxy sets for each upstream.
	c.Reload(config("tls_trust_pool file " + up.CAFile(t) + "\ntls_server_name {http.reverse_proxy.upstream.host}"))
	if up.Next(t); up.Next(t).URI != page {
		t.Error("no load after the reload")
	}
	// Without the trust pool nobody vouches for the upstream.
	c.Reload(config("tls"))
	c.Logs.Wait(t, "upstream is down", "certificate")
}

// A load takes the transport's own way, here with the PROXY protocol, which
// the upstream does not understand.
func TestTransportOptions(t *testing.T) {
	p := newPlatform(t, caddytest.Echo)
	p.gone = true
	s := start(t, "", "transport http {\nproxy_protocol v1\n}", p)
	s.Logs.Wait(t, "sending proxy protocol header")
	s.Logs.Wait(t, "upstream is down", p.Addr())
}

// Loads and requests keep the upstream awake.
func TestAwake(t *testing.T) {
	p := newPlatform(t, caddytest.Echo)
	s := start(t, "", "", p)
	atLoad := caddytest.Awake(t).LastSeen(p.Addr())
	if atLoad.IsZero() {
		t.Error("a load is no traffic")
	}
	s.loaded(p, time.Second, swagger)
	if s.do(http.MethodGet, ""); !caddytest.Awake(t).LastSeen(p.Addr()).After(atLoad) {
		t.Error("a request is no traffic")
	}
}

// Dynamic upstreams are measured from the first request on, and forgotten
// when no request meets them any more.
func TestDynamicUpstreams(t *testing.T) {
	slow, fast := newPlatform(t, caddytest.Echo), newPlatform(t, caddytest.Echo)
	addr := caddytest.Addr(t)
	config := func(dials ...string) string {
		return "http://" + addr + " {\n\treverse_proxy {\n\tdynamic list " + strings.Join(dials, " ") +
			"\n\tlb_policy fastest-swagger {\nfallback first\ntimeout 1000h\n}\n" + stock + "}\n}"
	}
	c := caddytest.Start(t, config(slow.Addr(), fast.Addr()), caddytest.WithFakeClock(clockwork.NewFakeClock()))
	s := &site{Caddy: c, t: t, addr: addr}
	own := `caddy_fastest_swagger_probes_total{result="passed",upstream="` + fast.Addr() + `"}`
	before := s.Metric(own) // of an earlier test, whose port has come again
	s.do(http.MethodGet, "")
	if len(slow.api()) != 1 {
		t.Fatal("the fallback policy did not choose while nothing was known")
	}
	s.begun(slow, fast)
	s.loaded(fast, 100*time.Millisecond, swagger)
	s.loaded(slow, 900*time.Millisecond, swagger)
	s.do(http.MethodGet, "")
	if len(fast.api()) != 1 || len(slow.api()) != 1 {
		t.Errorf("requests: slow %d, fast %d; want 1 each", len(slow.api()), len(fast.api()))
	}
	// The list has new values for each try: what was tried is known by address.
	fast.Handle(fast.serve(caddytest.Answer(http.StatusBadGateway, "", "")))
	if status, body := s.do(http.MethodPut, "whole"); status != http.StatusOK || body != "whole" {
		t.Errorf("status %d %q, want the other upstream's 200", status, body)
	}
	if len(fast.api()) != 2 || len(slow.api()) != 2 {
		t.Errorf("requests: slow %d, fast %d; want 2 each", len(slow.api()), len(fast.api()))
	}
	if n := s.Metric(`caddy_fastest_swagger_probes_total{result="passed",upstream="dynamic"}`); n < 2 {
		t.Errorf("%v loads counted under one label for all dynamic upstreams, want 2", n)
	}
	if s.Metric(own) != before {
		t.Error("a dynamic address is a label of a metric")
	}
	s.pass(2, 50*time.Minute)
	s.begun(slow, fast)
	s.do(http.MethodGet, "")
	s.pass(2, 50*time.Minute)
	if n := len(s.upstreams()); n != 2 {
		t.Errorf("%d upstreams are known, want both: a request met them within the hour", n)
	}
	eventually(t, func() bool {
		s.Clock.Advance(30 * time.Minute)
		return len(s.upstreams()) == 0
	})
	// The loads under way end with them.
	slow.WaitLeft(t)
	fast.WaitLeft(t)
	if n := fastestswagger.Scores(); n != 0 {
		t.Errorf("%d pages are known, want none", n)
	}
	s.do(http.MethodGet, "")
	s.begun(slow, fast)
}

// An upstream is known by one name, however it is written.
func TestName(t *testing.T) {
	p := newPlatform(t, caddytest.Echo)
	_, port, _ := strings.Cut(p.Addr(), ":")
	p.URL = "http://LocalHost:" + port
	s := start(t, "", "", p)
	if name := s.upstreams()[0].Upstream; name != "localhost:"+port || caddytest.Awake(t).LastSeen(name).IsZero() {
		t.Errorf("name %s, last seen %v", name, caddytest.Awake(t).LastSeen(name))
	}
}

// An upstream whose address depends on the request cannot be measured, and
// does not keep the others from it.
func TestUnreadableAddress(t *testing.T) {
	p := newPlatform(t, caddytest.Echo)
	addr := caddytest.Addr(t)
	c := caddytest.Start(t, "http://"+addr+" {\n\treverse_proxy {http.request.header.X-To} "+p.Addr()+
		" {\n\tlb_policy fastest-swagger {\nfallback first\n}\n}\n}", caddytest.WithFakeClock(clockwork.NewFakeClock()))
	s := &site{Caddy: c, t: t, addr: addr}
	s.Logs.Wait(t, "upstream cannot be measured", "X-To")
	s.begun(p)
	s.loaded(p, time.Second, swagger)
	if status, _ := s.do(http.MethodGet, ""); status != http.StatusOK || len(p.api()) != 1 {
		t.Errorf("status %d, want the measured upstream's", status)
	}
}

// A source that brings ever new upstreams takes no more than its share.
func TestManyDynamicUpstreams(t *testing.T) {
	var dials strings.Builder
	for port := range 300 {
		fmt.Fprintf(&dials, " 127.0.0.1:%d", port+1)
	}
	addr := caddytest.Addr(t)
	c := caddytest.Start(t, "http://"+addr+" {\n\treverse_proxy {\n\tdynamic list"+dials.String()+"\n\tlb_policy fastest-swagger\n}\n}",
		caddytest.WithFakeClock(clockwork.NewFakeClock()))
	s := &site{Caddy: c, t: t, addr: addr}
	eventually(t, func() bool {
		s.do(http.MethodGet, "")
		return len(s.upstreams()) >= 256
	})
	for range 3 {
		s.do(http.MethodGet, "")
	}
	if n := len(s.upstreams()); n != 256 {
		t.Errorf("%d upstreams are measured, want 256", n)
	}
}
