package reqbody

// Match reports whether name fits the pattern, in which `*` stands for any
// characters.
//
// The star also takes nothing, and letter case counts: model names are identifiers of
// the provider. It takes time in proportion to the product of both lengths at worst,
// and no memory; path.Match would stop a star at a slash, which model names have in
// them (meta-llama/llama-3-8b).
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
