package usage

import "bytes"

// Kind is how a response is read.
type Kind uint8

// The kinds of responses.
const (
	JSON   Kind = iota // a JSON text, or several one behind the other
	Events             // server-sent events with JSON texts
	Text               // text of any other form, or compressed
	Media              // images, sound and films
)

// Meter reads a response as it passes. One goroutine writes to it, and reads its
// numbers when that is done or, for a stream, between two writes.
//
// stated and final are for streams that break off: Anthropic states an output of 1 at
// the beginning and the true number at the end, so a number counts only if no text came
// after it.
type Meter struct {
	scanner
	kind Kind
	done bool // nothing more is to be read

	bytes  int64 // of kinds that are not looked into
	events int64 // with text in them
	stated int64 // of the text, how much had come when the output was last stated
	final  bool  // it was stated for all of the text

	prefix    [len("data:")]byte // of the line that is being read
	prefixLen int
	inLine    lineKind
}

// lineKind is how the rest of a line of events is read.
type lineKind uint8

const (
	lineStart lineKind = iota
	lineData
	lineOther
)

// NewMeter returns a Meter for a response of a kind. Without estimates only what
// the response says of itself is found, which is cheaper.
func NewMeter(kind Kind, estimates bool) Meter {
	return Meter{kind: kind, scanner: scanner{estimates: estimates}}
}

// Write reads the next piece.
func (m *Meter) Write(p []byte) {
	switch {
	case m.done:
	case m.kind == JSON:
		m.scan(p)
	case m.kind == Events:
		m.lines(p)
	default:
		m.bytes += int64(len(p))
	}
}

// Whole reads a response that is there at once. What is written after it is
// ignored.
func (m *Meter) Whole(text []byte) {
	if m.kind != JSON || m.estimates || mayHaveUsage(text) {
		m.Write(text)
	}
	m.End()
	m.done = true
}

// StatesOutput reports whether the response states what its output has cost, and
// nothing has come behind that: what a stream states at first it states anew at
// its end.
func (m *Meter) StatesOutput() bool {
	return m.Usage.Output() > 0 && (m.kind != Events || m.final || m.stated == m.text+m.media)
}

// WriteFinal reads an event that states what the whole response has cost, ahead
// of what may have come before it.
func (m *Meter) WriteFinal(event []byte) {
	final := NewMeter(Events, false)
	final.Whole(event)
	m.Merge(final.Usage)
	m.final = true
}

// End says that the response has ended, or broken off.
func (m *Meter) End() { m.end() }

// mayHaveUsage tells cheaply whether there may be numbers of tokens in a text.
//
// Most events of a stream have none, and are not scanned at all if no estimate is
// needed.
func mayHaveUsage(text []byte) bool {
	return bytes.Contains(text, []byte("usage")) || bytes.Contains(text, []byte("eval_count")) || bytes.Contains(text, []byte(`"meta"`))
}

// lines reads events line by line. Mostly a piece is made of whole lines.
//
// Only the lines data: are of interest (HTML Standard, section 9.2.6). An empty line
// ends the event, and with it a JSON text that was cut off.
func (m *Meter) lines(p []byte) {
	for len(p) > 0 {
		line, rest, ended := bytes.Cut(p, []byte("\n"))
		p = rest
		if m.inLine == lineStart {
			if m.prefixLen == 0 && ended {
				m.line(line)
				continue
			}
			line = m.readPrefix(line)
		}
		if m.inLine == lineData {
			m.data(line)
		}
		if ended {
			if m.inLine == lineStart {
				m.shortLine(m.prefix[:m.prefixLen])
			}
			m.inLine, m.prefixLen = lineStart, 0
		}
	}
}

// line reads a whole line.
func (m *Meter) line(line []byte) {
	if data, ok := bytes.CutPrefix(line, []byte("data:")); ok {
		if m.estimates || m.depth > 0 || mayHaveUsage(data) || !isWhole(data) {
			m.data(data)
		}
		return
	}
	m.shortLine(line)
}

// isWhole reports whether data looks like a whole JSON text.
func isWhole(data []byte) bool {
	data = bytes.TrimRight(data, " \r")
	return len(data) == 0 || data[len(data)-1] == '}' || data[len(data)-1] == ']'
}

// shortLine ends an event at a line that is empty.
func (m *Meter) shortLine(line []byte) {
	if len(line) == 0 || len(line) == 1 && line[0] == '\r' {
		m.reset()
	}
}

// readPrefix reads the beginning of a line, until it is known what it is, and
// returns the rest.
func (m *Meter) readPrefix(line []byte) []byte {
	n := copy(m.prefix[m.prefixLen:], line)
	m.prefixLen += n
	if m.prefixLen == len(m.prefix) {
		m.inLine = lineOther
		if string(m.prefix[:]) == "data:" {
			m.inLine = lineData
		}
	}
	return line[n:]
}

// data reads data of an event, or a part of it.
func (m *Meter) data(p []byte) {
	before, output := m.text+m.media, m.Usage.Output()
	m.scan(p)
	if m.text+m.media > before {
		m.events++
	}
	if m.Usage.Output() > output {
		m.stated = m.text + m.media
	}
}
