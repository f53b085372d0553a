package llmgateway

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/caddy-freetier/caddy-freetier/internal/caddytest"
)

func TestIsPublic(t *testing.T) {
	for _, addr := range []string{
		"8.8.8.8", "1.1.1.1", "172.15.255.255", "172.32.0.1", "100.63.255.255", "100.128.0.1", "192.0.1.1", "198.17.0.1", "198.20.0.1", "223.255.255.255",
		"2606:4700::1111", "2a00:1450:4001::1", "64:ff9b::8.8.8.8", "::ffff:8.8.8.8",
	} {
		if !isPublic(netip.MustParseAddr(addr)) {
			t.Errorf("%s is taken for one that is not public", addr)
		}
	}
	for _, addr := range []string{
		"0.0.0.0", "0.1.2.3", "10.0.0.1", "100.64.0.1", "100.100.100.200", "127.0.0.1", "127.8.8.8", "168.63.129.16", "169.254.169.254", "172.16.0.1",
		"172.31.255.255", "192.0.0.192", "192.0.2.1", "192.88.99.1", "192.168.1.1", "198.18.0.1", "198.19.255.255", "198.51.100.1", "203.0.113.1",
		"224.0.0.1", "239.1.1.1", "240.0.0.1", "255.255.255.255",
		"::", "::1", "::7f00:1", "::127.0.0.1", "::ffff:127.0.0.1", "::ffff:10.0.0.1", "::ffff:169.254.169.254", "64:ff9b::127.0.0.1", "64:ff9b::10.0.0.1",
		"64:ff9b::169.254.169.254", "64:ff9b:1::8.8.8.8", "100::1", "2001::1", "2001:0:4136:e378:8000:63bf:3fff:fdd2", "2001:db8::1", "2002:7f00:1::", "2002:a00:1::1",
		"3fff::1", "5f00::1", "fc00::1", "fd00:ec2::254", "fd20:ce::254", "fe80::1", "fe80::1%eth0", "fec0::1", "ff02::1", "2606:4700::1%eth0",
	} {
		if isPublic(netip.MustParseAddr(addr)) {
			t.Errorf("%s is taken for public", addr)
		}
	}
	if isPublic(netip.Addr{}) {
		t.Error("no address is taken for public")
	}
}

// redirects is an upstream that redirects all requests to where it is told.
type redirects struct {
	*caddytest.Upstream
	to     atomic.Pointer[string]
	status atomic.Int32
}

func newRedirects(t testing.TB) *redirects {
	r := new(redirects)
	r.status.Store(http.StatusFound)
	r.Upstream = caddytest.NewUpstream(t, func(w http.ResponseWriter, req *http.Request) {
		w.Header().Set("Location", *r.to.Load())
		w.WriteHeader(int(r.status.Load()))
	})
	return r
}

// handlers returns the gateways that run.
func handlers() (list []*gateway) {
	gateways.Range(func(_, value any) bool {
		list = append(list, value.(*gateway))
		return true
	})
	return list
}

// permit makes the gateways take addresses for public that are not, and the
// certificates of test servers for valid.
func permit(t testing.TB, ca string, permitted func(netip.Addr) bool) {
	t.Helper()
	pem, err := os.ReadFile(ca)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(pem)
	for _, h := range handlers() {
		h.uploads.elsewhere = newElsewhere(permitted, &tls.Config{RootCAs: roots})
	}
}

func loopbackToo(addr netip.Addr) bool { return isElsewhere(addr) || addr.IsLoopback() }

// A redirect of an inference path fails the attempt: the next candidate is asked,
// and without one the client gets an error in its dialect. It never gets the
// Location.
func TestRedirectFailsAttempt(t *testing.T) {
	bad := newRedirects(t)
	location := "https://internal.example/v1/chat/completions/?key=sk-channel-key-1"
	bad.to.Store(&location)
	good := caddytest.NewUpstream(t, caddytest.JSON(200, completion))
	alone := "channel bad " + bad.URL + " {\napi_key sk-channel-key-1\nmodels m alone\n}\n"
	g := start(t, alone+"channel good "+good.URL+" {\napi_key k\nmodels m\ntier 2\n}")
	for _, status := range []int{300, 301, 302, 303, 305, 307, 308} {
		bad.status.Store(int32(status))
		a := g.chat(t, "m")
		a.wantStatus(t, 200)
		if a.Header.Get("X-Gateway-Channel") != "good" {
			t.Errorf("status %d: answered by %s", status, a.Header.Get("X-Gateway-Channel"))
		}
		a = g.chat(t, "alone")
		a.wantError(t, 502, "upstream_redirect")
		if all := fmt.Sprint(a.text, a.Header); strings.Contains(all, "internal.example") || a.Header["Location"] != nil {
			t.Errorf("status %d: the client gets %s", status, all)
		}
	}
	g.do(t, http.MethodPost, "/v1beta/models/alone:generateContent", "{}").wantGoogleError(t, 502, "UNAVAILABLE")
}

