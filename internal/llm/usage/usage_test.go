package usage

import (
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"strings"
	"testing"
)

// sse writes events, each given as its data.
func sse(data ...string) string {
	return "data: " + strings.Join(data, "\n\ndata: ") + "\n\n"
}

// responses are those of all dialects, each with 12 tokens in and 34 out.
var responses = []struct {
	name string
	kind Kind
	text string
}{
	{"chat", JSON, `{"choices":[{"message":{"content":"\"usage\":{\"prompt_tokens\":1}"}}],"usage":{"prompt_tokens":12,"completion_tokens":34,"total_tokens":46,` +
		`"prompt_tokens_details":{"cached_tokens":5,"prompt_tokens":99},"completion_tokens_details":{"reasoning_tokens":7}},"system_fingerprint":"x"}`},
	{"usage first", JSON, `{"usage":{"prompt_tokens":12,"completion_tokens":34},"choices":[{"message":{"content":"` + strings.Repeat("x", 100_000) + `"}}]}`},
	{"usage between", JSON, `{"id":"x","usage" : {` + "\n\t" + `"prompt_tokens" : 12 , "completion_tokens" : 34 } ,"metadata":{"a":"` + strings.Repeat("m", 8192) + `","usage":{"prompt_tokens":99}}}`},
	{"embeddings", JSON, `{"data":[{"embedding":[` + strings.Repeat("-0.1,", 100_000) + `0]}],"usage" : { "prompt_tokens" : 12 , "completion_tokens" : 34 } }`},
	{"responses", JSON, `{"error":null,"output":[{"content":[{"text":"x","usage":{"input_tokens":99}}]}],"usage":{"input_tokens":12,"input_tokens_details":{"cached_tokens":0},"output_tokens":34},"user":null,"metadata":{"usage":"{\"input_tokens\":99}"}}`},
	{"messages", JSON, `{"content":[{"type":"tool_use","input":{"usage":{"input_tokens":99}}}],"usage":{"input_tokens":5,"cache_creation_input_tokens":4,"cache_read_input_tokens":3,"output_tokens":34,"service_tier":"standard","cache_creation":{"input_tokens":99}}}`},
	{"gemini", JSON, `{"candidates":[{"content":{"parts":[{"functionCall":{"args":{"usageMetadata":{"promptTokenCount":99}}}}]}}],"usageMetadata":{"promptTokenCount":12,"candidatesTokenCount":30,"thoughtsTokenCount":4,"totalTokenCount":46,"promptTokensDetails":[{"modality":"TEXT","tokenCount":99}]},"modelVersion":"x"}`},
	{"gemini, a list", JSON, "[{\"usageMetadata\":{\"promptTokenCount\":12,\"candidatesTokenCount\":3}}\n,\r\n{\"usageMetadata\":{\"promptTokenCount\":12,\"candidatesTokenCount\":34}}\n]"},
	{"thoughts in the total only", JSON, `{"usage":{"prompt_tokens":12,"completion_tokens":4,"total_tokens":46}}`},
	{"Cohere", JSON, `{"message":{"content":[{"text":"x"}]},"usage":{"billed_units":{"input_tokens":1,"output_tokens":1},"tokens":{"input_tokens":12,"output_tokens":34}}}`},
	{"Cohere, v1", JSON, `{"text":"x","meta":{"billed_units":{"input_tokens":1},"tokens":{"input_tokens":12,"output_tokens":34}}}`},
	{"Ollama", JSON, "{\"message\":{\"content\":\"a\"},\"done\":false}\n{\"message\":{\"content\":\"\"},\"done\":true,\"total_duration\":99,\"prompt_eval_count\":12,\"eval_count\":34}\n"},
	{"Converse", JSON, `{"output":{"message":{"content":[{"text":"x"}]}},"usage":{"inputTokens":12,"outputTokens":34,"totalTokens":46}}`},
	{"fractions", JSON, `{"usage":{"prompt_tokens":11.2,"completion_tokens":3.4E+1}}`},

	{"chat, streamed", Events, sse(`{"choices":[{"delta":{"content":"\"usage\":{\"prompt_tokens\":1}"}}],"usage":null}`, `{"choices":[],"usage":{"prompt_tokens":12,"completion_tokens":34}}`, "[DONE]")},
	{"Groq, streamed", Events, sse(`{"choices":[{"delta":{}}],"x_groq":{"id":"x","usage":{"prompt_tokens":12,"completion_tokens":34}}}`, "[DONE]")},
	{"Moonshot, streamed", Events, sse(`{"choices":[{"delta":{},"finish_reason":"stop","usage":{"prompt_tokens":12,"completion_tokens":34}}]}`)},
	{"cumulative", Events, sse(`{"choices":[],"usage":{"prompt_tokens":12,"completion_tokens":1}}`, `{"choices":[],"usage":{"prompt_tokens":12,"completion_tokens":34}}`, `{"choices":[],"usage":{"prompt_tokens":0,"completion_tokens":0}}`)},
	{"responses, streamed", Events, "event: response.completed\n" + sse(`{"response":{"output":"`+strings.Repeat("x", 100_000)+`","metadata":{"usage":{"input_tokens":99}},"usage":{"input_tokens":12,"output_tokens":34}}}`)},
	{"messages, streamed", Events, "event: message_start\n" + sse(`{"message":{"usage":{"input_tokens":12,"output_tokens":1}}}`, `{"type":"content_block_delta"}`, `{"type":"message_delta","usage":{"output_tokens":34}}`)},
	{"gemini, streamed", Events, strings.ReplaceAll(sse(`{"usageMetadata":{"promptTokenCount":12,"candidatesTokenCount":3}}`, `{"usageMetadata":{"promptTokenCount":12,"candidatesTokenCount":34}}`), "\n", "\r\n")},
	{"without empty lines", Events, "data:{\"choices\":[]}\ndata:{\"usage\":{\"prompt_tokens\":12,\"completion_tokens\":34}}\ndata:[DONE]"},
	{"an event in two lines", Events, "data: {\"usage\":{\"prompt_tokens\":12,\ndata: \"completion_tokens\":34}}\n\n"},
	{"after one that is cut off", Events, "data: {\"a\":[{\"b\":\"\n\n: usage\nusage: {\nid: 1\n" + sse(`{"usage":{"prompt_tokens":12,"completion_tokens":34}}`)},
}

