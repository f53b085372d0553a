package llmgateway

import (
	"bytes"
	"context"
	"encoding/base64"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jonboulle/clockwork"

	"github.com/caddy-freetier/caddy-freetier/internal/caddytest"
)

func TestMain(m *testing.M) { caddytest.Main(m) }

// google is a mock of Gemini's resumable uploads. It takes the place of a handler
// and keeps what was uploaded.
// Source: https://ai.google.dev/gemini-api/docs/files
type google struct {
	*caddytest.Upstream
	key     string
	started func() // called before an upload's URL is given, nil for nothing

	// urls gives the upload's URL, by default the usual one.
	url func(id string) string

	mu    sync.Mutex
	files map[string]*bytes.Buffer
	final map[string]bool
}

func newGoogle(t testing.TB, key string) *google {
	g := &google{key: key, files: make(map[string]*bytes.Buffer), final: make(map[string]bool)}
	g.Upstream = caddytest.NewUpstream(t, g.serve)
	g.url = func(id string) string {
		return g.URL + "/upload/v1beta/files?key=" + url.QueryEscape(key) + "&upload_id=" + id + "&upload_protocol=resumable"
	}
	return g
}

func (g *google) serve(w http.ResponseWriter, r *http.Request) {
	command, id := r.Header.Get("X-Goog-Upload-Command"), r.URL.Query().Get("upload_id")
	if r.Header.Get("X-Goog-Api-Key") != g.key {
		caddytest.JSON(403, `{"error":{"code":403,"message":"no key","status":"PERMISSION_DENIED"}}`)(w, r)
		return
	}
	switch {
	case strings.HasPrefix(r.URL.Path, "/v1beta/files/"):
		caddytest.JSON(200, g.file(strings.TrimPrefix(r.URL.Path, "/v1beta/files/"), "ACTIVE"))(w, r)
	case r.URL.Path != "/upload/v1beta/files":
		http.NotFound(w, r)
	case id == "" && command == "start" && r.Header.Get("X-Goog-Upload-Protocol") == "resumable":
		if g.started != nil {
			g.started()
		}
		g.mu.Lock()
		id := fmt.Sprintf("ABPtcPq_%d", len(g.files))
		g.files[id] = new(bytes.Buffer)
		g.mu.Unlock()
		w.Header().Set("X-Goog-Upload-Status", "active")
		w.Header().Set("X-Goog-Upload-Url", g.url(id))
		w.Header().Set("X-Goog-Upload-Control-Url", g.url(id))
		w.Header().Set("X-Goog-Upload-Chunk-Granularity", "8388608")
		w.Header().Set("X-Guploader-Uploadid", id)
	default:
		g.upload(w, r, id, command)
	}
}

func (g *google) upload(w http.ResponseWriter, r *http.Request, id, command string) {
	body, err := io.ReadAll(r.Body)
	g.mu.Lock()
	defer g.mu.Unlock()
	file, ok := g.files[id]
	switch {
	case err != nil || !ok || g.final[id]:
		caddytest.JSON(404, `{"error":{"code":404,"message":"no upload","status":"NOT_FOUND"}}`)(w, r)
		return
	case strings.Contains(command, "upload") && r.Header.Get("X-Goog-Upload-Offset") != strconv.Itoa(file.Len()):
		caddytest.JSON(400, `{"error":{"code":400,"message":"wrong offset","status":"INVALID_ARGUMENT"}}`)(w, r)
		return
	}
	file.Write(body)
	status := "active"
	if strings.Contains(command, "finalize") {
		status, g.final[id] = "final", true
	}
	w.Header().Set("X-Goog-Upload-Status", status)
	w.Header().Set("X-Goog-Upload-Size-Received", strconv.Itoa(file.Len()))
	if status == "final" {
		caddytest.JSON(200, `{"file":`+g.describe(id, "PROCESSING")+`}`)(w, r)
	}
}

func (g *google) file(id, state string) string {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.describe(id, state)
}

func (g *google) describe(id, state string) string {
	return fmt.Sprintf(`{"name":"files/%s","uri":"https://generativelanguage.googleapis.com/v1beta/files/%[1]s","mimeType":"text/plain","sizeBytes":"%d","state":%q}`,
		id, g.files[id].Len(), state)
}

