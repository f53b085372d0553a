package neutral_test

import (
	"strings"
	"testing"

	"github.com/caddy-freetier/caddy-freetier/internal/llm/neutral"
)

func tool(namespace, name string) neutral.Tool {
	return neutral.Tool{ToolRef: neutral.ToolRef{Namespace: namespace, Name: name}}
}

var namedTools = []neutral.Tool{
	tool("", "read"),
	tool("fs", "read"),
	tool("db", "read"),
	tool("", "fs__read"), // is what fs's read becomes
	tool("", strings.Repeat("n", 70)),
	tool("", strings.Repeat("n", 69)+"m"),
	tool("a.b", "c.d"),
	tool("", "a.b"),
	tool("", "a:b"),
	tool("", "1st"),
	tool("", "größe"),
	tool("", ""),
}

func TestNames(t *testing.T) {
	names := neutral.NewNames(namedTools)
	seen := map[string]bool{}
	for _, tool := range namedTools {
		sent := names.Sent(tool.ToolRef)
		if len(sent) > 64 || sent == "" || strings.Trim(sent, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-") != "" {
			t.Errorf("%q is no name that all dialects take", sent)
		}
		if seen[sent] {
			t.Errorf("%q is the name of two tools", sent)
		}
		seen[sent] = true
		if got := names.Declared(sent); got != tool.ToolRef {
			t.Errorf("back from %q: got %v, want %v", sent, got, tool.ToolRef)
		}
	}
}

// TestNamesStay holds the names themselves: they must be the same in each process,
// and in each version that prompt caches outlive.
func TestNamesStay(t *testing.T) {
	names := neutral.NewNames(namedTools)
	for ref, want := range map[neutral.ToolRef]string{
		{Name: "read"}:                      "read",
		{Namespace: "fs", Name: "read"}:     "fs__read",
		{Namespace: "a.b", Name: "c.d"}:     "a_b__c_d_dcf7c143",
		{Name: strings.Repeat("n", 70)}:     strings.Repeat("n", 55) + "_cab54999",
		{Namespace: "gone", Name: "unlike"}: "gone__unlike",
	} {
		if got := names.Sent(ref); got != want {
			t.Errorf("%v: got %q, want %q", ref, got, want)
		}
	}
}

func TestNamesOfLaterTurns(t *testing.T) {
	for n := 1; n <= len(namedTools); n++ {
		early, late := neutral.NewNames(namedTools[:n]), neutral.NewNames(namedTools)
		for _, tool := range namedTools[:n] {
			if got, want := late.Sent(tool.ToolRef), early.Sent(tool.ToolRef); got != want {
				t.Errorf("%v after more tools: got %q, want %q", tool.ToolRef, got, want)
			}
		}
	}
}

func TestUnknownName(t *testing.T) {
	names := neutral.NewNames(namedTools)
	for _, name := range []string{"never", "ns.read", "x__y", ""} {
		if name == "" {
			continue
		}
		if got, want := names.Declared(name), (neutral.ToolRef{Name: name}); got != want {
			t.Errorf("%q: got %v, want %v", name, got, want)
		}
	}
}

func TestCallID(t *testing.T) {
	if got, want := neutral.CallID("toolu_01-A"), "toolu_01-A"; got != want {
		t.Errorf("valid id: got %q, want %q", got, want)
	}
	for _, id := range []string{"functions.Bash:0", "", strings.Repeat("x", 65), "é"} {
		got := neutral.CallID(id)
		if got != neutral.CallID(id) {
			t.Errorf("%q has two forms", id)
		}
		if len(got) > 64 || strings.ContainsAny(got, ".:é") || got == "" {
			t.Errorf("%q became %q, which not all dialects take", id, got)
		}
	}
}

func TestSignature(t *testing.T) {
	own := neutral.Sig{Vendor: "google", Value: "a+/b=="}
	marked := own.Mark()
	for _, returned := range []string{
		marked,
		strings.TrimRight(marked, "="),
		strings.NewReplacer("+", "-", "/", "_").Replace(marked),
	} {
		if got := neutral.ReadSig(returned); got != own {
			t.Errorf("back from %q: got %v, want %v", returned, got, own)
		}
	}
	if got := neutral.ReadSig(marked).For("other"); got != "" {
		t.Errorf("to another vendor goes %q", got)
	}
	if got := neutral.ReadSig("EqoBCkgIA").For("anthropic"); got != "" {
		t.Errorf("a signature of unknown origin goes on as %q", got)
	}
	if !strings.HasPrefix(marked, neutral.SignatureMark) {
		t.Errorf("%q does not begin with the mark", marked)
	}
}

func TestThinkTags(t *testing.T) {
	for _, c := range []struct{ name, text, thought, said string }{
		{"none", "Hello <think>not</think>", "", "Hello <think>not</think>"},
		{"tagged", "<think>\nhm\n</think>\n\nHello", "hm", "Hello"},
		{"long tag", "\n<thinking>hm</thinking>Hello", "hm", "Hello"},
		{"nothing else", "<think>hm</think>", "hm", ""},
		{"not ended", "<think>hm", "hm", ""},
		{"almost a tag", "<thin", "", "<thin"},
		{"less-than", "<b>bold</b>", "", "<b>bold</b>"},
		{"inner less-than", "<think>a</b></think>c", "a</b>", "c"},
	} {
		for cut := 0; cut <= len(c.text); cut++ {
			var tags neutral.ThinkTags
			got := map[neutral.EventKind]string{}
			emit := func(kind neutral.EventKind, text string) { got[kind] += text }
			tags.Add(c.text[:cut], emit)
			tags.Add(c.text[cut:], emit)
			tags.End(emit)
			if strings.TrimSpace(got[neutral.ThoughtDelta]) != c.thought {
				t.Errorf("%s, cut at %d: thought %q, want %q", c.name, cut, got[neutral.ThoughtDelta], c.thought)
			}
			if got[neutral.TextDelta] != c.said {
				t.Errorf("%s, cut at %d: text %q, want %q", c.name, cut, got[neutral.TextDelta], c.said)
			}
		}
	}
}
