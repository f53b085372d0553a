package freetier_test

import (
	"bufio"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	caddycmd "github.com/caddyserver/caddy/v2/cmd"

	"github.com/caddy-freetier/caddy-freetier/internal/caddytest"
)

// beCaddy makes the test binary a caddy with all modules, for TestPageOf300Keys.
const beCaddy = "FREETIER_TEST_CADDY"

func TestMain(m *testing.M) {
	if os.Getenv(beCaddy) != "" {
		caddycmd.Main()
		return
	}
	os.Exit(m.Run())
}

const geminiHost = "generativelanguage.googleapis.com"

// geminiMock is Google's API, with its own name and certificate. Keys that end in
// 0007 and 0123 are dead, and 0201 to 0210 have used up their day.
func geminiMock(t *testing.T) (proxy, certFile string) {
	t.Helper()
	certFile, keyFile := caddytest.Certificate(t, geminiHost)
	cert, err := tls.LoadX509KeyPair(certFile, keyFile)
	if err != nil {
		t.Fatal(err)
	}
	mock := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		status, body := 200, `{"id":"1","object":"chat.completion","created":1,"model":"gemini-2.5-flash","choices":[{"index":0,"message":{"role":"assistant","content":"Hello!"},"finish_reason":"stop"}],"usage":{"prompt_tokens":10,"completion_tokens":7,"total_tokens":17}}`
		switch key := r.Header.Get("Authorization"); {
		case strings.HasSuffix(r.URL.Path, "/models"): // anybody may see the list
		case strings.HasSuffix(key, "-0007"), strings.HasSuffix(key, "-0123"):
			status, body = 400, `[{"error":{"code":400,"message":"API key not valid. Please pass a valid API key.","status":"INVALID_ARGUMENT","details":[{"@type":"type.googleapis.com/google.rpc.ErrorInfo","reason":"API_KEY_INVALID"}]}}]`
		case regexp.MustCompile(`-02(0[1-9]|10)$`).MatchString(key):
			status, body = 429, `[{"error":{"code":429,"message":"You exceeded your current quota.","status":"RESOURCE_EXHAUSTED","details":[{"@type":"type.googleapis.com/google.rpc.QuotaFailure","violations":[{"quotaId":"GenerateRequestsPerDayPerProjectPerModel-FreeTier","quotaValue":"20"}]},{"@type":"type.googleapis.com/google.rpc.RetryInfo","retryDelay":"34s"}]}}]`
		}
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
	}))
	mock.TLS = &tls.Config{Certificates: []tls.Certificate{cert}}
	mock.StartTLS()
	t.Cleanup(mock.Close)
	// Connections go through a proxy to the mock, whatever their name is.
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodConnect || r.Host != geminiHost+":443" {
			http.Error(w, "only for the mock", http.StatusForbidden)
			return
		}
		to, err := net.Dial("tcp", mock.Listener.Addr().String())
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadGateway)
			return
		}
		defer to.Close()
		from, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			return
		}
		defer from.Close()
		_, _ = io.WriteString(from, "HTTP/1.1 200 OK\r\n\r\n")
		go func() { _, _ = io.Copy(to, from); _ = to.(*net.TCPConn).CloseWrite() }()
		_, _ = io.Copy(from, to)
	}))
	t.Cleanup(server.CloseClientConnections)
	t.Cleanup(server.Close)
	return server.URL, certFile
}

// keyFile300 is a file with 300 keys.
func keyFile300() string {
	var text strings.Builder
	text.WriteString("# Google AI Studio, projects 1 to 300\n")
	for i := 1; i <= 300; i++ {
		fmt.Fprintf(&text, "AIzaSyExampleExampleExampleExample-%04d", i)
		if i == 3 {
			text.WriteString(" # Alice's")
		}
		text.WriteString("\n")
	}
	return text.String()
}

// pageBlock is a block of a page.
var pageBlock = regexp.MustCompile("(?ms)^```(\\w*)\n(.*?)^```")

// changing is what differs each time.
var changing = []struct {
	pattern *regexp.Regexp
	instead string
}{
	{regexp.MustCompile(`\d+ ms`), "N ms"},
	{regexp.MustCompile(`\d+[smh](\d\dm)? ago`), "AGO"},
	{regexp.MustCompile(`\bin \d+[smh](\d\dm)?`), "SOON"},
	{regexp.MustCompile(`20[2-8]\d-\d\d-\d\dT[\d:.]+Z`), "TIME"},
	{regexp.MustCompile(`pid=\d+`), "pid=P"},
	{regexp.MustCompile(`"date":"[\d-]+"`), `"date":"DAY"`},
	// Which of the refusals is the last one depends on the order of the calls.
	{regexp.MustCompile(`"status":\d+,"scope":"[^"]*","reason":"[^"]*"`), `"status":S`},
	{regexp.MustCompile(` {2,}`), "  "},
}

func steady(text string) string {
	for _, c := range changing {
		text = c.pattern.ReplaceAllString(text, c.instead)
	}
	return strings.TrimSpace(text)
}

