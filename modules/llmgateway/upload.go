package llmgateway

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jonboulle/clockwork"
)

const (
	// uploadPeriod is how often the progress of an upload is checked. Nothing is
	// asked of its first bytes until then.
	uploadPeriod = 30 * time.Second
	// leastUploaded is how much must have come since the last check, in bytes: 1 KB
	// a second, of which the slowest mobile networks are capable.
	leastUploaded = 30 << 10
)

var errSlowUpload = errors.New("the request body comes too slowly")

// upload is the body of a request as it comes in. A client that sends next to
// nothing for a while holds memory that others need, so its body ends with
// errSlowUpload. How long a steady upload takes does not matter.
//
// received is written by the goroutine that reads, slow by the timer's. mu makes check
// and end exclude each other: after end the writer may belong to the next request.
type upload struct {
	body     io.Reader
	writer   http.ResponseWriter // of the same request
	timer    clockwork.Timer
	received atomic.Int64
	slow     atomic.Bool
	unmarked unmarked

	mu      sync.Mutex
	ended   bool // the writer may be gone
	checked int64
}

// begin starts to watch the body. The caller must end it before the handler
// returns.
func (u *upload) begin(w http.ResponseWriter, r *http.Request, clock clockwork.Clock) {
	u.writer, u.body = w, r.Body
	u.timer = clock.AfterFunc(uploadPeriod, u.check)
}

// check ends the upload if not enough has come since the last time.
func (u *upload) check() {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.ended {
		return
	}
	received := u.received.Load()
	if received-u.checked >= leastUploaded {
		u.checked = received
		u.timer.Reset(uploadPeriod)
		return
	}
	u.slow.Store(true)
	// A deadline that has passed ends the read under way, in HTTP/1, 2 and 3. It
	// stays: what is left of the body must not be waited for either.
	_ = http.NewResponseController(u.writer).SetReadDeadline(time.Unix(1, 0))
}

// end stops the watch. The next request of the connection is not affected.
func (u *upload) end() {
	u.mu.Lock()
	u.ended = true
	u.mu.Unlock()
	u.timer.Stop()
}

// Read implements io.Reader.
func (u *upload) Read(p []byte) (int, error) {
	n, err := u.body.Read(p)
	u.received.Add(int64(n))
	if err != nil && err != io.EOF && u.slow.Load() {
		return n, errSlowUpload
	}
	return n, err
}

// byteOrderMark begins a text in UTF-8, of some clients on Windows.
var byteOrderMark = []byte{0xef, 0xbb, 0xbf}

// unmarked is a text without its byte order mark, which JSON must not have (RFC
// 8259, section 8.1) and not all parsers skip.
type unmarked struct {
	text  io.Reader
	begun bool
}

// Read implements io.Reader.
//
// A mark that comes in pieces is read to its end first. It is skipped at the beginning
// only.
func (u *unmarked) Read(p []byte) (int, error) {
	if u.begun || len(p) < len(byteOrderMark) {
		u.begun = true
		return u.text.Read(p)
	}
	u.begun = true
	n, err := 0, error(nil)
	for n < len(byteOrderMark) && err == nil {
		var more int
		more, err = u.text.Read(p[n:])
		n += more
	}
	if bytes.HasPrefix(p[:n], byteOrderMark) {
		n = copy(p, p[len(byteOrderMark):n])
	}
	return n, err
}

// content returns what is kept of a decoded body: a text without its byte order
// mark, all else as it is.
func (u *upload) content(body io.Reader, isText bool) io.Reader {
	if !isText {
		return body
	}
	u.unmarked.text = body
	return &u.unmarked
}
