package gemini

import "unicode/utf8"

// maxOffsets bounds the text in which places are converted, in bytes from its first
// character that is not ASCII.
const maxOffsets = 1 << 20

// textOffsets converts places in a text. Google counts them in bytes of UTF-8, the other
// dialects in characters. Of text that is ASCII nothing is kept: there both are the same.
// Source: https://ai.google.dev/api/generate-content#Segment, as of November 2026
type textOffsets struct {
	ascii int64  // how many bytes come before rest
	rest  []byte // from the first character on that is not ASCII
	lost  bool   // rest is not all of it
}

// add appends a piece of the text.
func (t *textOffsets) add(text string) {
	if len(t.rest) == 0 {
		n := 0
		for n < len(text) && text[n] < utf8.RuneSelf {
			n++
		}
		t.ascii += int64(n)
		text = text[n:]
	}
	if len(t.rest)+len(text) > maxOffsets {
		t.lost = true
		return
	}
	if !t.lost {
		t.rest = append(t.rest, text...)
	}
}

// characters returns the place in characters of one in bytes, 0 if it is not known.
func (t *textOffsets) characters(bytes int64) int64 {
	if bytes <= t.ascii {
		return bytes
	}
	if bytes-t.ascii > int64(len(t.rest)) {
		return 0
	}
	return t.ascii + int64(utf8.RuneCount(t.rest[:bytes-t.ascii]))
}

// bytes returns the place in bytes of one in characters, 0 if it is not known.
func (t *textOffsets) bytes(characters int64) int64 {
	if characters <= t.ascii {
		return characters
	}
	at := 0
	for n := characters - t.ascii; n > 0; n-- {
		if at >= len(t.rest) {
			return 0
		}
		_, size := utf8.DecodeRune(t.rest[at:])
		at += size
	}
	return t.ascii + int64(at)
}
