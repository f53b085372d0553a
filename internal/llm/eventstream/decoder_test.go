package eventstream_test

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/caddy-freetier/caddy-freetier/internal/llm/eventstream"
)

// decode returns the events of a stream that comes in pieces.
func decode(t *testing.T, pieces ...string) (events []string) {
	t.Helper()
	var d eventstream.Decoder
	yield := func(name string, data []byte) { events = append(events, name+"|"+string(data)) }
	for _, piece := range pieces {
		if err := d.Write([]byte(piece), yield); err != nil {
			t.Fatal(err)
		}
	}
	d.End(yield)
	return events
}

func TestDecoder(t *testing.T) {
	for _, c := range []struct {
		name, stream string
		want         []string
	}{
		{"LF", "data: a\n\ndata: b\n\n", []string{"|a", "|b"}},
		{"CRLF", "event: x\r\ndata: a\r\n\r\ndata: b\r\n\r\n", []string{"x|a", "|b"}},
		{"CR", "event: x\rdata: a\r\rdata: b\r\r", []string{"x|a", "|b"}},
		{"no space", "event:x\ndata:a\n\n", []string{"x|a"}},
		{"two spaces", "data:  a\n\n", []string{"| a"}},
		{"several lines", "data: a\ndata: b\n\n", []string{"|a\nb"}},
		{"comments and fields of others", ": ping\n\nid: 1\nretry: 2\ndata: a\n\n", []string{"|a"}},
		{"byte order mark", "\ufeffdata: a\n\n", []string{"|a"}},
		{"an event without data", "event: x\n\ndata: a\n\n", []string{"|a"}},
		{"no blank line at the end", "data: a\n\ndata: b", []string{"|a", "|b"}},
		{"empty", "", nil},
	} {
		for cut := 0; cut <= len(c.stream); cut++ {
			if got := decode(t, c.stream[:cut], c.stream[cut:]); !slices.Equal(got, c.want) {
				t.Errorf("%s, cut at %d: got %q, want %q", c.name, cut, got, c.want)
			}
		}
		if got := decode(t, strings.Split(c.stream, "")...); !slices.Equal(got, c.want) {
			t.Errorf("%s, byte by byte: got %q, want %q", c.name, got, c.want)
		}
	}
}

// TestManyLines has many lines that end with CR in one piece. If each cost a search
// through the others, the test would not end.
func TestManyLines(t *testing.T) {
	if got := decode(t, strings.Repeat("\r", 4<<20)+"data: a\n\n"); !slices.Equal(got, []string{"|a"}) {
		t.Errorf("got %q, want the one event", got)
	}
}

func TestDecoderIsBounded(t *testing.T) {
	var d eventstream.Decoder
	piece := []byte(strings.Repeat("x", 1<<20))
	var err error
	for range 100 {
		if err = d.Write(piece, func(string, []byte) {}); err != nil {
			break
		}
	}
	if !errors.Is(err, eventstream.ErrTooLong) {
		t.Errorf("a line of 100 MB: got %v, want %v", err, eventstream.ErrTooLong)
	}
}

func TestAppend(t *testing.T) {
	got := string(eventstream.Append([]byte("…"), "x", []byte("{\r\n\"a\": 1}")))
	if want := "…event: x\ndata: {  \"a\": 1}\n\n"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func FuzzDecoder(f *testing.F) {
	f.Add("event: x\r\ndata: a\r\n\r\n: c\rdata:b", 7)
	f.Fuzz(func(t *testing.T, stream string, cut int) {
		cut = max(0, min(cut, len(stream)))
		want := decode(t, stream)
		if got := decode(t, stream[:cut], stream[cut:]); !slices.Equal(got, want) {
			t.Errorf("cut at %d: got %q, want %q", cut, got, want)
		}
	})
}
