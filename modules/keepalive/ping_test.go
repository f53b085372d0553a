package keepalive

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/caddy-freetier/caddy-freetier/internal/caddytest"
)

func TestRequest(t *testing.T) {
	t.Setenv("KEEPALIVE_KEY", "k-123")
	t.Setenv("KEEPALIVE_PATH", "v1/chat")
	file := filepath.Join(t.TempDir(), "key")
	write := func(s string) {
		if err := os.WriteFile(file, []byte(s+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("first")
	up := counting(t)
	b := startAt(t, "\t\tjitter 0%\n\t\ttarget chat "+up.URL+"/{env.KEEPALIVE_PATH}?q={time.now.unix_ms} {"+`
			method post
			header Authorization "Bearer {env.KEEPALIVE_KEY}"
			header Content-Type application/json
			header X-Many one
			header X-Many two
			header X-File {file.`+file+`}
			header Host api.example
			header X-Time {time.now.unix_ms}
			body `+"`"+`{"model":"gpt-3.5-turbo","messages":[{"role":"user","content":"在吗"}],"key":"{env.KEEPALIVE_KEY}","at":"{time.now.unix_ms}","x":{unknown}}`+"`\n\t\t}")
	first := up.Next(t)
	if first.Method != http.MethodPost || first.Host != "api.example" || !strings.HasPrefix(first.URI, "/v1/chat?q=1") {
		t.Errorf("got %s %s of %s", first.Method, first.URI, first.Host)
	}
	for name, want := range map[string]string{
		"Authorization": "[Bearer k-123]", "Content-Type": "[application/json]", "X-Many": "[one two]", "X-File": "[first]",
		"User-Agent": "[caddy-freetier keepalive]",
	} {
		if got := fmt.Sprint(first.Header.Values(name)); got != want {
			t.Errorf("%s: got %s, want %s", name, got, want)
		}
	}
	stamp := first.Header.Get("X-Time")
	want := `{"model":"gpt-3.5-turbo","messages":[{"role":"user","content":"在吗"}],"key":"k-123","at":"` + stamp[:6]
	if got := string(first.Body); !strings.HasPrefix(got, want) || !strings.HasSuffix(got, `","x":{unknown}}`) {
		t.Errorf("body: got %s", got)
	}

	// Times are those of the ping, and a key is read again from its file.
	b.settled("chat", 1)
	write("second")
	time.Sleep(2 * time.Millisecond) // Caddy's time placeholders know the system's clock only
	b.tick("chat")
	second := up.Next(t)
	if second.URI == first.URI || second.Header.Get("X-Time") == stamp || string(second.Body) == string(first.Body) {
		t.Error("a time was that of the configuration")
	}
	if got := second.Header.Get("X-File"); got != "second" {
		t.Errorf("the key is %q, want the file's new one", got)
	}

	b.settled("chat", 2)
	os.Remove(file)
	b.tick("chat")
	if r := b.settled("chat", 3); r.err == nil || !strings.Contains(r.err.Error(), "header X-File") {
		t.Errorf("without the file: got %v", r.err)
	}
	if len(up.Requests()) != 2 {
		t.Error("a request without its key was sent")
	}

	_, admin := b.Admin(http.MethodGet, "/keepalive/targets")
	_, metrics := b.Admin(http.MethodGet, "/metrics")
	for _, secret := range []string{"k-123", "first", "second", "v1/chat", "在吗"} {
		for where, text := range map[string]string{"log": b.Logs.String(), "admin answer": string(admin), "metrics": string(metrics)} {
			if strings.Contains(text, `"`+secret) || strings.Contains(text, "Bearer "+secret) || strings.Contains(text, "/"+secret) {
				t.Errorf("the %s holds %q", where, secret)
			}
		}
	}
}

// What is no HTTP is quoted in an error, and can be what was sent.
func TestEcho(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			go func() {
				defer conn.Close()
				_, _ = io.Copy(conn, conn)
			}()
		}
	}()
	echo := "http://" + listener.Addr().String()
	b := startAt(t, "\t\tjitter 0%\n\t\ttarget a "+echo+"/s3cret-path?key=s3cret-query")
	r := b.settled("a", 1)
	if r.err == nil || !strings.Contains(r.err.Error(), "malformed") || strings.Contains(r.err.Error(), "s3cret") {
		t.Errorf("got %v, want an error without what was sent", r.err)
	}
	receiver := &Notification{url: echo + "/s3cret-token", client: http.DefaultClient}
	if err := receiver.send(t.Context(), nil); err == nil || !strings.Contains(err.Error(), "malformed") || strings.Contains(err.Error(), "s3cret") {
		t.Errorf("a notification: got %v, want an error without what was sent", err)
	}
}

func TestUnsetVariables(t *testing.T) {
	for name, option := range map[string]string{
		"url":      "target chat http://127.0.0.1/{env.KEEPALIVE_UNSET}",
		"header":   "target chat http://127.0.0.1 {\n\t\t\theader Authorization \"Bearer {env.KEEPALIVE_UNSET}\"\n\t\t}",
		"body":     "target chat http://127.0.0.1 {\n\t\t\tbody `{\"key\":\"{env.KEEPALIVE_UNSET}\"}`\n\t\t}",
		"upstream": "target chat http://127.0.0.1 {\n\t\t\tupstream {env.KEEPALIVE_UNSET}:443\n\t\t}",
		"file":     "target chat http://127.0.0.1 {\n\t\t\theader X-Key {file./nonexistent/key}\n\t\t}",
	} {
		t.Run(name, func(t *testing.T) {
			err := caddytest.Validate(keepaliveFile("\t\t" + option))
			if err == nil {
				t.Fatal("accepted")
			}
			says := []string{"target chat", "is empty"}
			if name != "file" {
				says = append(says, "variable KEEPALIVE_UNSET is not set", "restart Caddy")
			}
			for _, text := range says {
				if !strings.Contains(err.Error(), text) {
					t.Errorf("the error does not contain %q: %v", text, err)
				}
			}
		})
	}
	t.Setenv("KEEPALIVE_URL", "ftp://s3cret")
	err := caddytest.Validate(keepaliveFile("\t\ttarget chat {env.KEEPALIVE_URL}"))
	if err == nil || !strings.Contains(err.Error(), "target chat: a URL begins with") || strings.Contains(err.Error(), "s3cret") {
		t.Errorf("a URL that is none: got %v", err)
	}
}

// A redirect is the answer; it is not followed, least of all with the key.
func TestRedirect(t *testing.T) {
	elsewhere := counting(t)
	up := caddytest.NewUpstream(t, func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, elsewhere.URL, http.StatusFound)
	})
	b := startAt(t, "\t\tjitter 0%\n\t\ttarget a "+up.URL+"\n\t\ttarget b "+up.URL+"/b {\n\t\t\texpect 2xx 302\n\t\t}")
	if r := b.settled("a", 1); fmt.Sprint(r.err) != "status 302, expected 2xx; it redirects to "+elsewhere.URL {
		t.Errorf("got %v", r.err)
	}
	if r := b.settled("b", 1); r.err != nil {
		t.Errorf("got %v", r.err)
	}
	if n := len(elsewhere.Requests()); n != 0 {
		t.Errorf("%d redirects were followed", n)
	}
}

