// Package caddytest is what the tests stand on: the real Caddy in process with
// a real Caddyfile on free ports, upstreams that record and misbehave, and a
// clock that is turned by hand.
//
// Caddy runs one configuration a process, so tests that call Start do not run
// in parallel with each other.
package caddytest

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig"
	_ "github.com/caddyserver/caddy/v2/modules/standard" // the real Caddy, with all its modules
	"github.com/jonboulle/clockwork"
)

// Caddy is a running Caddy.
type Caddy struct {
	// Clock is the fake clock given by WithFakeClock.
	Clock *clockwork.FakeClock
	// Logs is what this Caddy has logged, at debug level.
	Logs *Logs
	// Storage is the folder of Caddy's storage.
	Storage string

	t     testing.TB
	admin string
	ports map[string]int

	mu         sync.Mutex
	transports []*http.Transport // of Client
}

// Option changes how Start runs Caddy.
type Option func(*Caddy)

// WithFakeClock makes the app `freetier` tell the time by Caddy.Clock, which
// stands still until the test moves it. Default: a clock that goes, from midMonth on.
func WithFakeClock(clock *clockwork.FakeClock) Option {
	return func(c *Caddy) { c.Clock = clock }
}

// WithStorage makes Caddy keep its storage in a folder that outlives it, to
// test restarts. Default: a new folder for each Start.
func WithStorage(dir string) Option {
	return func(c *Caddy) { c.Storage = dir }
}

// Start runs Caddy with the Caddyfile until the test ends.
func Start(t testing.TB, caddyfile string, options ...Option) *Caddy {
	t.Helper()
	c := &Caddy{
		Logs:  new(Logs),
		t:     t,
		admin: Addr(t),
		ports: map[string]int{"http_port": Port(t), "https_port": Port(t)},
	}
	for _, option := range options {
		option(c)
	}
	if c.Storage == "" {
		c.Storage = storageDir(t)
	}
	c.Reload(caddyfile)
	t.Cleanup(c.Stop)
	return c
}

// storageDir returns a folder for Caddy's storage. Caddy does not wait for ever for
// what is written at its end, so on a busy machine a file may come while the folder is
// removed, for which t.TempDir fails a test.
func storageDir(t testing.TB) string {
	t.Helper()
	dir := t.TempDir()
	t.Cleanup(func() {
		for range 50 {
			if os.RemoveAll(dir) == nil {
				return
			}
			time.Sleep(100 * time.Millisecond)
		}
	})
	return dir
}

// Stop ends Caddy before the test ends.
func (c *Caddy) Stop() {
	if err := caddy.Stop(); err != nil {
		c.t.Errorf("stopping Caddy: %v", err)
	}
}

// Reload replaces the configuration and fails the test if Caddy refuses it.
func (c *Caddy) Reload(caddyfile string) {
	c.t.Helper()
	if err := c.TryReload(caddyfile); err != nil {
		c.t.Fatalf("loading the Caddyfile: %v\n%s", err, caddyfile)
	}
}

// TryReload replaces the configuration; on an error the old one stays.
func (c *Caddy) TryReload(caddyfile string) error {
	cfg, err := Adapt(caddyfile)
	if err != nil {
		return err
	}
	return c.TryLoad(cfg)
}

// TryLoad is TryReload for a Caddyfile that was adapted before, as another
// process would do it.
func (c *Caddy) TryLoad(cfg []byte) error {
	cfg, err := c.prepare(cfg)
	if err != nil {
		return err
	}
	ports, err := reusedPorts(cfg)
	if err != nil {
		return err
	}
	use(c)
	c.closeIdleConnections()
	if err := caddy.Load(cfg, true); err != nil {
		return err
	}
	return waitForListeners(ports)
}

// Adapt turns a Caddyfile into JSON. Errors name the file `Caddyfile` and a line.
func Adapt(caddyfile string) ([]byte, error) {
	cfg, _, err := caddyconfig.GetAdapter("caddyfile").
		Adapt([]byte(caddyfile), map[string]any{"filename": "Caddyfile"})
	return cfg, err
}

