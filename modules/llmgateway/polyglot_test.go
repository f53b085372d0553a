package llmgateway

import (
	"bytes"
	"compress/flate"
	"encoding/json"
	"io"
	"math/bits"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"
)

// deflatePolyglot returns JSON in plain UTF-8 that has the fields outer, and is
// raw deflate data of inner as well: the data lies in a key, and what is around
// it is read as its header or stands behind its end. It returns "" for an inner
// text that cannot be written so.
//
// The data is one block with a code of its own. Nearly all of its codes are
// eight bits long and begin at the last bit of a byte, so that a letter of inner
// is a letter of the key with its bits reversed. Codes of other lengths for bytes
// that inner does not have shift the others to where that is no control character.
func deflatePolyglot(rng *rand.Rand, inner, outer string) string {
	special, ok := specialCodes(inner)
	if !ok {
		return ""
	}
	for range 20 {
		p := polyglotWriter{rng: rng, special: special, inner: inner}
		if p.write() {
			return string(p.text) + `":0,` + outer + "}"
		}
	}
	return ""
}

func (p *polyglotWriter) write() bool {
	p.add(append(bitsOf(0x0d, 8), append(bitsOf('{', 8), bitsOf('"', 8)...)...)...)
	// What is said by then: the last block, its own code, 258 codes of literals,
	// 28 of distances, and of the seven lengths of the code for them that of 16 is
	// 1, and that of 17 is 2. The others: 8 has 3, 7 and 9 have 4.
	p.add(0, 0, 0, 0, 0, 1, 1, 0, 0, 0, 1, 0, 0, 1)
	return p.lengths(0, 0)
}

const (
	nines  = 8
	sevens = 2
)

// codeOf returns the code of a byte with eight bits, of which so many with
// other lengths come before.
func codeOf(c byte, before int) int { return 2*sevens + int(c) - before }

// specialCodes chooses the bytes whose codes are not eight bits long.
func specialCodes(inner string) (special []int, ok bool) {
	needed := slices.Compact(slices.Sorted(slices.Values([]byte(inner))))
	var place func(i int) bool
	place = func(i int) bool {
		if i == len(needed) {
			return true
		}
		from, n := 0, len(special)
		if i > 0 {
			from = int(needed[i-1]) + 1
		}
		for ; ; from += 3 { // side by side their lengths are hard to write
			c := bits.Reverse8(byte(codeOf(needed[i], len(special)))) >> 1
			// Behind the last one the end of the block sets the high bit.
			begins := needed[i] != inner[len(inner)-1] || c|0x80 >= 0xc2 && c|0x80 < 0xf4
			if begins && c >= ' ' && c != '"' && c != '\\' && place(i+1) {
				return true
			}
			if from >= int(needed[i]) || len(special) == nines {
				special = special[:n]
				return false
			}
			special = append(special, from)
		}
	}
	if !place(0) {
		return nil, false
	}
	for c := 0x90; len(special) < nines+sevens; c += 11 {
		special = append(special, c)
	}
	return special, true
}

func bitsOf(value, n int) (b []int) {
	for i := range n {
		b = append(b, value>>i&1)
	}
	return b
}

// polyglotWriter writes deflate data and goes back when the text is none.
type polyglotWriter struct {
	rng     *rand.Rand
	special []int
	inner   string

	bits []int
	text []byte
	work int
}

func (p *polyglotWriter) add(more ...int) {
	p.bits = append(p.bits, more...)
	for len(p.text) < len(p.bits)/8 {
		at, c := len(p.text)*8, 0
		for i := range 8 {
			c |= p.bits[at+i] << i
		}
		p.text = append(p.text, byte(c))
	}
}

// tryAdd adds bits and goes on, or takes them back.
func (p *polyglotWriter) tryAdd(more []int, goOn func() bool) bool {
	n, m := len(p.bits), len(p.text)
	p.add(more...)
	if p.isText() && goOn() {
		return true
	}
	p.bits, p.text = p.bits[:n], p.text[:m]
	return false
}

