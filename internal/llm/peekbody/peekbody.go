// Package peekbody reads the beginning of a body in the background, so that who
// needs it can give up waiting for it, and leaves the body whole for its reader.
package peekbody

import "io"

// Body is a body whose beginning is read in the background.
type Body struct {
	body      io.ReadCloser // what follows the beginning
	done      chan struct{} // closed once the beginning was read
	beginning []byte        // read these three after done
	unread    []byte        // what Read has not returned of it
	err       error         // an error before its end; io.EOF is none
}

// New starts to read at most n bytes of a body.
func New(body io.ReadCloser, n int64) *Body {
	b := &Body{body: body, done: make(chan struct{})}
	go func() {
		defer close(b.done)
		b.beginning, b.err = io.ReadAll(io.LimitReader(body, n))
		b.unread = b.beginning
	}()
	return b
}

// Done returns a channel that is closed once the beginning was read, or reading
// it has failed.
func (b *Body) Done() <-chan struct{} { return b.done }

// Beginning returns the beginning of the body: n bytes, or fewer where it ends
// or breaks off. It waits until these have come.
func (b *Body) Beginning() []byte {
	<-b.done
	return b.beginning
}

// Read implements io.Reader. It returns the whole body.
func (b *Body) Read(p []byte) (int, error) {
	<-b.done
	if len(b.unread) > 0 {
		n := copy(p, b.unread)
		b.unread = b.unread[n:]
		return n, nil
	}
	if b.err != nil {
		return 0, b.err
	}
	return b.body.Read(p)
}

// Close implements io.Closer. It does not wait: while the beginning is still
// being read, the body is closed in the background, since closing may wait for
// the read. Closing the body, or the end of its request, ends that read.
func (b *Body) Close() error {
	select {
	case <-b.done:
		return b.body.Close()
	default:
		go b.body.Close()
		return nil
	}
}
