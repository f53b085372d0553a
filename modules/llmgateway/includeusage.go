package llmgateway

import (
	"bytes"
	"encoding/json"
	"strings"

	"github.com/caddy-freetier/caddy-freetier/internal/llm/eventstream"
	"github.com/caddy-freetier/caddy-freetier/internal/reqbody"
)

// longestEvent is the longest event that is looked at as a whole.
const longestEvent = 1 << 20

// checkStreamed refuses what could make a stream of a response that the gateway
// takes for a plain one, or keep its usage from it.
//
// Such a client has limits of tokens, and could keep the usage out of its responses by
// a second stream_options that another parser reads in place of the first one.
func (m *modelRef) checkStreamed() *apiError {
	for _, field := range [...]reqbody.Span{m.stream, m.extras} {
		switch {
		case field.Twice:
			return invalidRequest("The request has the field " + field.Name + " more than once.")
		case field.Alike:
			return invalidRequest("The request has a field whose name could be read as " + field.Name + ".")
		}
	}
	return nil
}

// askUsage returns what makes OpenAI's streams tell the usage, nil if the request
// asks for it itself.
// Source: https://platform.openai.com/docs/api-reference/chat/create#stream_options
func (m *modelRef) askUsage(body *reqbody.Body) *reqbody.Edit {
	if m.extras.End == 0 {
		end := m.stream.Start + int64(len("true"))
		return &reqbody.Edit{Start: end, End: end, With: []byte(`,"stream_options":{"include_usage":true}`)}
	}
	var options map[string]json.RawMessage
	text := bytes.TrimRight(body.Slice(m.extras.Start, m.extras.End), space)
	if json.Unmarshal(text, &options) != nil || string(options["include_usage"]) == "true" {
		return nil
	}
	if options == nil {
		options = make(map[string]json.RawMessage)
	}
	options["include_usage"] = json.RawMessage("true")
	with, err := json.Marshal(options)
	if err != nil {
		return nil // cannot happen: it was JSON before
	}
	return &reqbody.Edit{Start: m.extras.Start, End: m.extras.Start + int64(len(text)), With: with}
}

// isCompletions reports whether an endpoint speaks OpenAI's chat or completions
// dialect, in whatever spelling of its path.
func isCompletions(path string) bool { return strings.Contains(strings.ToLower(path), "completions") }

// usageFilter takes the event out of a stream that the client has not asked for.
// All other bytes pass as they come, events as a whole.
//
// The event exists because the gateway has asked for it (askUsage): clients that do not
// expect choices to be empty fail on it.
type usageFilter struct {
	seen func(event []byte) // is shown the event

	waiting []byte // has arrived, and is no whole event yet
	line    int    // where its last line begins
	ready   []byte
}

// pass implements stage. What is no whole event at the end is passed on too.
func (f *usageFilter) pass(p []byte, then continuation) []byte {
	f.waiting, f.ready = append(f.waiting, p...), f.ready[:0]
	at := 0
	for {
		var length int
		length, f.line = eventstream.BlockEnd(f.waiting[at:], f.line)
		if length == 0 {
			break
		}
		event := f.waiting[at : at+length]
		if at += length; isUsageEvent(event) {
			f.seen(event)
		} else {
			f.ready = append(f.ready, event...)
		}
	}
	if then != more || len(f.waiting)-at > longestEvent {
		f.ready = append(f.ready, f.waiting[at:]...)
		at, f.line = len(f.waiting), 0
	}
	if at > 0 {
		f.waiting = f.waiting[:copy(f.waiting, f.waiting[at:])]
	}
	return f.ready
}

// isUsageEvent reports whether an event is the one that include_usage adds: it
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
