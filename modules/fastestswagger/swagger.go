package fastestswagger

import "bytes"

// swaggerSearch looks for `swagger`, in letters of any case, in what is written
// to it. A mention of the page's own address does not count: login pages and
// error pages repeat it.
type swaggerSearch struct {
	found   bool
	pending []byte // the end of what was written, as far as it is undecided
}

var swaggerWord = []byte("swagger")

// addressRests are what follows the word in the page's address, as it stands
// in HTML, in a query, in a query within one, and in JSON.
var addressRests = [][]byte{
	[]byte("/index.html"), []byte("%2findex.html"), []byte("%252findex.html"), []byte(`\/index.html`), []byte("&#x2f;index.html"),
}

// longestRest is the length of the longest of addressRests.
const longestRest = len("&#x2f;index.html")

// Write implements io.Writer.
func (s *swaggerSearch) Write(p []byte) (int, error) {
	if !s.found {
		s.search(bytes.ToLower(append(s.pending, p...)), false)
	}
	return len(p), nil
}

// end reports whether the word was found, when all was written.
func (s *swaggerSearch) end() bool {
	if !s.found {
		s.search(s.pending, true)
	}
	return s.found
}

func (s *swaggerSearch) search(text []byte, isAll bool) {
	for {
		at := bytes.Index(text, swaggerWord)
		if at < 0 {
			s.pending = bytes.Clone(text[max(0, len(text)-len(swaggerWord)+1):])
			return
		}
		rest := text[at+len(swaggerWord):]
		if len(rest) < longestRest && !isAll {
			s.pending = bytes.Clone(text[at:])
			return
		}
		if !continuesAddress(rest) {
			s.found, s.pending = true, nil
			return
		}
		text = rest
	}
}

func continuesAddress(rest []byte) bool {
	for _, r := range addressRests {
		if bytes.HasPrefix(rest, r) {
			return true
		}
	}
	return false
}
