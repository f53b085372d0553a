package eventstream

import (
	"bytes"
	"testing"
)

func TestFirst(t *testing.T) {
	for _, tc := range []struct {
		text       string
		atEOF      bool
		name, data string
		length     int
		found      bool
	}{
		{"data: 1\n\ndata: 2\n\n", false, "", " 1", 9, true},
		{"data: 1\r\n\r\n", false, "", " 1", 11, true},
		{"event: error\ndata: 1\nid: 7\n\n", false, "error", " 1", 28, true},
		{"data: {\ndata:}\n\n", false, "", " {}", 16, true},
		{": wait\n\nevent: ping\ndata: {}\n\ndata: 1\n\n", false, "", " 1", 39, true},
		{": wait\n\ndata: 1\n", false, "", "", 8, false},
		{": wait\n\ndata: 1\n", true, "", " 1", 16, true},
		{"data: 1", false, "", "", 0, false},
		{"data: 1", true, "", " 1", 7, true},
		{"event: x\n\n", true, "", "", 10, false},
		{": wait\n\n: wait", true, "", "", 14, false},
		{"\n\n\n", false, "", "", 3, false},
		{"", true, "", "", 0, false},
	} {
		event, length, found := First([]byte(tc.text), tc.atEOF)
		if event.Name != tc.name || string(event.Data) != tc.data {
			t.Errorf("%q: event %q with %q, want %q with %q", tc.text, event.Name, event.Data, tc.name, tc.data)
		}
		if length != tc.length || found != tc.found {
			t.Errorf("%q: %d bytes, found %v, want %d, %v", tc.text, length, found, tc.length, tc.found)
		}
	}
}

// Joining the lines of an event does not write into the bytes it was read from.
func TestFirstLeavesInput(t *testing.T) {
	const text = "data: 1\ndata: 2\n\ndata: 3\n\n"
	p := []byte(text)
	First(p, true)
	if string(p) != text {
		t.Errorf("input became %q", p)
	}
}

func TestBlockLength(t *testing.T) {
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
		if got := BlockLength([]byte(text)); got != want {
			t.Errorf("%q: %d, want %d", text, got, want)
		}
	}
}

// A stream that comes in pieces has the same first event as the whole stream.
func FuzzFirst(f *testing.F) {
	f.Add([]byte(": x\r\n\r\nevent: ping\ndata: {}\n\nevent: error\ndata: {\ndata: }\n\ndata: 2"))
	f.Fuzz(func(t *testing.T, p []byte) {
		want, end, found := First(p, true)
		seen := 0
		for n := range len(p) + 1 {
			event, length, ok := First(p[seen:n], n == len(p))
			if seen += length; !ok {
				continue
			}
			if !found || seen != end || event.Name != want.Name || !bytes.Equal(event.Data, want.Data) {
				t.Fatalf("%q: in pieces %q with %q, at %d; whole %q with %q, at %d", p, event.Name, event.Data, seen, want.Name, want.Data, end)
			}
			return
		}
		if found || seen != end {
			t.Fatalf("%q: in pieces none, at %d; whole %v, at %d", p, seen, found, end)
		}
	})
}
