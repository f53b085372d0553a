package translate_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/caddy-freetier/caddy-freetier/internal/llm/neutral"
	"github.com/caddy-freetier/caddy-freetier/internal/llm/translate"
)

// eachMember calls a function for each member of each object in a JSON value, with the
// member taken out of it. The path has no indexes, and the types of elements if they are
// wanted.
func eachMember(v any, path string, types bool, without func(path string)) {
	switch v := v.(type) {
	case map[string]any:
		for name, member := range v {
			under := name
			if path != "" {
				under = path + "." + name
			}
			delete(v, name)
			without(under)
			v[name] = member
			eachMember(member, under, types, without)
		}
	case []any:
		for _, element := range v {
			under := path + "[]"
			if object, ok := element.(map[string]any); ok && types && object["type"] != nil {
				under += fmt.Sprintf("(%s)", object["type"])
			}
			eachMember(element, under, types, without)
		}
	}
}

// influence returns what becomes of a request, which is the same if a field makes no
// difference, and what was named as dropped.
func influence(t *testing.T, from, to neutral.Dialect, body any) (result string, dropped []string) {
	t.Helper()
	text, err := json.Marshal(body)
	if err != nil {
		t.Fatal(err)
	}
	r, err := translate.Read(from, text)
	if err != nil {
		return err.Error(), nil
	}
	sent, err := translate.Write(r, to, neutral.Target{Model: models[to], Vendor: "other"})
	if err != nil {
		return err.Error(), nil
	}
	return fmt.Sprint(r.Model, r.Stream, sent.Dropped.Header(), string(sent.Body)), sent.Dropped.Names()
}

// saysNothing are the ends of the paths of members that make no difference in some
// recordings, and lose nothing there.
var saysNothing = map[neutral.Dialect][]string{
	neutral.Responses: {
		"input[].type", "input[].role", "format.type", "parameters.type", // so without them
		"tool_choice", "parallel_tool_calls", "strict", // have the values of the other side's default
		"input[].id", // call_id links
		"store",      // nothing is kept on a translated route
		"include",    // signatures are always asked for
	},
	neutral.Messages: {
		"system[].type", "input_schema.type",
		"thinking", "thinking.type", // output_config.effort says it too
	},
	neutral.Gemini: {
		"role", "parametersJsonSchema.type",
		"functionResponse.id", "functionResponse.name", // each of the two links
		"thinkingConfig.includeThoughts", // a chat channel shows its thoughts or does not
	},
}

func isSilent(from neutral.Dialect, path string) bool {
	return slices.ContainsFunc(saysNothing[from], func(end string) bool {
		return path == end || strings.HasSuffix(path, "."+end) || (strings.Contains(end, "[]") && strings.HasSuffix(path, end))
	})
}

// Each field that an agent was seen to send makes a difference to what is sent, or is
// named in X-Gateway-Dropped: taken out, it changes the one or the other.
func TestRecordedFieldsAreKeptOrNamed(t *testing.T) {
	files, err := filepath.Glob("testdata/agents/*.jsonl")
	if err != nil || len(files) == 0 {
		t.Fatalf("no recordings (%v)", err)
	}
	seen := map[string]int{}
	for _, file := range files {
		content, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		from := recordedDialect(file)
		for _, line := range bytes.Split(bytes.TrimSpace(content), []byte("\n")) {
			var body map[string]any
			if err := json.Unmarshal(line, &body); err != nil {
				t.Fatal(err)
			}
			for _, to := range dialects {
				if to == from {
					continue
				}
				whole, dropped := influence(t, from, to, body)
				eachMember(body, "", false, func(path string) {
					key := fmt.Sprint(filepath.Base(file), to, path)
					if seen[key]++; seen[key] > 3 || isSilent(from, path) {
						return
					}
					if got, _ := influence(t, from, to, body); got == whole && !isNamed(path, dropped) {
						t.Errorf("%s to %s: %s makes no difference and is not named", filepath.Base(file), to, path)
					}
				})
			}
		}
	}
	if len(seen) < 500 {
		t.Errorf("only %d fields were looked at", len(seen))
	}
}

// recordedDialect returns the dialect of a recording.
func recordedDialect(file string) neutral.Dialect {
	switch name := filepath.Base(file); {
	case strings.HasPrefix(name, "claude"):
		return neutral.Messages
	case strings.HasPrefix(name, "gemini"):
		return neutral.Gemini
	}
	return neutral.Responses
}