// uploaded returns what was uploaded as a whole.
func (g *google) uploaded(id string) []byte {
	g.mu.Lock()
	defer g.mu.Unlock()
	if !g.final[id] {
		return nil
	}
	return g.files[id].Bytes()
}

var startHeader = []string{
	"Authorization", "", "X-Goog-Api-Key", "alice-key", "X-Goog-Upload-Protocol", "resumable", "X-Goog-Upload-Command", "start",
	"X-Goog-Upload-Header-Content-Length", "10", "X-Goog-Upload-Header-Content-Type", "text/plain",
}

// begin begins an upload and returns the URL that the client gets.
func (g *testGateway) begin(t testing.TB, prefix string, header ...string) *url.URL {
	t.Helper()
	a := g.do(t, http.MethodPost, prefix+"/upload/v1beta/files", `{"file":{"display_name":"a"}}`, append(startHeader, header...)...)
	a.wantStatus(t, 200)
	u, err := url.Parse(a.Header.Get("X-Goog-Upload-Url"))
	if err != nil || a.Header.Get("X-Goog-Upload-Status") != "active" {
		t.Fatalf("%v: %v", err, a.Header)
	}
	return u
}

// part sends a part of an upload, without any key.
func (g *testGateway) part(t testing.TB, u *url.URL, text, command string, offset int, header ...string) answer {
	t.Helper()
	return g.do(t, http.MethodPost, u.RequestURI(), text, append([]string{
		"Authorization", "", "Content-Type", "text/plain", "X-Goog-Upload-Command", command, "X-Goog-Upload-Offset", strconv.Itoa(offset),
	}, header...)...)
}

func uploadOptions(g *google) string {
	return "default_channel a\nchannel a " + g.URL + "/v1beta {\nauth x-goog-api-key\napi_key other-key-0 " + g.key + "\nmodels m\n}"
}

// An upload goes on at the gateway, where the client was, with the channel's key
// that has begun it, and neither the key nor the channel's URL reaches the client.
func TestResumableUpload(t *testing.T) {
	google := newGoogle(t, "sk-channel/key+1")
	addr := caddytest.Addr(t)
	c := caddytest.Start(t, "http://"+addr+" {\nhandle_path /ai/* {\nllm_gateway {\nclient alice alice-key\nretry_on 403\n"+uploadOptions(google)+"\n}\n}\n}")
	g := &testGateway{Caddy: c, URL: "http://" + addr, client: c.Client()}
	u := g.begin(t, "/ai")
	if u.Scheme != "http" || u.Host != addr || u.Path != "/ai/upload/v1beta/files" || len(u.Query()) != 1 {
		t.Fatalf("the client gets %s", u)
	}
	for i, text := range []string{"01234", "56789"} {
		a := g.part(t, u, text, "upload", 5*i)
		a.wantStatus(t, 200)
		if a.Header.Get("X-Goog-Upload-Status") != "active" || a.Header.Get("X-Goog-Upload-Size-Received") != strconv.Itoa(5*i+5) {
			t.Errorf("part %d: %v", i, a.Header)
		}
	}
	if a := g.part(t, u, "", "query", 0); a.Header.Get("X-Goog-Upload-Size-Received") != "10" {
		t.Errorf("query: status %d, %v", a.StatusCode, a.Header)
	}
	g.part(t, u, "x", "upload", 0).wantStatus(t, 400)
	a := g.part(t, u, "", "finalize", 10)
	a.wantStatus(t, 200)
	if a.Header.Get("X-Goog-Upload-Status") != "final" || a.Header.Get("X-Gateway-Channel") != "a" || !strings.Contains(a.text, "files/ABPtcPq_0") {
		t.Errorf("finalize: %v, %s", a.Header, a.text)
	}
	if got := string(google.uploaded("ABPtcPq_0")); got != "0123456789" {
		t.Errorf("uploaded: %q", got)
	}
	for _, r := range google.Requests() {
		if got, err := url.ParseRequestURI(r.URI); err != nil || strings.Contains(fmt.Sprint(r.URI, r.Header), "alice") || got.Query().Has("key") || got.Query().Has(uploadParameter) {
			t.Errorf("the channel got %s, %v", r.URI, r.Header)
		}
	}
	if n := g.Metric(`caddy_llm_gateway_requests_total{client="alice"}`); n < 6 {
		t.Errorf("%v requests were counted", n)
	}
}

