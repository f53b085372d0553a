package reqbody

import (
	"bytes"
	"fmt"
	"testing"
)

// Marked fields are found wherever they stand, however the text is cut into
// pieces, and whatever else is noted. Of several of a name the first counts.
func TestMark(t *testing.T) {
	const text = ` {"input" : [ 1, {"messages":2} ] , "model":"m","messages":{"input":[]},"input":3,"syst\u0065m" : "s","user":null,"Messages":4}`
	want := []string{`{"input":[]}`, `[ 1, {"messages":2} ] `, `"s"`, "", "null"}
	for _, n := range []int{1, 2, 3, 7, 1 << 10} {
		s := NewScanner("model", "stream")
		s.Mark("messages", "input", "system", "missing", "user")
		s.Note(func(key []byte) bool { return string(key) == "input" })
		for range 2 {
			for p := []byte(text); len(p) > 0; {
				m := min(n, len(p))
				if _, err := s.Write(p[:m]); err != nil {
					t.Fatal(err)
				}
				p = p[m:]
			}
			if value, err := s.Finish(); err != nil || value.Text != "m" {
				t.Fatalf("the model is %q, %v", value.Text, err)
			}
			for i, span := range s.Marked() {
				if got := text[span.Start:span.End]; got != want[i] {
					t.Errorf("in pieces of %d: %s is %q, want %q", n, span.Name, got, want[i])
				}
			}
			s.Reset()
			if got := fmt.Sprint(s.Marked()); got != fmt.Sprint([]Span{{Name: "messages"}, {Name: "input"}, {Name: "system"}, {Name: "missing"}, {Name: "user"}}) {
				t.Errorf("after Reset: %s", got)
			}
		}
	}
}

// Peek shows the beginning of any part of a body, wherever that lies, and also
// while an edited copy is being sent.
func TestPeek(t *testing.T) {
	for _, size := range sizes {
		text := filled(size)
		b, err := unlimited.Read(bytes.NewReader(text), -1, 1<<30, nil)
		if err != nil {
			t.Fatal(err)
		}
		if size >= 20 {
			_, _ = b.Open(Edit{1, 3, []byte("longer")})
		}
		for _, part := range [][2]int{{0, size}, {0, 0}, {size, size}, {size / 2, size}, {size / 3, size / 2}, {max(0, chunkSize-10), chunkSize + 10}, {chunkSize, chunkSize}} {
			start, end := min(part[0], size), min(part[1], size)
			called := 0
			b.Peek(int64(start), int64(end), func(got []byte) {
				called++
				want := text[start:min(end, start+smallBody)]
				if !bytes.Equal(got, want) {
					t.Errorf("%d bytes, from %d to %d: got %d bytes, want %d", size, start, end, len(got), len(want))
				}
			})
			if called != 1 {
				t.Errorf("%d bytes, from %d to %d: %d calls, want 1", size, start, end, called)
			}
		}
		b.Release()
	}
}
