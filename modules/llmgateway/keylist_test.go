package llmgateway

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2"
	"go.uber.org/zap"

	"github.com/caddy-freetier/caddy-freetier/internal/caddytest"
)

// The value of a variable or a file that stands alone lists keys.
func TestKeyLists(t *testing.T) {
	dir := t.TempDir()
	for i, tc := range []struct{ text, want string }{
		{"key-number-1", "key-number-1"},
		{"key-number-1 key-number-2\tkey-number-3", "key-number-1 key-number-2 key-number-3"},
		{"key-number-1,key-number-2, key-number-3,", "key-number-1 key-number-2 key-number-3"},
		{"key-number-1\nkey-number-2\n", "key-number-1 key-number-2"},
		{"key-number-1\r\nkey-number-2\r\n", "key-number-1 key-number-2"},
		{"\n\n  key-number-1  \n\n", "key-number-1"},
		{"# of Alice\nkey-number-1 # until May, then key-number-9\n\t# key-number-8\nkey-number-2", "key-number-1 key-number-2"},
		{"key#number-1\nkey-number-2#", "key#number-1 key-number-2#"},
	} {
		file := filepath.Join(dir, fmt.Sprint(i))
		if err := os.WriteFile(file, []byte(tc.text), 0o600); err != nil {
			t.Fatal(err)
		}
		t.Setenv("KEY_LIST", tc.text)
		for _, word := range []string{"{env.KEY_LIST}", "{file." + file + "}"} {
			keys, err := resolveKeys(caddy.NewReplacer(), word, keyPlace{"channel a", 1, "Caddyfile:3"}, zap.NewNop())
			var got []string
			for _, k := range keys {
				got = append(got, k.secret)
			}
			if err != nil || strings.Join(got, " ") != tc.want {
				t.Errorf("%q, %.5s: got %q, %v, want %q", tc.text, word, got, err, tc.want)
			}
		}
	}
}

// What is wrong in a list is refused with its place and without a key.
func TestKeyListMistakes(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) string {
		file := filepath.Join(dir, name)
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return file
	}
	for text, says := range map[string]string{
		"good-key-1\n# comment\ngood-key-2 'good-key-3'\n": "number 3 (line 3) in the file %s, has quotation marks",
		"good-key-1\nBearer good-key-2\n":                  "number 2 (line 2) in the file %s, begins with Bearer",
		"good-key-1\nexport KEY=good-key-2\n":              "number 2 (line 2) in the file %s, is a whole line of an environment file",
		"good-key-1\n// good-key-2\n":                      "number 2 (line 2) in the file %s, begins as a comment does",
		"good-key-1\ngood-kéy-2\n":                         "number 2 (line 2) in the file %s, has characters outside ASCII",
		"# nothing\n":                                      "the file %s, has nothing but comments in it",
	} {
		file := write("keys", text)
		wantLoadError(t, text, withKeys("good-client-key", "{file."+file+"}"), "Caddyfile:6: key 2 of channel a", fmt.Sprintf(says, file))
	}
	large := write("large", strings.Repeat("x", largestKeyFile+1))
	wantLoadError(t, "large file", withKeys("good-client-key", "{file."+large+"}"), "larger than 16 MB")
	wantLoadError(t, "no account", strings.Replace(withKeys("good-client-key", "good-key-2"), "https://a.example", "https://a.example/{account}/v1", 1), "write <account>/<token>")
}

// Thousands of keys in one file load whole, a key that is there twice counts
// once, and the file is not cut off where Caddy's own placeholder would be.
func TestManyKeysInAFile(t *testing.T) {
	var text strings.Builder
	for i := range 10_000 {
		fmt.Fprintf(&text, "sk-%0160d-%d\n", i, i%10)
	}
	text.WriteString("sk-" + strings.Repeat("0", 160) + "-0\n")
	file := filepath.Join(t.TempDir(), "keys")
	if err := os.WriteFile(file, []byte(text.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	up := caddytest.NewUpstream(t, caddytest.JSON(200, completion))
	g := start(t, "channel a "+up.URL+" {\napi_key {file."+file+"}\nmodels m\n}")
	g.chat(t, "m").wantStatus(t, 200)
	_, body := g.Admin(http.MethodGet, "/llm-gateway/channels?summary")
	if !strings.Contains(string(body), `"keys":10000`) {
		t.Errorf("the summary is %s", body)
	}
	if n := g.Logs.Count("key is in the list twice"); n != 1 {
		t.Errorf("%d warnings of a key that is there twice, want 1", n)
	}
}

// Each key goes with its account, and keys of two accounts do not mix.
func TestKeysOfAccounts(t *testing.T) {
	up := caddytest.NewUpstream(t, caddytest.JSON(200, completion))
	t.Setenv("ACCOUNT_KEYS", "acc1/token-number-1\nacc2/token-number-2")
	g := start(t, "key_policy round_robin\nchannel a "+up.URL+"/accounts/{account}/ai/v1 {\napi_key {env.ACCOUNT_KEYS}\nmodels m\n}")
	var got []string
	for range 2 {
		g.chat(t, "m").wantStatus(t, 200)
		r := up.Next(t)
		got = append(got, r.URI+" "+bearer(r))
	}
	slices.Sort(got)
	want := []string{"/accounts/acc1/ai/v1/chat/completions token-number-1", "/accounts/acc2/ai/v1/chat/completions token-number-2"}
	if !slices.Equal(got, want) {
		t.Errorf("asked for %q, want %q", got, want)
	}
}

// proxy is short for the transport's network_proxy.
func TestProxyOption(t *testing.T) {
	up := caddytest.NewUpstream(t, caddytest.JSON(200, completion))
	t.Setenv("PROXY_ADDRESS", up.Addr())
	for _, address := range []string{up.URL, "http://{env.PROXY_ADDRESS}"} {
		g := start(t, "channel a http://api.example/v1 {\napi_key k\nmodels m\nproxy "+address+"\n}")
		g.chat(t, "m").wantStatus(t, 200)
		if got := up.Next(t); got.Host != "api.example" {
			t.Errorf("%s: the proxy was asked for %s", address, got.Host)
		}
	}
	mistake := func(name, options, says string) caddytest.Mistake {
		return caddytest.Mistake{Name: name, Line: 4, Says: []string{says}, Caddyfile: "http://127.0.0.1:1 {\nllm_gateway {\nclient me abc12345\nchannel a https://a.example { # line 4\napi_key abc12345\nmodels m\n" + options + "\n}\n}\n}\n"}
	}
	two := mistake("two proxies", "proxy http://127.0.0.1:1\ntransport {\nnetwork_proxy url http://127.0.0.1:2\n}", "keep one of the two")
	kind := mistake("no proxy", "proxy ftp://127.0.0.1:1", "write it like socks5://127.0.0.1:1080")
	kind.Line = 7
	empty := mistake("no address", "proxy 127.0.0.1:1080", "written like socks5://127.0.0.1:1080")
	empty.Line = 7
	caddytest.Mistakes(t, []caddytest.Mistake{two, kind, empty})
}