// The URL shows the client's way to the gateway: the protocol that it speaks, and
// what a trusted proxy says of that.
func TestUploadURL(t *testing.T) {
	google := newGoogle(t, "sk-channel-key-1")
	options := "client alice alice-key\n" + uploadOptions(google)
	forwarded := []string{"X-Forwarded-Proto", "https", "X-Forwarded-Host", "ai.example.com"}
	check := func(g *testGateway, want string, header ...string) {
		t.Helper()
		u := g.begin(t, "", header...)
		if u.RawQuery = ""; u.String() != want+"/upload/v1beta/files" {
			t.Errorf("with %v the client gets %s, want %s", header, u, want)
		}
	}
	google.key = "other-key-0" // the first one that is asked
	g := start(t, options)
	check(g, g.URL)
	google.key = "sk-channel-key-1"
	check(g, g.URL, forwarded...)
	g.Stop()
	google.key = "other-key-0"
	secure, _ := startTLS(t, options)
	check(secure, secure.URL)
	secure.Stop()

	addr := caddytest.Addr(t)
	c := caddytest.Start(t, "{\nservers {\ntrusted_proxies static 127.0.0.0/8\n}\n}\nhttp://"+addr+" {\nllm_gateway {\n"+strings.Replace(options, "other-key-0", "", 1)+"\n}\n}")
	google.key = "sk-channel-key-1"
	g = &testGateway{Caddy: c, URL: "http://" + addr, client: c.Client()}
	check(g, g.URL)
	check(g, "https://ai.example.com", forwarded...)
	check(g, "https://ai.example.com:8443", "X-Forwarded-Proto", "HTTPS, http", "X-Forwarded-Host", "ai.example.com:8443, inner")
	check(g, g.URL, "X-Forwarded-Proto", "javascript", "X-Forwarded-Host", "evil/path")
}

