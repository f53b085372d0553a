package reqbody

// number reads a number up to its end or the end of p, by the grammar of RFC 8259,
// section 6: no plus sign, no leading zero, digits on both sides of the point. The byte
// that ends it is left for the next step. How large it is, and how precise, is not
// looked at: it is passed on as it is written.
func (s *Scanner) number(p []byte, i int) int {
	for ; i < len(p); i++ {
		c := p[i]
		digit := c >= '0' && c <= '9'
		switch s.state {
		case inMinus:
			switch {
			case c == '0':
				s.state = inZero
			case digit:
				s.state = inInteger
			default:
				return s.fail(i, "a number has no digits")
			}
		case inZero, inInteger:
			switch {
			case digit && s.state == inInteger:
			case c == '.':
				s.state = inPoint
			case c|0x20 == 'e':
				s.state = inE
			default:
				s.state = afterElement
				return i
			}
		case inPoint, inFraction:
			switch {
			case digit:
				s.state = inFraction
			case c|0x20 == 'e' && s.state == inFraction:
				s.state = inE
			case s.state == inFraction:
				s.state = afterElement
				return i
			default:
				return s.fail(i, "a number has no digits behind its point")
			}
		case inE, inESign, inExponent:
			switch {
			case digit:
				s.state = inExponent
			case s.state == inE && (c == '+' || c == '-'):
				s.state = inESign
			case s.state == inExponent:
				s.state = afterElement
				return i
			default:
				return s.fail(i, "a number has no exponent")
			}
		}
	}
	return i
}
