package conversation

import (
	"bytes"
	"fmt"
	"math"
	"math/rand/v2"
	"net/http"
	"strings"
	"testing"

	"github.com/caddy-freetier/caddy-freetier/internal/reqbody"
)

// of returns the conversation of a body, which must be a valid one.
func of(t testing.TB, client, body string, header ...string) Identity {
	t.Helper()
	q := request(t, client, body, header...)
	if q.Body != nil {
		defer q.Body.Release()
	}
	return q.Identity()
}

func request(t testing.TB, client, body string, header ...string) *Request {
	t.Helper()
	q := &Request{Client: client, Header: make(http.Header)}
	for i := 0; i < len(header); i += 2 {
		q.Header.Set(header[i], header[i+1])
	}
	if body == "" {
		return q
	}
	scanner := reqbody.NewScanner("model")
	scanner.Mark(Fields...)
	kept, err := reqbody.NewBudget(math.MaxInt64, math.MaxInt64).Read(strings.NewReader(body), int64(len(body)), 1<<30, scanner)
	if err != nil {
		t.Fatalf("%.200s: %v", body, err)
	}
	if _, err := scanner.Finish(); err != nil && err != reqbody.ErrMissing {
		t.Fatalf("%.200s: %v", body, err)
	}
	q.Body, q.Places = kept, PlacesOf(scanner.Marked())
	return q
}

// dialect is how an API writes a conversation.
type dialect struct {
	name  string
	write func(system string, turns []string) any
}

var dialects = []dialect{
	{"chat", func(system string, turns []string) any {
		list := []any{object{"role": "system", "content": system}}
		for i, text := range turns {
			list = append(list, object{"role": []string{"user", "assistant"}[i%2], "content": text})
		}
		return object{"model": "m", "messages": list, "stream": true}
	}},
	{"chat in parts", func(system string, turns []string) any {
		list := []any{object{"role": "developer", "content": []any{object{"type": "text", "text": system}}}}
		for i, text := range turns {
			list = append(list, object{"role": []string{"user", "assistant"}[i%2], "content": []any{object{"type": "text", "text": text}}})
		}
		return object{"model": "m", "messages": list}
	}},
	{"responses", func(system string, turns []string) any {
		list := []any{object{"type": "additional_tools", "role": "developer", "tools": []any{}}}
		for i, text := range turns {
			list = append(list, object{"type": "message", "role": []string{"user", "assistant"}[i%2], "content": []any{object{"type": "input_text", "text": text}}})
		}
		return object{"model": "m", "instructions": system, "input": list, "store": false}
	}},
	{"messages", func(system string, turns []string) any {
		var list []any
		for i, text := range turns {
			part := object{"type": "text", "text": text}
			if i == len(turns)-1 {
				part["cache_control"] = object{"type": "ephemeral"}
			}
			list = append(list, object{"role": []string{"user", "assistant"}[i%2], "content": []any{part}})
		}
		return object{"model": "m", "max_tokens": 4, "system": []any{object{"type": "text", "text": system}}, "messages": list}
	}},
	{"messages, texts that become parts", func(system string, turns []string) any {
		var list []any
		for i, text := range turns {
			m := object{"role": []string{"user", "assistant"}[i%2], "content": text}
			if i == len(turns)-1 {
				m["content"] = []any{object{"type": "text", "text": text, "cache_control": object{"type": "ephemeral"}}}
			}
			list = append(list, m)
		}
		return object{"model": "m", "max_tokens": 4, "system": system, "messages": list}
	}},
	{"gemini", func(system string, turns []string) any {
		var list []any
		for i, text := range turns {
			list = append(list, object{"role": []string{"user", "model"}[i%2], "parts": []any{object{"text": text}, object{"inlineData": object{"mimeType": "image/png", "data": text}}}})
		}
		return object{"systemInstruction": object{"parts": []any{object{"text": system}}}, "contents": list}
	}},
}

