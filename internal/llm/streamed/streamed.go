// Package streamed writes a whole response of a language model as the stream of
// events that the same API would have sent: for a client that has the header of a
// stream already, while the channel sends none.
//
// That happens where a heartbeat has gone out before the channel's response came: the
// client has its status 200 and its Content-Type by then, and the channel answers with
// JSON, because it cannot stream or ignores the wish for it. The client's dialect and
// the channel's are the same here; package translate does this for two different ones,
// in translate.Stream.
//
// # What is kept
//
// The members of a response that this package does not know pass on as they are: a
// vendor's fields belong to the client as much as the standard ones. So the response is
// not read into types, but into objects whose members keep their bytes, and each event
// is made of a copy with a few members changed. The order of members is not kept; no
// reader of JSON depends on it, and responses, unlike requests, are in no prompt cache.
//
// # The order of the events
//
// Clients judge a stream strictly: one missing event is an empty turn, or the request
// is sent again (see the docs of packages chat, responses and messages). What comes as
// many deltas from a provider comes as one here, which all clients accept.
//
//	chat       (chunk(delta) chunk(finish_reason))*, one a choice
//	           [chunk(usage)] [DONE]
//	responses  created in_progress (item.added parts item.done)* completed|incomplete
//	messages   message_start (block_start block_delta* block_stop)*
//	           message_delta message_stop
//
// Gemini has no case: its clients get no heartbeat, since Gemini CLI fails on comments.
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

// errUnknown is the error for JSON without the member that makes it a response of its
// dialect, such as an error that came with status 200. The caller sends a failure
// event instead: a stream without content would look like an empty answer.
var errUnknown = errors.New("the response is none of this API")

// object is a JSON object whose members nobody has looked into.
type object map[string]json.RawMessage

// Events returns the events of a response's body. Chat Completions state their
// usage if withUsage is set, as `stream_options` asks for it; the other dialects always
// do. The error is about the body: it is no JSON, or no response of the dialect.
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
	err      error // of an event that could not be written
	sequence int   // the number of the next event of Responses, which count from 0
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

// with returns a copy of o with other members; those that are nil are left out. o itself
// must not change: its last event repeats it, and other copies share its members. For a
// member that is to be null, pass json.RawMessage("null").
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

// raw returns a value as JSON. Values that are JSON already keep their text.
func raw(v any) json.RawMessage {
	text, err := json.Marshal(v)
	if err != nil {
		return json.RawMessage("null") // cannot happen: the values come from JSON
	}
	return text
}

// objects returns the elements of a list of objects, none for anything else.
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
