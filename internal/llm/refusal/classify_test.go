package refusal

import (
	"bufio"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

var now = time.Date(2026, 11, 26, 12, 0, 0, 0, time.UTC)

// testCase is a response as testdata has it, and what it means.
type testCase struct {
	name string
	want map[string]string
	in   Input
}

// caseFiles are the files in testdata and the number of cases that each has at
// least. Tests range over the cases, and would pass without any.
var caseFiles = map[string]int{"documented.txt": 38, "providers.txt": 179, "regressions.txt": 82}

// load reads the cases of testdata/*.txt. A case begins with `=== name`, has
// lines with what is expected, and then the response as it was sent.
func load(t testing.TB) []testCase {
	t.Helper()
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(files) != len(caseFiles) {
		t.Fatalf("testdata has %v (%v), want the files of %v", files, err, caseFiles)
	}
	var cases []testCase
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		before := len(cases)
		for block := range strings.SplitSeq("\n"+string(text), "\n=== ") {
			if strings.TrimSpace(block) != "" {
				cases = append(cases, parseCase(t, block))
			}
		}
		least, known := caseFiles[filepath.Base(file)]
		if n := len(cases) - before; !known || n < least {
			t.Fatalf("%s: %d cases, want at least %d", file, n, least)
		}
	}
	return cases
}

func parseCase(t testing.TB, block string) testCase {
	t.Helper()
	name, rest, _ := strings.Cut(block, "\n")
	head, response, found := strings.Cut(rest, "HTTP/1.1")
	if !found {
		t.Fatalf("%s: no response", name)
	}
	c := testCase{name: name, want: make(map[string]string)}
	for line := range strings.Lines(head) {
		key, value, _ := strings.Cut(line, ":")
		c.want[key] = strings.TrimSpace(value)
	}
	if c.want["want"] == "" {
		t.Fatalf("%s: no verdict is expected", name)
	}
	response = strings.TrimRight(response, "\n")
	if !strings.Contains(response, "\n\n") {
		response += "\n\n" // no body
	}
	res, err := http.ReadResponse(bufio.NewReader(strings.NewReader("HTTP/1.1"+response)), nil)
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	body, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	c.in = Input{
		Status: res.StatusCode, Header: res.Header, Body: body, Provider: Provider(c.want["provider"]),
		Dialect: dialects[c.want["dialect"]], Model: "m1", Now: now, InStream: c.want["stream"] == "yes",
	}
	return c
}

var dialects = map[string]Dialect{
	"": DialectChat, "chat": DialectChat, "responses": DialectResponses, "messages": DialectMessages, "gemini": DialectGemini, "other": DialectOther,
}

// describe returns a verdict in the words of testdata.
func describe(v Verdict) string {
	text := v.Scope().String()
	if v.Reason != ReasonNone {
		text += ", " + string(v.Reason)
	}
	if v.NamedByField {
		text += ", by field"
	}
	return text
}

// until returns the end of a verdict's cooldown: as a duration up to a day, and
// "-" if only the policy says.
func until(v Verdict, want string) string {
	if v.Until.IsZero() {
		return "-"
	}
	if strings.Contains(want, "T") {
		return v.Until.UTC().Format(time.RFC3339)
	}
	return fmt.Sprint(v.Until.Sub(now).Seconds()) + "s"
}

func TestClassify(t *testing.T) {
	for _, c := range load(t) {
		t.Run(c.name, func(t *testing.T) {
			v := Classify(c.in)
			for key, want := range c.want {
				var got string
				switch key {
				case "want":
					got = describe(v)
				case "until":
					got = until(v, want)
				case "models":
					got = v.Models
				case "zone":
					got = v.Zone
				case "client":
					got = fmt.Sprint(v.ClientStatus)
				case "status":
					got = fmt.Sprint(v.Status)
				case "rule":
					got = v.Rule
				case "hint":
					got = v.Hint.Source
				case "message":
					got = v.Message
				case "ask":
					got = map[bool]string{true: "yes", false: "no"}[v.AskAnotherKey]
				case "provider", "dialect", "stream":
					continue
				default:
					t.Fatalf("unknown expectation %q", key)
				}
				if got != want {
					t.Errorf("%s: got %q, want %q (rule %s)", key, got, want, v.Rule)
				}
			}
		})
	}
}
