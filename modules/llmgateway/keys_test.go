package llmgateway

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"github.com/caddy-freetier/caddy-freetier/internal/caddytest"
)

// secret stands in words that are no keys, and must not be in an error.
const secret = "c0nfident1al"

// noKeys are texts that cannot be keys, with what the error says. They are
// wrong as words of a Caddyfile and, but for noWords, as values of a variable or
// a file.
var noKeys = []struct{ name, key, says string }{
	{"comment of C", "// " + secret, "a comment begins with #"},
	{"comment of C without a space", "//" + secret, "a comment begins with #"},
	{"comment of SQL", "-- " + secret, "a comment begins with #"},
	{"comment in a block", "/*" + secret + "*/", "a comment begins with #"},
	{"comment of HTML", "<!--" + secret, "a comment begins with #"},
	{"scheme", "Bearer " + secret, "write the key alone"},
	{"scheme in lower case", "bearer\t" + secret, "write the key alone"},
	{"scheme alone", "Bearer", "write the key alone"},
	{"variable of a shell", "$" + secret, "write {env.NAME}"},
	{"variable of a shell in braces", "${" + secret + "}", "write {env.NAME}"},
	{"variable of Windows", "%" + secret + "%", "write {env.NAME}"},
	{"semicolon", secret + ";", "separate keys with white space"},
	{"single quotes", "'" + secret + "'", "without them"},
	{"double quotes", `"` + secret + `"`, "without them"},
	{"list of JSON", `["` + secret + `"]`, "without them"},
	{"full-width comma", secret + "，", "outside ASCII"},
	{"full-width letters", "ｓｋ-" + secret, "outside ASCII"},
	{"typographic quotes", "“" + secret + "”", "outside ASCII"},
	{"no-break space", secret + "\u00a0" + secret, "outside ASCII"},
	{"zero-width space", secret + "\u200b", "outside ASCII"},
	{"byte order mark", "\ufeff" + secret, "outside ASCII"},
	{"invalid text", secret + "\xff", "outside ASCII"},
	{"control character", secret + "\x01", "control characters"},
	{"line of an environment file", "API_KEY=" + secret, "keep the value only"},
	{"line of a shell", "export X=" + secret, "keep the value only"},
	{"dots of documentation", secret + "...", "what documentation writes"},
	{"name of documentation", "<" + secret + ">", "what documentation writes"},
}

// noWords are texts that cannot be a key in a Caddyfile. In the value of a
// variable or a file they are lists and comments.
var noWords = []struct{ name, key, says string }{
	{"comment in quotes", "# " + secret, "a comment begins with #"},
	{"comma at the end", secret + ",", "separate keys with white space"},
	{"comma between", secret + "," + secret, "separate keys with white space"},
	{"space", secret + " " + secret, "has white space or several lines in it"},
	{"lines", secret + "\n" + secret, "has white space or several lines in it"},
	{"lines of Windows", secret + "\r\n" + secret, "has white space or several lines in it"},
}

// inCaddyfile writes a word into a Caddyfile as it is.
func inCaddyfile(word string) string {
	if strings.ContainsAny(word, "` \t\r\n\u00a0\"#{}<") {
		return "`" + word + "`"
	}
	return word
}

func withKeys(clientKeys, apiKeys string) string {
	return fmt.Sprintf(`http://127.0.0.1:1 {
	llm_gateway {
		client me %s
		channel a https://a.example {
			api_key good-api-key
			api_key %s
			models m
		}
	}
}
`, clientKeys, apiKeys)
}

// What is no key is refused where it stands, and the error does not show it.
func TestKeyMistakes(t *testing.T) {
	for _, tc := range slices.Concat(noKeys, noWords) {
		word := inCaddyfile(tc.key)
		for _, m := range []caddytest.Mistake{
			{Caddyfile: withKeys(word, "other-api-key"), Line: 3, Says: []string{"key 1 of client me", tc.says}},
			{Caddyfile: withKeys("good-client-key "+word, "other-api-key"), Line: 3, Says: []string{"key 2 of client me", tc.says}},
			{Caddyfile: withKeys("good-client-key", word), Line: 6, Says: []string{"key 2 of channel a", tc.says}},
			{Caddyfile: withKeys("good-client-key", "other-api-key "+word), Line: 6, Says: []string{"key 3 of channel a", tc.says}},
		} {
			m.Name = tc.name
			caddytest.Mistakes(t, []caddytest.Mistake{m})
			if err := caddytest.Validate(m.Caddyfile); err != nil && strings.Contains(err.Error(), secret) {
				t.Errorf("%s: the error shows the key: %v", tc.name, err)
			}
		}
	}
}

