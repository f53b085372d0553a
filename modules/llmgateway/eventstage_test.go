package llmgateway

import (
	"strings"
	"testing"
)

// Events pass as a whole, in whatever pieces they come, and however their lines end.
func TestEventStage(t *testing.T) {
	for name, c := range map[string]struct {
		pieces []string
		want   string // what passes with each piece, before a |
	}{
		"whole":              {[]string{"a\n\n", "b\n\n"}, "a\n\n|b\n\n|"},
		"in pieces":          {[]string{"a", "b\n", "\nc", "\n\nd"}, "||ab\n\n|c\n\n|"},
		"CRLF in pieces":     {[]string{"a\r\n\r", "\nb\r\n", "\r", "\nc"}, "|a\r\n\r\n||b\r\n\r\n|"},
		"CR in pieces":       {[]string{"a\r", "\rb\r\rc"}, "|a\r\rb\r\r|"},
		"of several kinds":   {[]string{"a\n\nb\r\rc", "d\n\n"}, "a\n\nb\r\r|cd\n\n|"},
		"LF behind CR":       {[]string{"a\r\rb\n\nc"}, "a\r\rb\n\n|"},
		"several in a piece": {[]string{"a", "b\n\nc\n\nd", "e\n\n"}, "|ab\n\nc\n\n|de\n\n|"},
		"too long": {
			[]string{"a\n\nb", strings.Repeat("c", longestEvent), "d", "e\n\n"},
			"a\n\n|b" + strings.Repeat("c", longestEvent) + "||de\n\n|",
		},
	} {
		var s eventStage
		var got strings.Builder
		for _, piece := range c.pieces {
			got.Write(s.pass([]byte(piece), more))
			got.WriteByte('|')
		}
		if got.String() != c.want {
			t.Errorf("%s: got %.60q, want %.60q", name, got.String(), c.want)
		}
	}
}

// A long event that comes byte by byte: if each byte cost what has come before, the
// test would not end.
func TestEventStageOfManyPieces(t *testing.T) {
	var s eventStage
	for range longestEvent {
		if got := s.pass([]byte{'a'}, more); len(got) > 0 {
			t.Fatalf("%.20q passed before the event was complete", got)
		}
	}
	if got := s.pass(nil, nothing); len(got) != longestEvent {
		t.Errorf("%d bytes passed at the end, want %d", len(got), longestEvent)
	}
}

// A long event that comes byte by byte, in many lines: if each byte cost what has come
// before, the test would not end.
func TestUsageFilterOfManyPieces(t *testing.T) {
	var f usageFilter
	got := 0
	for range longestEvent / 2 {
		for _, c := range "a\n" {
			got += len(f.pass([]byte{byte(c)}, more))
		}
	}
	if got > 0 {
		t.Errorf("%d bytes passed before the event was complete", got)
	}
	if got := f.pass(nil, nothing); len(got) != longestEvent {
		t.Errorf("%d bytes passed at the end, want %d", len(got), longestEvent)
	}
}