// Redirects of other paths that name no model are errors that say nothing about
// the channel.
func TestRedirectOfOtherPaths(t *testing.T) {
	up := newRedirects(t)
	location := "http://127.0.0.1:1/v1/files/"
	up.to.Store(&location)
	g := start(t, "default_channel a\nchannel a "+up.URL+" {\napi_key sk-channel-key-1\nmodels m\n}")
	for range 4 {
		a := g.do(t, http.MethodGet, "/v1/files", "")
		a.wantError(t, 502, "upstream_redirect")
		if a.Header["Location"] != nil || strings.Contains(a.text, "127.0.0.1") {
			t.Errorf("the client gets %s, %s", a.text, a.Header["Location"])
		}
	}
	if _, state := g.Admin(http.MethodGet, "/llm-gateway/channels"); strings.Contains(string(state), "until") {
		t.Errorf("the channel is blamed: %s", state)
	}
}

// contentPaths are paths of files' contents.
var contentPaths = []string{
	"/v1/files/file-1/content", "/v1/containers/cntr_1/files/cfile_1/content", "/v1/videos/video_1/content", "/v1/messages/batches/b/results",
	"/v1beta/files/abc:download?alt=media", "/download/v1beta/files/abc:download?alt=media",
}

// Redirects of a file's content lead to no loopback, private or otherwise special
// address, however that is written, and to no other scheme than https.
func TestRedirectsToPublicAddressesOnly(t *testing.T) {
	var asked atomic.Int32
	inside := caddytest.NewTLSUpstream(t, func(w http.ResponseWriter, _ *http.Request) {
		asked.Add(1)
		io.WriteString(w, "inside")
	})
	insideHTTP := caddytest.NewUpstream(t, func(w http.ResponseWriter, _ *http.Request) {
		asked.Add(1)
		io.WriteString(w, "inside")
	})
	_, port, _ := net.SplitHostPort(inside.Addr())
	_, portHTTP, _ := net.SplitHostPort(insideHTTP.Addr())
	up := newRedirects(t)
	g := start(t, "default_channel a\nchannel a "+up.URL+" {\napi_key sk-channel-key-1\nmodels m\n}")
	for _, h := range handlers() {
		h.uploads.elsewhere = newElsewhere(isElsewhere, &tls.Config{InsecureSkipVerify: true})
	}
	locations := []string{
		"http://127.0.0.1:" + portHTTP + "/", "http://localhost:" + portHTTP + "/", "//127.0.0.1:" + portHTTP + "/", up.URL + "/inside", "/inside", "",
		"ftp://127.0.0.1/", "file:///etc/passwd", "https://", "https:///x", "https://%zz/", "javascript:alert(1)", "unix:///run/x.sock",
		"https://user:pass@127.0.0.1:" + port + "/",
	}
	for _, host := range []string{
		"127.0.0.1", "localhost", "localhost.", "127.1", "2130706433", "0x7f000001", "017700000001", "0.0.0.0", "127.0.0.2", "[::1]", "[::]", "[::ffff:127.0.0.1]",
		"[64:ff9b::7f00:1]", "[2002:7f00:1::]", "10.255.255.1", "169.254.169.254", "[fd00::1]", "[fe80::1%25lo]", ownAddress(t),
	} {
		locations = append(locations, "https://"+host+":"+port+"/")
	}
	for _, location := range locations {
		up.to.Store(&location)
		a := g.do(t, http.MethodGet, contentPaths[0], "")
		a.wantError(t, 502, "upstream_redirect")
		if asked.Load() > 0 {
			t.Fatalf("%s was followed", location)
		}
		if a.Header["Location"] != nil || strings.Contains(a.text, port) || strings.Contains(a.text, portHTTP) {
			t.Errorf("%s: the client gets %s, %s", location, a.text, a.Header["Location"])
		}
	}
	if n := len(up.Requests()); n != len(locations) {
		t.Errorf("the channel was asked %d times for %d files", n, len(locations))
	}
}

