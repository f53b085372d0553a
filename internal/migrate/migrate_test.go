package migrate

import (
	"fmt"
	"strings"
	"testing"
)

// described writes the channels and forwards of a pool in a line each.
func described(p *Pool) string {
	var lines []string
	for _, c := range p.Channels {
		lines = append(lines, strings.TrimSpace(fmt.Sprintf("%s|%s|%s|%s", c.Provider, c.URL, strings.Join(c.Keys, " "), fmt.Sprint(c.Models))))
	}
	for _, f := range p.Forwards {
		lines = append(lines, f.Host+f.Path+" > "+f.URL)
	}
	return strings.Join(lines, "\n")
}

func TestRead(t *testing.T) {
	const gsk = "gsk_exampleexample"
	for name, tc := range map[string]struct {
		file, text string
		options    Options
		want       string // "" for an error
	}{
		"BOM and CRLF":          {"a.txt", "\xef\xbb\xbf" + gsk + "1\r\n" + gsk + "2\r\n", Options{}, "groq||" + gsk + "1 " + gsk + "2|[]"},
		"a comment alone":       {"a.txt", "# nothing\n", Options{}, ""},
		"nothing":               {"a.txt", "", Options{}, ""},
		"no text":               {"a.txt", "\xff\xfe", Options{}, ""},
		"keys of a given host":  {"a.txt", "abcdefgh12345678", Options{URL: "https://a.example.com/v1/chat/completions"}, "|https://a.example.com/v1|abcdefgh12345678|[]"},
		"keys of a region":      {"a.txt", "sk-abcdefgh", Options{Provider: "dashscope intl", Models: []string{"qwen3"}}, "dashscope||sk-abcdefgh|[{[qwen3] }]"},
		"no such region":        {"a.txt", "sk-abcdefgh", Options{Provider: "dashscope us"}, ""},
		"JSON of keys":          {"a.json", `["` + gsk + `1", "` + gsk + `2"]`, Options{}, "groq||" + gsk + "1 " + gsk + "2|[]"},
		"a key that is wrapped": {"a.json", `{"provider": "groq", "key": "  \"Bearer ` + gsk + `\"  "}`, Options{}, "groq||" + gsk + "|[]"},
		"nested JSON":           {"a.json", strings.Repeat("[", 100) + strings.Repeat("]", 100), Options{}, ""},
		"by name": {
			"a.json", `{"one": {"url": "https://a.example.com/v1", "key": "abcdefgh12345678"}, "two": {"platform": "google", "apiKey": "AIzaexample"}}`,
			Options{},
			"|https://a.example.com/v1|abcdefgh12345678|[]\ngemini||AIzaexample|[]",
		},
		"a known host":      {"a.csv", "base_url,key\nhttps://api.groq.com/openai/v1," + gsk + "\n", Options{}, "groq||" + gsk + "|[]"},
		"quoted CSV":        {"a.csv", "key,models,provider\n" + gsk + `,"a,b",Groq` + "\n", Options{}, "groq||" + gsk + "|[{[a b] }]"},
		"NULL in CSV":       {"a.csv", "key,provider,status,base_url\n" + gsk + ",groq,1,NULL\n" + gsk + "2,groq,2,NULL\n", Options{}, "groq||" + gsk + "|[]"},
		"type 39, one-api":  {"a.json", `[{"type": 39, "key": "abcdefgh12345678"}]`, Options{}, "together||abcdefgh12345678|[]"},
		"type 39, new-api":  {"a.json", `[{"type": 39, "key": "abcdefgh12345678", "other": "acc", "auto_ban": 1}]`, Options{}, "cloudflare||acc/abcdefgh12345678|[]"},
		"type 3":            {"a.json", `[{"type": 3, "key": "abcdefgh12345678", "base_url": "https://me.openai.azure.com/"}]`, Options{}, "azure|https://me.openai.azure.com/openai/v1|abcdefgh12345678|[]"},
		"a type with a URL": {"a.json", `[{"type": 99, "key": "abcdefgh12345678", "base_url": "https://a.example.com"}]`, Options{}, "|https://a.example.com|abcdefgh12345678|[]"},
		"no account":        {"a.json", `[{"provider": "cloudflare", "key": "abcdefgh12345678"}]`, Options{}, ""},
		"keys one by one disabled": {
			"a.json", `[{"provider": "groq", "key": "` + gsk + `0\n` + gsk + `1", "channel_info": "{\"multi_key_status_list\":{\"0\":3}}"}]`,
			Options{},
			"groq||" + gsk + "1|[]",
		},
		"keys among empty lines": {
			"a.json", `[{"provider": "groq", "key": "\n` + gsk + `0\n\n` + gsk + `1\n` + gsk + `2\n", "channel_info": "{\"multi_key_status_list\":{\"2\":3}}"}]`,
			Options{},
			"groq||" + gsk + "0 " + gsk + "2|[]",
		},
		"a script": {
			"w.js", "const routes = { '/a': 'https://a.example.org', /* b */ b: \"https://b.example.org/x/\", // c\n 'c.example.com': `https://c.example.org`, d: env.D, };",
			Options{},
			"/a > https://a.example.org\n/b > https://b.example.org/x\nc.example.com > https://c.example.org",
		},
		"a script without an ending": {"-", "let map = new Map([['/a', 'https:\\/\\/a.example.org']]);\nfunction f() { return { x: 1 } }", Options{}, "/a > https://a.example.org"},
		"a script with headers":      {"w.js", "const headers = {'Content-Type': 'application/json'};\nconst url = {'href': 'https://a.example.org'};", Options{}, ""},
		"models of nobody":           {"w.js", "const modelMap = {'a': 'b'};", Options{}, ""},
		"models":                     {"w.js", "const modelMap = {'a': 'b', 'c': 'b', 'd': 'd', 'e f': 'b'};", Options{Provider: "groq"}, "groq|||[{[a c] b} {[d] }]"},
		"JSON of models":             {"a.json", `{"a": "b"}`, Options{Provider: "groq"}, "groq|||[{[a] b}]"},
		"one path twice":             {"a.json", `{"/a": "https://a.example.org", "/a/": "https://b.example.org", "/a/*": "https://c.example.org"}`, Options{}, "/a > https://a.example.org"},
		"variables": {
			".env", "export GROQ_API_KEY='" + gsk + "' # mine\nMISTRAL_API_KEY=abcdefgh12345678\nOPENAI_BASE_URL=https://api.groq.com/openai/v1\nOPENAI_API_KEY=" + gsk + "2\nPORT=1\n",
			Options{},
			"groq||" + gsk + "|[]\nmistral||abcdefgh12345678|[]\ngroq||" + gsk + "2|[]",
		},
	} {
		t.Run(name, func(t *testing.T) {
			p, err := Read(tc.file, []byte(tc.text), tc.options)
			switch {
			case tc.want == "" && err == nil:
				t.Errorf("got %s, want an error", described(p))
			case err == nil && described(p) != tc.want:
				t.Errorf("got\n%s\nwant\n%s\nnotes: %q", described(p), tc.want, p.Notes)
			case err != nil && tc.want != "":
				t.Error(err)
			case err != nil && strings.Contains(err.Error(), "abcdefgh12345678"):
				t.Errorf("a key is in the error: %v", err)
			}
		})
	}
}

// Thousands of channels of one name, with very many keys, are no trouble.
func TestManyChannels(t *testing.T) {
	p := new(Pool)
	for i := range 3000 {
		c := &Channel{Name: "relay", URL: fmt.Sprintf("https://a%d.example.com", i)}
		for j := range 20 {
			c.Keys = append(c.Keys, fmt.Sprintf("sk-example-%d-%d", i, j))
		}
		p.Channels = append(p.Channels, c)
	}
	out, err := p.Write(Place{Site: "ai.example.com", Keys: "keys"})
	if err != nil || len(out.Keys) != 3000 || !strings.Contains(out.Caddyfile, "channel relay-3000 https://a2999.example.com {") {
		t.Errorf("%d files, %v", len(out.Keys), err)
	}
	p.Channels[5].Models = []Model{{Names: []string{"x-sk-example-77-7-x"}}}
	if _, err := p.Write(Place{Site: "ai.example.com", Keys: "keys"}); err == nil || !strings.Contains(err.Error(), "relay-78: one of its keys") || strings.Contains(err.Error(), "sk-example") {
		t.Errorf("got %v", err)
	}
}
