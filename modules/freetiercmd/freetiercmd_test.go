package freetiercmd

import (
	"bytes"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/spf13/cobra"

	"github.com/caddy-freetier/caddy-freetier/internal/clientsfile"
)

// run runs a command and returns what it prints and its error.
func run(t *testing.T, cmd *cobra.Command, args ...string) (out, notes string, err error) {
	t.Helper()
	var stdout, stderr bytes.Buffer
	cmd.SetOut(&stdout)
	cmd.SetErr(&stderr)
	cmd.SetArgs(args)
	cmd.SilenceUsage, cmd.SilenceErrors = true, true
	err = cmd.ExecuteContext(t.Context())
	return stdout.String(), stderr.String(), err
}

// A client is added, with its key shown on its own, listed and removed.
func TestClients(t *testing.T) {
	file := filepath.Join(t.TempDir(), "clients.json")
	out, notes, err := run(t, newClient(), "add", "alice", "--file", file, "--models", "gpt-* m,n", "--limit", "5/day", "--limit", "1M tokens/month", "--expires", "30d")
	key := strings.TrimSpace(out)
	if err != nil || !strings.HasPrefix(key, clientsfile.KeyPrefix) || strings.Contains(key, "\n") || !strings.Contains(notes, "alice") {
		t.Fatalf("%q, %q, %v", out, notes, err)
	}
	clients, err := clientsfile.Read(file)
	if err != nil || len(clients) != 1 {
		t.Fatalf("%v, %v", clients, err)
	}
	c := clients[0]
	if c.KeySHA256 != clientsfile.HashOf(key) || strings.Join(c.Models, " ") != "gpt-* m n" || len(c.Limits) != 2 {
		t.Errorf("got %+v", c)
	}
	if left := time.Until(c.Expires); left < 29*24*time.Hour || left > 30*24*time.Hour {
		t.Errorf("expires in %v", left)
	}
	if text, _ := os.ReadFile(file); strings.Contains(string(text), key) {
		t.Errorf("the file has the key: %s", text)
	}
	for _, tc := range []struct{ args, says string }{
		{"add alice", "has a client alice already"},
		{"add a|b c", `its name has white space`},
		{"add bob --limit many", "the period is missing"},
		{"add bob --expires 2020-01-01", "is in the past"},
		{"add bob --expires soon", "write 30d, 2027-01-31 or"},
		{"remove bob", "has no client bob"},
	} {
		args := strings.Fields(tc.args)
		for i := range args {
			args[i] = strings.ReplaceAll(args[i], "|", " ")
		}
		args = append(args, "--file", file)
		if tc.args == "add a|b c" {
			args = []string{"add", "a b", "--file", file}
		}
		if _, _, err := run(t, newClient(), args...); err == nil || !strings.Contains(err.Error(), tc.says) {
			t.Errorf("%s: got %v, want %q", tc.args, err, tc.says)
		}
	}
	if out, _, err = run(t, newClient(), "list", "--file", file); err != nil || !strings.Contains(out, "alice  gpt-* m n  5/day, 1000000 tokens/month  20") {
		t.Errorf("%s, %v", out, err)
	}
	if out, _, err = run(t, newClient(), "remove", "alice", "--file", file); err != nil || out != "Removed: alice.\n" {
		t.Errorf("%s, %v", out, err)
	}
	if clients, err = clientsfile.Read(file); err != nil || len(clients) != 0 {
		t.Errorf("%v, %v", clients, err)
	}
	if _, _, err := run(t, newClient(), "list"); err == nil {
		t.Error("no file was given")
	}
}

// server is an admin API that answers a check with these lines.
func server(t *testing.T, status int, text string) string {
	t.Helper()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodPost || r.URL.Path != "/llm-gateway/check" {
			t.Errorf("%s %s", r.Method, r.URL)
		}
		w.WriteHeader(status)
		_, _ = w.Write([]byte(text))
	}))
	t.Cleanup(s.Close)
	return s.Listener.Addr().String()
}

// The exit code is 0 only if all keys are good, and a check that ends early is none.
func TestCheckExitCode(t *testing.T) {
	good := `{"channel":"a","key":"…0001","model":"m","verdict":"good","status":200,"milliseconds":5}` + "\n"
	dead := `{"channel":"a","key":"…0002","model":"m","verdict":"dead","reason":"dead key","status":401,"milliseconds":6}` + "\n"
	limited := `{"channel":"b","key":"…0003","verdict":"limited","reason":"day quota","status":429,"until":"2026-11-28T08:00:00Z","milliseconds":7}` + "\n"
	for name, tc := range map[string]struct {
		status    int
		text      string
		out, says string
	}{
		"good": {200, `{"keys":1}` + "\n" + good, "a                …0001     good          m, 5 ms\n1 keys: 1 good\n", ""},
		"bad": {
			200, `{"keys":3}` + "\n" + dead + good + limited,
			"a                …0002     dead          dead key, status 401, m, 6 ms\n" +
				"a                …0001     good          m, 5 ms\n" +
				"b                …0003     limited       day quota, until 2026-11-28T08:00:00Z, status 429, 7 ms\n" +
				"3 keys: 1 good, 1 dead, 1 limited\n", "exiting with status 2",
		},
		"early": {200, `{"keys":2}` + "\n" + good, "", "ended early: 1 of 2 keys"},
		"none":  {200, `{"keys":0}` + "\n", "", "there is no llm_gateway"},
		"busy":  {409, `{"error":"another check"}`, "", "another check"},
		"junk":  {200, "<html>", "", "invalid character"},
	} {
		t.Run(name, func(t *testing.T) {
			out, _, err := run(t, newCheck(), "--address", server(t, tc.status, tc.text))
			switch {
			case tc.says == "" && err != nil, tc.says != "" && (err == nil || !strings.Contains(err.Error(), tc.says)):
				t.Errorf("got %v, want %q", err, tc.says)
			case tc.out != "" && out != tc.out:
				t.Errorf("got\n%s\nwant\n%s", out, tc.out)
			}
		})
	}
}

// Files of variables are read as Caddy reads them, with values of any length.
func TestEnvironment(t *testing.T) {
	file := filepath.Join(t.TempDir(), "env")
	long := strings.Repeat("k", 1<<20)
	text := "# keys\nexport FREETIER_A=one # comment\nFREETIER_B=\"two words\"\n\nFREETIER_C='three#3'\nFREETIER_D=" + long + "\nFREETIER_E=new\n"
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	want := map[string]string{"FREETIER_A": "one", "FREETIER_B": "two words", "FREETIER_C": "three#3", "FREETIER_D": long, "FREETIER_E": "old"}
	for name := range want {
		t.Setenv(name, "old") // comes back after the test
		if name != "FREETIER_E" {
			os.Unsetenv(name)
		}
	}
	if err := loadEnvironment(file); err != nil {
		t.Fatal(err)
	}
	for name, value := range want {
		if got := os.Getenv(name); got != value {
			t.Errorf("%s is %.20q, want %.20q", name, got, value)
		}
	}
	if err := os.WriteFile(file, []byte("A=1\nsecret words\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := loadEnvironment(file); err == nil || !strings.Contains(err.Error(), "line 2: write NAME=value") || strings.Contains(err.Error(), "secret") {
		t.Errorf("got %v", err)
	}
}