// prepare sets what keeps a test to itself: the admin address, storage, log,
// ports, the local certificate authority and the clock.
func (c *Caddy) prepare(cfg []byte) ([]byte, error) {
	var root map[string]any
	if err := json.Unmarshal(cfg, &root); err != nil {
		return nil, err
	}
	set := func(value any, path ...string) { setDefault(root, value, path...) }
	set(c.admin, "admin", "listen")
	set(false, "admin", "config", "persist")
	set("file_system", "storage", "module")
	set(c.Storage, "storage", "root")
	set(map[string]any{"format": "json"}, "logging", "logs", "default", "encoder")
	set("DEBUG", "logging", "logs", "default", "level")
	for name := range root["logging"].(map[string]any)["logs"].(map[string]any) {
		set(map[string]any{"output": "caddytest"}, "logging", "logs", name, "writer")
	}
	apps := root["apps"].(map[string]any)
	if apps["events"] == nil {
		// For a debug log Caddy's app tls emits its first events while it
		// still starts, which is a data race of Caddy's own.
		log := root["logging"].(map[string]any)["logs"].(map[string]any)["default"].(map[string]any)
		exclude, _ := log["exclude"].([]any)
		log["exclude"] = append(exclude, "events")
	}
	if _, ok := apps["http"]; ok {
		set(c.ports["http_port"], "apps", "http", "http_port")
		set(c.ports["https_port"], "apps", "http", "https_port")
	}
	set(false, "apps", "pki", "certificate_authorities", "local", "install_trust")
	setClock(root, c.Clock)
	return json.Marshal(root)
}

// setDefault sets a value in a configuration where there is none.
func setDefault(at map[string]any, value any, path ...string) {
	for _, key := range path[:len(path)-1] {
		next, ok := at[key].(map[string]any)
		if !ok {
			next = make(map[string]any)
			at[key] = next
		}
		at = next
	}
	if last := path[len(path)-1]; at[last] == nil {
		at[last] = value
	}
}

// Client returns an HTTP client that trusts Caddy's local certificate
// authority (`tls internal`) and speaks HTTP/2 where the server does.
func (c *Caddy) Client() *http.Client {
	transport := &http.Transport{
		ForceAttemptHTTP2: true,
		TLSClientConfig:   &tls.Config{RootCAs: x509.NewCertPool()},
	}
	if pem, err := os.ReadFile(c.CAFile()); err == nil {
		transport.TLSClientConfig.RootCAs.AppendCertsFromPEM(pem)
	}
	c.t.Cleanup(transport.CloseIdleConnections)
	c.mu.Lock()
	c.transports = append(c.transports, transport)
	c.mu.Unlock()
	return &http.Client{
		Transport:     transport,
		Timeout:       30 * time.Second,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// closeIdleConnections closes the idle connections of clients before a reload. The old
// server closes them in the background, and a POST that is sent at that moment fails.
func (c *Caddy) closeIdleConnections() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, transport := range c.transports {
		transport.CloseIdleConnections()
	}
	http.DefaultClient.CloseIdleConnections()
}

// CAFile is the PEM file of Caddy's local certificate authority, for programs
// like curl and kdig.
func (c *Caddy) CAFile() string {
	return filepath.Join(c.Storage, "pki", "authorities", "local", "root.crt")
}

// Admin calls the admin API and returns the status and the body.
func (c *Caddy) Admin(method, path string) (int, []byte) {
	c.t.Helper()
	req, err := http.NewRequest(method, "http://"+c.admin+path, nil)
	if err != nil {
		c.t.Fatal(err)
	}
	// A connection of its own: each reload replaces the admin server.
	req.Close = true
	resp, err := http.DefaultClient.Do(req)
	for tries := 0; err != nil && repeatable(method, err) && tries < 100; tries++ {
		time.Sleep(5 * time.Millisecond)
		resp, err = http.DefaultClient.Do(req)
	}
	if err != nil {
		c.t.Fatalf("admin API: %v", err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		c.t.Fatalf("admin API: %v", err)
	}
	return resp.StatusCode, body
}

// repeatable tells whether a request that failed can be sent again. Just after
// a reload a connection can still come to the old admin server, which is closing.
func repeatable(method string, err error) bool {
	var network *net.OpError
	return method == http.MethodGet || errors.As(err, &network) && network.Op == "dial"
}

// Metric returns the value of the metric whose line starts with the given
// name and labels, as in `caddy_http_requests_total{handler="doh"}`, and 0
// where there is none.
func (c *Caddy) Metric(series string) float64 {
	c.t.Helper()
	_, body := c.Admin(http.MethodGet, "/metrics")
	for line := range strings.Lines(string(body)) {
		if rest, ok := strings.CutPrefix(line, series+" "); ok {
			var value float64
			if _, err := fmt.Sscan(rest, &value); err != nil {
				c.t.Fatalf("metric %s: %v", series, err)
			}
			return value
		}
	}
	return 0
}

// Addr returns a loopback address on which nothing listens.
func Addr(t testing.TB) string {
	t.Helper()
	return net.JoinHostPort("127.0.0.1", fmt.Sprint(Port(t)))
}
