package usage

import (
	"strings"
	"testing"
)

// BenchmarkMeter reads what passes in the gateway's benchmarks.
func BenchmarkMeter(b *testing.B) {
	whole := []byte(`{"id":"chatcmpl-1","object":"chat.completion","created":1,"model":"m","choices":[{"index":0,` +
		`"message":{"role":"assistant","content":"` + strings.Repeat("It is a truth universally acknowledged.", 20) + `"},"finish_reason":"stop"}],` +
		`"usage":{"prompt_tokens":9,"completion_tokens":12,"total_tokens":21}}`)
	var events [][]byte
	length := 0
	for word := range strings.SplitSeq(strings.Repeat("It is a truth universally acknowledged. ", 8), " ") {
		event := []byte(`data: {"id":"chatcmpl-1","object":"chat.completion.chunk","created":1,"model":"m","choices":[{"index":0,` +
			`"delta":{"content":" ` + word + `"},"finish_reason":null}]}` + "\n\n")
		events, length = append(events, event), length+len(event)
	}
	large := []byte(`{"data":[{"b64_json":"` + strings.Repeat("QUJDRGVm0123+/xyz", 200_000) + `"}],"usage":{"prompt_tokens":9}}`)
	embedding := []byte(`{"data":[{"embedding":[` + strings.Repeat("-0.012345678,", 1536) + `0]}],"usage":{"prompt_tokens":9}}`)
	for _, estimates := range []bool{false, true} {
		run := func(name string, length int, f func(m *Meter)) {
			if estimates {
				name += ", estimated"
			}
			b.Run(name, func(b *testing.B) {
				b.ReportAllocs()
				b.SetBytes(int64(length))
				for b.Loop() {
					kind := JSON
					if strings.HasPrefix(name, "stream") {
						kind = Events
					}
					m := NewMeter(kind, estimates)
					f(&m)
					m.End()
				}
			})
		}
		pieces := func(text []byte) func(m *Meter) {
			return func(m *Meter) {
				for p := text; len(p) > 0; {
					n := min(32<<10, len(p))
					m.Write(p[:n])
					p = p[n:]
				}
			}
		}
		run("whole", len(whole), func(m *Meter) { m.Whole(whole) })
		run("stream", length, func(m *Meter) {
			for _, e := range events {
				m.Write(e)
			}
		})
		run("large", len(large), pieces(large))
		run("embedding", len(embedding), pieces(embedding))
	}
}
