package freetier_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

	"github.com/caddy-freetier/caddy-freetier/internal/caddytest"
	"github.com/caddy-freetier/caddy-freetier/internal/migrate"
)

// shown is all that an import makes, as its golden file has it.
func shown(pool *migrate.Pool, out *migrate.Output) string {
	var text strings.Builder
	text.WriteString(out.Caddyfile)
	for _, name := range slices.Sorted(maps.Keys(out.Keys)) {
		fmt.Fprintf(&text, "\n==> %s <==\n%s", name, out.Keys[name])
	}
	for _, note := range pool.Notes {
		fmt.Fprintf(&text, "\nNote: %s.", note)
	}
	return text.String() + "\n"
}

// What each file of testdata/import becomes, and it loads.
func TestImport(t *testing.T) {
	files, err := filepath.Glob("testdata/import/*.*")
	if err != nil || len(files) < 7 {
		t.Fatalf("%v, %v", files, err)
	}
	for _, file := range files {
		if strings.HasSuffix(file, ".golden") {
			continue
		}
		t.Run(filepath.Base(file), func(t *testing.T) {
			pool := new(migrate.Pool)
			read := []string{file}
			var options migrate.Options
			if filepath.Base(file) == "worker.js" { // its models are of an account whose keys are elsewhere
				options.Provider, read = "groq", append(read, filepath.Join(t.TempDir(), "groq.txt"))
				writeIn(t, filepath.Dir(read[1]), "groq.txt", "gsk_exampleexampleexample0001\n")
			}
			for _, name := range read {
				one, err := migrate.Read(filepath.Base(name), readFile(t, name), options)
				if err != nil {
					t.Fatal(err)
				}
				pool.Add(one)
			}
			out, err := pool.Write(migrate.Place{Site: "http://localhost:8080", Keys: "keys"})
			if err != nil {
				t.Fatal(err)
			}
			got := shown(pool, out)
			if os.Getenv("UPDATE_GOLDEN") != "" {
				if err := os.WriteFile(file+".golden", []byte(got), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			if want := string(readFile(t, file+".golden")); got != want {
				t.Errorf("got\n%s\nwant\n%s", got, want)
			}
			loads(t, pool)
		})
	}
}

// loads writes a pool with its keys and validates it.
func loads(t *testing.T, pool *migrate.Pool) {
	t.Helper()
	dir := t.TempDir()
	out, err := pool.Write(migrate.Place{Site: "http://localhost:8080", Keys: dir})
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range out.Keys {
		writeIn(t, dir, name, text)
	}
	if err := caddytest.Validate(out.Caddyfile); err != nil {
		t.Errorf("%v\n%s", err, out.Caddyfile)
	}
}

// sameAsMeant reports what in an adapted Caddyfile is not what was meant: more
// handlers, other channels, or a placeholder that nobody wrote.
func sameAsMeant(pool *migrate.Pool, out *migrate.Output) error {
	adapted, err := caddytest.Adapt(out.Caddyfile)
	if err != nil {
		return err
	}
	var config any
	if err := json.Unmarshal(adapted, &config); err != nil {
		return err
	}
	var channels []any
	handlers := make(map[string]int)
	var walk func(value any)
	walk = func(value any) {
		switch value := value.(type) {
		case []any:
			for _, item := range value {
				walk(item)
			}
		case map[string]any:
			if name, ok := value["handler"].(string); ok {
				handlers[name]++
			}
			if value["handler"] == "llm_gateway" {
				channels, _ = value["channels"].([]any)
				return
			}
			for _, item := range value {
				walk(item)
			}
		}
	}
	walk(config)
	gateways := min(1, len(pool.Channels))
	if handlers["llm_gateway"] != gateways || handlers["reverse_proxy"] > len(pool.Forwards) || handlers["static_response"] > 0 {
		return fmt.Errorf("the handlers are %v", handlers)
	}
	for name := range handlers {
		if !slices.Contains([]string{"llm_gateway", "reverse_proxy", "rewrite", "subroute"}, name) {
			return fmt.Errorf("there is a handler %s", name)
		}
	}
	if len(channels) != len(pool.Channels) {
		return fmt.Errorf("%d channels, want %d", len(channels), len(pool.Channels))
	}
	for i, c := range pool.Channels {
		var names []string
		got := channels[i].(map[string]any)
		for _, line := range got["models"].([]any) {
			for _, name := range line.(map[string]any)["names"].([]any) {
				names = append(names, name.(string))
			}
		}
		var meant []string
		for _, m := range c.Models {
			meant = append(meant, m.Names...)
		}
		url, _ := got["url"].(string)
		provider, _ := got["provider"].(string)
		if got["name"] != c.Name || url != c.URL || provider != c.Provider || !slices.Equal(names, meant) {
			return fmt.Errorf("channel %d is %v with the models %q, want %+v", i, got, names, c)
		}
		keys, _ := got["api_keys"].([]any)
		if want := "{file.keys/" + c.Name + ".keys}"; !c.NoKey && (len(keys) != 1 || keys[0] != want) {
			return fmt.Errorf("channel %d has the keys %v, want %s", i, keys, want)
		}
	}
	return nil
}

// Whatever goes in: there is an error, or a Caddyfile that says what was meant, and
// no key is in it or in a note.
func FuzzImport(f *testing.F) {
	files, err := filepath.Glob("testdata/import/*.*")
	if err != nil {
		f.Fatal(err)
	}
	for _, file := range files {
		content, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(filepath.Base(file), content, "")
		f.Add("", content, "groq")
	}
	for _, text := range []string{
		"", "{", "[]", "{}", "null", "[[1,2],[3]]", `{"key":"12345678"}`, `{"a":{"a":{"a":{}}}}`, strings.Repeat("[", 1000), "a,key\n\"", "A=b", "const a = {", "key,key\na,b",
		`{"models":{"a":"b"}}`, `{"gpt-4":"x"}`, `["sk-exampleexampleexample"]`, `{"/":"https://a.example"}`, `{"*":"https://a.example","key":"gsk_exampleexample"}`,
		`[{"key":"gsk_example1","name":"x"},{"key":"gsk_example2","name":"x"},{"key":"gsk_example3","name":"x-2"}]`,
		`{"keys":[{"key":"gsk_exampleexample","models":["gsk_exampleexample"]}]}`,
	} {
		f.Add("x.json", []byte(text), "gemini")
	}
	f.Fuzz(func(t *testing.T, name string, content []byte, provider string) {
		checkImport(t, name, content, provider)
	})
}

// FuzzImportFields is FuzzImport of channels and tables that are right but for what
// stands in their fields.
func FuzzImportFields(f *testing.F) {
	f.Add("name", "https://a.example.com/v1", "sk-exampleexample", "m,n", "from", "to", "/path")
	f.Add("a\n}\nrespond x", "https://a.example.com/{env.HOME}", "{$HOME}{$HOME}", "a b,{env.X},\"q\"", "as", "*", "/a{uri}/*")
	f.Add("`", "http://[::1]:80/a%20b", "sk-a\nsk-bbbbbbbb", "<<EOF,import,#,`", "{args[0]}", "\\", "a.example.com")
	f.Add("{block}", "https://a.example.com:99999", "00000000", "00000000,@a", "a(b", "a)b", "/*")
	f.Fuzz(func(t *testing.T, name, address, key, models, from, to, path string) {
		row := map[string]any{"name": name, "base_url": address, "key": key, "models": models, "model_mapping": map[string]string{from: to}}
		for _, content := range []any{
			[]any{row, row},
			[]any{map[string]any{"provider": "cloudflare", "account": "acc1", "name": name, "key": key, "models": models}},
			map[string]any{"data": map[string]any{"items": []any{row}}},
			map[string]any{from: to, path: "https://a.example.org/base", "a.example.com": address, name: row},
		} {
			text, err := json.Marshal(content)
			if err != nil {
				t.Fatal(err)
			}
			checkImport(t, "x.json", text, "")
			checkImport(t, "x.js", append([]byte("const modelMap = "), text...), "groq")
		}
	})
}

// No key is in an error, a note, the Caddyfile or the name of a file, whatever a file is
// taken for and wherever else the key stands in it.
func TestImportShowsNoKey(t *testing.T) {
	const token = "MixedCase-token-0001"
	for name, content := range map[string]string{
		"base64.txt":   "QWxhZGRpbjpvcGVuIHNlc2FtZTEy==\nQWxhZGRpbjpvcGVuIHNlc2FtZTE=\n",
		"names.env":    "QWxhZGRpbjpvcGVuIHNlc2FtZTEy==\nABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_KEY=short\ngsk_exampleexample_KEY=short\nGROQ_API_KEY=gsk_exampleexample0001\n",
		"account.json": `[{"provider":"cloudflare","account":"acc1","name":"cf ` + token + ` x","key":"` + token + `","models":"m"}]`,
		"models.json":  `[{"provider":"cloudflare","account":"acc1","name":"cf","key":"` + token + `","models":"m,` + token + `"}]`,
		"case.json":    `[{"provider":"groq","name":"a","key":"` + token + `","models":"m"},{"provider":"gemini","name":"x ` + token + `","key":"AIzaexampleexample","models":"n"}]`,
		"host.json":    `[{"base_url":"https://` + token + `.example.com","name":"a","key":"` + token + `","models":"m"}]`,
		"off.json":     `[{"provider":"groq","status":2,"name":"a","key":"` + token + `"},{"provider":"gemini","name":"` + token + `","key":"AIzaexampleexample","models":"` + token + `"}]`,
		"one-off.json": `[{"provider":"gemini","name":"a","key":"AIzaexampleexample\n` + token + `","models":"` + token + `","channel_info":{"multi_key_status_list":{"1":2}}}]`,
		"nowhere.json": `[{"type":3,"name":"a","key":"` + token + `"},{"provider":"gemini","name":"b","key":"AIzaexampleexample","models":"x-` + token + `"}]`,
		"each.json":    `[{"provider":"groq","name":"x AIzaexampleexample","key":"` + token + `","models":"m"},{"provider":"gemini","name":"x ` + token + `","key":"AIzaexampleexample","models":"n"}]`,
	} {
		for _, provider := range []string{"", "groq"} {
			printed := ""
			pool, err := migrate.Read(name, []byte(content), migrate.Options{Provider: provider})
			if err == nil {
				var out *migrate.Output
				if out, err = pool.Write(migrate.Place{Site: "http://localhost:8080", Keys: "keys"}); err == nil {
					printed = out.Caddyfile + fmt.Sprint(slices.Collect(maps.Keys(out.Keys)))
				}
				printed += fmt.Sprint(pool.Notes)
			}
			printed = strings.ToLower(printed + fmt.Sprint(err))
			for _, secret := range []string{token, "QWxhZGRpbjpvcGVuIHNlc2FtZTE", "gsk_exampleexample", "AIzaexampleexample", "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"} {
				if strings.Contains(printed, strings.ToLower(secret)) {
					t.Errorf("%s, provider %q: a key is in what is printed: %s", name, provider, printed)
				}
			}
		}
	}
}

// What is no name of a model does not come into the Caddyfile from the command line
// either.
func TestImportModels(t *testing.T) {
	for _, name := range []string{"{env.HOME}", "{$HOME}", "as", "a b", "a\n}", "`", "\"", "#", ""} {
		if _, err := migrate.Read("k.txt", []byte("gsk_exampleexample0001\n"), migrate.Options{Models: []string{name}}); err == nil || !strings.Contains(err.Error(), "--models") {
			t.Errorf("%q: %v, want an error of --models", name, err)
		}
	}
	for _, name := range []string{"*", "groq/*", "gpt-4o", "@cf/meta/llama-3"} {
		if _, err := migrate.Read("k.txt", []byte("gsk_exampleexample0001\n"), migrate.Options{Models: []string{name}}); err != nil {
			t.Errorf("%q: %v", name, err)
		}
	}
}

// checkImport imports a file, and checks what comes of it.
func checkImport(t *testing.T, name string, content []byte, provider string) {
	t.Helper()
	read, err := migrate.Read(name, content, migrate.Options{Provider: provider})
	if err != nil {
		return
	}
	pool := new(migrate.Pool)
	pool.Add(read)
	out, err := pool.Write(migrate.Place{Site: "http://localhost:8080", Keys: "keys"})
	if err != nil {
		return
	}
	if err := sameAsMeant(pool, out); err != nil {
		t.Errorf("%v\n%s", err, out.Caddyfile)
	}
	printed := out.Caddyfile + strings.Join(pool.Notes, "\n")
	for _, c := range pool.Channels {
		if !c.NoKey && !strings.Contains(out.Keys[c.Name+".keys"], "\n"+c.Keys[0]+"\n") {
			t.Errorf("the file of %s has not its keys", c.Name)
		}
		for _, key := range c.Keys {
			_, token, _ := strings.Cut(key, "/")
			if strings.Contains(printed, key) || len(token) >= 8 && strings.Contains(printed, token) {
				t.Errorf("a key is in what is printed: %s", printed)
			}
		}
	}
	if again, err := pool.Write(migrate.Place{Site: "http://localhost:8080", Keys: "keys"}); err != nil || again.Caddyfile != out.Caddyfile {
		t.Errorf("a second time it is another one: %v", err)
	}
}

// The command writes keys where only their owner can read them, prints none, and
// touches nothing that is there.
func TestImportCommand(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	key := "gsk_exampleexampleexample0001"
	writeIn(t, dir, "list.txt", key+"\nkey-of-nobody\n")
	writeIn(t, dir, "groq.txt", key+"\n")
	writeIn(t, dir, "big.bin", "\x00\x01")
	run := func(args ...string) (stdout, stderr string, code int) {
		t.Helper()
		stdout, stderr, code = freetierCaddy(t, dir, append([]string{"freetier", "import"}, args...)...)
		if strings.Contains(stdout+stderr, key) {
			t.Errorf("%v prints a key: %s%s", args, stdout, stderr)
		}
		return stdout, stderr, code
	}
	for _, tc := range []struct {
		args string
		says string
	}{
		{"list.txt", "line 2: whose key is this? Say it with --provider or --url"},
		{"missing.txt", "no such file"},
		{"big.bin", "is no text in UTF-8"},
		{"groq.txt --provider grok", "unknown provider"},
		{"groq.txt --url ftp://example.com", "--url: its URL does not begin with http"},
		{"groq.txt --site a{b}", "--site is the address of a site"},
		{"groq.txt --keys {env.HOME}", "--keys is a folder without"},
		{"", "requires at least 1 arg"},
	} {
		_, stderr, code := run(strings.Fields(tc.args)...)
		if code != 1 || !strings.Contains(stderr, tc.says) {
			t.Errorf("%s: exit code %d, %s, want %s", tc.args, code, stderr, tc.says)
		}
	}
	if left := fmt.Sprint(filesIn(t, dir)); left != "[big.bin groq.txt list.txt]" {
		t.Fatalf("errors have left %s", left)
	}
	stdout, stderr, code := run("groq.txt", "--models", "a,b", "--site", "ai.example.com", "--keys", filepath.Join(dir, "k"))
	if code != 0 || !strings.Contains(stdout, "ai.example.com {") || !strings.Contains(stdout, "models a b") || !strings.Contains(stderr, "caddy freetier client add me") {
		t.Errorf("exit code %d: %s%s", code, stdout, stderr)
	}
	for name, mode := range map[string]os.FileMode{"k": 0o700 | os.ModeDir, "k/groq.keys": 0o600} {
		if info, err := os.Stat(filepath.Join(dir, name)); err != nil || info.Mode() != mode {
			t.Errorf("%s: %v, %v, want %v", name, info, err, mode)
		}
	}
	if err := caddytest.Validate(stdout); err != nil {
		t.Errorf("%v\n%s", err, stdout)
	}
	if formatted := string(caddyfile.Format([]byte(stdout))); formatted != stdout {
		t.Errorf("caddy fmt changes it to %s", formatted)
	}
	before := string(readFile(t, filepath.Join(dir, "k/groq.keys")))
	if _, stderr, code := run("groq.txt", "--keys", filepath.Join(dir, "k")); code != 1 || !strings.Contains(stderr, "already") {
		t.Errorf("exit code %d: %s", code, stderr)
	}
	if string(readFile(t, filepath.Join(dir, "k/groq.keys"))) != before {
		t.Error("it has changed a file that was there")
	}
	if stdout, stderr, code := run("groq.txt", "--output", "Caddyfile"); code != 0 || stdout != "" || len(readFile(t, filepath.Join(dir, "Caddyfile"))) == 0 {
		t.Errorf("exit code %d: %s%s", code, stdout, stderr)
	}
}