func TestAnswers(t *testing.T) {
	endless := func(w http.ResponseWriter, _ *http.Request) {
		for {
			if _, err := io.WriteString(w, strings.Repeat("x", 1<<16)); err != nil {
				return
			}
		}
	}
	stalled := func(w http.ResponseWriter, r *http.Request) {
		http.NewResponseController(w).Flush()
		caddytest.Hang(w, r)
	}
	for name, test := range map[string]struct {
		handler http.HandlerFunc
		err     string
	}{
		"endless":   {endless, ""},
		"empty":     {caddytest.Answer(http.StatusNoContent, "", ""), ""},
		"cut off":   {caddytest.CutOff("text/plain", "some"), "the response was cut off"},
		"stalled":   {stalled, "no complete response in time (1m30s)"},
		"not HTTP":  {caddytest.Reset, "EOF"},
		"forbidden": {caddytest.Answer(http.StatusForbidden, "", ""), "status 403, expected 2xx"},
	} {
		t.Run(name, func(t *testing.T) {
			up := caddytest.NewUpstream(t, test.handler)
			b := startAt(t, "\t\tjitter 0%\n\t\ttarget a "+up.URL)
			if name == "stalled" {
				up.Next(t)
				b.advance(90 * time.Second)
			}
			r := b.settled("a", 1)
			if test.err == "" && r.err != nil || test.err != "" && fmt.Sprint(r.err) != test.err {
				t.Errorf("got %v, want %q", r.err, test.err)
			}
		})
	}
}

// Over TLS it is HTTP/2, and no connection is kept for the next ping.
func TestTLS(t *testing.T) {
	from := make(chan string, 2)
	up := caddytest.NewTLSUpstream(t, func(_ http.ResponseWriter, r *http.Request) { from <- r.RemoteAddr })
	b := startAt(t, "\t\tjitter 0%\n\t\ttarget a "+up.URL)
	for i := range 2 {
		if r := b.settled("a", i+1); r.err != nil {
			t.Fatal(r.err)
		}
		if r := up.Next(t); r.Proto != "HTTP/2.0" {
			t.Errorf("pinged with %s", r.Proto)
		}
		if i == 0 {
			b.tick("a")
		}
	}
	if first, second := <-from, <-from; first == second {
		t.Error("a connection was kept")
	}
}
