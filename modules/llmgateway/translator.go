package llmgateway

import (
	"bytes"
	"io"
	"net/url"

	"github.com/caddy-freetier/caddy-freetier/internal/llm/neutral"
	"github.com/caddy-freetier/caddy-freetier/internal/llm/translate"
	"github.com/caddy-freetier/caddy-freetier/internal/reqbody"
)

// translator writes the client's request in the dialects of channels that do not speak
// its own. What it needs of the request it reads once, whatever the number of attempts.
type translator struct {
	*request

	neutral *neutral.Request // the client's request, once a channel needs a translation
	failure error            // why a channel could not be asked in its own dialect

	searched, marked bool  // whether signatures of translated responses were looked for, and are there
	nested           int64 // how many objects and lists the body has, once it was read
	memory           int64 // reserved of the client's memory for bodies, in bytes
}

// clientRequest reads the client's request, once, in the form that all dialects
// can be written from.
func (t *translator) clientRequest() (*neutral.Request, error) {
	if t.neutral != nil {
		return t.neutral, nil
	}
	if err := t.reserve(0); err != nil {
		return nil, err
	}
	body, _ := t.body.Open()
	defer body.Close()
	text, err := io.ReadAll(body)
	if err != nil {
		return nil, err
	}
	t.nested = countNested(text)
	if err := t.reserve(0); err != nil {
		return nil, err
	}
	client, err := translate.Read(t.clientDialect(), text)
	if err != nil {
		return nil, err
	}
	client.Model = t.model
	if client.Dialect == neutral.Gemini {
		client.Stream = t.inPath.streams()
	}
	t.neutral = client
	return client, nil
}

// translate writes the attempt's request in a dialect of its channel, if it does
// not speak the client's. An error is about the request and this channel: another one,
// which speaks another dialect, may carry it.
//
// A Gemini client that does not ask for alt=sse gets a stream as one JSON array, which
// only channels that speak gemini can give it.
func (t *translator) translate(a *attempt, from *url.URL) error {
	channel, dialect := a.candidate.channel, t.clientDialect()
	if !t.hasBody() || dialect == "" || !t.gateway.translates {
		return nil
	}
	if !channel.translatesFrom(dialect) {
		return t.unmark(a)
	}
	if dialect == neutral.Gemini && t.inPath.streams() && from.Query().Get("alt") != "sse" {
		return &neutral.UnsupportedError{Param: "alt", What: "A stream without alt=sse", Where: []neutral.Dialect{neutral.Gemini}}
	}
	client, err := t.clientRequest()
	if err != nil {
		return err
	}
	to, _ := channel.dialectFor(dialect)
	sent, err := translate.Write(client, to.dialect, neutral.Target{
		Model: a.candidate.model, Vendor: channel.vendor(), Calls: t.gateway.calls,
	})
	if err != nil {
		return err
	}
	if err := t.reserve(int64(len(sent.Body)) - t.body.Len()); err != nil {
		return err
	}
	a.translation = translation{client: client, to: to, dropped: sent.Dropped.Header()}
	a.rewritten = sent.Body
	return nil
}

// unmark takes out of the request what the channel, which speaks the client's
// dialect, would refuse: signatures of another vendor's models, which translated
// responses have brought into the conversation.
func (t *translator) unmark(a *attempt) error {
	if !t.isMarked() {
		return nil
	}
	if err := t.reserve(0); err != nil {
		return err
	}
	body, _ := a.open()
	defer body.Close()
	text, err := io.ReadAll(body)
	if err != nil {
		return err
	}
	a.rewritten = translate.Unmark(text)
	return nil
}

// isMarked reports whether the request has signatures of a translated response in
// it. It looks for them once, without a copy of the body.
func (t *translator) isMarked() bool {
	if t.searched {
		return t.marked
	}
	body, _ := t.body.Open()
	defer body.Close()
	t.searched, t.marked = true, contains(body, neutral.SignatureMark)
	return t.marked
}

// contains reports whether a text is in what r reads, as far as that can be read.
func contains(r io.Reader, text string) bool {
	buffer := copyBuffers.Get().(*[copyBufferSize]byte)
	defer copyBuffers.Put(buffer)
	kept := 0 // the end of the piece before, in which the text may begin
	for {
		n, err := r.Read(buffer[kept:])
		if bytes.Contains(buffer[:kept+n], []byte(text)) {
			return true
		}
		if err != nil {
			return false
		}
		end := kept + n
		kept = copy(buffer[:], buffer[max(0, end-len(text)+1):end])
	}
}

// reserve reserves the memory that a translation needs, as far as that is known by then.
// growth is by how many bytes the result is longer than the body: references in schemas
// are put in their place, so that a small body can become a large one.
func (t *translator) reserve(growth int64) error {
	memory := translationFactor*t.body.Len() + nestedMemory*t.nested + max(0, growth)
	if memory <= t.memory {
		return nil
	}
	if !t.client.bodies.Reserve(memory - t.memory) {
		return reqbody.ErrExhausted
	}
	t.memory = memory
	return nil
}

// close gives the reserved memory back.
func (t *translator) close() {
	if t.memory > 0 {
		t.client.bodies.Release(t.memory)
	}
}

const (
	// translationFactor is how much memory the translation of a body needs, as a
	// multiple of it: for the whole of it, for what is read of it, and for the result.
	translationFactor = 3
	// nestedMemory is how many bytes more each object and list of the body needs. Parts
	// as small as {} become structs and slices of them: a body of nothing else needed 14
	// to 32 times its size.
	nestedMemory = 384
)

// countNested returns how many objects and lists are in a JSON text.
func countNested(text []byte) (n int64) {
	for {
		plain, rest, isText := bytes.Cut(text, []byte{'"'})
		n += int64(bytes.Count(plain, []byte{'{'}) + bytes.Count(plain, []byte{'['}))
		if !isText {
			return n
		}
		text = afterText(rest)
	}
}

// afterText returns what is behind the end of a JSON text string that rest begins in.
func afterText(rest []byte) []byte {
	for {
		end := bytes.IndexAny(rest, `"\`)
		switch {
		case end < 0:
			return nil
		case rest[end] == '"':
			return rest[end+1:]
		}
		rest = rest[min(end+2, len(rest)):] // an escape
	}
}
