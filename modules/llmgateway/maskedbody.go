package llmgateway

import (
	"io"
	"net/http"
)

// maskedBody is the body of a response in which secrets are masked as it
// passes. Only what may be the beginning of a secret waits for what follows. It
// holds back no event, since an event ends with a line break, which begins no
// key.
type maskedBody struct {
	io.ReadCloser
	mask     *mask
	response *http.Response // its trailers are cleaned once they have come

	// shown is how long a beginning of a secret may be that does not wait, in
	// bytes. Default: 0.
	shown int

	// begun is the end of what was read, where a secret may begin. It is shorter
	// than the longest form. The first passed bytes of it have been passed on.
	begun  []byte
	passed int

	ready []byte // certain, and waiting for a reader whose buffer was too small
	err   error  // of the body, behind begun and ready
}

// spareRead is how much is read at least, behind what has begun.
const spareRead = 512

// Read implements io.Reader.
func (b *maskedBody) Read(p []byte) (int, error) {
	for len(b.ready) == 0 && b.err == nil {
		if len(p) == 0 {
			return 0, nil
		}
		if len(p) <= len(b.begun) {
			b.ready = b.fill(make([]byte, len(b.begun)+spareRead))
			continue
		}
		if certain := b.fill(p); len(certain) > 0 {
			return copy(p, certain), b.err
		}
	}
	n := copy(p, b.ready)
	if b.ready = b.ready[n:]; len(b.ready) > 0 || n > 0 {
		return n, nil
	}
	return 0, b.err
}

// fill reads once into p, behind what has begun, and returns the part of p that
// can be passed on. When the body breaks off, what has begun is lost.
func (b *maskedBody) fill(p []byte) []byte {
	n := copy(p, b.begun)
	read, err := b.ReadCloser.Read(p[n:])
	n += read
	if err != nil {
		b.err = b.mask.inError(err)
	}
	begins := b.mask.inBytes(p[:n], err == io.EOF)
	first, last := b.passed, max(begins, b.passed)
	if n-begins <= b.shown {
		last = n
	}
	b.begun, b.passed = append(b.begun[:0], p[begins:n]...), last-begins
	if b.passed < 0 {
		b.passed = 0
	}
	if err == io.EOF {
		cleanHeader(b.response.Trailer, b.mask)
	}
	return p[first:last]
}

// maskedConn is a connection that has switched protocols, with the secrets masked
// in what the channel sends. A frame of a WebSocket may end with any byte, and
// the client may have to answer it before the next one comes. So a beginning of a
// secret that is no secret yet does not wait.
type maskedConn struct {
	maskedBody
	conn io.ReadWriteCloser
}

func newMaskedConn(conn io.ReadWriteCloser, res *http.Response, m *mask) *maskedConn {
	return &maskedConn{
		maskedBody: maskedBody{ReadCloser: conn, mask: m, response: res, shown: shortestMasked - 1},
		conn:       conn,
	}
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

// Write implements io.Writer.
func (c *maskedConn) Write(p []byte) (int, error) { return c.conn.Write(p) }

// CloseWrite passes on that the client sends no more.
func (c *maskedConn) CloseWrite() error {
	if conn, ok := c.conn.(interface{ CloseWrite() error }); ok {
		return conn.CloseWrite()
	}
	return http.ErrNotSupported
}
