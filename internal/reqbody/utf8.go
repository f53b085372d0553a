package reqbody

import (
	"encoding/binary"
	"unicode/utf8"
)

// isUTF8 is utf8.Valid with a faster way through Chinese, Japanese and Korean
// text, whose sequences are three bytes long.
//
// The mask takes two such sequences of a word at once: lead bytes 1110xxxx at 0 and 3
// and continuation bytes 10xxxxxx behind them. E0 and ED allow only half of the second
// bytes (overlong forms and surrogates, RFC 3629, section 4) and go the slow way.
func isUTF8(p []byte) bool {
	i := 0
	for i+8 <= len(p) {
		q := p[i : i+8 : i+8]
		// What else is asked of w must not look like a part of it, else the
		// compiler loads it byte by byte.
		w := binary.LittleEndian.Uint64(q)
		switch {
		case w&0xc0c0f0c0c0f0 == 0x8080e08080e0 && plainLead[q[0]&0xf] && plainLead[q[3]&0xf]:
			i += 6
		case w&highs == 0:
			i += 8
		case q[0] < utf8.RuneSelf:
			i++
		default:
			c, n := utf8.DecodeRune(q)
			if c == utf8.RuneError && n == 1 {
				return false
			}
			i += n
		}
	}
	return utf8.Valid(p[i:])
}

// plainLead has the low bits of the lead bytes of three-byte sequences behind
// which all second bytes are valid: all but E0 and ED.
var plainLead = [16]bool{1: true, 2: true, 3: true, 4: true, 5: true, 6: true, 7: true, 8: true, 9: true, 10: true, 11: true, 12: true, 14: true, 15: true}
