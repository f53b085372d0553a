package neutral

import (
	"fmt"
	"runtime"
	"strings"
	"testing"
)

// A citation belongs to the last text before it, and a text goes on behind it.
func TestCollectCitations(t *testing.T) {
	var c Collector
	text := func(s string) { c.Event(&Event{Kind: TextDelta, Text: s}) }
	cite := func(url string) { c.Event(&Event{Kind: Cited, Citation: &Citation{URL: url}}) }
	call := &ToolCall{ID: "c"}
	cite("lost")
	text("a")
	cite("1")
	text("b")
	c.Event(&Event{Kind: CallStart, Call: call})
	c.Event(&Event{Kind: CallDelta, Text: "{", Call: call})
	c.Event(&Event{Kind: CallEnd, Call: call, Incomplete: true})
	text("c")
	c.Event(&Event{Kind: ThoughtDelta, Text: "t"})
	cite("2")
	text("d")
	cite("3")
	c.Event(&Event{Kind: Finished})
	var got strings.Builder
	for _, part := range c.Response().Choices[0].Parts {
		fmt.Fprint(&got, part.Kind, " ", part.Text, " ")
		for _, citation := range part.Citations {
			got.WriteString(citation.URL)
		}
		got.WriteByte('|')
	}
	want := fmt.Sprint(Text, " abc 12|", Thought, " t |", Text, " d 3|")
	if got.String() != want {
		t.Errorf("got %s, want %s", got.String(), want)
	}
}

// A text is not copied for each citation in it.
func TestCollectManyCitations(t *testing.T) {
	allocated := func() uint64 {
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.TotalAlloc
	}
	var c Collector
	begun := allocated()
	c.Event(&Event{Kind: TextDelta, Text: strings.Repeat("a", 1<<20)})
	for range 1000 {
		c.Event(&Event{Kind: Cited, Citation: &Citation{URL: "u"}})
		c.Event(&Event{Kind: TextDelta, Text: "b"})
	}
	c.Event(&Event{Kind: Finished})
	if n := len(c.Response().Choices[0].Parts[0].Text); n != 1<<20+1000 {
		t.Errorf("the text has %d bytes", n)
	}
	if took := (allocated() - begun) >> 20; took > 64 {
		t.Errorf("%d MB were allocated for a text of one", took)
	}
}
