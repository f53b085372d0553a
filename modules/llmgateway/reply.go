package llmgateway

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/jonboulle/clockwork"

	"github.com/caddy-freetier/caddy-freetier/internal/llm/usage"
)

const (
	// holdStep is how much of an answer is read to see what it is.
	holdStep = 4 << 10
	// mostHeld bounds what is held of an answer to see whether it is an error.
	mostHeld = 64 << 10
)

var (
	errNotAPI = errors.New("the answer is a web page")
	errEmpty  = errors.New("the answer is empty")
)

// reply is the body of a channel's response on its way to the client. What was
// read of it to see whether it is an error comes first, and the tokens that it
// has cost are read as it passes.
type reply struct {
	body   io.ReadCloser
	kind   usage.Kind
	typed  bool // the kind is known from the header, else the text itself shows it
	live   bool // JSON that comes bit by bit
	failed bool // it stands for an error
	tokens usage.Meter

	room  *[holdStep]byte // from steps, given back at the end
	held  []byte          // read and not passed on
	err   error           // of body, behind held
	first time.Time       // when the first event came
	last  time.Time       // when the stream ended
	clock clockwork.Clock
	watch func(status int) // told once what the first event says, nil: told already
}

// steps are reused: each response needs one for a moment.
var steps = sync.Pool{New: func() any { return new([holdStep]byte) }}

// newReply wraps the body of a successful response, and returns nil for others.
// The response of the first attempt, mostly the only one, lies in the call.
func (c *call) newReply(res *http.Response) *reply {
	if res.StatusCode < 200 || res.StatusCode > 299 || res.StatusCode == http.StatusNoContent ||
		res.Body == nil || res.Request.Method == http.MethodHead {
		return nil
	}
	a := &c.firstReply
	if c.tries > 1 {
		a = new(reply)
	}
	a.body, a.clock = res.Body, c.gateway.clock
	a.kind, a.typed = kindOf(res.Header)
	a.live = c.inPath.streams() || a.kind == usage.JSON && strings.HasSuffix(res.Header.Get("Content-Type"), "ndjson")
	a.tokens = usage.NewMeter(a.kind, c.countsTokens())
	return a
}

// isPage tells whether an answer is a web page, as providers and the proxies
// before them send when they are in trouble.
func isPage(res *http.Response) bool {
	return res.StatusCode == http.StatusOK && strings.HasPrefix(strings.ToLower(res.Header.Get("Content-Type")), "text/html")
}

// hold reads on until it is clear whether the answer is an error, and returns
// the status that it stands for: that of the error, or 200.
func (a *reply) hold() (status int, err error) {
	seen := 0
	for {
		if a.kind == usage.Events {
			event, at := firstEvent(a.held[seen:], a.err != nil)
			if seen += at; event.found {
				return event.status(), nil
			}
		} else if text := bytes.TrimLeft(a.held, space); len(text) > 0 {
			if text[0] == '<' {
				return 0, errNotAPI
			}
			// A response of a few kilobytes is read to its end: where that does
			// not come there is still another attempt.
			if (len(a.held) >= holdStep || a.live) && !mayBeError(text) {
				break
			}
		}
		if a.err != nil || len(a.held) >= mostHeld {
			break
		}
		if err := a.more(); err != nil {
			return 0, err
		}
	}
	switch {
	case a.kind == usage.Events && a.err == io.EOF, len(bytes.TrimLeft(a.held, space)) == 0:
		return 0, errEmpty
	case a.kind == usage.Events || a.err != io.EOF:
		return http.StatusOK, nil
	}
	a.tokens.Whole(a.held)
	if mayBeError(a.held) {
		return statusOf(a.held, false), nil
	}
	return http.StatusOK, nil
}

// more reads some of the body. Its end is no error.
func (a *reply) more() error {
	if a.room == nil {
		a.room = steps.Get().(*[holdStep]byte)
		a.held = a.room[:0]
	}
	if len(a.held) == cap(a.held) {
		a.held = append(make([]byte, 0, 4*cap(a.held)), a.held...)
	}
	n, err := a.body.Read(a.held[len(a.held):cap(a.held)])
	a.held, a.err = a.held[:len(a.held)+n], err
	if err != nil && err != io.EOF {
		return err
	}
	return nil
}

// Read implements io.Reader.
func (a *reply) Read(p []byte) (n int, err error) {
	switch {
	case len(a.held) > 0:
		n = copy(p, a.held)
		if a.held = a.held[n:]; len(a.held) == 0 {
			err = a.err
		}
	case a.err != nil:
		return 0, a.err
	default:
		n, err = a.body.Read(p)
		a.err = err
	}
	if n > 0 {
		a.pass(p[:n])
	}
	if err != nil && a.kind == usage.Events {
		a.last = a.clock.Now()
	}
	return n, err
}

// pass looks at what goes to the client.
func (a *reply) pass(p []byte) {
	if a.kind == usage.Events && a.first.IsZero() {
		a.first = a.clock.Now()
	}
	if a.watch != nil {
		if event, _ := firstEvent(p, true); event.found {
			a.watch(event.status())
			a.watch = nil
		}
	}
	a.tokens.Write(p)
}

// Close ends the answer.
func (a *reply) Close() error {
	err := a.body.Close()
	if a.room != nil {
		a.held, a.err = nil, http.ErrBodyReadAfterClose
		steps.Put(a.room)
		a.room = nil
	}
	return err
}

// space is what may stand around JSON.
const space = " \t\r\n"