// A handle is worth nothing when it is forged, old, another's, or when what it
// names is gone.
func TestUploadHandles(t *testing.T) {
	google := newGoogle(t, "sk-channel-key-1")
	clock := clockwork.NewFakeClock()
	addr := caddytest.Addr(t)
	clients := "client alice alice-key\nclient bob bob-key\n"
	channel := "default_channel a\nchannel a " + google.URL + "/v1beta {\nauth x-goog-api-key\napi_key sk-channel-key-1\nmodels m\n}"
	c := caddytest.Start(t, site(addr, clients+channel), caddytest.WithFakeClock(clock))
	g := &testGateway{Caddy: c, URL: "http://" + addr, client: c.Client()}
	invalid := &url.URL{Path: "/upload/v1beta/files", RawQuery: uploadParameter + "=" + strings.Repeat("A", 200)}
	g.part(t, invalid, "x", "upload", 0).wantGoogleError(t, 404, "NOT_FOUND") // before there is a secret
	if _, err := os.Stat(filepath.Join(c.Storage, filepath.FromSlash(sealSecretPath))); err == nil {
		t.Error("a forged handle has made a secret")
	}
	u := g.begin(t, "")
	before := len(google.Requests())
	sealed := u.Query().Get(uploadParameter)
	raw, err := base64.RawURLEncoding.DecodeString(sealed)
	if err != nil {
		t.Fatal(err)
	}
	if bytes.Contains(raw, []byte("alice")) || bytes.Contains(raw, []byte("127.0.0.1")) {
		t.Errorf("the handle shows what it is made of: %q", raw)
	}
	for i := range raw {
		forged := bytes.Clone(raw)
		forged[i] ^= 1
		invalid.RawQuery = uploadParameter + "=" + base64.RawURLEncoding.EncodeToString(forged)
		if a := g.part(t, invalid, "x", "upload", 0); a.StatusCode != 404 {
			t.Fatalf("with byte %d changed: status %d", i, a.StatusCode)
		}
	}
	for _, query := range []string{"", "A", sealed[:20], sealed + "A", sealed + "=", "%00", strings.Repeat("A", 12_000), sealed + "&" + uploadParameter + "=" + sealed} {
		invalid.RawQuery = uploadParameter + "=" + query
		g.part(t, invalid, "x", "upload", 0).wantGoogleError(t, 404, "NOT_FOUND")
	}
	g.part(t, u, "x", "upload", 0, "X-Goog-Api-Key", "bob-key").wantGoogleError(t, 403, "PERMISSION_DENIED")
	g.part(t, u, "x", "upload", 0, "X-Goog-Api-Key", "wrong").wantGoogleError(t, 401, "UNAUTHENTICATED")
	g.do(t, http.MethodGet, u.RequestURI(), "", "Authorization", "").wantStatus(t, 405)
	g.do(t, http.MethodPatch, u.RequestURI(), "", "Authorization", "").wantStatus(t, 405)
	for name, options := range map[string]string{
		"another client":    strings.Replace(clients, "alice alice-key", "carol alice-key", 1) + channel,
		"a limited client":  strings.Replace(clients, "alice alice-key", "alice alice-key {\nmodels m\n}", 1) + channel,
		"another channel":   clients + strings.NewReplacer("channel a", "channel b", "default_channel a", "default_channel b").Replace(channel),
		"another provider":  clients + strings.Replace(channel, google.URL, "http://127.0.0.1:1", 1),
		"another key":       clients + strings.Replace(channel, "sk-channel-key-1", "sk-channel-key-2", 1),
		"nobody any longer": "anonymous\n" + channel,
	} {
		c.Reload(site(addr, options))
		if a := g.part(t, u, "x", "upload", 0); a.StatusCode != 404 {
			t.Errorf("%s: status %d", name, a.StatusCode)
		}
	}
	c.Reload(site(addr, clients+channel))
	clock.Advance(uploadTime)
	g.part(t, u, "x", "upload", 0).wantGoogleError(t, 404, "NOT_FOUND")
	clock.Advance(-time.Second)
	if n := len(google.Requests()); n != before {
		t.Errorf("%d requests reached the channel", n-before)
	}
	g.part(t, u, "x", "upload, finalize", 0, "X-Goog-Api-Key", "alice-key").wantStatus(t, 200)
	c.Logs.Wait(t, "http.log.access", sealed)
	for line := range strings.Lines(c.Logs.String()) {
		if strings.Contains(line, sealed) && !strings.Contains(line, `"http.log.access"`) {
			t.Errorf("a log of ours shows the handle: %s", line)
		}
	}
}

// An upload goes on at the channel's host or one of the same provider's, and
// nowhere else.
func TestUploadGoesElsewhere(t *testing.T) {
	google := newGoogle(t, "sk-channel-key-1")
	other := caddytest.NewTLSUpstream(t, caddytest.JSON(200, completion))
	g := start(t, "default_channel a\nchannel a "+google.URL+" {\nauth x-goog-api-key\napi_key sk-channel-key-1\nmodels m\n}")
	for _, location := range []string{
		other.URL + "/upload?upload_id=1", "http://127.0.0.1:1/upload?upload_id=1", "https://169.254.169.254/upload", "https://upload.example.com/",
		"//" + other.Addr() + "/", "file:///etc/passwd", "https://", "%zz", "https://user:pass@" + google.Addr() + "/", google.URL + "/sk-channel-key-1/upload",
	} {
		google.url = func(string) string { return location }
		a := g.do(t, http.MethodPost, "/upload/v1beta/files", "{}", startHeader...)
		a.wantGoogleError(t, 502, "UNAVAILABLE")
		if a.Header["X-Goog-Upload-Url"] != nil || a.Header["X-Goog-Upload-Control-Url"] != nil || strings.Contains(a.text, "upload_id") {
			t.Errorf("%s: the client gets %v, %s", location, a.Header, a.text)
		}
	}
	if n := len(other.Requests()); n > 0 {
		t.Errorf("the other host got %d requests", n)
	}
}

