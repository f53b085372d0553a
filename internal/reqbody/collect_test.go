package reqbody

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

// A text that has been collected costs nothing when it comes again, as the types of
// parts do in every message.
func TestCollectAgain(t *testing.T) {
	text := []byte(`{"model":"m","x":[` + strings.Repeat(`{"type":"text"},{"type":"image_url"},`, 1000) + `1]}`)
	s := NewScanner("model")
	s.Collect("type")
	allocations := testing.AllocsPerRun(10, func() {
		s.Reset()
		if _, err := s.Write(text); err != nil || len(s.Collected()) != 2 {
			t.Fatalf("collected %q (%v), want two texts", s.Collected(), err)
		}
	})
	if allocations > 10 {
		t.Errorf("%v allocations for 2000 texts, want at most 10", allocations)
	}
}

// Texts are collected at any depth, however the text is cut into pieces.
func TestCollect(t *testing.T) {
	many := make([]string, 0, maxCollected)
	for i := range maxCollected {
		many = append(many, fmt.Sprint("f", i))
	}
	for text, want := range map[string][]string{
		`{"file_id":"a","model":"m"}`: {"a"},
		`{"model":"m","x":[{"file_id" : "a\u0062","file_idx":"n","y":{"file_id":"c"}}]}`:                 {"ab", "c"},
		`{"x":{"file_id":"a"},"y":{"file_id":"a"},"z":{"file_id":""}}`:                                   {"a"},
		`{"file_ids":["a","b",["n"],{"n":"n","file_id":"c"},"d"],"x":["n"],"y":"n"}`:                     {"a", "b", "c", "d"},
		`{"x":{"file_ids":[[]],"n":"n"},"y":[["n"]]}`:                                                    nil,
		`{"file_id":{"type":"string"},"x":{"file_id":["a"]},"y":{"file_id":null,"z":"n"}}`:               {"a"},
		`{"x":{"file_\u0069d":"n","file_i\"d":"n","file_id\\":"n"},"file_\u0069d":"a"}`:                  {"a"},
		`{"x":"file_id","y":["file_id","n"],"z":{"q":"file_id"}}`:                                        nil,
		`{"x":{"file_id":"` + strings.Repeat("x", maxCollectedText+1) + `"},"y":{"file_id":"a"}}`:        {"a"},
		`{"x":{"file_id":"` + strings.Repeat("x", 3*maxValue) + `"},"y":{"file_id":"a"}}`:                {"a"},
		`{"file_ids":["` + strings.Join(many, `","`) + `","more"],"x":{"file_id":"more"}}`:               many,
		`{"` + strings.Repeat("k", 100) + `":1,"x":{"` + strings.Repeat("k", 64) + `":1,"file_id":"a"}}`: {"a"},
	} {
		for _, n := range []int{1, 2, 3, 5, 7, 1 << 20} {
			s := NewScanner("model", "stream")
			s.Collect("file_id", "file_ids")
			for range 2 {
				for p := []byte(text); len(p) > 0; {
					m := min(n, len(p))
					if _, err := s.Write(p[:m]); err != nil {
						t.Fatal(err)
					}
					p = p[m:]
				}
				if _, err := s.Finish(); err != nil && err != ErrMissing {
					t.Fatal(err)
				}
				if got := s.Collected(); !slices.Equal(got, want) {
					t.Errorf("%.100s in pieces of %d: %q, want %q", text, n, got, want)
				}
				s.Reset()
			}
		}
	}
}