// Every command of docs/300-keys.md does what the page says, with the page's
// Caddyfile, a real Caddy, and a mock of the provider.
func TestPageOf300Keys(t *testing.T) {
	caddytest.Program(t, "curl")
	content, err := os.ReadFile("docs/300-keys.md")
	if err != nil {
		t.Fatal(err)
	}
	page := string(content)
	for _, port := range []string{"8080", "2019"} {
		page = strings.ReplaceAll(page, "localhost:"+port, fmt.Sprintf("localhost:%d", caddytest.Port(t)))
	}
	admin := regexp.MustCompile(`admin (localhost:\d+)`).FindStringSubmatch(page)[1]
	page = strings.ReplaceAll(page, "$ caddy freetier check |", "$ caddy freetier check --address "+admin+" |")
	page = strings.ReplaceAll(page, "$ caddy stop ", "$ caddy stop --address "+admin+" ")
	sh := newShell(t)
	sh.write("gemini.keys", keyFile300())
	t.Cleanup(func() { sh.run("caddy stop --address " + admin) })
	commands := 0
	for _, match := range pageBlock.FindAllStringSubmatch(page, -1) {
		switch {
		case match[1] == "" && strings.Contains(match[2], "llm_gateway"):
			sh.write("Caddyfile", match[2])
		case match[1] == "console":
			for _, c := range consoleOf(match[2]) {
				if got := sh.run(c.command); steady(got) != steady(c.output) {
					t.Errorf("$ %s\ngot  %s\nwant %s", c.command, steady(got), steady(c.output))
				}
				commands++
			}
		default:
			t.Errorf("the test does nothing with the block %s", match[2])
		}
	}
	if commands != 17 {
		t.Errorf("%d commands, want 17", commands)
	}
	if log, _ := os.ReadFile(filepath.Join(sh.dir, "caddy.log")); t.Failed() || strings.Contains(string(log), "AIzaSy") {
		t.Errorf("the log: %s", log)
	}
}

// entered is a command, and what it should print.
type entered struct{ command, output string }

func consoleOf(block string) (all []entered) {
	lines := bufio.NewScanner(strings.NewReader(block))
	for lines.Scan() {
		if command, ok := strings.CutPrefix(lines.Text(), "$ "); ok {
			all = append(all, entered{command: command})
			continue
		}
		all[len(all)-1].output += lines.Text() + "\n"
	}
	return all
}

// shell runs commands in a folder.
type shell struct {
	t   *testing.T
	dir string
	env []string
}

// newShell returns a shell in which caddy is this Caddy, which reaches a mock of
// Google's API and nothing else.
func newShell(t *testing.T) shell {
	t.Helper()
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	bin := t.TempDir()
	if err := os.WriteFile(filepath.Join(bin, "caddy"), []byte("#!/bin/sh\n"+beCaddy+"=1 exec '"+program+"' \"$@\"\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	proxy, certFile := geminiMock(t)
	dir := t.TempDir()
	return shell{t, dir, append(os.Environ(),
		"PATH="+bin+":"+os.Getenv("PATH"),
		"HOME="+dir, "XDG_DATA_HOME=", "XDG_CONFIG_HOME=", "NO_PROXY=localhost,127.0.0.1", "no_proxy=localhost,127.0.0.1",
		"HTTPS_PROXY="+proxy, "https_proxy="+proxy, "SSL_CERT_FILE="+certFile)}
}

// write writes a file into the shell's folder.
func (s shell) write(name, text string) {
	s.t.Helper()
	if err := os.WriteFile(filepath.Join(s.dir, name), []byte(text), 0o600); err != nil {
		s.t.Fatal(err)
	}
}

// run returns what a command prints. It prints to a file, which a server that it
// leaves running may keep open.
func (s shell) run(command string) string {
	s.t.Helper()
	out, err := os.CreateTemp("", "output")
	if err != nil {
		s.t.Fatal(err)
	}
	defer os.Remove(out.Name())
	defer out.Close()
	cmd := exec.Command("sh", "-c", command)
	cmd.Dir, cmd.Env, cmd.Stdout, cmd.Stderr = s.dir, s.env, out, out
	_ = cmd.Run() // its output says it
	text, err := os.ReadFile(out.Name())
	if err != nil {
		s.t.Fatal(err)
	}
	return string(text)
}

// A check of a configuration that does not run loads llm_gateway and nothing else:
// it writes no log, opens no listener, and leaves nothing in the storage.
func TestCheckLeavesNothing(t *testing.T) {
	sh := newShell(t)
	sh.write("env", "GEMINI_KEYS=\"AIzaSyExampleExampleExampleExample-0001,AIzaSyExampleExampleExampleExample-0002\"\n")
	sh.write("Caddyfile", `{
	log {
		output file caddy.log
	}
	keepalive {
		target api {
			url https://api.example.com/
		}
	}
}
ai.example.com {
	log {
		output file access.log
	}
	llm_gateway {
		client me me-and-my-key
		channel gemini {
			provider gemini
			api_key {env.GEMINI_KEYS}
			quota 1000/day
			models gemini-2.5-flash
		}
	}
}
`)
	list := func() string { return sh.run("find . | sort") }
	before := list()
	got := steady(sh.run("caddy freetier check --config Caddyfile --envfile env | sort; ls"))
	want := steady(`2 keys: 2 good
gemini  …0001  good  gemini-2.5-flash, 1 ms
gemini  …0002  good  gemini-2.5-flash, 1 ms
Caddyfile
env`)
	if got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	if after := list(); after != before {
		t.Errorf("there is more than before:\n%s\nbefore\n%s", after, before)
	}
	if got := sh.run("caddy freetier check --config Caddyfile --envfile env --channel gpt; echo $?"); !strings.HasSuffix(got, "1\n") || !strings.Contains(got, "no channel of this name") {
		t.Errorf("got %s", got)
	}
	if got := sh.run("caddy freetier check --config missing; echo $?"); !strings.HasSuffix(got, "1\n") {
		t.Errorf("got %s", got)
	}
}
