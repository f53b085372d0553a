package reqbody

import "slices"

// collector collects the texts that are the values of some keys, at any depth, and
// those in the lists that are. The gateway looks for ids that belong to an account in
// this way, such as those of files: in
// {"input":[{"file_id":"file-1"}],"tools":[{"vector_store_ids": ["vs_1"]}]} it finds
// file-1 and vs_1 and sends the request to the key that made them.
//
// It is a hint and no check: an id that it does not find makes the request go to any
// key. So it may skip long texts, and keys below the top level that are written with
// escapes.
type collector struct {
	names []string
	// lengths has a bit for the length of each name. Most keys are ruled out by it
	// without a comparison.
	lengths uint64
	texts   []string
	written map[string]bool // the texts that were looked at, as they are written

	inKey     bool // a key below the top level is being read
	isNext    bool // the value that comes next is one of a name
	listDepth int  // of the elements of a list that is such a value, or noList
	inText    bool // a text is being read that is collected
}

const (
	noList = -1

	// maxCollected bounds the texts that are collected, and maxCollectedText each of
	// them, in bytes as it is written. Ids have a few dozen bytes, but the same keys
	// may hold a prompt.
	maxCollected     = 128
	maxCollectedText = 512
)

// Collect makes the scanner collect the texts that are the values of these keys
// wherever they stand, or elements of lists that are. A name has less than 64
// bytes. Keys below the top level that are written with escapes are passed over.
func (s *Scanner) Collect(names ...string) {
	s.collector.names = names
	for _, name := range names {
		s.collector.lengths |= 1 << len(name)
	}
}

// Collected returns the texts in the order in which they stand, each once. Of
// many the first count, and long ones do not. The slice is valid until Reset.
func (s *Scanner) Collected() []string { return s.collector.texts }

// reset returns a collector for another text, with the memory of this one. The texts
// themselves are strings, and stay valid for whoever has copied the slice.
func (c *collector) reset() collector {
	clear(c.written)
	return collector{names: c.names, lengths: c.lengths, texts: c.texts[:0], written: c.written, listDepth: noList}
}

// see looks at a key, as a whole.
func (c *collector) see(key []byte) {
	c.isNext = len(key) < 64 && c.lengths>>len(key)&1 == 1 && c.has(key)
}

func (c *collector) has(key []byte) bool {
	return slices.Contains(c.names, string(key))
}

// nestedKey takes a run of a key below the top level. Keys mostly come in one.
//
// A key that lies in one piece is compared where it lies. One that is cut is gathered
// in capture, which no other string needs meanwhile.
func (s *Scanner) nestedKey(p []byte, start, i int) {
	if i < len(p) && p[i] == '"' {
		s.collector.inKey = false
		if len(s.capture) == 0 {
			s.collector.see(p[start:i])
			return
		}
		s.append(p[start:i])
		s.collector.see(s.capture)
		return
	}
	s.append(p[start:i])
	if i < len(p) {
		s.append(p[i : i+1]) // an escape, which is part of no name
	}
}

// collects is called at the beginning of a value that is one of a name, or an
// element of a list that is. It reports whether that is a text to be collected.
func (s *Scanner) collects(c byte) bool {
	isNext := s.collector.isNext
	s.collector.isNext = false
	if isNext && c == '[' && s.collector.listDepth == noList {
		s.collector.listDepth = s.depth + 1
	}
	return c == '"' && (isNext || !s.inObject()) && len(s.collector.texts) < maxCollected
}

// collected is called at the end of a text.
func (s *Scanner) collected() {
	s.collector.inText = false
	if s.long || len(s.capture) > maxCollectedText || s.collector.written[string(s.capture)] {
		return
	}
	if len(s.collector.written) < maxCollected {
		if s.collector.written == nil {
			s.collector.written = make(map[string]bool)
		}
		s.collector.written[string(s.capture)] = true
	}
	if text, ok := decode(s.capture); ok && text != "" && !slices.Contains(s.collector.texts, text) {
		s.collector.texts = append(s.collector.texts, text)
	}
}
