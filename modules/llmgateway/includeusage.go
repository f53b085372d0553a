package llmgateway

import (
	"bytes"
	"encoding/json"
	"io"
	"strings"

	"github.com/caddy-freetier/caddy-freetier/internal/reqbody"
)

// longestEvent is the longest event that is looked at as a whole.
const longestEvent = 1 << 20

// checkStreamed refuses what could make a stream of a response that the gateway
// takes for a plain one, or keep its usage from a client with a token limit.
func (c *call) checkStreamed() *apiError {
	if len(c.client.tokens) == 0 {
		return nil
	}
	for _, field := range [...]reqbody.Span{c.stream, c.extras} {
		if field.Twice {
			return invalidRequest("The request has the field " + field.Name + " more than once.")
		}
	}
	return nil
}

// askUsage prepares what makes OpenAI's streams tell the usage, for a client
// with a token limit that has not asked for it itself.
// Source: https://platform.openai.com/docs/api-reference/chat/create#stream_options
func (c *call) askUsage(path string) {
	if len(c.client.tokens) == 0 || !isCompletions(path) || !c.streamed() {
		return
	}
	if c.extras.End == 0 {
		end := c.stream.Start + int64(len("true"))
		c.usageEdit = &reqbody.Edit{Start: end, End: end, With: []byte(`,"stream_options":{"include_usage":true}`)}
		return
	}
	var options map[string]json.RawMessage
	text := bytes.TrimRight(c.body.Slice(c.extras.Start, c.extras.End), space)
	if json.Unmarshal(text, &options) != nil || string(options["include_usage"]) == "true" {
		return
	}
	if options == nil {
		options = make(map[string]json.RawMessage)
	}
	options["include_usage"] = json.RawMessage("true")
	if with, err := json.Marshal(options); err == nil {
		c.usageEdit = &reqbody.Edit{Start: c.extras.Start, End: c.extras.Start + int64(len(text)), With: with}
	}
}

// isCompletions reports whether an endpoint speaks OpenAI's chat or completions
// dialect, in whatever spelling of its path.
func isCompletions(path string) bool { return strings.Contains(strings.ToLower(path), "completions") }

// asksUsage reports whether this attempt asks for the usage on its own account.
func (c *call) asksUsage() bool { return c.usageEdit != nil && !c.current.channel.NoIncludeUsage }

// filterUsage takes the event with the usage out of the response, also of what
// is held of it already.
func (a *reply) filterUsage() {
	f := &usageFilter{body: a.body, seen: a.tokens.WriteFinal}
	if len(a.held) > 0 {
		f.buffer, f.err = append(f.buffer, a.held...), a.err
		a.held, a.err = a.held[:0], nil
		f.look()
	}
	a.body = f
}

// usageFilter takes the event out of a stream that the client has not asked
// for. All other bytes pass as they come, events as a whole.
type usageFilter struct {
	body io.ReadCloser
	seen func(event []byte) // is shown the event

	buffer []byte // read, and not looked at yet
	ready  []byte // looked at, and not passed on yet
	err    error  // of body, behind both
}

// Read implements io.Reader.
func (f *usageFilter) Read(p []byte) (int, error) {
	for len(f.ready) == 0 {
		if f.err != nil {
			return 0, f.err
		}
		at := len(f.buffer)
		f.buffer = append(f.buffer, p...) // makes room for as much as is wanted
		n, err := f.body.Read(f.buffer[at:])
		f.buffer, f.err = f.buffer[:at+n], err
		f.look()
	}
	n := copy(p, f.ready)
	f.ready = f.ready[n:]
	return n, nil
}

// look makes whole events ready. What is left at the end is passed on too.
func (f *usageFilter) look() {
	at := 0
	for {
		length := eventLength(f.buffer[at:])
		if length == 0 {
			break
		}
		event := f.buffer[at : at+length]
		if at += length; isUsageEvent(event) {
			f.seen(event)
		} else {
			f.ready = append(f.ready, event...)
		}
	}
	if f.err != nil || len(f.buffer)-at > longestEvent {
		f.ready = append(f.ready, f.buffer[at:]...)
		at = len(f.buffer)
	}
	f.buffer = f.buffer[:copy(f.buffer, f.buffer[at:])]
}

// eventLength returns where the first event of p ends, 0 if it has not ended.
func eventLength(p []byte) int {
	for next := 0; ; {
		end := bytes.IndexByte(p[next:], '\n')
		if end < 0 {
			return 0
		}
		line := bytes.TrimSuffix(p[next:next+end], []byte("\r"))
		next += end + 1
		if len(line) == 0 {
			return next
		}
	}
}

// isUsageEvent tells whether an event is the one that include_usage adds: it
// has the usage, and no choices.
func isUsageEvent(event []byte) bool {
	data, ok := bytes.CutPrefix(event, []byte("data:"))
	if !ok || !bytes.Contains(data, []byte(`"usage`)) {
		return false
	}
	var chunk struct {
		Choices []json.RawMessage `json:"choices"`
		Usage   map[string]any    `json:"usage"`
	}
	return json.Unmarshal(data, &chunk) == nil && chunk.Choices != nil && len(chunk.Choices) == 0 && chunk.Usage != nil
}

// Close implements io.Closer.
func (f *usageFilter) Close() error { return f.body.Close() }