// Later turns and how a body is written leave the conversation as it is; another
// client, system prompt or first message is another one.
func TestContent(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	for _, d := range dialects {
		t.Run(d.name, func(t *testing.T) {
			for range 30 {
				system, turns := text(random), []string{text(random), text(random), text(random), text(random)}
				first := of(t, "alice", render(random, d.write(system, turns[:1]), false))
				if first.Kind != Content {
					t.Fatalf("the kind is %d, want Content", first.Kind)
				}
				for n := 1; n <= len(turns); n++ {
					body := render(random, d.write(system, turns[:n]), true)
					if got := of(t, "alice", body); got != first {
						t.Fatalf("turn %d is %+v, want %+v: %s", n, got, first, body)
					}
				}
				for what, other := range map[string]Identity{
					"another client":        of(t, "bob", render(random, d.write(system, turns[:1]), true)),
					"another system prompt": of(t, "alice", render(random, d.write(system+".", turns[:1]), true)),
					"another first message": of(t, "alice", render(random, d.write(system, []string{turns[0] + "."}), true)),
				} {
					if other == first {
						t.Errorf("%s is the same conversation", what)
					}
				}
			}
		})
	}
}

// Texts that a body of the Responses API has in place of items, and what has no
// role.
func TestContentInOtherForms(t *testing.T) {
	same := [][2]string{
		{`{"input":"hello"}`, `{"input":["hello"]}`},
		{`{"input":"hello"}`, `{"input":[{"role":"user","content":"hello"},{"role":"assistant","content":"x"}]}`},
		{`{"contents":{"parts":[{"text":"a"}]}}`, `{"contents":[{"parts":[{"text":"a"}],"role":"user"},{"parts":[]}]}`},
		{`{"system_instruction":{"parts":[{"text":"s"}]},"contents":[{"parts":[{"text":"a"}]}]}`, `{"systemInstruction":{"parts":[{"text":"s"}]},"contents":[{"parts":[{"text":"a"}]}]}`},
		{`{"messages":[{"role":"user","content":[{"type":"image","source":{"a":1,"b":[2]}},{"type":"text","text":"x"}]}]}`, `{"messages":[{"content":[{"source":{"b":[2],"a":1},"type":"image","cache_control":{}},{"type":"text","text":"x"}],"role":"user"}]}`},
	}
	for _, pair := range same {
		a, b := of(t, "c", pair[0]), of(t, "c", pair[1])
		if a != b || a.Kind != Content {
			t.Errorf("%s is %+v, %s is %+v, want the same", pair[0], a, pair[1], b)
		}
	}
	for _, body := range []string{`{}`, `{"model":"m"}`, `{"prompt":"x"}`, `{"messages":[]}`, `{"input":null}`, `{"contents":7}`, `{"messages":[{"role":"user"}]}`} {
		if got := of(t, "c", body); got.Kind != None {
			t.Errorf("%s is %+v, want none", body, got)
		}
	}
	if got := of(t, "c", ""); got.Kind != None || got == of(t, "d", "") {
		t.Errorf("no body is %+v, want none, and one for each client", got)
	}
}

func TestStated(t *testing.T) {
	const messages = `"messages":[{"role":"user","content":"hello"}]`
	claude := `"metadata":{"user_id":"{\"device_id\":\"d\",\"account_uuid\":\"\",\"session_id\":\"s-1\"}"}`
	sources := []struct{ name, body, header, value string }{
		{"conversation", `{"conversation":"s-1",` + messages + `}`, "", ""},
		{"conversation object", `{"conversation":{"x":{"id":"y"},"id":"s-1"},` + messages + `}`, "", ""},
		{"escaped", `{"conv\u0065rsation":"s\u002d1",` + messages + `}`, "", ""},
		{"cache key", `{` + messages + `,"prompt_cache_key" : "s-1"}`, "", ""},
		{"session", `{"session_id":"s-1"}`, "", ""},
		{"Claude Code's metadata", `{` + claude + `,` + messages + `}`, "", ""},
		{"older Claude Code's metadata", `{"metadata":{"user_id":"user_ab_account__session_s-1"},` + messages + `}`, "", ""},
		{"Codex's metadata", `{"client_metadata":{"session_id":"other","turn_id":"1","thread_id":"s-1"},` + messages + `}`, "", ""},
		{"response", `{"previous_response_id":"s-1","input":"x"}`, "", ""},
		{"no body", "", "Session-Id", "s-1"},
	}
	for _, header := range headers {
		sources = append(sources, struct{ name, body, header, value string }{header, `{` + messages + `}`, header, "s-1"})
	}
	want := of(t, "alice", `{"prompt_cache_key":"s-1"}`)
	for _, s := range sources {
		header := []string{}
		if s.header != "" {
			header = append(header, s.header, s.value)
		}
		if got := of(t, "alice", s.body, header...); got != want || got.Kind != Stated {
			t.Errorf("%s: %+v, want %+v", s.name, got, want)
		}
		if of(t, "bob", s.body, header...) == want {
			t.Errorf("%s: another client's conversation is the same", s.name)
		}
	}
	unstated := of(t, "alice", `{`+messages+`}`)
	for _, body := range []string{
		`{"conversation":null,` + messages + `}`, `{"conversation":7,` + messages + `}`, `{"conversation":{},` + messages + `}`,
		`{"prompt_cache_key":"",` + messages + `}`, `{"prompt_cache_key":["a"],` + messages + `}`,
		`{"metadata":{"user_id":"bob"},` + messages + `}`, `{"metadata":[],` + messages + `}`, `{"metadata":{"session_id":null},` + messages + `}`,
	} {
		if got := of(t, "alice", body); got != unstated {
			t.Errorf("%s: %+v, want the conversation that its messages are", body, got)
		}
	}
	if got := of(t, "alice", `{`+messages+`}`, "Session-Id", "undefined"); got != unstated {
		t.Errorf("a header that states nothing: %+v, want %+v", got, unstated)
	}
	// What changes with each turn counts only when nothing else is there.
	if got := of(t, "alice", `{"previous_response_id":"r","prompt_cache_key":"s-1"}`); got != want {
		t.Errorf("with the id of a response: %+v, want %+v", got, want)
	}
}

