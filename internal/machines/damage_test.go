package machines

import (
	"bytes"
	"fmt"
	"io/fs"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/caddy-freetier/caddy-freetier/internal/caddytest"
)

// kinds are the folders of all files that the modules keep in the storage.
var kinds = []string{
	"ledger", "history", "keepalive", "keepalive/notify", "fastest-swagger", "llm_gateway/cooldowns", "llm_gateway/ids",
}

// damages are what can become of a file. What remains of it is nil for a folder in
// its place.
var damages = map[string]func([]byte) []byte{
	"empty":   func([]byte) []byte { return []byte{} },
	"cut off": func(raw []byte) []byte { return raw[:len(raw)/2] },
	"a bit":   func(raw []byte) []byte { raw[len(raw)/2] ^= 1; return raw },
	"zeros":   func(raw []byte) []byte { return make([]byte, len(raw)) },
	"foreign": func([]byte) []byte { return []byte("root:x:0:0:root:/root:/bin/sh\n") },
	"to come": func(raw []byte) []byte { return bytes.Replace(raw, []byte(" 1 "), []byte(" 99 "), 1) },
	"twice":   func(raw []byte) []byte { return append(raw, raw...) },
	"nested":  func([]byte) []byte { return bytes.Repeat([]byte("["), 1<<20) },
	"wrong types": func([]byte) []byte {
		return []byte(`{"tick":5,"by":[],"before":"x","hours":1,"sum":"x","a/b":{"fields":7}}`)
	},
	"null": func([]byte) []byte { return []byte("null") },
	"far": func([]byte) []byte {
		return []byte(`{"tick":"9999-12-31T23:59:59Z","by":"x","sum":1e308,"weight":1e-308,"samples":9,"sampled_at":"9999-12-31T23:59:59Z"}`)
	},
	"huge":     func([]byte) []byte { return bytes.Repeat([]byte("x"), 17<<20) },
	"a folder": func([]byte) []byte { return nil },
}

// whole is a Caddy with all modules that keep files.
type whole struct {
	*machine
	*caddytest.Caddy
	app *caddytest.Upstream // is pinged
}

// startWhole starts it with a storage folder.
func startWhole(t *testing.T, f *fleet, storage string) *whole {
	t.Helper()
	addr := caddytest.Addr(t)
	c := caddytest.Start(t, fmt.Sprintf(`{
	ledger_interval 400ms
	keepalive {
		interval 500ms
		jitter 0%%
		failures 1
		notify %[6]s/notify
		target app %[2]s/ping
		target gone %[6]s
	}
}
http://%[1]s {
	handle /dns-query {
		doh {
			cache off
			upstream udp://%[3]s {
				quota 1000/month
			}
		}
	}
	handle_path /status* {
		status_page
	}
	handle /app/* {
		reverse_proxy %[2]s %[4]s {
			lb_policy fastest-swagger /swagger {
				contains ok
				interval 1s
			}
		}
	}
	handle {
		llm_gateway {
			client alice alice-key
			default_channel good
			channel limited %[4]s {
				api_key %[5]s
				models  m
			}
			channel good %[4]s {
				api_key sk-good-key-0001 sk-good-key-0003
				models  m
				quota   1000/day
			}
		}
	}
}
`, addr, f.app.URL, f.dns.Addr(), f.chat.URL, limitedKey, "http://"+caddytest.Addr(t)), caddytest.WithStorage(storage))
	return &whole{machine: &machine{fleet: f, addr: addr}, Caddy: c, app: f.app}
}

// pings returns how often the app was pinged.
func (w *whole) pings() (n int) {
	for _, r := range w.app.Requests() {
		if r.URI == "/ping" {
			n++
		}
	}
	return n
}

// serve fails the test unless all jobs are done.
func (w *whole) serve(t *testing.T, when string) {
	t.Helper()
	pings := w.pings()
	if !w.complete() {
		t.Errorf("%s: a chat was refused", when)
	}
	w.fleet.eventually(when+", a query is answered", w.resolve)
	if status, _ := w.send(http.MethodGet, "http://"+w.addr+"/app/", "", nil); status != http.StatusOK {
		t.Errorf("%s: status %d of the app", when, status)
	}
	if status, _ := w.send(http.MethodGet, "http://"+w.addr+"/status/", "", nil); status != http.StatusOK {
		t.Errorf("%s: status %d of the status page", when, status)
	}
	w.fleet.eventually(when+", a ping", func() bool { return w.pings() > pings })
}