// Words that would become keys when a comment, a list or a placeholder is
// written in the way of another language.
func TestKeyWordMistakes(t *testing.T) {
	mistake := func(name, keys, says string, more ...string) caddytest.Mistake {
		return caddytest.Mistake{Name: name, Caddyfile: withKeys(keys, "other-api-key"), Line: 3, Says: append(more, says)}
	}
	caddytest.Mistakes(t, []caddytest.Mistake{
		mistake("comment of C behind a key", "abc12345 // my key", "a comment begins with #", "key 2 of client me"),
		mistake("comment of SQL behind a key", "abc12345 -- my key", "a comment begins with #", "key 2 of client me"),
		mistake("comment in a block behind a key", "abc12345 /* my key */", "a comment begins with #", "key 2 of client me"),
		mistake("list with commas", "abc12345, def12345", "separate keys with white space", "key 1 of client me"),
		mistake("semicolon at the end of the line", "abc12345;", "separate keys with white space"),
		mistake("scheme before the key", "Bearer abc12345", "write the key alone"),
		mistake("variable of a shell", "$MY_KEY", "write {env.NAME}"),
		mistake("variable of a shell in braces", "${MY_KEY}", "write {env.NAME}"),
		mistake("placeholder without env.", "{MY_KEY}", "has a brace that begins no placeholder"),
		mistake("placeholder of another kind", "{http.request.header.X}", "has a brace that begins no placeholder"),
		mistake("placeholder without braces", "env.MY_KEY", "write {env.NAME}"),
		mistake("placeholder that does not end", "{env.MY_KEY", "has a brace that begins no placeholder"),
		mistake("placeholder without a name", "{env.}", "has a brace that begins no placeholder"),
		mistake("placeholder in a placeholder", "{env.{MY_KEY}}", "has a brace that begins no placeholder"),
		mistake("scheme before a placeholder", "`Bearer {env.MY_KEY}`", "write the key alone"),
		mistake("comma behind a placeholder", "{env.MY_KEY},{env.MY_KEY}", "separate keys with white space"),
		mistake("quotes around a placeholder", "'{env.MY_KEY}'", "without them"),
		mistake("key twice", "{env.MY_KEY} {env.MY_KEY}", "is the same as one before it", "key 2 of client me"),
	})
	for _, brace := range []string{secret + "{x}", "{" + secret + "}", secret + "{"} {
		if err := caddytest.Validate(withKeys(brace, "other-api-key")); err == nil || strings.Contains(err.Error(), secret) {
			t.Errorf("%s: the error is %v", brace, err)
		}
	}
}