// read reads a response in pieces of n bytes, 0 for at once.
func read(kind Kind, estimates bool, text string, n int) *Meter {
	m := NewMeter(kind, estimates)
	if n == 0 {
		m.Whole([]byte(text))
		return &m
	}
	for len(text) > 0 {
		step := min(n, len(text))
		m.Write([]byte(text[:step]))
		text = text[step:]
	}
	m.End()
	return &m
}

// The usage is found in all dialects, wherever it stands, however the response
// is cut into pieces, and never in what repeats a client's words.
func TestUsage(t *testing.T) {
	for _, tc := range responses {
		t.Run(tc.name, func(t *testing.T) {
			for _, n := range []int{0, 1, 2, 7, 100, 3000, 4096, 5000, 1 << 20} {
				for _, estimates := range []bool{false, true} {
					m := read(tc.kind, estimates, tc.text, n)
					if m.Input() != 12 || m.Output() != 34 || m.Sum() != 46 {
						t.Errorf("in pieces of %d: %+v", n, m.Usage)
					}
				}
			}
		})
	}
}

// Numbers that cannot be are no numbers, and what is said later never lowers
// what was said before.
func TestLies(t *testing.T) {
	for text, want := range map[string]Usage{
		``:                                  {},
		`{"usage`:                           {},
		`{"usage":`:                         {},
		`{"usage":{`:                        {},
		`{"usage":{"prompt_tokens`:          {},
		`{"usage":{"prompt_tokens":`:        {},
		`{"usage":null}`:                    {},
		`{"usage":"many"}`:                  {},
		`{"usage":5}`:                       {},
		`{"usage":[5,{"a":1}]}`:             {},
		`{"usage":{"prompt_tokens":"5"}}`:   {},
		`{"usage":{"prompt_tokens":null}}`:  {},
		`{"usage":{"prompt_tokens":true}}`:  {},
		`{"usage":{"prompt_tokens":-5}}`:    {},
		`{"usage":{"prompt_tokens":-0}}`:    {},
		`{"usage":{"prompt_tokens":1e308}}`: {},
		`{"usage":{"prompt_tokens":1e999}}`: {},

		`{"usage":{"prompt_tokens":9223372036854775807}}`: {},

		`{"usage":{"prompt_tokens":` + strings.Repeat("9", 1000) + `}}`:                               {},
		`{"usage":{"prompt_tokens":1e}}`:                                                              {},
		`{"usage":{"prompt_tokens":1-1}}`:                                                             {},
		`{"usage":{"prompt_tokens":0x10}}`:                                                            {},
		`{"usage":{"prompt_tokens":[5]}}`:                                                             {},
		`{"usage":{"prompt_tokens":{"prompt_tokens":5}}}`:                                             {},
		`{"usage_x":{"prompt_tokens":5}}`:                                                             {},
		`{"Usage":{"prompt_tokens":5}}`:                                                               {},
		`{"us\u0061ge":{"prompt_tokens":5}}`:                                                          {},
		`"usage":{"prompt_tokens":5}`:                                                                 {},
		`{"metadata":{"usage":{"prompt_tokens":5}}}`:                                                  {},
		`{"input":[{"usage":{"prompt_tokens":5}}]}`:                                                   {},
		`{"choices":[{"message":{"usage":{"prompt_tokens":5}}}]}`:                                     {},
		`{"response":{"metadata":{"usage":{"input_tokens":5}}}}`:                                      {},
		`{"a":` + strings.Repeat("[", 70) + `{"usage":{"prompt_tokens":5}}`:                           {},
		`{"usage":{"prompt_tokens":100000001,"completion_tokens":100000000}}`:                         {Completion: MaxStated},
		`{"usage":{"prompt_tokens":0.5}}`:                                                             {Prompt: 1},
		`{"usage":{"prompt_tokens":5`:                                                                 {},
		`{"usage":{"prompt_tokens":5,"completion_tokens":5`:                                           {Prompt: 5},
		`{"usage":{"prompt_tokens":5,"prompt_tokens":3,"completion_tokens":-1}}`:                      {Prompt: 5},
		`{"usage":{"prompt_tokens":5}}{"usage":{"prompt_tokens":7}}`:                                  {Prompt: 7},
		`{"a":` + strings.Repeat("[", 99) + strings.Repeat("]", 99) + `,"usage":{"prompt_tokens":5}}`: {Prompt: 5},
	} {
		for _, n := range []int{0, 1, 5} {
			if m := read(JSON, true, text, n); m.Usage != want {
				t.Errorf("%.100s in pieces of %d: %+v, want %+v", text, n, m.Usage, want)
			}
			if m := read(Events, false, "data: "+text+"\n\n", n); m.Usage != want {
				t.Errorf("as an event, %.100s in pieces of %d: %+v, want %+v", text, n, m.Usage, want)
			}
		}
	}
}

