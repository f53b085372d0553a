package eventstream_test

import (
	"testing"

	"github.com/caddy-freetier/caddy-freetier/internal/llm/eventstream"
)

// TestBlockEnd reads each text as a whole, and in two pieces, cut anywhere.
func TestBlockEnd(t *testing.T) {
	for text, want := range map[string]int{
		"":                         0,
		"\n":                       1,
		"\r\nx":                    2,
		"data: 1":                  0,
		"data: 1\n":                0,
		"data: 1\n\r":              0,
		"data: 1\n\n":              9,
		"data: 1\r\n\r\ndata: 2":   11,
		": x\ndata: 1\n\nevent: y": 13,
	} {
		for cut := range len(text) + 1 {
			got, line := eventstream.BlockEnd([]byte(text[:cut]), 0)
			if got == 0 {
				got, _ = eventstream.BlockEnd([]byte(text), line)
			}
			if got != want {
				t.Errorf("%q, cut at %d: got %d, want %d", text, cut, got, want)
			}
		}
	}
}