// ownAddress is one of this machine's addresses other than loopback, if it has
// one.
func ownAddress(t *testing.T) string {
	t.Helper()
	addrs, err := net.InterfaceAddrs()
	if err != nil {
		t.Fatal(err)
	}
	for _, addr := range addrs {
		if ip := addr.(*net.IPNet).IP; !ip.IsLoopback() && ip.To4() != nil {
			return ip.String()
		}
	}
	return "127.0.0.3"
}

// A file's content is fetched from where the channel redirects, and comes without
// the channel's key having been there.
func TestRedirectIsFollowed(t *testing.T) {
	content := strings.Repeat("\x00content\xff", 100_000)
	var hops atomic.Int32
	store := caddytest.NewTLSUpstream(t, nil)
	store.Handle(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if hops.Add(-1) > 0 {
			http.Redirect(w, r, store.URL+"/hop?sig=a%2Fb", http.StatusTemporaryRedirect)
			return
		}
		w.Header().Set("Content-Type", "application/octet-stream")
		w.Header().Set("Set-Cookie", "a=b")
		w.Header().Set("Strict-Transport-Security", "max-age=1")
		http.ServeContent(w, r, "", time.Time{}, strings.NewReader(content))
	}))
	up := newRedirects(t)
	g := start(t, "default_channel a\nchannel a "+up.URL+" {\nauth query key\napi_key sk-channel-key-1\nmodels m\nheader_up X-Secret-Key other-secret-1\n}")
	permit(t, store.CAFile(t), loopbackToo)
	location := store.URL + "/blob?sig=a%2Fb&key=sk-channel-key-1"
	up.to.Store(&location)
	for _, path := range contentPaths {
		for _, n := range []int32{1, 4, 5} {
			hops.Store(n)
			a := g.do(t, http.MethodGet, path, "", "Cookie", "session=1")
			a.wantStatus(t, 200)
			if a.text != content || a.Header["Set-Cookie"] != nil || a.Header["Strict-Transport-Security"] != nil || a.Header["Location"] != nil {
				t.Errorf("%s, %d redirects: %d bytes, %v", path, n, len(a.text), a.Header)
			}
			if got := a.Header.Get("X-Gateway-Channel"); got != "a" {
				t.Errorf("answered by %q", got)
			}
		}
	}
	for _, r := range store.Requests() {
		if all := fmt.Sprint(r.URI, r.Header); strings.Contains(all, "secret") || strings.Contains(all, "sk-channel") || strings.Contains(all, "alice") || strings.Contains(all, "session") {
			t.Errorf("the other host got %s", all)
		}
		if r.URI != "/blob?sig=a%2Fb" && r.URI != "/hop?sig=a%2Fb" {
			t.Errorf("the other host was asked for %s", r.URI)
		}
	}
	hops.Store(6)
	g.do(t, http.MethodGet, contentPaths[0], "").wantError(t, 502, "upstream_redirect")
	hops.Store(1)
	a := g.do(t, http.MethodGet, contentPaths[0], "", "Range", "bytes=1-7")
	a.wantStatus(t, 206)
	if a.text != "content" {
		t.Errorf("the range is %q", a.text)
	}
	hops.Store(1)
	head := g.do(t, http.MethodHead, contentPaths[0], "")
	head.wantStatus(t, 200)
	if head.ContentLength != int64(len(content)) {
		t.Errorf("HEAD announces %d bytes", head.ContentLength)
	}
	hops.Store(1)
	g.do(t, http.MethodPost, contentPaths[1], "{}").wantError(t, 502, "upstream_redirect")
}