// The text of a response is counted, and nothing else of it: neither its
// names nor what it repeats.
func TestEstimateOutput(t *testing.T) {
	forty := strings.Repeat("word ", 8)
	picture := strings.Repeat("A", 51200)
	for _, tc := range []struct {
		name string
		kind Kind
		text string
		want int64
	}{
		{"nothing", JSON, ``, 0},
		{"chat", JSON, `{"id":"chatcmpl-1234567890","model":"m","choices":[{"index":0,"message":{"role":"assistant","content":"` + forty + `","annotations":[{"url":"https://example.com/` + forty + `"}]},"logprobs":{"content":[{"token":"` + forty + `"}]},"finish_reason":"stop"}]}`, 10},
		{"escapes", JSON, `{"choices":[{"text":"\n\"\\\/\u4e2d\u6587` + forty + `"}]}`, 13}, // 4 + 6 + 40
		{"a call", JSON, `{"choices":[{"message":{"content":null,"tool_calls":[{"id":"call_1","type":"function","function":{"name":"f","arguments":"{\"a\":\"` + forty[4:] + `\"}"}}]}}]}`, 11},
		{"a picture", JSON, `{"data":[{"b64_json":"` + picture + `","revised_prompt":""}]}`, 100},
		{"sound", JSON, `{"choices":[{"message":{"audio":{"id":"x","data":"` + picture + `","transcript":"` + forty + `"}}}]}`, 110},
		{"responses", JSON, `{"instructions":"` + picture + `","text":{"format":{"schema":"` + picture + `"}},"output":[{"type":"reasoning","encrypted_content":"` + picture + `"},{"content":[{"type":"output_text","text":"` + forty + `"}]}]}`, 10},
		{"messages", JSON, `{"type":"message","content":[{"type":"thinking","thinking":"` + forty + `","signature":"` + picture + `"},{"type":"tool_use","name":"f","input":{"a":{"b":["` + forty + `"]}}}]}`, 20},
		{"gemini", JSON, `[{"candidates":[{"content":{"parts":[{"text":"` + forty + `","thoughtSignature":"` + picture + `"},{"inlineData":{"mimeType":"image/png","data":"` + picture + `"}}],"role":"model"},"groundingMetadata":{"x":"` + picture + `"}}]}]`, 110},
		{"Ollama", JSON, `{"message":{"role":"assistant","content":"` + forty + `"}}`, 10},
		{"transcript", JSON, `{"text":"` + forty + `"}`, 10},
		{"embeddings", JSON, `{"object":"list","data":[{"object":"embedding","embedding":"` + picture + `"},{"embedding":[0.1,-2e-5]}],"model":"m"}`, 0},
		{"unknown", JSON, `{"id":"x","results":[{"words":"` + forty + `"}]}`, 10},
		{"unknown, with usage", JSON, `{"id":"x","results":[{"words":"` + forty + `"}],"usage":{"total_tokens":5}}`, 0},
		{"cut off in the text", JSON, `{"choices":[{"message":{"content":"` + forty, 10},
		{"no JSON", JSON, forty, 0},

		{"chat, streamed", Events, sse(`{"choices":[{"delta":{"role":"assistant","content":""}}]}`, `{"choices":[{"delta":{"content":"a"}}]}`, `{"choices":[{"delta":{"content":"b"}}]}`, `{"choices":[]}`) + ": ping\n\n", 2},
		{"long events", Events, sse(`{"choices":[{"delta":{"content":"`+forty+`"}}]}`, `{"choices":[{"delta":{"reasoning_content":"`+forty+`"}}]}`, "[DONE]"), 20},
		{"cut off in an event", Events, sse(`{"choices":[{"delta":{"content":"`+forty+`"}}]}`) + `data: {"choices":[{"delta":{"content":"` + forty, 20},
		{"responses, streamed", Events, sse(`{"type":"response.created","response":{"instructions":"`+picture+`","tools":[{"description":"`+picture+`"}]}}`,
			`{"type":"response.output_text.delta","item_id":"msg_1","delta":"`+forty+`","obfuscation":"`+forty+`"}`), 10},
		{"messages, streamed", Events, sse(`{"type":"message_start","message":{"id":"x","content":[],"usage":{"input_tokens":5,"output_tokens":1}}}`,
			`{"type":"content_block_delta","delta":{"type":"text_delta","text":"`+forty+`"}}`, `{"type":"content_block_delta","delta":{"type":"input_json_delta","partial_json":"`+forty+`"}}`,
			`{"type":"content_block_delta","delta":{"type":"signature_delta","signature":"`+picture+`"}}`), 20},
		{"unknown, streamed", Events, sse(`{"words":"`+forty+`"}`, `{"words":"`+forty+`"}`), 20},

		{"text", Text, forty, 10},
		{"a byte of text", Text, "x", 1},
		{"mp3", Media, picture, 100},
	} {
		for _, n := range []int{0, 1, 7, 4096} {
			if got := read(tc.kind, true, tc.text, n).EstimateOutput(); got != tc.want {
				t.Errorf("%s in pieces of %d: %d, want %d", tc.name, n, got, tc.want)
			}
		}
	}
}

