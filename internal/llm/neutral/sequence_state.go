package neutral

// State is what is known of a call.
type State struct {
	Known    bool // there has been a piece of it
	ID, Name string
	Complete bool // its input is a complete JSON value
}

// State returns what is known of the call of a key.
func (s *Sequencer) State(key string) State {
	call := s.find(key)
	if call == nil {
		return State{}
	}
	return State{Known: true, ID: call.id, Name: call.name, Complete: call.shape.complete()}
}

// LastKey returns the key of the call that began last.
func (s *Sequencer) LastKey() (key string, ok bool) {
	if len(s.calls) == 0 {
		return "", false
	}
	return s.calls[len(s.calls)-1].key, true
}

// Repeats reports whether a whole call is one that has already come.
//
// The input is compared by its length and hash: the inputs themselves are not kept.
func (s *Sequencer) Repeats(id, name, input string) bool {
	for _, call := range s.calls {
		if call.id == id && id != "" && call.name == name && call.length == len(input) && call.hash == hashOf(0, input) {
			return true
		}
	}
	return false
}

// AllComplete reports whether no call waits for more input.
func (s *Sequencer) AllComplete() bool {
	for _, call := range s.calls[s.open:] {
		if !call.shape.complete() {
			return false
		}
	}
	return true
}

// hashOf continues a hash (FNV-1a, 64 bits) over the pieces of an input; 0 begins one.
// Two inputs that collide matter only if the ids, names and lengths agree as well.
func hashOf(hash uint64, text string) uint64 {
	if hash == 0 {
		hash = 14695981039346656037
	}
	for i := 0; i < len(text); i++ {
		hash = (hash ^ uint64(text[i])) * 1099511628211
	}
	return hash
}

// jsonShape follows a JSON text as it comes, as far as needed to know whether it
// is complete.
//
// It counts brackets and validates nothing: it is asked only whether the model has come
// to the end of its arguments, so that the next call may begin.
type jsonShape struct {
	depth    int
	begun    bool
	inString bool
	escaped  bool
	broken   bool // it is no object or array
}

func (j *jsonShape) add(piece string) {
	for i := 0; i < len(piece); i++ {
		c := piece[i]
		switch {
		case j.escaped:
			j.escaped = false
		case j.inString:
			switch c {
			case '\\':
				j.escaped = true
			case '"':
				j.inString = false
			}
		case c == '"':
			j.inString = true
			j.broken = j.broken || j.depth == 0
		case c == '{' || c == '[':
			j.begun = true
			j.depth++
		case c == '}' || c == ']':
			j.depth--
		case j.depth == 0 && c > ' ':
			j.broken = true
		}
	}
}

func (j *jsonShape) complete() bool { return j.begun && j.depth <= 0 && !j.inString && !j.broken }

// Count returns the number of calls so far.
func (s *Sequencer) Count() int { return len(s.calls) }
