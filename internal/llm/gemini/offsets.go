package gemini

import (
	"sort"
	"unicode/utf8"
)

// maxOffsets bounds the text in which places are converted, in bytes from its first
// character that is not ASCII.
const maxOffsets = 1 << 20

// offsetStep is after how many bytes it is noted how many characters there are. Citations
// are a thousand at most, and none of them costs more than such a step.
const offsetStep = 1 << 10

// textOffsets converts places in a text. Google counts them in bytes of UTF-8, the other
// dialects in characters. Of text that is ASCII nothing is kept: there both are the same.
// Source: https://ai.google.dev/api/generate-content#Segment, as of November 2026
type textOffsets struct {
	ascii int64  // how many bytes come before rest
	rest  []byte // from the first character on that is not ASCII
	lost  bool   // rest is not all of it

	marks []int64 // how many characters begin in the first step of rest, the first two, and so on
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
	if t.lost {
		return
	}
	t.rest = append(t.rest, text...)
	for n := len(t.marks) * offsetStep; n+offsetStep <= len(t.rest); n += offsetStep {
		t.marks = append(t.marks, t.before(len(t.marks))+charactersIn(t.rest[n:n+offsetStep]))
	}
}

// before returns how many characters begin in a number of whole steps.
func (t *textOffsets) before(steps int) int64 {
	if steps == 0 {
		return 0
	}
	return t.marks[steps-1]
}

// charactersIn returns how many characters begin in a piece of a text, which may be cut
// anywhere.
func charactersIn(piece []byte) (n int64) {
	for _, c := range piece {
		if utf8.RuneStart(c) {
			n++
		}
	}
	return n
}

// characters returns the place in characters of one in bytes, 0 if it is not known.
func (t *textOffsets) characters(bytes int64) int64 {
	if bytes <= t.ascii {
		return bytes
	}
	if bytes-t.ascii > int64(len(t.rest)) {
		return 0
	}
	n := int(bytes - t.ascii)
	steps := n / offsetStep
	return t.ascii + t.before(steps) + charactersIn(t.rest[steps*offsetStep:n])
}

// bytes returns the place in bytes of one in characters, 0 if it is not known.
func (t *textOffsets) bytes(characters int64) int64 {
	if characters <= t.ascii {
		return characters
	}
	left := characters - t.ascii
	steps := sort.Search(len(t.marks), func(i int) bool { return t.marks[i] > left })
	left -= t.before(steps)
	for at := steps * offsetStep; at < len(t.rest); at++ {
		if !utf8.RuneStart(t.rest[at]) {
			continue
		}
		if left == 0 {
			return t.ascii + int64(at)
		}
		left--
	}
	if left == 0 {
		return t.ascii + int64(len(t.rest))
	}
	return 0
}
