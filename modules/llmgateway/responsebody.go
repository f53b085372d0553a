package llmgateway

import (
	"errors"
	"io"
	"net/http"
	"sync"
	"time"

	"github.com/jonboulle/clockwork"

	"github.com/caddy-freetier/caddy-freetier/internal/llm/refusal"
	"github.com/caddy-freetier/caddy-freetier/internal/llm/usage"
)

const (
	// headStep is how much of a response is read to see what it is.
	headStep = 4 << 10
	// maxHead bounds what is held back of a response until its first output.
	maxHead = 64 << 10
)

var (
	errNotAPI   = errors.New("the response is a web page")
	errNoOutput = errors.New("the response has no output")
)

// responseBody is the body of a channel's response on its way to the client:
//
//	channel ──▶ deadline ──▶ stages ──▶ head ──▶ usage ──▶ client
//
// Each stage changes what passes it. What was read until the first output is the
// head, which comes first. It is read by one goroutine.
type responseBody struct {
	source   io.ReadCloser
	deadline *deadline
	stages   []stage
	few      [3]stage // room for all of them
	events   eventStage
	masking  maskStage
	clock    clockwork.Clock

	kind    usage.Kind
	failed  bool        // it stands for an error
	tokens  usage.Meter // counts what goes to the client, if metered
	metered bool

	buffer *[headStep]byte // of head, from headBuffers; given back at the end
	head   []byte          // read ahead
	ready  []byte          // read, and not passed on for want of room
	err    error           // of source, behind head and ready

	first time.Time // when the first event passed
	last  time.Time // when the stream ended
}

// stage changes the bytes of a response.
type stage interface {
	// pass takes what has arrived and returns what may go on. The result is valid
	// until the next call and may lie in p.
	pass(p []byte, then continuation) []byte
}

// continuation is what follows a piece of a response.
type continuation uint8

const (
	more    continuation = iota
	nothing              // the response is complete, nothing may be held back
	failure              // the response has broken off
)

// continuationAt returns what follows the piece that was read with err.
func continuationAt(err error) continuation {
	switch err { //nolint:errorlint // bodies return it bare
	case nil:
		return more
	case io.EOF:
		return nothing
	}
	return failure
}

// headBuffers are reused: each response needs one for a moment.
var headBuffers = sync.Pool{New: func() any { return new([headStep]byte) }}

// begin puts b in the place of the response's body, in which the secrets of m are
// masked. A connection that has switched protocols stays as it is.
func (b *responseBody) begin(res *http.Response, m *mask, d *deadline, clock clockwork.Clock) {
	b.deadline, b.clock = d, clock
	if res.StatusCode == http.StatusSwitchingProtocols || res.Body == nil {
		d.meet()
		return
	}
	b.masking = maskStage{mask: m, response: res}
	b.stages = append(b.few[:0], &b.masking)
	b.source, res.Body = res.Body, b
}

// addStage lets what is still to come, and what was read ahead, pass one stage
// more.
func (b *responseBody) addStage(s stage) {
	b.stages = append(b.stages, s)
	if len(b.head) > 0 {
		b.head = append(b.head[:0:0], s.pass(b.head, continuationAt(b.err))...)
	}
}

// fill reads once from the source, by way of p, and returns what has passed the
// stages.
func (b *responseBody) fill(p []byte) []byte {
	n, err := b.source.Read(p)
	b.err = b.masking.mask.inError(b.deadline.cause(err))
	out := p[:n]
	for _, s := range b.stages {
		out = s.pass(out, continuationAt(err))
	}
	return out
}

// readAhead reads some more of the body into head. Its end is no error.
func (b *responseBody) readAhead() error {
	if b.buffer == nil {
		b.buffer = headBuffers.Get().(*[headStep]byte)
		b.head = b.buffer[:0]
	}
	if len(b.head) == cap(b.head) {
		b.head = append(make([]byte, 0, 4*cap(b.head)), b.head...)
	}
	out := b.fill(b.head[len(b.head):cap(b.head)])
	b.head = append(b.head, out...)
	if b.err != nil && b.err != io.EOF {
		return b.err
	}
	return nil
}

// readUntil reads ahead until look finds something, or nothing more comes. What
// is longer than maxHead is taken for output.
func (b *responseBody) readUntil(look func(head []byte, whole bool) refusal.Found) (refusal.Found, error) {
	for {
		switch found := look(b.head, b.atEnd()); {
		case found != refusal.Nothing || b.atEnd():
			return found, nil
		case len(b.head) >= maxHead:
			return refusal.Output, nil
		}
		if err := b.readAhead(); err != nil {
			return refusal.Nothing, err
		}
	}
}

// atEnd reports whether the channel has sent everything.
func (b *responseBody) atEnd() bool { return b.err == io.EOF }

// watch lets events pass as a whole only, from the first output on. failed is
// called with the data of those that are failures.
func (b *responseBody) watch(d refusal.Dialect, failed func(event []byte)) {
	b.events = eventStage{dialect: d, failed: func(event []byte) {
		b.failed = true
		failed(event)
	}}
	b.stages = append(b.stages, &b.events)
	b.head = b.events.pass(b.head, continuationAt(b.err))
}

// Read implements io.Reader.
func (b *responseBody) Read(p []byte) (n int, err error) {
	switch {
	case len(p) == 0:
		return 0, nil
	case len(b.head) > 0:
		n = copy(p, b.head)
		b.head = b.head[n:]
	default:
		for len(b.ready) == 0 && b.err == nil {
			b.ready = b.fill(p)
		}
		n = copy(p, b.ready)
		b.ready = b.ready[n:]
	}
	if len(b.head) == 0 && len(b.ready) == 0 {
		err = b.err
	}
	if n > 0 {
		b.observe(p[:n])
	}
	if err != nil && b.kind == usage.Events {
		b.last = b.clock.Now()
	}
	return n, err
}

// observe looks at what goes to the client.
func (b *responseBody) observe(p []byte) {
	if !b.metered {
		return
	}
	if b.kind == usage.Events && b.first.IsZero() {
		b.first = b.clock.Now()
	}
	b.tokens.Write(p)
}

// Close ends the response.
func (b *responseBody) Close() error {
	b.deadline.end()
	err := b.source.Close()
	if b.buffer != nil {
		b.head, b.err = nil, http.ErrBodyReadAfterClose
		headBuffers.Put(b.buffer)
		b.buffer = nil
	}
	return err
}
