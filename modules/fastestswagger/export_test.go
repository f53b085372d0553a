package fastestswagger

// Pages returns how many pages are known.
func Pages() (n int) {
	pages.Range(func(any, any) bool { n++; return true })
	return n
}
