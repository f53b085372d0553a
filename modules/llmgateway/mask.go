package llmgateway

import (
	"bytes"
	"io"
	"net/http"
	"strings"
)

// shortestMasked is the length of the shortest key that is hidden. What is
// shorter is no real key, and may stand in any text.
const shortestMasked = 8

// mask hides the key of this try in a refused answer, which may be the one that
// the client gets: some providers repeat the key that they refuse. Each of its
// characters becomes an asterisk, so that lengths stay.
func (c *call) mask(res *http.Response) {
	key := c.current.key
	if key == nil || len(key.secret) < shortestMasked {
		return
	}
	stars := strings.Repeat("*", len(key.secret))
	for _, values := range res.Header {
		for i, value := range values {
			if strings.Contains(value, key.secret) {
				values[i] = strings.ReplaceAll(value, key.secret, stars)
			}
		}
	}
	m := &masked{ReadCloser: res.Body, secret: []byte(key.secret), stars: []byte(stars)}
	if r := c.reply; r != nil && r.watch != nil {
		m.over = func() bool { return r.watch == nil }
	}
	res.Body = m
}

// mayRefuse tells whether an answer is refused, or is a stream that goes to the
// client before its first event is known.
func (c *call) mayRefuse(status int) bool {
	return status >= 400 || c.reply != nil && c.reply.watch != nil
}

// masked is a body in which a secret is hidden.
type masked struct {
	io.ReadCloser
	secret, stars []byte
	over          func() bool // tells whether what comes is no refusal; nil: it is

	text []byte // read and not passed on
	safe int    // how much of it cannot be the beginning of the secret
	err  error  // of the body, behind text
}

// Read implements io.Reader.
func (m *masked) Read(p []byte) (int, error) {
	if len(m.text) == 0 && m.over != nil && m.over() {
		return m.ReadCloser.Read(p)
	}
	for m.safe == 0 && m.err == nil {
		m.more()
	}
	if m.safe == 0 {
		return 0, m.err
	}
	n := copy(p, m.text[:m.safe])
	m.text, m.safe = m.text[n:], m.safe-n
	return n, nil
}

// more reads on. What may be the beginning of the secret waits for the rest.
func (m *masked) more() {
	room := make([]byte, holdStep)
	n, err := m.ReadCloser.Read(room)
	m.text, m.err = append(m.text, room[:n]...), err
	for at := bytes.Index(m.text, m.secret); at >= 0; at = bytes.Index(m.text, m.secret) {
		copy(m.text[at:], m.stars)
	}
	m.safe = len(m.text)
	if err == io.EOF {
		return
	}
	for n := min(len(m.secret)-1, len(m.text)); n > 0; n-- {
		if bytes.HasSuffix(m.text, m.secret[:n]) {
			m.safe -= n
			return
		}
	}
}