func TestTakesUploads(t *testing.T) {
	for _, tc := range []struct {
		base, url string
		want      bool
	}{
		{"https://generativelanguage.googleapis.com/v1beta", "https://generativelanguage.googleapis.com/upload/v1beta/files?upload_id=1", true},
		{"https://generativelanguage.googleapis.com", "https://GenerativeLanguage.googleapis.com:443/upload", true},
		{"https://generativelanguage.googleapis.com", "https://storage.googleapis.com/upload", true},
		{"https://generativelanguage.googleapis.com", "http://storage.googleapis.com/upload", false},
		{"https://generativelanguage.googleapis.com", "http://generativelanguage.googleapis.com/upload", false},
		{"https://generativelanguage.googleapis.com", "https://googleapis.com.evil.example/upload", false},
		{"https://generativelanguage.googleapis.com", "https://evilgoogleapis.com/upload", false},
		{"https://api.example.co.uk", "https://up.example.co.uk/", true},
		{"https://api.example.co.uk", "https://other.co.uk/", false},
		{"http://127.0.0.1:8080", "http://127.0.0.1:8080/x", true},
		{"http://127.0.0.1:8080", "http://127.0.0.1:8081/x", false},
		{"http://127.0.0.1:8080", "https://127.0.0.1:8080/x", false},
		{"http://localhost", "http://localhost:80/x", true},
		{"http://localhost", "https://localhost/x", false},
		{"https://[2001:db8::1]", "https://[2001:db8::2]/", false},
		{"https://8.8.8.8", "https://9.8.8.8/", false},
	} {
		c := &Channel{URL: tc.base}
		if err := c.setURL(c.URL); err != nil {
			t.Fatal(err)
		}
		u, err := url.Parse(tc.url)
		if err != nil {
			t.Fatal(err)
		}
		if got := c.takesUploads(u); got != tc.want {
			t.Errorf("%s to %s: %v, want %v", tc.base, tc.url, got, tc.want)
		}
	}
}

// An upload's part goes to the channel as it arrives and is kept nowhere: the
// channel has its beginning before its end is sent.
func TestUploadIsStreamed(t *testing.T) {
	google := newGoogle(t, "sk-channel-key-1")
	g := start(t, "max_body 1MB\ndefault_channel a\nchannel a "+google.URL+" {\nauth x-goog-api-key\napi_key sk-channel-key-1\nmodels m\n}")
	u := g.begin(t, "")
	arrived := make(chan struct{})
	google.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.CopyN(io.Discard, r.Body, 1000)
		close(arrived)
		n, _ := io.Copy(io.Discard, r.Body)
		fmt.Fprint(w, 1000+n)
	})
	body, send := io.Pipe()
	req, _ := http.NewRequest(http.MethodPost, u.String(), body)
	done := make(chan string)
	go func() {
		res, err := g.client.Do(req)
		if err != nil {
			done <- err.Error()
			return
		}
		defer res.Body.Close()
		text, _ := io.ReadAll(res.Body)
		done <- string(text)
	}()
	part := make([]byte, 1<<20)
	_, _ = send.Write(part)
	<-arrived
	_, _ = send.Write(part)
	send.Close()
	if got := <-done; got != fmt.Sprint(2<<20) {
		t.Errorf("the channel got %s bytes", got)
	}
}

// Google's storage speaks of an incomplete upload with 308, and of a redirect too.
func TestUploadStatus308(t *testing.T) {
	google := newGoogle(t, "sk-channel-key-1")
	g := start(t, "default_channel a\nchannel a "+google.URL+" {\nauth x-goog-api-key\napi_key sk-channel-key-1\nmodels m\n}")
	u := g.begin(t, "")
	google.Handle(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Range", "bytes=0-4")
		if r.Header.Get("Content-Range") == "" {
			w.Header().Set("Location", "http://127.0.0.1:1/")
		}
		w.WriteHeader(http.StatusPermanentRedirect)
	})
	a := g.do(t, http.MethodPut, u.RequestURI(), "01234", "Authorization", "", "Content-Range", "bytes 0-4/10")
	a.wantStatus(t, 308)
	if a.Header.Get("Range") != "bytes=0-4" {
		t.Errorf("the client gets %v", a.Header)
	}
	g.do(t, http.MethodPut, u.RequestURI(), "01234", "Authorization", "").wantGoogleError(t, 502, "UNAVAILABLE")
}

