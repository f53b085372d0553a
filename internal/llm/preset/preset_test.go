package preset

import (
	"net/url"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/caddy-freetier/caddy-freetier/internal/llm/fields"
	"github.com/caddy-freetier/caddy-freetier/internal/llm/refusal"
)

const page = "../../../docs/providers.md"

// The documentation is what the table says. UPDATE_GOLDEN=1 writes it anew.
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
		t.Error("docs/providers.md is not what the table says; run UPDATE_GOLDEN=1 go test ./internal/llm/preset")
	}
}

// testdata/bases.tsv was written from the providers' documentation apart from
// the table, so that a slip in one of them shows.
func TestBases(t *testing.T) {
	text, err := os.ReadFile("testdata/bases.tsv")
	if err != nil {
		t.Fatal(err)
	}
	var want []string
	for line := range strings.Lines(string(text)) {
		if line = strings.TrimRight(line, "\n"); line != "" && line[0] != '#' {
			want = append(want, line)
		}
	}
	var got []string
	for _, p := range All() {
		for _, r := range p.Regions {
			row := []string{strings.TrimSpace(string(p.Name) + " " + r.Name)}
			for _, base := range r.Bases {
				text := strings.TrimPrefix(base.URL, "https://")
				if base.Auth != "" {
					text += " " + base.Auth
				}
				row = append(row, text)
			}
			got = append(got, strings.Join(append(row, p.Zone), "|"))
		}
	}
	slices.Sort(got)
	slices.Sort(want)
	for _, row := range got {
		if !slices.Contains(want, row) {
			t.Errorf("only in the table: %s", row)
		}
	}
	for _, row := range want {
		if !slices.Contains(got, row) {
			t.Errorf("only in testdata: %s", row)
		}
	}
}

func TestTable(t *testing.T) {
	seen := make(map[refusal.Provider]bool)
	for _, p := range All() {
		if seen[p.Name] {
			t.Errorf("%s stands twice in the table", p.Name)
		}
		seen[p.Name] = true
		if len(p.Regions) > 0 && len(p.Sources) == 0 {
			t.Errorf("%s has no source", p.Name)
		}
		for _, s := range p.Sources {
			if s.Place == "" || len(s.Read) < len("2026-01") {
				t.Errorf("%s: source %+v lacks its place or day", p.Name, s)
			}
		}
		if _, err := fields.Compile(p.Fields); err != nil {
			t.Errorf("%s: %v", p.Name, err)
		}
		for i, r := range p.Regions {
			if len(p.Regions) > 1 && i > 0 && r.Name == "" {
				t.Errorf("%s: region %d has no name", p.Name, i)
			}
			checkRegion(t, &p, &r)
		}
	}
	for _, name := range []refusal.Provider{
		refusal.Gemini, refusal.Groq, refusal.OpenRouter, refusal.Cerebras, refusal.Mistral, refusal.NVIDIA, refusal.Cloudflare,
		refusal.Cohere, refusal.HuggingFace, refusal.ZAI, refusal.Zhipu, refusal.SiliconFlow, refusal.ModelScope, refusal.Moonshot,
		refusal.DeepSeek, refusal.DashScope, refusal.Volcengine, refusal.ChatAny, refusal.Ollama, refusal.OpenAI, refusal.Anthropic,
	} {
		if !seen[name] {
			t.Errorf("there is no preset of %s", name)
		}
	}
}

// All dialects of a region are at one host, which the gateway relies on, and the
// classifier knows that host by the preset's name.
func checkRegion(t *testing.T, p *Preset, r *Region) {
	t.Helper()
	chat, err := url.Parse(r.Bases[Chat].URL)
	if err != nil || chat.Host == "" {
		t.Fatalf("%s %s: chat has no URL (%v)", p.Name, r.Name, err)
	}
	if got := refusal.ProviderOf(chat.Host); got != p.Name {
		t.Errorf("%s: the classifier takes %s for %q", p.Name, chat.Host, got)
	}
	for d, base := range r.Bases {
		if base.URL == "" {
			continue
		}
		u, err := url.Parse(base.URL)
		if err != nil || u.Scheme != "https" || u.Host != chat.Host {
			t.Errorf("%s: %s is not an https URL of %s", p.Name, base.URL, chat.Host)
		}
		if strings.HasSuffix(base.URL, "/") || strings.HasSuffix(base.URL, "/v1") && Dialect(d) == Messages {
			t.Errorf("%s: %s is not as clients of %s take it", p.Name, base.URL, Dialect(d))
		}
	}
}

func TestLookup(t *testing.T) {
	for name, says := range map[string]string{
		"github":    "retired on 2026-07-30",
		"sambanova": "no free plan since 2026-06",
		"kimi":      "write moonshot",
		"Bailian":   "write dashscope",
		"nobody":    "it is one of gemini, groq",
		"":          "it is one of gemini, groq",
		"Gemini":    "it is one of gemini, groq",
	} {
		if _, err := Lookup(name); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%q: got %v, want %q in it", name, err, says)
		}
	}
	for _, name := range Names() {
		if _, err := Lookup(name); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, s := range spellings {
		meant, _, _ := strings.Cut(strings.NewReplacer(",", " ", "(", " ").Replace(s.meant), " ")
		if retired[meant] == "" && !slices.Contains(Names(), meant) {
			t.Errorf("%s: there is no provider %s", s.typed, meant)
		}
	}
}

func TestRegions(t *testing.T) {
	dashscope, _ := Lookup("dashscope")
	for name, host := range map[string]string{"": "dashscope.aliyuncs.com", "cn": "dashscope.aliyuncs.com", "intl": "dashscope-intl.aliyuncs.com"} {
		r, err := dashscope.Region(name)
		if err != nil || !strings.Contains(r.Bases[Chat].URL, "//"+host+"/") {
			t.Errorf("%q: got %v (%v), want a URL of %s", name, r, err, host)
		}
	}
	if _, err := dashscope.Region("us"); err == nil || !strings.Contains(err.Error(), "it is one of cn, intl") {
		t.Errorf("got %v, want the regions", err)
	}
	groq, _ := Lookup("groq")
	if _, err := groq.Region("us"); err == nil || !strings.Contains(err.Error(), "has no regions") {
		t.Errorf("got %v, want that there are none", err)
	}
}

func TestRetiredHosts(t *testing.T) {
	for host, says := range map[string]string{
		"models.github.ai": "retired", "MODELS.github.ai": "retired", "text.pollinations.ai": "gen.pollinations.ai", "api.groq.com": "",
	} {
		if got := RetiredHost(host); (says == "") != (got == "") || !strings.Contains(got, says) {
			t.Errorf("%s: got %q, want %q in it", host, got, says)
		}
	}
}
