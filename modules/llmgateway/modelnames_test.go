package llmgateway

import (
	"fmt"
	"strings"
	"testing"

	"github.com/caddy-freetier/caddy-freetier/internal/caddytest"
)

// withModels has a line of models in a channel (line 6), in a client (line 9)
// and a fallback (line 11).
func withModels(channel, client, fallback string) string {
	return fmt.Sprintf(`http://127.0.0.1:1 {
	llm_gateway {
		channel a https://a.example {
			api_key api-key-of-a
			models first
			models %s
		}
		client me key-of-me {
			models %s
		}
		fallback %s to first
	}
}
`, channel, client, fallback)
}

// Lists, mappings, comments and patterns in the syntax of other programs are
// refused wherever models are named, for they would be names that no client
// asks for.
func TestModelMistakes(t *testing.T) {
	for _, tc := range []struct{ name, line, says string }{
		{"comma", "gpt-4, gpt-3.5-turbo", "separate models with white space"},
		{"comma without a space", "gpt-4,gpt-3.5-turbo", "separate models with white space"},
		{"comma apart", "gpt-4 , gpt-3.5-turbo", "separate models with white space"},
		{"full-width comma", "gpt-4，gpt-3.5-turbo", "separate models with white space"},
		{"ideographic comma", "gpt-4、gpt-3.5-turbo", "separate models with white space"},
		{"semicolon", "gpt-4;", "separate models with white space"},
		{"full-width semicolon", "gpt-4；", "separate models with white space"},
		{"arrow", "gpt-4 -> gpt-4-0125-preview", "gpt-4 as gpt-4-0125-preview"},
		{"arrow without a space", "gpt-4->gpt-4-0125-preview", "gpt-4 as gpt-4-0125-preview"},
		{"double arrow", "gpt-4 => gpt-4-0125-preview", "gpt-4 as gpt-4-0125-preview"},
		{"arrow of Unicode", "gpt-4 → gpt-4-0125-preview", "gpt-4 as gpt-4-0125-preview"},
		{"equals sign", "gpt-4=gpt-4-0125-preview", "gpt-4 as gpt-4-0125-preview"},
		{"to", "gpt-4 to gpt-4-0125-preview", "gpt-4 as gpt-4-0125-preview"},
		{"comment of C", "gpt-4 // the best", "a comment begins with #"},
		{"comment of SQL", "gpt-4 -- the best", "a comment begins with #"},
		{"comment in a block", "gpt-4 /* the best */", "a comment begins with #"},
		{"regular expression", "^gpt-.*$", "* stands for any characters"},
		{"regular expression with one end", "^gpt", "* stands for any characters"},
		{"regular expression of nginx", "~gpt", "* stands for any characters"},
		{"alternatives", "gpt-4|gpt-5", "* stands for any characters"},
		{"escaped dot", `gpt-3\.5-turbo`, "* stands for any characters"},
		{"any characters of a regular expression", "gpt-.*", "* stands for any characters"},
		{"anything of a regular expression", ".*", "* stands for any characters"},
		{"one character", "gpt-?", "* stands for any characters"},
		{"space in quotes", `"gpt-4 gpt-5"`, "a name has no white space in it"},
		{"single quotes", "'gpt-4'", "without quotation marks"},
		{"typographic quotes", "“gpt-4”", "without quotation marks"},
		{"name of documentation", "<model>", "without quotation marks and brackets"},
		{"placeholder", "{env.MODEL}", "names hold no placeholders"},
		{"variable of a shell", "$MODEL", "names hold no placeholders"},
		{"empty name", `""`, "is empty"},
		{"full-width star", "gpt-4＊", "neither a letter nor a digit"},
		{"full-width letters", "ＧＰＴ-4", "neither a letter nor a digit"},
		{"dash", "gpt–4", "neither a letter nor a digit"},
		{"zero-width space", "gpt-4\u200b", "neither a letter nor a digit"},
		{"control character", "gpt-4\x01", "neither a letter nor a digit"},
		{"name twice in a line", "gpt-4 gpt-5 gpt-4", `"gpt-4" is given twice`},
	} {
		caddytest.Mistakes(t, []caddytest.Mistake{
			{Name: "channel, " + tc.name, Caddyfile: withModels(tc.line, "gpt-4", "gpt-4"), Line: 6, Says: []string{tc.says}},
			{Name: "client, " + tc.name, Caddyfile: withModels("gpt-4", tc.line, "gpt-4"), Line: 9, Says: []string{tc.says}},
			{Name: "fallback, " + tc.name, Caddyfile: withModels("gpt-4", "gpt-4", tc.line), Line: 11, Says: []string{tc.says}},
		})
	}
	caddytest.Mistakes(t, []caddytest.Mistake{
		{Name: "name of another line", Caddyfile: withModels("gpt-4 first", "gpt-4", "gpt-4"), Line: 6, Says: []string{`"first" is given twice`}},
		{Name: "the channel's own name", Caddyfile: withModels("gpt-4 as gpt-4-0125,", "gpt-4", "gpt-4"), Line: 6, Says: []string{"separate models with white space"}},
		{Name: "stand-in", Caddyfile: strings.Replace(withModels("gpt-4", "gpt-4", "gpt-4"), "to first", "to first;", 1), Line: 11, Says: []string{"separate models with white space"}},
	})
}

// What models are really called is accepted.
func TestModelNames(t *testing.T) {
	for _, name := range []string{
		"gpt-4o", "gpt-4.*", "gpt-3.5-turbo*", "*", "o1*", "@cf/meta/llama-3.1-8b-instruct", "deepseek/deepseek-r1:free", "llama3:8b-instruct-q4_0",
		"models/gemini-2.5-pro", "accounts/fireworks/models/x", "claude-sonnet-4-5[1m]", "gemini-2.5-pro(32768)", "command-r+", "gpt/realtime&1",
		"通义千问", "модель", "anthropic.claude-3-sonnet-20240229-v1:0", "ft:gpt-3.5-turbo:org::id", "meta.llama3_2", "x~y", "a!b", "a#b",
	} {
		if err := checkModelName(name); err != nil {
			t.Error(err)
		}
	}
	if err := caddytest.Validate(withModels("gpt-4 gpt-4-* as x\nmodels gpt-4-*", "first gpt-4*", "gpt-4")); err != nil {
		t.Error(err)
	}
}