// The text of a request is counted, and images by their size, if they are any.
func TestEstimateJSON(t *testing.T) {
	png := "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJ" + strings.Repeat("A", 51200-44)
	pdf := "JVBERi0xLjcKJeLjz9MK" + strings.Repeat("A", 3200-20)
	text := strings.Repeat("word ", 800) // 1000 tokens
	for name, tc := range map[string]struct {
		body     string
		from, to int64
	}{
		"empty":              {`{}`, 0, 0},
		"text":               {`{"model":"m","messages":[{"role":"user","content":"` + text + `"}]}`, 1000, 1010},
		"many short texts":   {`{"messages":[` + strings.Repeat(`{"role":"user","content":"hi"},`, 100) + `{}]}`, 400, 520},
		"whitespace":         {`{"model":"m",` + strings.Repeat(" ", 10_000) + `"messages":["` + text + `"]}`, 1000, 1010},
		"names":              {`{"` + text + `":1}`, 1000, 1000},
		"escapes":            {`{"content":"` + strings.Repeat(`\u4e2d`, 1000) + `"}`, 750, 755},
		"numbers":            {`{"a":[` + strings.Repeat("1,", 10_000) + `1]}`, 1, 1},
		"an image":           {`{"content":[{"type":"image_url","image_url":{"url":"data:image/png;base64,` + png + `"}}]}`, 100, 115},
		"an image, messages": {`{"content":[{"type":"image","source":{"type":"base64","media_type":"image/png","data":"` + png + `"}}]}`, 100, 120},
		"an image, gemini":   {`{"contents":[{"parts":[{"inlineData":{"mimeType":"image/png","data":"` + png + `"}}]}]}`, 100, 120},
		"a PDF":              {`{"file":{"file_data":"data:application/pdf;base64,` + pdf + `"}}`, 100, 110},
		"text as an image":   {`{"content":[{"type":"image_url","image_url":{"url":"data:image/png;base64,` + text + `"}}]}`, 1000, 1020},
		"an image as text":   {`{"content":"` + png + `"}`, 12800, 12810},
		"a file of text":     {`{"data":"` + strings.Repeat("VGV4dCB0", 500) + `"}`, 1000, 1005},
		"a URL":              {`{"image_url":{"url":"https://example.com/a.png"}}`, 5, 12},
		"cut off":            {`{"content":"` + text[:3000], 0, 5},
	} {
		for _, size := range []int{1, 100, 1 << 20} {
			got, err := EstimateJSON(iotest{strings.NewReader(tc.body), size})
			if err != nil || got < tc.from || got > tc.to {
				t.Errorf("%s in pieces of %d: %d (%v), want %d to %d", name, size, got, err, tc.from, tc.to)
			}
		}
	}
	if got := EstimateForm(100); got != 25 {
		t.Errorf("a small form: %d", got)
	}
	if got := EstimateForm(1 << 20); got != 256+2048 {
		t.Errorf("a large form: %d", got)
	}
}

