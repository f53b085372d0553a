package fastestswagger

// Scores returns how many scores are known.
func Scores() (n int) {
	scores.Range(func(any, any) bool { n++; return true })
	return n
}
