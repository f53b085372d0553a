package clientsfile

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

func hexOf(key string) string {
	text, _ := HashOf(key).MarshalText()
	return string(text)
}

// What is written reads as it was.
func TestRoundTrip(t *testing.T) {
	limit, err := ParseLimit("1M tokens/month")
	if err != nil {
		t.Fatal(err)
	}
	want := []Client{
		{Name: "alice", KeySHA256: HashOf("a"), Models: []string{"gpt-*", "m"}, Limits: []Limit{limit}, Expires: time.Date(2027, 1, 31, 0, 0, 0, 0, time.UTC)},
		{Name: "Bärbel", KeySHA256: HashOf("b")},
	}
	text, err := json.Marshal(want)
	if err != nil {
		t.Fatal(err)
	}
	got, err := Parse(text)
	if err != nil || fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("got %v, %v\nwant %v", got, err, want)
	}
}

// Forms that people write.
func TestParse(t *testing.T) {
	entry := func(more string) string {
		return `[{"name": "a", "key_sha256": "` + hexOf("k") + `"` + more + `}]`
	}
	for text, want := range map[string]int{
		"":                                    0,
		" \n":                                 0,
		"[]":                                  0,
		"\ufeff[]":                            0,
		entry(""):                             1,
		strings.ToUpper(hexOf("k")):           -1,
		entry(`, "limits": ["5/day"]`):        1,
		entry(`, "limits": ["5 tokens/day"]`): 1,
		entry(`, "limits": [{"amount": 5, "period": "day"}]`):        1,
		entry(`, "expires": "2027-01-31T00:00:00+08:00"`):            1,
		strings.Replace(entry(""), hexOf("k"), upper(hexOf("k")), 1): 1,
	} {
		clients, err := Parse([]byte(text))
		if want < 0 && err == nil || want >= 0 && (err != nil || len(clients) != want) {
			t.Errorf("%s: %d clients, %v, want %d", text, len(clients), err, want)
		}
	}
}

func upper(s string) string { return strings.ToUpper(s) }

// Mistakes are named with their place; no error has anything of a key.
func TestMistakes(t *testing.T) {
	ok := `{"name": "first", "key_sha256": "` + hexOf("first") + `"}`
	hash := `"key_sha256": "` + hexOf("b") + `"`
	for text, says := range map[string]string{
		`{}`:  "the file is a JSON array",
		`"x"`: "the file is a JSON array",
		"[\n" + ok + ",\n\n{\"name\": \"b\", \"limit\": [\"secret\"], " + hash + "}]": "entry 2 (b), line 4: unknown field limit; there are name",
		`[` + ok + `, {"name": "b", ` + hash + `, "sk-secret0123456789abcdef": 1}]`:   "entry 2 (b), line 1: it has an unknown field",
		`[{"key": "sk-secret"}]`:                     "unknown field key: the file contains no keys",
		`[{"name": "b", "key_sha256": "sk-secret"}]`: "entry 1 (b), line 1: key_sha256 is the SHA-256",
		`[{"name": "b", "key_sha256": 5}]`:           "key_sha256 is the SHA-256",
		`[{"name": "b", "limits": ["1/day"` + strings.Repeat(`, "1/day"`, 100) + `], ` + hash + `}]`: "more than 100 limits",
		`[{"name": "b"}]`:                                                                           "it has no key_sha256",
		`[{` + hash + `}]`:                                                                          "entry 1, line 1: it has no name",
		`[{"name": "a b", ` + hash + `}]`:                                                           "entry 1, line 1: its name has white space",
		`[{"name": 5, ` + hash + `}]`:                                                               "name is a text",
		`[{"Name": "b", ` + hash + `}]`:                                                             "unknown field Name",
		`[{"name": "b", "name": "c", ` + hash + `}]`:                                                "the field name is given twice",
		`[{"name": "b", ` + hash + `, "models": "gpt-4"}]`:                                          "models is an array",
		`[{"name": "b", ` + hash + `, "models": []}]`:                                               "models is an array",
		`[{"name": "b", ` + hash + `, "models": null}]`:                                             "models is an array",
		`[{"name": "b", ` + hash + `, "limits": "5/day"}]`:                                          "limits is an array",
		`[{"name": "b", ` + hash + `, "limits": ["5"]}]`:                                            "the period is missing",
		`[{"name": "b", ` + hash + `, "limits": ["5/day acct"]}]`:                                   "a limit has neither an account",
		`[{"name": "b", ` + hash + `, "limits": ["5h/day"]}]`:                                       "a limit counts requests or tokens",
		`[{"name": "b", ` + hash + `, "limits": [{"amount": 5}]}]`:                                  "unknown period",
		`[{"name": "b", ` + hash + `, "limits": [{"amount": 5, "period": "day", "account": "x"}]}]`: "neither an account nor a time zone",
		`[{"name": "b", ` + hash + `, "expires": "2027-01-31"}]`:                                    "expires is a time such as",
		`[` + ok + `,` + ok + `]`:                                                                   "entry 1 has the same name",
		`[` + ok + `, {"name": "b", "key_sha256": "` + hexOf("first") + `"}]`:                       "entry 2 (b), line 1: entry 1 has the same key",
		"[\n" + ok + "\n" + ok + "]":                                                                "line 3",
		`[` + ok:                                                                                    "the file ends in the middle",
		`[` + ok + `] []`:                                                                           "there is text after the array",
		`[5]`:                                                                                       "an entry is an object",
	} {
		_, err := Parse([]byte(text))
		if err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%s: got %v, want %q", text, err, says)
		}
		if err != nil && strings.Contains(err.Error(), "secret") {
			t.Errorf("the error has a part of a key: %v", err)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(`[{"name": "a", "key_sha256": "` + hexOf("k") + `", "models": ["m"], "limits": ["5/day"]}]`))
	f.Fuzz(func(t *testing.T, text []byte) {
		clients, err := Parse(text)
		if err != nil {
			return
		}
		again, err := json.Marshal(clients)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := Parse(again); err != nil && len(clients) > 0 {
			t.Errorf("what was read cannot be read again: %v\n%s", err, again)
		}
	})
}

