package reqbody

// Match reports whether name fits the pattern, in which `*` stands for any
// characters.
func Match(pattern, name string) bool {
	// After a mismatch the last star takes one character more; an earlier star
	// never has to.
	star, taken, p := -1, 0, 0
	for n := 0; n < len(name); {
		switch {
		case p < len(pattern) && pattern[p] == '*':
			star, taken = p, n
			p++
		case p < len(pattern) && pattern[p] == name[n]:
			p++
			n++
		case star >= 0:
			taken++
			p, n = star+1, taken
		default:
			return false
		}
	}
	for p < len(pattern) && pattern[p] == '*' {
		p++
	}
	return p == len(pattern)
}