// iotest reads in pieces.
type iotest struct {
	io.Reader
	size int
}

func (r iotest) Read(p []byte) (int, error) { return r.Reader.Read(p[:min(len(p), r.size)]) }

// reference finds what a scanner finds in valid JSON, from the parsed text.
type reference struct {
	Usage
	text, media, other int64
}

func (r *reference) walk(d *json.Decoder, at place, level int) {
	token, err := d.Token()
	if err != nil {
		return
	}
	switch token := token.(type) {
	case json.Delim:
		for d.More() {
			if token == '[' {
				r.walk(d, at, level+1)
				continue
			}
			name, _ := d.Token()
			c := classOf([]byte(name.(string)))
			// Whether a string follows is not known yet: both are tried.
			r.value(d, at, c, level+1)
		}
		_, _ = d.Token()
	case string:
		r.count(at, int64(len(token)))
	}
}

func (r *reference) value(d *json.Decoder, around place, c class, level int) {
	var raw json.RawMessage
	if d.Decode(&raw) != nil {
		return
	}
	switch raw[0] {
	case '"':
		var s string
		_ = json.Unmarshal(raw, &s)
		r.count(around.inside(c, true), int64(len(s)))
	case '{', '[':
		inner := json.NewDecoder(strings.NewReader(string(raw)))
		inner.UseNumber()
		r.walk(inner, around.inside(c, false), level)
	default:
		var n float64
		if json.Unmarshal(raw, &n) != nil || n <= 0 || n > MaxStated {
			return
		}
		field := r.field(c)
		if around == placeTop {
			field = map[class]*int64{classEvalPrompt: &r.Prompt, classEval: &r.Completion}[c]
		} else if around != placeUsage {
			field = nil
		}
		if field != nil {
			*field = max(*field, int64(n))
		}
	}
}

func (r *reference) count(at place, n int64) {
	switch at {
	case placeText:
		r.text += n
	case placeMedia:
		r.media += n
	case placeMeta:
	default:
		r.other += n
	}
}