// Two processes and two versions agree.
func TestStableOverProcesses(t *testing.T) {
	for body, want := range map[string]Identity{
		`{"prompt_cache_key":"s-1"}`:                            {Stated, 0xbc388eb6cef12280},
		`{"messages":[{"role":"user","content":"h\u00e9llo"}]}`: {Content, 0x8260a0b2aa46be37},
	} {
		if got := of(t, "alice", body); got != want {
			t.Errorf("%s: {%d, %#x}, want {%d, %#x}", body, got.Kind, got.Hash, want.Kind, want.Hash)
		}
	}
}

// Large bodies lie in pieces or in a file, and only their beginning counts.
func TestLargeBodies(t *testing.T) {
	long := strings.Repeat("0123456789abcdef", 16<<10)
	for _, padding := range []int{0, 60 << 10, 512<<10 - 100, 9 << 20} {
		body := func(tail string) string {
			return `{"x":"` + strings.Repeat("x", padding) + `","messages":[{"role":"user","content":"` + long + tail + `"}],"prompt_cache_keys":1}`
		}
		first := of(t, "c", body(""))
		if got := of(t, "c", body("tail")); got != first || got.Kind != Content {
			t.Errorf("behind %d bytes: %+v, want %+v", padding, got, first)
		}
		if other := of(t, "c", strings.Replace(body(""), `"0123`, `"1123`, 1)); other == first {
			t.Errorf("behind %d bytes: another beginning is the same conversation", padding)
		}
		if got := of(t, "c", `{"messages":[{"role":"user","content":"`+long+`"}]}`); got != first {
			t.Errorf("behind %d bytes: %+v, without them %+v", padding, first, got)
		}
	}
}

func TestAllocations(t *testing.T) {
	for name, body := range bodies() {
		q := request(t, "alice", body)
		if n := testing.AllocsPerRun(100, func() { q.Identity() }); n > 8 {
			t.Errorf("%s: %v allocations, want at most 8", name, n)
		}
		q.Body.Release()
	}
}

// bodies are those of the benchmark: usual ones, and the worst that clients
// could send.
func bodies() map[string]string {
	message := func(content string) string {
		return `{"model":"m","messages":[{"role":"user","content":` + content + `}]}`
	}
	const mb = 1 << 20
	return map[string]string{
		"1 KB":         `{"model":"m","messages":[{"role":"system","content":"` + strings.Repeat("You are helpful.\\n", 30) + `"},{"role":"user","content":"` + strings.Repeat("hello ", 60) + `"}]}`,
		"cache key":    `{"model":"m","prompt_cache_key":"0199a213-81c0-7800-8aa1-bbab2a035a53","input":"` + strings.Repeat("hello ", 1000) + `"}`,
		"text":         message(`"` + strings.Repeat("x", mb) + `"`),
		"escapes":      message(`"` + strings.Repeat(`\u00e9`, mb/6) + `"`),
		"lists":        message(strings.Repeat("[", 5000) + strings.Repeat("]", 5000)),
		"objects":      message(`[{"a":` + strings.Repeat(`{"a":`, 5000) + "1" + strings.Repeat("}", 5001) + `]`),
		"parts":        message(`[` + strings.Repeat(`{"text":""},`, mb/12) + `1]`),
		"keys":         message(`[{` + strings.Repeat(`"\u0061":1,`, mb/11) + `"b":1}]`),
		"messages":     `{"messages":[` + strings.Repeat(`{"role":"x"},`, mb/13) + `{}]}`,
		"white space":  `{"messages":` + strings.Repeat(" ", mb) + `[]}`,
		"many strings": message(`[` + strings.Repeat(`"",`, mb/3) + `""]`),
	}
}

