package doh

import (
	"io"
	"net/http"
	"sync"
	"time"

	"github.com/jonboulle/clockwork"
)

const (
	// bodyTime is how long the body of a request may take. A DNS message has at
	// most 64 KB, and most queries fit into the packet that has the header, so this
	// is enough for any network that could use the response.
	bodyTime = 10 * time.Second

	// mostDiscarded is how much of a body that nobody reads is read so that an
	// HTTP/1 connection can be used again, in bytes. It is the bound of net/http.
	mostDiscarded = 256 << 10
)

// body is the body of a request, which has to come within bodyTime. Otherwise a client
// that sends a byte a second would keep a request and its goroutine for as long as it
// likes: Caddy has no time limit for bodies unless read_body is set.
//
// The timer runs in a goroutine of its own. mu makes expire and end exclude each other:
// after end the writer may belong to the next request of the connection.
type body struct {
	io.ReadCloser
	request  *http.Request
	writer   http.ResponseWriter // of the same request
	timer    clockwork.Timer
	complete bool // read to its end

	mu    sync.Mutex
	ended bool // the writer may be gone
}

// boundBody makes the body of a request end with os.ErrDeadlineExceeded if it takes
// too long. The caller must call end before the handler waits for anything else and
// before it returns. It returns nil if there is no body.
func boundBody(w http.ResponseWriter, r *http.Request, clock clockwork.Clock) *body {
	if r.Body == nil || r.Body == http.NoBody || r.ContentLength == 0 {
		return nil
	}
	b := &body{ReadCloser: r.Body, request: r, writer: w}
	r.Body = b
	b.timer = clock.AfterFunc(bodyTime, b.expire)
	return b
}

// Read implements io.Reader.
func (b *body) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if err == io.EOF {
		b.complete = true
	}
	return n, err
}

// expire ends the read under way, and those to come.
func (b *body) expire() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.ended {
		b.interrupt()
	}
}

// interrupt sets a deadline that has passed, which ends reads in HTTP/1, 2 and 3.
// net/http sets the deadline anew before the next request of an HTTP/1 connection, and
// the streams of HTTP/2 and 3 have deadlines of their own.
func (b *body) interrupt() { _ = http.NewResponseController(b.writer).SetReadDeadline(time.Unix(1, 0)) }

// end stops the timer. It can be called more than once, and for no body.
//
// Over HTTP/1 it reads what is left of the body first. net/http would do so before it
// sends the response, and wait for the client without a limit.
func (b *body) end() {
	if b == nil || b.ended { // only end sets it
		return
	}
	if b.request.ProtoMajor == 1 && !b.complete {
		b.discard()
	}
	b.mu.Lock()
	b.ended = true
	b.mu.Unlock()
	b.timer.Stop()
}

// discard reads what is left of the body. If that is too much or takes too long,
// net/http finds the deadline passed, and closes the connection after the response.
func (b *body) discard() {
	// A client that expects "100 Continue" sends the body only when it is read.
	if b.request.Header.Get("Expect") == "" {
		_, _ = io.CopyN(io.Discard, b, mostDiscarded)
	}
	if !b.complete {
		b.interrupt()
	}
}
