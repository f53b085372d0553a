// Package streamed writes a whole response of a language model as the stream of
// events that the same API would have sent: for a client that has been told that
// a stream comes, while the channel sends none.
//
// Sources: https://platform.openai.com/docs/api-reference/chat-streaming,
// https://platform.openai.com/docs/api-reference/responses-streaming and
// https://docs.anthropic.com/en/docs/build-with-claude/streaming
package streamed

import (
	"bytes"
	"encoding/json"
	"errors"
	"maps"

	"github.com/caddy-freetier/caddy-freetier/internal/llm/refusal"
)

var errUnknown = errors.New("the response is none of this API")

// object is a JSON object whose members nobody has looked into.
type object map[string]json.RawMessage

// Events returns the events of a response's body. Chat Completions state their
// usage if withUsage is set, as `stream_options` asks for it.
func Events(d refusal.Dialect, body []byte, withUsage bool) ([]byte, error) {
	var whole object
	if err := json.Unmarshal(body, &whole); err != nil {
		return nil, err
	}
	w := new(writer)
	switch {
	case d == refusal.DialectChat && whole["choices"] != nil:
		w.chat(whole, withUsage)
	case d == refusal.DialectResponses && whole["output"] != nil:
		w.response(whole)
	case d == refusal.DialectMessages && whole["content"] != nil:
		w.message(whole)
	default:
		return nil, errUnknown
	}
	return w.out.Bytes(), w.err
}

// writer collects events.
type writer struct {
	out      bytes.Buffer
	err      error
	sequence int // of Responses
}

// event writes an event. Without a name there is only data.
func (w *writer) event(name string, data any) {
	text, err := json.Marshal(data)
	if err != nil {
		w.err = err
		return
	}
	if name != "" {
		w.out.WriteString("event: " + name + "\n")
	}
	w.out.WriteString("data: ")
	w.out.Write(text)
	w.out.WriteString("\n\n")
}

// with returns a copy of o with other members; those that are nil are left out.
func (o object) with(members map[string]any) object {
	changed := make(object, len(o)+len(members))
	maps.Copy(changed, o)
	for name, member := range members {
		if member == nil {
			delete(changed, name)
			continue
		}
		changed[name] = raw(member)
	}
	return changed
}

func raw(v any) json.RawMessage {
	text, err := json.Marshal(v)
	if err != nil {
		return json.RawMessage("null") // cannot happen: the values come from JSON
	}
	return text
}

// objects returns the elements of a list that are objects.
func objects(list json.RawMessage) []object {
	var elements []object
	if json.Unmarshal(list, &elements) != nil {
		return nil
	}
	return elements
}

// text returns a member that is a string.
func (o object) text(name string) string {
	var s string
	_ = json.Unmarshal(o[name], &s)
	return s
}

// isSet reports whether a member is there and not null.
func (o object) isSet(name string) bool {
	return len(o[name]) > 0 && string(o[name]) != "null"
}
