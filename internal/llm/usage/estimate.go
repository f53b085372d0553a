package usage

import "io"

// What a token is estimated to be, in bytes. Text is English, or code, or
// Chinese in UTF-8, at 3 to 5 bytes a token; of other bytes an image of the
// usual size has a few hundred for each token that it costs, and so have sound
// and films.
const (
	TextBytes     = 4
	DocumentBytes = 32
	MediaBytes    = 512

	// FloorFactor is how much less than the estimate a response may say and
	// still be believed.
	//
	// A channel that states 1 token for a long response, by mistake or to look cheap,
	// would give its clients more than their limits.
	FloorFactor = 16

	// formText is how many tokens the text of a form may be.
	formText = 256
)

// perToken returns how many tokens so many bytes are, rounded up.
func perToken(bytes, size int64) int64 { return (bytes + size - 1) / size }

// EstimateOutput returns how many tokens the text of the response amounts to, of
// a stream at least one for each event with text.
func (m *Meter) EstimateOutput() int64 {
	switch m.kind {
	case Text:
		return perToken(m.bytes, TextBytes)
	case Media:
		return perToken(m.bytes, MediaBytes)
	}
	text := m.text
	if text == 0 && m.Usage == (Usage{}) {
		text = m.other // a form that is not known
	}
	return max(m.events, perToken(text, TextBytes)+perToken(m.media, MediaBytes))
}

// HasOutput reports whether text of a model has come.
func (m *Meter) HasOutput() bool { return m.text+m.media+m.bytes > 0 }

// EstimateJSON returns how many tokens the JSON text of a request amounts to:
// its names and strings, of which images and the like in base64 count less.
//
// The error is that of r; the estimate is of what came before it.
func EstimateJSON(r io.Reader) (int64, error) {
	s := request{scanner{estimates: true, request: true}}
	_, err := io.Copy(&s, r)
	return perToken(s.text, TextBytes) + perToken(s.documents, DocumentBytes) + perToken(s.media, MediaBytes), err
}

// request reads the JSON text of a request.
type request struct{ scanner }

// Write implements io.Writer.
func (r *request) Write(p []byte) (int, error) {
	r.scan(p)
	return len(p), nil
}

// EstimateForm returns how many tokens a form of so many bytes amounts to. It is
// a file, and a few words.
func EstimateForm(size int64) int64 {
	return min(perToken(size, TextBytes), formText+perToken(size, MediaBytes))
}

// EstimateMedia returns how many tokens so many bytes of sound, images or films
// amount to.
func EstimateMedia(size int64) int64 { return perToken(size, MediaBytes) }
