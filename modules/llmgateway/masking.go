package llmgateway

import (
	"io"
	"net/http"
)

// maskStage masks secrets in a response as it passes. Only what may be the
// beginning of a secret waits for what follows. It holds back no event, since an
// event ends with a line break, which begins no key.
type maskStage struct {
	mask     *mask
	response *http.Response // its trailers are cleaned once they have come

	// shown is how long a beginning of a secret may be that does not wait, in
	// bytes. Default: 0.
	shown int

	// begun is the end of what has arrived, where a secret may begin. It is
	// shorter than the longest form. The first passed bytes of it have gone on.
	begun  []byte
	passed int
	joined []byte // begun, and what came behind it
}

// pass implements stage. What has begun is lost when the body breaks off.
func (s *maskStage) pass(p []byte, then continuation) []byte {
	text := p
	if len(s.begun) > 0 {
		s.joined = append(append(s.joined[:0], s.begun...), p...)
		text = s.joined
	}
	begins := s.mask.inBytes(text, then == nothing)
	from, to := s.passed, max(begins, s.passed)
	if len(text)-begins <= s.shown {
		to = len(text)
	}
	s.begun, s.passed = append(s.begun[:0], text[begins:]...), max(to-begins, 0)
	if then == nothing {
		cleanHeader(s.response.Trailer, s.mask)
	}
	return text[from:to]
}

// maskedConn is a connection that has switched protocols, with the secrets masked
// in what the channel sends. A frame of a WebSocket may end with any byte, and
// the client may have to answer it before the next one comes. So a beginning of a
// secret that is no secret yet does not wait.
type maskedConn struct {
	io.ReadWriteCloser
	masking maskStage
	ready   []byte // masked, and not passed on for want of room
	err     error  // of the connection, behind ready
}

func newMaskedConn(conn io.ReadWriteCloser, res *http.Response, m *mask) *maskedConn {
	return &maskedConn{
		ReadWriteCloser: conn,
		masking:         maskStage{mask: m, response: res, shown: shortestMasked - 1},
	}
}

// Read implements io.Reader.
func (c *maskedConn) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	for len(c.ready) == 0 && c.err == nil {
		n, err := c.ReadWriteCloser.Read(p)
		c.err = c.masking.mask.inError(err)
		c.ready = c.masking.pass(p[:n], continuationAt(err))
	}
	n := copy(p, c.ready)
	if c.ready = c.ready[n:]; n > 0 {
		return n, nil
	}
	return 0, c.err
}

// WriteTo implements io.WriterTo, so that what arrives is written piece by piece.
// By its ReadFrom Caddy's connection would count the bytes at the very end, while
// a reload may already say goodbye on it.
func (c *maskedConn) WriteTo(w io.Writer) (total int64, _ error) {
	buffer := copyBuffers.Get().(*[copyBufferSize]byte)
	defer copyBuffers.Put(buffer)
	for {
		n, err := c.Read(buffer[:])
		if n > 0 {
			written, err := w.Write(buffer[:n])
			total += int64(written)
			if err != nil {
				return total, err
			}
		}
		if err == io.EOF {
			return total, nil
		}
		if err != nil {
			return total, err
		}
	}
}

// CloseWrite passes on that the client sends no more.
func (c *maskedConn) CloseWrite() error {
	if conn, ok := c.ReadWriteCloser.(interface{ CloseWrite() error }); ok {
		return conn.CloseWrite()
	}
	return http.ErrNotSupported
}