func BenchmarkIdentity(b *testing.B) {
	for name, body := range bodies() {
		b.Run(name, func(b *testing.B) {
			q := request(b, "alice", body)
			defer q.Body.Release()
			b.ReportAllocs()
			for b.Loop() {
				q.Identity()
			}
		})
	}
}

// FuzzIdentity: no valid body makes it panic, white space at the end of the
// body changes nothing, and neither does reading it again.
func FuzzIdentity(f *testing.F) {
	for _, body := range bodies() {
		if len(body) < 4096 {
			f.Add([]byte(body))
		}
	}
	f.Add([]byte(`{"conversation":{"id":"a"},"metadata":{"user_id":"{\"session_id\":\"s\"}"},"contents":[{"parts":[{"text":"\ud83d\ude00"}]}]}`))
	f.Add([]byte(`{"system":[{"text":"a"},{"type":"x","a":[1,{"b":null}]}],"input":[{"role":"user","content":[]},"x",[[]]]}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		scanner := reqbody.NewScanner("model")
		scanner.Mark(Fields...)
		_, _ = scanner.Write(body)
		if _, err := scanner.Finish(); err != nil && err != reqbody.ErrMissing {
			return
		}
		first := of(t, "c", string(body))
		if again := of(t, "c", string(body)+" \n"); again != first {
			t.Errorf("%q: %+v and %+v", body, first, again)
		}
		for n := range min(len(body), 200) { // a text that breaks off anywhere
			c := cursor{text: body[:n]}
			_, _ = c.messages()
			c = cursor{text: body[:n]}
			_, _ = c.idIn("id", "user_id")
			_ = sessionOf(body[:n])
			_ = hashText(bytes.TrimLeft(body[:n], `{"`))
		}
	})
}

// object is written with its keys in any order.
type object map[string]any

// render writes a value as JSON, if varied in one of the many ways to do so.
func render(random *rand.Rand, v any, varied bool) string {
	space := func() string {
		if !varied {
			return ""
		}
		return []string{"", " ", "\n\t", "  "}[random.IntN(4)]
	}
	switch v := v.(type) {
	case object:
		var members []string
		for key, value := range v {
			members = append(members, space()+quoted(random, key, varied)+space()+":"+space()+render(random, value, varied)+space())
		}
		if varied {
			random.Shuffle(len(members), func(i, j int) { members[i], members[j] = members[j], members[i] })
		}
		return "{" + strings.Join(members, ",") + "}"
	case []any:
		var elements []string
		for _, element := range v {
			elements = append(elements, space()+render(random, element, varied)+space())
		}
		return "[" + strings.Join(elements, ",") + "]"
	case string:
		return quoted(random, v, varied)
	}
	return fmt.Sprint(v)
}

// quoted writes a string with escapes where they must be and, if varied, where
// they may be.
func quoted(random *rand.Rand, s string, varied bool) string {
	var b strings.Builder
	b.WriteByte('"')
	for _, r := range s {
		switch {
		case r == '\n' && (!varied || random.IntN(2) == 0):
			b.WriteString(`\n`)
		case r == '"' || r == '\\':
			b.WriteString(`\` + string(r))
		case r < ' ' || varied && r < 0x10000 && random.IntN(4) == 0:
			fmt.Fprintf(&b, `\u%04x`, r)
		case varied && r >= 0x10000 && random.IntN(2) == 0:
			fmt.Fprintf(&b, `\u%04x\u%04x`, 0xd800+(r-0x10000)>>10, 0xdc00+(r-0x10000)&0x3ff)
		case varied && r == '/':
			b.WriteString(`\/`)
		default:
			b.WriteRune(r)
		}
	}
	b.WriteByte('"')
	return b.String()
}

func text(random *rand.Rand) string {
	alphabet := []rune("abc XYZ\n\"\\/{}[]:,é模😀\t")
	runes := make([]rune, 1+random.IntN(60))
	for i := range runes {
		runes[i] = alphabet[random.IntN(len(alphabet))]
	}
	return string(runes)
}