// A value that is no key is refused when the configuration is loaded, by the
// name of its variable or file and where that stands.
func TestKeyValueMistakes(t *testing.T) {
	dir := t.TempDir()
	for i, tc := range noKeys {
		name := fmt.Sprintf("WRONG_%d", i)
		t.Setenv(name, tc.key)
		file := filepath.Join(dir, name)
		if err := os.WriteFile(file, []byte(tc.key+"\r\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		wantLoadError(t, tc.name, withKeys("good-client-key {env."+name+"}", "other-api-key"),
			"Caddyfile:3: key 2 of client me, ", " the environment variable "+name+",", tc.says)
		wantLoadError(t, tc.name, withKeys("good-client-key", "other-api-key {file."+file+"}"),
			"Caddyfile:6: key 3 of channel a, ", " the file "+file+",", tc.says)
	}
	t.Setenv("NESTED", "{env."+secret+"}")
	wantLoadError(t, "placeholder in a value", withKeys("{env.NESTED}", "other-api-key"), "write {env.NAME}", "variable NESTED")
	t.Setenv("SETTING", "{$"+secret+"}")
	wantLoadError(t, "placeholder of a Caddyfile in a value", withKeys("{env.SETTING}", "other-api-key"), "write {env.NAME}", "variable SETTING")
	t.Setenv("BLANK", " \n")
	wantLoadError(t, "blank variable", withKeys("good-client-key", "{env.BLANK}"),
		"channel a", "Caddyfile:6: key 2 of channel a is empty", "variable BLANK is not set", "restart Caddy", "a reload does not read it anew")
	wantLoadError(t, "unset variable of a client", withKeys("{env.NOT_SET}", "other-api-key"),
		"Caddyfile:3: key 1 of client me is empty", "variable NOT_SET is not set", "restart Caddy")
	missing := filepath.Join(dir, "missing")
	wantLoadError(t, "missing file", withKeys("good-client-key", "other-api-key {file."+missing+"}"),
		"Caddyfile:6: key 3 of channel a cannot be read", missing, "no such file")
	empty := filepath.Join(dir, "empty")
	if err := os.WriteFile(empty, []byte("\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	wantLoadError(t, "empty file", withKeys("{file."+empty+"}", "other-api-key"), "Caddyfile:3: key 1 of client me is empty", empty)
	t.Setenv("SAME", "good-client-key")
	wantLoadError(t, "value of another key", withKeys("good-client-key {env.SAME}", "other-api-key"),
		"Caddyfile:3: key 2 of client me, from the environment variable SAME, is a key of client me already")
	t.Setenv("SAME_API", "good-api-key")
	wantLoadError(t, "value of another api_key", withKeys("good-client-key", "{env.SAME_API}"),
		"Caddyfile:6: key 2 of channel a is the same as one before it")
}

// onlyKey returns the key that a word stands for that is no list.
func onlyKey(repl *caddy.Replacer, word string) (string, error) {
	keys, err := resolveKeys(repl, word, keyPlace{"client me", 1, ""}, zap.NewNop())
	if err != nil {
		return "", err
	}
	if len(keys) != 1 {
		return "", fmt.Errorf("%d keys", len(keys))
	}
	return keys[0].secret, nil
}

// wantLoadError checks that a Caddyfile is adapted, since another process may
// do that, and then refused with all of the texts and no key.
func wantLoadError(t *testing.T, name, caddyfile string, says ...string) {
	t.Helper()
	if _, err := caddytest.Adapt(caddyfile); err != nil {
		t.Errorf("%s: adapting: %v", name, err)
	}
	err := caddytest.Validate(caddyfile)
	if err == nil {
		t.Errorf("%s: the configuration was accepted", name)
		return
	}
	for _, text := range says {
		if !strings.Contains(err.Error(), text) {
			t.Errorf("%s: the error does not contain %q: %v", name, text, err)
		}
	}
	if strings.Contains(err.Error(), secret) || strings.Contains(err.Error(), "good-") {
		t.Errorf("%s: the error shows a key: %v", name, err)
	}
}

// Keys of providers, and whatever a variable holds that is no mistake, are
// accepted, and mean what Caddy's replacer makes of them.
func TestKeysThatAreRight(t *testing.T) {
	for i, value := range []string{
		"sk-proj-abc_DEF-123", "AIzaSyA-1234567890", "gsk_abc", "hf_abc", "1|laravel", "id:secret", "a.b.c==", "user@host",
		"with{braces}", "with$dollar", "********", "-leading", "/leading", "100%", "a+b/c=", "~!@^&*()[]?|\\", "demo-key-of-mine",
	} {
		name := fmt.Sprintf("RIGHT_%d", i)
		t.Setenv(name, value)
		for word, want := range map[string]string{
			"{env." + name + "}":    value,
			"x-{env." + name + "}y": "x-" + value + "y",
		} {
			got, err := onlyKey(caddy.NewReplacer(), word)
			if err != nil || got != want {
				t.Errorf("%s: got %q, %v; want %q", word, got, err, want)
			}
			if err := checkKeyWord(word); err != nil {
				t.Errorf("%s: %v", word, err)
			}
		}
	}
	t.Setenv("SPACES", " \tabc12345\r\n")
	for word, want := range map[string]string{
		`with\{braces\}`: "with{braces}", "{env.SPACES}": "abc12345", `back\slash`: `back\slash`, "close}": "close}", `\{env.SPACES\}x`: "",
	} {
		got, err := onlyKey(caddy.NewReplacer(), word)
		if got != want || (err == nil) != (want != "") {
			t.Errorf("%s: got %q, %v; want %q", word, got, err, want)
		}
	}
}

// A short key is accepted with a warning that does not show it.
func TestShortKeys(t *testing.T) {
	core, logs := observer.New(zap.WarnLevel)
	t.Setenv("SHORT", "1234567")
	for word, warnings := range map[string]int{"1": 1, "{env.SHORT}": 1, "1234567": 1, "12345678": 0} {
		if _, err := resolveKeys(caddy.NewReplacer(), word, keyPlace{"client me", 3, "Caddyfile:7"}, zap.New(core)); err != nil {
			t.Errorf("%s: %v", word, err)
		}
		entries := logs.TakeAll()
		if len(entries) != warnings {
			t.Errorf("%s: %d warnings, want %d", word, len(entries), warnings)
		}
		for _, e := range entries {
			if c := e.ContextMap(); !strings.HasPrefix(c["key"].(string), "key 3 of client me") || strings.Contains(c["key"].(string), "1234") || c["source"] != "Caddyfile:7" || len(c) != 2 {
				t.Errorf("%s: warned of %v", word, c)
			}
		}
	}
}

// Where no part of a word is a mistake, it means what Caddy's replacer makes of
// it. No error shows more of a word than the names of its placeholders.
func FuzzKeyWord(f *testing.F) {
	for _, seed := range []string{"abc12345", "{env.FUZZ_A}", "x{env.FUZZ_A}{env.FUZZ_B}", `a\{b\}c`, "{x}", "{", "}", `\`, `\\{`, "{env.", "$x"} {
		f.Add(seed)
	}
	f.Setenv("FUZZ_A", "value-of-a")
	f.Setenv("FUZZ_B", "b{}")
	f.Fuzz(func(t *testing.T, word string) {
		if strings.Contains(word, "file.") {
			t.Skip("no file is there")
		}
		repl := caddy.NewReplacer()
		got, err := onlyKey(repl, word)
		want, wantErr := repl.ReplaceOrErr(word, true, true)
		if err == nil && (wantErr != nil || got != strings.TrimSpace(want)) {
			t.Errorf("%q means %q, and for Caddy %q (%v)", word, got, want, wantErr)
		}
		if wordErr := checkKeyWord(word); wordErr != nil && err == nil {
			t.Errorf("%q is refused while it is read (%v), and not when it is loaded", word, wordErr)
		}
	})
}