// Google's SDK uploads a file in parts: behind handle_path, to instances that
// share nothing but their storage, of which one begins the upload and the other
// goes on with it, and over a reload in between.
func TestGoogleSDKUploads(t *testing.T) {
	node := caddytest.Program(t, "node")
	installSDKs(t)
	const size = 20_000_000 // three parts
	google := newGoogle(t, "sk-channel/key+1")
	storage := t.TempDir()
	config := func(addr, options string) string {
		return "{\nadmin off\nstorage file_system " + storage + "\n" + options + "\n}\nhttp://" + addr + " {\nhandle_path /ai/* {\nllm_gateway {\n" +
			"client alice alice-key\ndefault_channel a\nchannel a " + google.URL + "/v1beta {\nauth x-goog-api-key\napi_key sk-channel/key+1\nmodels m\n}\n}\n}\n}"
	}
	addrs := []string{caddytest.Addr(t), caddytest.Addr(t)}
	first := caddytest.Start(t, strings.Replace(config(addrs[0], ""), "admin off\n", "", 1), caddytest.WithStorage(storage))
	google.started = func() { first.Reload(strings.Replace(config(addrs[0], "grace_period 1s"), "admin off\n", "", 1)) }
	second, err := caddytest.Adapt(config(addrs[1], "persist_config off"))
	if err != nil {
		t.Fatal(err)
	}
	caddytest.StartProcess(t, t.TempDir(), string(second))
	var parts [2]atomic.Int32
	balancer := httptest.NewServer(&httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) {
		to := 0
		if r.In.URL.Query().Has(uploadParameter) {
			to = int(parts[0].Load()+parts[1].Load()+1) % 2 // the second one has the first part
			parts[to].Add(1)
		}
		r.Out.URL.Scheme, r.Out.URL.Host, r.Out.Host = "http", addrs[to], r.In.Host
	}})
	defer balancer.Close()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, node, "upload.mjs", balancer.URL+"/ai", strconv.Itoa(size))
	cmd.Dir = sdkDir
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if got := strings.TrimSpace(string(out)); err != nil || got != fmt.Sprintf(`{"uploaded":%d,"state":"ACTIVE"}`, size) {
		t.Errorf("%s, %v: %s", got, err, &stderr)
	}
	want := make([]byte, size)
	for i := range want {
		want[i] = byte(i % 251)
	}
	if got := google.uploaded("ABPtcPq_0"); !bytes.Equal(got, want) {
		t.Errorf("%d bytes arrived, not the %d that were sent", len(got), size)
	}
	if parts[0].Load() != 1 || parts[1].Load() != 2 {
		t.Errorf("%d and %d parts went to the two instances", parts[0].Load(), parts[1].Load())
	}
}

// A part of which next to nothing comes is given up, and the upload can go on.
func TestSlowPartOfUpload(t *testing.T) {
	google := newGoogle(t, "sk-channel-key-1")
	clock := clockwork.NewFakeClock()
	g, clients := startTLS(t, "client alice alice-key\ndefault_channel a\nchannel a "+google.URL+" {\nauth x-goog-api-key\napi_key sk-channel-key-1\nmodels m\n}",
		caddytest.WithFakeClock(clock))
	u := g.begin(t, "")
	for proto, client := range clients {
		body, done := startUpload(t, client, g.URL, u.RequestURI())
		fmt.Fprint(body, "a")
		waitFor(t, clock, uploadPeriod, done).wantGoogleError(t, http.StatusRequestTimeout, "DEADLINE_EXCEEDED")
		body.Close()
		if a := g.part(t, u, "", "query", 0); a.Header.Get("X-Goog-Upload-Size-Received") != "0" {
			t.Errorf("%s: the upload does not go on: status %d, %v", proto, a.StatusCode, a.Header)
		}
	}
}
