package gemini

import (
	"strings"
	"testing"
	"unicode/utf8"
)

// Each place in a text is converted as counting its characters from the beginning does,
// however the text was cut.
func TestTextOffsets(t *testing.T) {
	for _, text := range []string{
		"", "plain", "é", "plain é", strings.Repeat("a", 3000) + "日本" + strings.Repeat("xé", 3000), strings.Repeat("日", 2048), strings.Repeat("😀a", 1500),
	} {
		var whole, pieces textOffsets
		whole.add(text)
		for rest := text; rest != ""; {
			_, size := utf8.DecodeRuneInString(rest)
			pieces.add(rest[:size])
			rest = rest[size:]
		}
		characters := int64(0)
		for at := range text + "." { // also the place behind the last one
			for name, o := range map[string]*textOffsets{"whole": &whole, "in pieces": &pieces} {
				if got := o.characters(int64(at)); got != characters {
					t.Fatalf("%.20q %s: byte %d is character %d, want %d", text, name, at, got, characters)
				}
				if got := o.bytes(characters); got != int64(at) {
					t.Fatalf("%.20q %s: character %d is byte %d, want %d", text, name, characters, got, at)
				}
			}
			characters++
		}
		if len(whole.rest) > 0 && (whole.characters(int64(len(text)+1)) != 0 || whole.bytes(characters+1) != 0) {
			t.Errorf("%.20q: a place behind the text is known", text)
		}
	}
	var large textOffsets
	large.add("é")
	large.add(strings.Repeat("x", maxOffsets))
	if got := large.characters(maxOffsets); got != 0 {
		t.Errorf("a place in text that is not kept is %d", got)
	}
}