// isText reports whether the key so far can go on as a JSON string.
func (p *polyglotWriter) isText() bool {
	key := p.text[min(3, len(p.text)):]
	for n := len(key) - 20; n > 0; n++ { // what comes before has been looked at
		if utf8.RuneStart(key[n]) {
			key = key[n:]
			break
		}
	}
	for len(key) > 0 {
		c, n := utf8.DecodeRune(key)
		if c == utf8.RuneError && n == 1 {
			return !utf8.FullRune(key)
		}
		if c < ' ' || c == '"' || c == '\\' {
			return false
		}
		key = key[n:]
	}
	return true
}

const (
	literals  = 258
	distances = 28
)

func (p *polyglotWriter) length(i int) int {
	switch n := slices.Index(p.special, i); {
	case i >= literals:
		return 0
	case n < 0:
		return 8
	case n < nines:
		return 9
	}
	return 7
}

// lengths writes the lengths of all codes from the ith on. The last one written
// was last.
func (p *polyglotWriter) lengths(i, last int) bool {
	if p.work++; p.work > 20_000 {
		return false
	}
	if i == literals+distances {
		return len(p.bits)%8 == 7 && p.data()
	}
	same := 0
	for i+same < literals+distances && p.length(i+same) == p.length(i) && (i+same < literals) == (i < literals) {
		same++
	}
	for _, n := range p.rng.Perm(11) {
		var code []int
		switch length := p.length(i); {
		case length == 0 && n >= 3 && n <= min(same, 10):
			code = append([]int{1, 0}, bitsOf(n-3, 3)...)
		case length == 8 && n == 1:
			code = []int{1, 1, 0}
		case length > 0 && n == 1:
			code = []int{1, 1, 1, (length - 7) / 2}
		case length > 0 && length == last && n >= 3 && n <= min(same, 6):
			code = append([]int{0}, bitsOf(n-3, 2)...)
		default:
			continue
		}
		if p.tryAdd(code, func() bool { return p.lengths(i+n, p.length(i)) }) {
			return true
		}
	}
	return false
}

// data writes inner and the end of the block, and fills the last character up.
func (p *polyglotWriter) data() bool {
	var data []int
	for i := range len(p.inner) {
		before := 0
		for _, c := range p.special {
			if c < int(p.inner[i]) {
				before++
			}
		}
		data = append(data, bitsOf(int(bits.Reverse8(byte(codeOf(p.inner[i], before)))), 8)...)
	}
	end := 2*sevens + literals - 2 - nines - sevens
	data = append(data, bitsOf(int(bits.Reverse8(byte(end))), 8)...)
	for fill := range 512 {
		for _, n := range []int{1, 9, 17} {
			ok := p.tryAdd(append(data[:len(data):len(data)], bitsOf(fill, n)...), func() bool { return utf8.Valid(p.text[3:]) })
			if ok {
				return true
			}
		}
	}
	return false
}

func TestPolyglots(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for _, inner := range []string{`{"model":"gpt-4"}`} {
		text := deflatePolyglot(rng, inner, `"model":"gpt-3.5-turbo"`)
		if text == "" {
			t.Errorf("no polyglot for %s", inner)
			continue
		}
		var object map[string]any
		if err := json.Unmarshal([]byte(text), &object); err != nil || object["model"] != "gpt-3.5-turbo" || !utf8.ValidString(text) {
			t.Errorf("%q: %v", text, err)
		}
		got, err := io.ReadAll(flate.NewReader(bytes.NewReader([]byte(text))))
		if err != nil || string(got) != inner {
			t.Errorf("%q is read as %q by deflate: %v", text, got, err)
		}
		if strings.Contains(text, "\ufffd") {
			t.Errorf("%q", text)
		}
	}
}