func add(name string) func([]Client) ([]Client, error) {
	return func(clients []Client) ([]Client, error) {
		return append(clients, Client{Name: name, KeySHA256: HashOf(name)}), nil
	}
}

// Many at the same time lose nothing, and whoever reads sees a whole file.
func TestUpdateAtTheSameTime(t *testing.T) {
	file := filepath.Join(t.TempDir(), "clients.json")
	if err := Update(file, add("first")); err != nil {
		t.Fatal(err)
	}
	var writers, reader sync.WaitGroup
	done := make(chan struct{})
	reader.Go(func() {
		for {
			if _, err := Read(file); err != nil {
				t.Errorf("reading: %v", err)
				return
			}
			select {
			case <-done:
				return
			default:
			}
		}
	})
	const n = 50
	for i := range n {
		writers.Go(func() {
			if err := Update(file, add(fmt.Sprint("client-", i))); err != nil {
				t.Error(err)
			}
		})
	}
	writers.Wait()
	close(done)
	reader.Wait()
	clients, err := Read(file)
	if err != nil || len(clients) != n+1 {
		t.Errorf("%d clients, %v, want %d", len(clients), err, n+1)
	}
	if names, _ := os.ReadDir(filepath.Dir(file)); len(names) != 1 {
		t.Errorf("something is left behind: %v", names)
	}
}

// A file keeps its mode, and a link stays one; a new file is for its owner alone.
func TestUpdateKeepsMode(t *testing.T) {
	dir := t.TempDir()
	file, link := filepath.Join(dir, "clients.json"), filepath.Join(dir, "link.json")
	wantMode := func(want fs.FileMode) {
		t.Helper()
		info, err := os.Stat(file)
		if err != nil || info.Mode().Perm() != want {
			t.Errorf("mode %v, %v, want %v", info.Mode(), err, want)
		}
	}
	if err := Update(file, add("a")); err != nil {
		t.Fatal(err)
	}
	wantMode(0o600)
	if err := os.Chmod(file, 0o640); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("clients.json", link); err != nil {
		t.Skip(err)
	}
	if err := Update(link, add("b")); err != nil {
		t.Fatal(err)
	}
	wantMode(0o640)
	if info, err := os.Lstat(link); err != nil || info.Mode()&fs.ModeSymlink == 0 {
		t.Errorf("the link is %v, %v", info.Mode(), err)
	}
	if clients, err := Read(file); err != nil || len(clients) != 2 {
		t.Errorf("%v, %v", clients, err)
	}
}

// What goes wrong changes nothing.
func TestUpdateFails(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "clients.json")
	if err := Update(file, add("a")); err != nil {
		t.Fatal(err)
	}
	before, _ := os.ReadFile(file)
	refused := errors.New("no")
	for name, change := range map[string]func([]Client) ([]Client, error){
		"error":     func([]Client) ([]Client, error) { return nil, refused },
		"same name": add("a"),
		"no hash":   func(c []Client) ([]Client, error) { return append(c, Client{Name: "b"}), nil },
	} {
		if err := Update(file, change); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	if err := os.WriteFile(filepath.Join(dir, "broken.json"), []byte("[{"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := Update(filepath.Join(dir, "broken.json"), add("b")); err == nil {
		t.Error("a broken file was replaced")
	}
	if err := Update(filepath.Join(dir, "missing", "clients.json"), add("b")); err == nil {
		t.Error("there is no such folder")
	}
	if after, _ := os.ReadFile(file); string(after) != string(before) {
		t.Errorf("the file has changed to %s", after)
	}
	if names, _ := os.ReadDir(dir); len(names) != 2 {
		t.Errorf("something is left behind: %v", names)
	}
}

// As root, the command keeps the owner of the file, and gives a new one that of its
// folder.
func TestUpdateKeepsOwner(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root")
	}
	dir := t.TempDir()
	file, other := filepath.Join(dir, "clients.json"), filepath.Join(dir, "other.json")
	if err := os.Chown(dir, 1234, 1235); err != nil {
		t.Skip(err)
	}
	for _, name := range []string{file, other} {
		if err := Update(name, add("a")); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Chown(other, 2345, 2346); err != nil {
		t.Fatal(err)
	}
	if err := Update(other, add("b")); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{file: "1234 1235", other: "2345 2346"} {
		if got := ownerOf(t, name); got != want {
			t.Errorf("%s is of %s, want %s", filepath.Base(name), got, want)
		}
	}
}

// Keys are long, begin with the prefix and differ.
func TestNewKey(t *testing.T) {
	a, b := NewKey(), NewKey()
	if a == b || !strings.HasPrefix(a, KeyPrefix) || len(a) < len(KeyPrefix)+26 {
		t.Errorf("got %s and %s", a, b)
	}
}
