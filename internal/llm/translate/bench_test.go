package translate_test

import (
	"bytes"
	"encoding/json"
	"runtime"
	"strings"
	"testing"

	"github.com/caddy-freetier/caddy-freetier/internal/llm/neutral"
	"github.com/caddy-freetier/caddy-freetier/internal/llm/translate"
)

// kilobyte is a request of Messages of 1 KB.
var kilobyte = `{"model":"m","max_tokens":1024,"system":"You are helpful.","messages":[{"role":"user","content":"` + strings.Repeat("word ", 180) + `"}]}`

// BenchmarkRequest translates a request of 1 KB from messages to chat. Plain
// proxying of it through Caddy takes about 60 µs.
func BenchmarkRequest(b *testing.B) {
	b.SetBytes(int64(len(kilobyte)))
	b.ReportAllocs()
	for b.Loop() {
		r, err := translate.Read(neutral.Messages, []byte(kilobyte))
		if err != nil {
			b.Fatal(err)
		}
		if _, err := translate.Write(r, neutral.Chat, neutral.Target{Model: "m"}); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkAgentRequest translates one of 100 KB with twelve tools.
func BenchmarkAgentRequest(b *testing.B) {
	var body map[string]json.RawMessage
	if err := json.Unmarshal([]byte(requests["claude"].body), &body); err != nil {
		b.Fatal(err)
	}
	tool := `{"name":"Tool%","description":"` + strings.Repeat("does it. ", 600) + `","input_schema":{"type":"object","properties":{"a":{"type":"string","description":"` + strings.Repeat("long ", 200) + `"}},"required":["a"]}}`
	var tools []string
	for _, n := range "abcdefghijkl" {
		tools = append(tools, strings.Replace(tool, "%", string(n), 1))
	}
	body["tools"] = json.RawMessage("[" + strings.Join(tools, ",") + "]")
	text, _ := json.Marshal(body)
	b.SetBytes(int64(len(text)))
	b.ReportAllocs()
	for b.Loop() {
		r, err := translate.Read(neutral.Messages, text)
		if err != nil {
			b.Fatal(err)
		}
		if _, err := translate.Write(r, neutral.Chat, neutral.Target{Model: "m"}); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkStream translates 200 events of chat for each kind of client.
func BenchmarkStream(b *testing.B) {
	var events []string
	events = append(events, role)
	for range 200 {
		events = append(events, `{"id":"chatcmpl-123","object":"chat.completion.chunk","created":1764000000,"model":"up","choices":[{"index":0,"delta":{"content":" token"},"logprobs":null,"finish_reason":null}]}`)
	}
	pieces := strings.SplitAfter(data(append(events, stopped, "[DONE]")...), "\n\n")
	for _, dialect := range []neutral.Dialect{neutral.Messages, neutral.Responses, neutral.Gemini} {
		b.Run(string(dialect), func(b *testing.B) {
			r, err := translate.Read(dialect, []byte(least[dialect]))
			if err != nil {
				b.Fatal(err)
			}
			b.ReportAllocs()
			var out []byte
			for b.Loop() {
				s := translate.NewStream(r, how(neutral.Chat))
				for _, piece := range pieces {
					out = s.Append(out[:0], []byte(piece))
				}
				out = s.End(out[:0])
			}
		})
	}
}

// TestLongStream checks that what is kept of a stream does not grow with it, whoever
// sends it. Only clients of Responses get it whole at the end.
func TestLongStream(t *testing.T) {
	text := strings.Repeat("x", 1000)
	pieces := map[neutral.Dialect][2]string{ // how a stream begins, and how it goes on
		neutral.Chat:      {data(role), data(chunk(`{"content":"` + text + `"}`))},
		neutral.Responses: {messageEvents(created), messageEvents(`{"type":"response.output_text.delta","output_index":0,"delta":"` + text + `"}`)},
		neutral.Messages: {
			messageEvents(messageStart, `{"type":"content_block_start","index":0,"content_block":{"type":"text","text":""}}`),
			messageEvents(`{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"` + text + `"}}`),
		},
		neutral.Gemini: {"", data(`{"candidates":[{"content":{"parts":[{"text":"` + text + `"}]}}]}`)},
	}
	for from, piece := range pieces {
		for _, dialect := range []neutral.Dialect{neutral.Messages, neutral.Gemini, neutral.Chat} {
			s := translate.NewStream(read(t, dialect, least[dialect]), how(from))
			event := []byte(piece[1])
			out := s.Append(nil, []byte(piece[0]))
			const events, most = 8000, 1 << 20 // 8 MB pass, of which nothing may stay
			before := heap()
			for range events {
				out = s.Append(out[:0], event)
			}
			if grown := heap() - before; grown > most {
				t.Errorf("%s to %s: %d bytes are kept of a stream of %d", from, dialect, grown, events*len(text))
			}
			if !bytes.Contains(out, []byte(text)) || len(out) > 3*len(event) {
				t.Errorf("%s to %s: %d bytes out of %d", from, dialect, len(out), len(event))
			}
			if got := testing.AllocsPerRun(1000, func() { out = s.Append(out[:0], event) }); got > 10 {
				t.Errorf("%s to %s: %v allocations an event, want at most 10", from, dialect, got)
			}
		}
	}
}

// heap returns the bytes in use.
func heap() int64 {
	var stats runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&stats)
	return int64(stats.HeapAlloc)
}
