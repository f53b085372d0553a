package refusal

import (
	"os"
	"strings"
	"testing"
)

const page = "../../../docs/refusals.md"

// The documentation is what the rules say. UPDATE_GOLDEN=1 writes it anew.
func TestMarkdown(t *testing.T) {
	want := Markdown()
	if os.Getenv("UPDATE_GOLDEN") != "" {
		if err := os.WriteFile(page, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != want {
		t.Error("docs/refusals.md is not what the rules say; run UPDATE_GOLDEN=1 go test ./internal/llm/refusal")
	}
}

func TestTable(t *testing.T) {
	names := make(map[string]bool)
	last := groupOverride
	for i := range table {
		m := &table[i]
		if names[m.name] {
			t.Errorf("two rules %s", m.name)
		}
		names[m.name] = true
		if m.group < last {
			t.Errorf("%s is not in the order of groups", m.name)
		}
		last = m.group
		if m.source == "" || m.reason == ReasonNone || (m.when == nil) != (m.whenWords == "") {
			t.Errorf("%s lacks a source, a reason or the words for its condition", m.name)
		}
		for _, text := range m.rule.texts {
			if plain(strings.NewReplacer("^", "", "$", "", "*", "").Replace(text)) != strings.TrimSpace(strings.NewReplacer("^", "", "$", "", "*", "").Replace(text)) {
				t.Errorf("%s: %q is not in plain form", m.name, text)
			}
		}
	}
	if m := table[len(table)-1]; m.kind != KindUnclear || m.when != nil || m.status != "" || len(m.only) > 0 {
		t.Error("the last rule does not match everything")
	}
}