// files returns the files that the modules keep in a storage folder.
func files(t *testing.T, storage string) map[string][]byte {
	t.Helper()
	found := make(map[string][]byte)
	root := filepath.Join(storage, "freetier")
	err := filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		name, err := filepath.Rel(root, path)
		if err == nil {
			found[name], err = os.ReadFile(path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

// usual are the damages of a plain test run; with FREETIER_FAULTS=1 it is all of them.
var usual = []string{"cut off", "to come", "wrong types", "a folder"}

// newFleetOfOne returns what a Caddy with all modules needs.
func newFleetOfOne(t *testing.T) *fleet {
	t.Helper()
	f := &fleet{
		t:   t,
		dns: caddytest.NewDNSServer(t, "udp", caddytest.Records(t, "@ 60 IN A 192.0.2.1")),
		app: caddytest.NewUpstream(t, caddytest.JSON(http.StatusOK, `"ok"`)),
	}
	f.chat = caddytest.NewUpstream(t, func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.Method == http.MethodGet:
			caddytest.JSON(http.StatusOK, `"ok"`)(w, r)
		case strings.Contains(r.Header.Get("Authorization"), limitedKey):
			w.Header().Set("Retry-After", "1800")
			caddytest.JSON(http.StatusTooManyRequests, `{"error":{"message":"Rate limit reached","type":"requests","code":"rate_limit_exceeded"}}`)(w, r)
		case strings.Contains(r.URL.Path, "files"):
			caddytest.JSON(http.StatusOK, `{"id":"file-abc123","object":"file","purpose":"batch"}`)(w, r)
		default:
			caddytest.JSON(http.StatusOK, completion)(w, r)
		}
	})
	return f
}

// putDamaged writes files, after they were damaged, to a storage folder.
func putDamaged(t *testing.T, storage string, good map[string][]byte, damage func([]byte) []byte) {
	t.Helper()
	for name, raw := range good {
		path := filepath.Join(storage, "freetier", name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		var err error
		if raw := damage(slices.Clone(raw)); raw != nil {
			err = os.WriteFile(path, raw, 0o600)
		} else {
			err = os.Mkdir(path, 0o700)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

// Whatever has become of the files in the storage, Caddy starts, does all its work,
// says once for each file what is wrong, and writes files that are good again.
func TestDamagedFiles(t *testing.T) {
	f := newFleetOfOne(t)
	storage := t.TempDir()
	w := startWhole(t, f, storage)
	for range 30 {
		if f.chats(limitedKey) == 0 {
			w.complete()
		}
	}
	if status, text := w.send(http.MethodPost, "http://"+w.addr+"/v1/files", "multipart/form-data; boundary=x",
		[]byte("--x\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a.jsonl\"\r\n\r\n{}\r\n--x--\r\n")); status != http.StatusOK {
		t.Errorf("an upload has status %d: %s", status, text)
	}
	w.serve(t, "at first")
	missing := func() []string {
		found := files(t, storage)
		return slices.DeleteFunc(slices.Clone(kinds), func(kind string) bool {
			for name := range found {
				if filepath.Dir(name) == kind {
					return true
				}
			}
			return false
		})
	}
	f.eventually("a message waits", func() bool { return !slices.Contains(missing(), "keepalive/notify") })
	w.Stop()
	if missing := missing(); len(missing) > 0 {
		t.Fatalf("there are no files in %v; there are %v", missing, slices.Sorted(maps.Keys(files(t, storage))))
	}
	good := files(t, storage)
	for what, damage := range damages {
		if os.Getenv("FREETIER_FAULTS") == "" && !slices.Contains(usual, what) {
			continue
		}
		t.Run(what, func(t *testing.T) {
			f.t = t
			storage := t.TempDir()
			putDamaged(t, storage, good, damage)
			w := startWhole(t, f, storage)
			w.serve(t, "with damaged files")
			w.Stop()
			for _, word := range []string{"panic", "goroutine "} {
				if n := w.Logs.Count(word); n > 0 {
					t.Errorf("the log has %q:\n%s", word, w.Logs)
				}
			}
			for name := range good {
				if n := w.Logs.Count(`"level":"warn"`, filepath.Base(name)); n > 1 {
					t.Errorf("%s is mentioned %d times", name, n)
				}
			}
			w = startWhole(t, f, storage)
			w.serve(t, "after that")
			w.Stop()
		})
	}
}