// What another host says is not taken for the channel's: its refusals put no key
// in cooldown, and a key that stands in the path of the URL keeps it from being
// asked at all.
func TestRedirectToRefusal(t *testing.T) {
	store := caddytest.NewTLSUpstream(t, nil)
	up := newRedirects(t)
	g := start(t, "default_channel a\nchannel a "+up.URL+" {\napi_key sk-channel-key-1\nmodels m\n}")
	permit(t, store.CAFile(t), loopbackToo)
	location := store.URL + "/blob"
	up.to.Store(&location)
	for _, status := range []int{401, 402, 403, 429, 500, 503} {
		store.Handle(caddytest.JSON(status, "{}"))
		g.do(t, http.MethodGet, contentPaths[0], "").wantError(t, 502, "upstream_redirect")
	}
	for _, status := range []int{404, 416} {
		store.Handle(caddytest.JSON(status, "{}"))
		g.do(t, http.MethodGet, contentPaths[0], "").wantStatus(t, status)
	}
	if _, state := g.Admin(http.MethodGet, "/llm-gateway/channels"); strings.Contains(string(state), "until") {
		t.Errorf("the channel is blamed: %s", state)
	}
	before := len(store.Requests())
	location = store.URL + "/sk-channel-key-1/blob"
	g.do(t, http.MethodGet, contentPaths[0], "").wantError(t, 502, "upstream_redirect")
	if len(store.Requests()) != before {
		t.Error("the key went to another host")
	}
}

// At the channel's own host a file's content is fetched with the key.
func TestRedirectToOwnHost(t *testing.T) {
	for _, auth := range []string{"bearer", "query key"} {
		up := caddytest.NewTLSUpstream(t, func(w http.ResponseWriter, r *http.Request) {
			if strings.HasPrefix(r.URL.Path, "/blob") {
				io.WriteString(w, "content")
				return
			}
			http.Redirect(w, r, "/blob?a=b&"+r.URL.RawQuery, http.StatusFound)
		})
		g := start(t, "default_channel a\nchannel a "+up.URL+" {\napi_key sk-channel/key-1\nauth "+auth+"\nmodels m\ntransport {\ntls_trust_pool file "+up.CAFile(t)+"\n}\n}")
		if a := g.do(t, http.MethodGet, contentPaths[0], ""); a.StatusCode != 200 || a.text != "content" {
			t.Errorf("%s: status %d, %s", auth, a.StatusCode, a.text)
		}
		up.Next(t)
		got, _ := url.ParseRequestURI(up.Next(t).URI)
		if key := got.Query()["key"]; auth == "query key" && (len(key) != 1 || key[0] != "sk-channel/key-1") || got.Query().Get("a") != "b" {
			t.Errorf("the channel was asked for %s", got)
		}
		if r := up.Requests()[1]; auth == "bearer" && bearer(r) != "sk-channel/key-1" {
			t.Errorf("the channel got the headers %v", r.Header)
		}
		g.Stop()
	}
}

// A host to which the channel redirects cannot have a request made with the
// channel's key.
func TestRedirectBackToOwnHost(t *testing.T) {
	store := caddytest.NewTLSUpstream(t, nil)
	up := caddytest.NewTLSUpstream(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/v1/admin/keys" {
			io.WriteString(w, "reached")
			return
		}
		http.Redirect(w, r, store.URL+"/blob", http.StatusFound)
	})
	store.Handle(func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, up.URL+"/v1/admin/keys", http.StatusFound)
	})
	g := start(t, "default_channel a\nchannel a "+up.URL+" {\napi_key sk-channel-key-1\nmodels m\ntransport {\ntls_trust_pool file "+up.CAFile(t)+"\n}\n}")
	permit(t, store.CAFile(t), loopbackToo)
	g.do(t, http.MethodGet, contentPaths[0], "").wantStatus(t, 200)
	for _, r := range up.Requests()[1:] {
		if r.URI != "/v1/admin/keys" || r.Header["Authorization"] != nil {
			t.Errorf("the channel got %s with %v", r.URI, r.Header)
		}
	}
}

// Where the channel is asked through a proxy no other host is, since the proxy
// would look up its name.
func TestRedirectPastProxy(t *testing.T) {
	store := caddytest.NewTLSUpstream(t, caddytest.JSON(200, completion))
	location := store.URL + "/blob"
	proxy := caddytest.NewUpstream(t, func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, location, http.StatusFound)
	})
	g := start(t, "default_channel a\nchannel a http://api.example {\napi_key sk-channel-key-1\nmodels m\ntransport {\nnetwork_proxy url "+proxy.URL+"\n}\n}")
	permit(t, store.CAFile(t), loopbackToo)
	g.do(t, http.MethodGet, contentPaths[0], "").wantError(t, 502, "upstream_redirect")
	if n := len(store.Requests()); n > 0 || len(proxy.Requests()) != 1 {
		t.Errorf("the other host was asked %d times, the proxy %d times", n, len(proxy.Requests()))
	}
}
