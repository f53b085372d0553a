package neutral_test

import (
	"strconv"
	"strings"
	"testing"

	"github.com/caddy-freetier/caddy-freetier/internal/llm/neutral"
)

// freeformCases are arguments as models write them, and the text that they stand
// for.
var freeformCases = []struct{ name, arguments, want string }{
	{"plain", `{"input":"*** Begin Patch"}`, "*** Begin Patch"},
	{"space", " { \"input\" :\n\"x y\" } ", "x y"},
	{"escapes", `{"input":"a\"b\\c\/d\n\t\r\b\f"}`, "a\"b\\c/d\n\t\r\b\f"},
	{"unicode", `{"input":"caf\u00e9 é"}`, "café é"},
	{"surrogate pair", `{"input":"\ud83d\ude00!"}`, "😀!"},
	{"lone surrogate", `{"input":"\ud83d!"}`, "\ufffd!"},
	{"lone surrogate before an escape", `{"input":"\ud83d\n"}`, "\ufffd\n"},
	{"two high surrogates", `{"input":"\ud83d\ud83d\ude00"}`, "\ufffd😀"},
	{"backslash at the end", `{"input":"dir\\"}`, `dir\`},
	{"empty", `{"input":""}`, ""},
	{"plain text", "*** Begin Patch\n+x", "*** Begin Patch\n+x"},
	{"another name", `{"patch":"p"}`, "p"},
	{"input is not first", `{"reason":"r","input":"i"}`, "i"},
	{"two texts, none of them input", `{"a":"1","b":"2"}`, `{"a":"1","b":"2"}`},
	{"no text", `{"input":{"a":1}}`, `{"input":{"a":1}}`},
	{"a string", `"text"`, `"text"`},
	{"long space", "{" + strings.Repeat(" ", 300) + `"input":"x"}`, "x"},
}

func TestFreeformText(t *testing.T) {
	for _, c := range freeformCases {
		if got := neutral.FreeformText(c.arguments); got != c.want {
			t.Errorf("%s: got %q, want %q", c.name, got, c.want)
		}
	}
}

// TestFreeformDecoder cuts the arguments at each byte, and at each two.
func TestFreeformDecoder(t *testing.T) {
	for _, c := range freeformCases {
		for first := 0; first <= len(c.arguments); first++ {
			for second := first; second <= min(len(c.arguments), first+8); second++ {
				var d neutral.FreeformDecoder
				got := d.Add(c.arguments[:first]) + d.Add(c.arguments[first:second]) + d.Add(c.arguments[second:]) + d.End()
				if got != c.want {
					t.Errorf("%s, cut at %d and %d: got %q, want %q", c.name, first, second, got, c.want)
				}
			}
		}
	}
}

func TestFreeformStreams(t *testing.T) {
	var d neutral.FreeformDecoder
	d.Add(`{"input":"`)
	for i := range 5 {
		if got, want := d.Add("line "+strconv.Itoa(i)), "line "+strconv.Itoa(i); got != want {
			t.Errorf("piece %d: got %q, want %q", i, got, want)
		}
	}
}

func TestFreeformArguments(t *testing.T) {
	for _, text := range []string{"", "a", "é😀", "\"\\\n\x00\u2028", "{\"input\":\"x\"}"} {
		if got := neutral.FreeformText(neutral.FreeformArguments(text)); got != text {
			t.Errorf("there and back: got %q, want %q", got, text)
		}
	}
}

func FuzzFreeformDecoder(f *testing.F) {
	for _, c := range freeformCases {
		f.Add(c.arguments, 3)
	}
	f.Fuzz(func(t *testing.T, arguments string, cut int) {
		cut = max(0, min(cut, len(arguments)))
		var whole, pieces neutral.FreeformDecoder
		want := whole.Add(arguments) + whole.End()
		if got := pieces.Add(arguments[:cut]) + pieces.Add(arguments[cut:]) + pieces.End(); got != want {
			t.Errorf("cut at %d of %q: got %q, want %q", cut, arguments, got, want)
		}
	})
}
