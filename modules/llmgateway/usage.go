package llmgateway

import "bytes"

const (
	// usageTail is how much of an answer's end the usage is looked for in.
	usageTail = 4 << 10
	// longestLine is the longest line of a stream that is kept as a whole.
	longestLine = 64 << 10
)

// usage is what an answer has cost, in tokens.
type usage struct {
	prompt, cacheWrite, cacheRead, tools int64
	completion, thoughts                 int64
}

func (u *usage) input() int64  { return u.prompt + u.cacheWrite + u.cacheRead + u.tools }
func (u *usage) output() int64 { return u.completion + u.thoughts }
func (u *usage) total() int64  { return u.input() + u.output() }

// field returns where a number of this name belongs. Streams tell numbers
// again as they grow.
// Sources: https://platform.openai.com/docs/api-reference/chat/object,
// https://docs.anthropic.com/en/api/messages,
// https://ai.google.dev/api/generate-content#UsageMetadata
func (u *usage) field(name []byte) *int64 {
	switch string(name) {
	case "prompt_tokens", "input_tokens", "promptTokenCount":
		return &u.prompt
	case "completion_tokens", "output_tokens", "candidatesTokenCount":
		return &u.completion
	case "cache_creation_input_tokens":
		return &u.cacheWrite
	case "cache_read_input_tokens":
		return &u.cacheRead
	case "thoughtsTokenCount":
		return &u.thoughts
	case "toolUsePromptTokenCount":
		return &u.tools
	}
	return nil
}

var usageKey = []byte(`"usage`)

// find reads the last object in text that is named usage or usageMetadata.
// Within a string its quotes would be escaped.
func (u *usage) find(text []byte) {
	for {
		i := bytes.LastIndex(text, usageKey)
		if i < 0 {
			return
		}
		rest := bytes.TrimPrefix(text[i+len(usageKey):], []byte("Metadata"))
		if rest, ok := bytes.CutPrefix(rest, []byte(`"`)); ok {
			if object := bytes.TrimLeft(rest, ": \t\r\n"); len(object) > 0 && object[0] == '{' {
				u.read(object)
				return
			}
		}
		text = text[:i]
	}
}

// read reads the numbers of an object, those of objects in it left out.
func (u *usage) read(object []byte) {
	depth, name := 0, []byte(nil)
	for i := 0; i < len(object); i++ {
		switch c := object[i]; {
		case c == '{' || c == '[':
			depth++
		case c == '}' || c == ']':
			if depth--; depth == 0 {
				return
			}
		case c == '"':
			end := bytes.IndexByte(object[i+1:], '"')
			if end < 0 {
				return
			}
			name = object[i+1 : i+1+end]
			i += end + 1
		case c >= '0' && c <= '9':
			n := int64(0)
			for ; i < len(object) && object[i] >= '0' && object[i] <= '9' && n < 1e12; i++ {
				n = 10*n + int64(object[i]-'0')
			}
			i--
			if field := u.field(name); field != nil && depth == 1 && n > 0 {
				*field = n
			}
			name = nil // what follows a point is no number of its own
		}
	}
}

// meter reads the usage of an answer that passes in pieces.
type meter struct {
	usage
	lines  bool // a stream of events, else one JSON text
	done   bool // nothing more is to be read
	events int64
	tail   []byte
}

// whole reads an answer that is there at once.
func (m *meter) whole(text []byte) {
	m.find(text)
	m.done = true
}

// write looks at the next piece.
func (m *meter) write(p []byte) {
	if m.done {
		return
	}
	if !m.lines {
		m.keep(p, usageTail)
		return
	}
	for {
		end := bytes.IndexByte(p, '\n')
		if end < 0 {
			break
		}
		line := p[:end]
		if len(m.tail) > 0 {
			m.keep(line, longestLine)
			line, m.tail = m.tail, m.tail[:0]
		}
		if bytes.HasPrefix(line, []byte("data:")) {
			m.events++
		}
		m.find(line)
		p = p[end+1:]
	}
	m.keep(p, longestLine)
}

// keep adds p to the tail. Once that is longer than most, only its end stays.
func (m *meter) keep(p []byte, most int) {
	if len(p) == 0 {
		return
	}
	if len(m.tail)+len(p) <= most {
		m.tail = append(m.tail, p...)
		return
	}
	if len(p) >= usageTail {
		m.tail = append(m.tail[:0], p[len(p)-usageTail:]...)
		return
	}
	stays := min(len(m.tail), usageTail-len(p))
	m.tail = append(m.tail[:copy(m.tail, m.tail[len(m.tail)-stays:])], p...)
}

// end reads what is left at the answer's end.
func (m *meter) end() {
	if !m.done {
		m.whole(m.tail)
		m.tail = nil
	}
}
