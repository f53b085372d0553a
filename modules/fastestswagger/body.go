package fastestswagger

import (
	"io"
	"net/http"
	"sync/atomic"
)

// sentBody is the body of a request, larger than `request_buffers`, that can be
// sent once. Caddy closes such a body after an attempt has read from it, and
// would count the failure of the next attempt to read it against the upstream
// of that attempt.
type sentBody struct {
	io.ReadCloser
	begun atomic.Bool // set before the first read, which may last
}

func (b *sentBody) Read(p []byte) (int, error) {
	if !b.begun.Load() {
		b.begun.Store(true)
		n, err := b.ReadCloser.Read(p)
		if n == 0 && err == io.EOF {
			b.begun.Store(false) // an empty body can be sent again
		}
		return n, err
	}
	return b.ReadCloser.Read(p)
}

// watchBody notes from now on whether the body is sent. A body that Caddy keeps
// as a whole, which writes itself, is not watched: each attempt gets it anew.
func watchBody(r *http.Request) {
	if r.Body == nil || r.Body == http.NoBody || r.ContentLength == 0 {
		return
	}
	if _, kept := r.Body.(io.WriterTo); !kept {
		r.Body = &sentBody{ReadCloser: r.Body}
	}
}

// isSent reports whether an attempt has taken from the body what the next one
// would miss.
func isSent(r *http.Request) bool {
	b, ok := r.Body.(*sentBody)
	return ok && b.begun.Load()
}