// randomJSON writes JSON in which the known names stand everywhere.
func randomJSON(r *rand.Rand, depth int) string {
	names := []string{
		"usage", "usageMetadata", "response", "message", "choices", "candidates", "output", "content", "text", "delta", "data", "url", "id",
		"tokens", "prompt_tokens", "output_tokens", "total_tokens", "eval_count", "metadata", "x", "logprobs", "meta",
	}
	space := func() string { return []string{"", "", " ", "\n\t"}[r.IntN(4)] }
	switch n := r.IntN(8); {
	case n < 3 && depth > 0:
		var parts []string
		for range r.IntN(5) {
			parts = append(parts, fmt.Sprintf("%q%s:%s%s", names[r.IntN(len(names))], space(), space(), randomJSON(r, depth-1)))
		}
		return "{" + space() + strings.Join(parts, space()+","+space()) + "}"
	case n == 3 && depth > 0:
		var parts []string
		for range r.IntN(5) {
			parts = append(parts, randomJSON(r, depth-1))
		}
		return "[" + space() + strings.Join(parts, ","+space()) + space() + "]"
	case n < 6:
		return []string{"0", "1", "77", "-5", "1e308", "123456789012", "12e2"}[r.IntN(7)]
	case n == 6:
		return []string{"null", "true", `""`}[r.IntN(3)]
	}
	s, _ := json.Marshal([]string{"x", "words", "\"usage\":{\"prompt_tokens\":5}", "\\\n", "{", "ünï", "]"}[r.IntN(7)])
	return string(s)
}

// In valid JSON the scanner finds what a parser finds, in pieces of any size.
func TestAgainstParser(t *testing.T) {
	for seed := range uint64(20_000) {
		r := rand.New(rand.NewPCG(seed, 7))
		text := randomJSON(r, 6)
		d := json.NewDecoder(strings.NewReader(text))
		d.UseNumber()
		var want reference
		want.walk(d, placeTop, 0)
		for _, n := range []int{0, 1, 1 + r.IntN(20)} {
			m := read(JSON, true, text, n)
			got := reference{m.Usage, m.text, m.media, m.other}
			if got != want {
				t.Fatalf("in pieces of %d: %+v, want %+v: %s", n, got, want, text)
			}
		}
	}
}

// Whatever a response is, it is read the same in pieces of any size, and no
// number is negative or absurd.
func FuzzMeter(f *testing.F) {
	for _, tc := range responses {
		if len(tc.text) < 1000 {
			f.Add([]byte(tc.text), uint8(tc.kind), uint8(3))
		}
	}
	f.Fuzz(func(t *testing.T, text []byte, kind, size uint8) {
		k := Kind(kind % 4)
		whole := read(k, true, string(text), 1<<30)
		pieces := read(k, true, string(text), int(size)+1)
		if whole.Usage != pieces.Usage || whole.text != pieces.text || whole.media != pieces.media || whole.other != pieces.other {
			t.Errorf("whole %+v, in pieces %+v", whole.scanner, pieces.scanner)
		}
		if n := whole.EstimateOutput(); n < 0 || n > int64(len(text)) {
			t.Errorf("estimated %d", n)
		}
		if whole.Sum() < 0 || whole.Sum() > 8*MaxStated {
			t.Errorf("the sum is %d", whole.Sum())
		}
		if cheap := read(k, false, string(text), 0); k == JSON && cheap.Usage != whole.Usage && mayHaveUsage(text) {
			t.Errorf("without estimates %+v, with them %+v", cheap.Usage, whole.Usage)
		}
		if n, err := EstimateJSON(strings.NewReader(string(text))); err != nil || n < 0 || n > int64(len(text)) {
			t.Errorf("a request of %d bytes is estimated at %d", len(text), n)
		}
	})
}

// A response of any size is read in the same room.
func TestBoundedMemory(t *testing.T) {
	piece := []byte(strings.Repeat(`{"a":"`+strings.Repeat("x", 5000), 100))
	line := []byte("data: " + strings.Repeat("x", 100_000))
	for _, kind := range []Kind{JSON, Events, Text, Media} {
		m := NewMeter(kind, true)
		m.Write(line)
		if allocs := testing.AllocsPerRun(100, func() { m.Write(piece) }); allocs > 0 {
			t.Errorf("kind %d: %v allocations a piece", kind, allocs)
		}
	}
}
