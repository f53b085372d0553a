// Package conversation recognises the conversation that a request is a part of, so
// that all of its turns can go to the same account, where its prompt is cached.
//
//	scanner.Mark(conversation.Fields...) // before the body is read
//	…
//	q := conversation.Request{Client: name, Header: r.Header, Body: body, Places: conversation.PlacesOf(scanner.Marked())}
//	id := q.Identity()
//
// A conversation goes by the id that the client gives it, in the body or in a
// header, else by what stays the same from turn to turn: the client, the system
// prompt and the first message of the user. It is the same in every process and
// after a restart.
//
// Of the body no more is read than the fields that matter and, of those, the
// beginning: the scanner has found where they stand. White space, the order of
// keys, escapes and markers such as cache_control make no difference.
package conversation

import (
	"net/http"

	"github.com/cespare/xxhash/v2"

	"github.com/caddy-freetier/caddy-freetier/internal/reqbody"
	"github.com/caddy-freetier/caddy-freetier/internal/ring"
)

// Kind is what a conversation is known by.
//
// A stated id is the stronger: a hash of the content is the same for two conversations
// that begin alike, and changes if a client rewrites its first message.
type Kind uint8

const (
	None    Kind = iota // nothing: the request is part of no conversation
	Content             // the system prompt and the first message of the user
	Stated              // an id that the client gives
)

// Identity is what tells a client's conversations apart. The hash is one of the
// client alone if the kind is None.
//
// The hash goes onto the ring of keys (package ring). It is no secret.
type Identity struct {
	Kind Kind
	Hash uint64
}

// Request is what a conversation is recognised by.
//
// Client is the name in the configuration. It is a part of every hash, so that two
// clients with one session id are two conversations.
type Request struct {
	Client string
	Header http.Header
	Body   *reqbody.Body // nil without one
	Places Places        // none unless the body is JSON
}

// Places are where Fields stand in a body.
type Places [input + 1]struct{ start, end int64 }

// PlacesOf returns the places that a scanner has marked.
func PlacesOf(marked []reqbody.Span) (places Places) {
	for i := range places {
		places[i].start, places[i].end = marked[i].Start, marked[i].End
	}
	return places
}

// Fields are the fields of a body's top level that say something about its
// conversation, in any dialect.
var Fields = []string{
	conversation:           "conversation",
	cacheKey:               "prompt_cache_key",
	session:                "session_id",
	clientMetadata:         "client_metadata",
	metadata:               "metadata",
	previousResponse:       "previous_response_id",
	system:                 "system",
	instructions:           "instructions",
	systemInstruction:      "systemInstruction",
	systemInstructionSnake: "system_instruction",
	messages:               "messages",
	contents:               "contents",
	input:                  "input",
}

// Indexes of Fields.
const (
	conversation           = iota // Responses: an id or an object with one
	cacheKey                      // Chat and Responses; Codex: the thread
	session                       // OpenRouter
	clientMetadata                // Codex
	metadata                      // Messages: Claude Code's session in user_id; else what people put there
	previousResponse              // Responses
	system                        // Messages
	instructions                  // Responses
	systemInstruction             // Gemini
	systemInstructionSnake        // Gemini, as its Python clients write it
	messages                      // Chat and Messages
	contents                      // Gemini
	input                         // Responses: text or items; embeddings
)

// headers are those by which agents and chat programs tell their conversations
// apart, in canonical form.
// Sources: the headers that Codex, Claude Code, OpenCode, pi, Amp, Grok's clients
// and Open WebUI send.
var headers = []string{
	"Thread-Id", "Thread_id",
	"Session-Id", "Session_id",
	"X-Claude-Code-Session-Id",
	"X-Session-Affinity",
	"X-Session-Id",
	"Conversation-Id", "Conversation_id", "X-Conversation-Id",
	"X-Opencode-Session",
	"X-Amp-Thread-Id",
	"X-Grok-Conv-Id",
	"X-Openwebui-Chat-Id",
}

const (
	// maxID is how much of an id is looked at, in bytes.
	maxID = 512
	// maxSystem and maxMessages are how much is of a system prompt, and of the
	// messages up to the first one of the user. Conversations that begin alike
	// for so long are taken for one, and share their cached prompt anyway.
	maxSystem   = 16 << 10
	maxMessages = 32 << 10
)

// Identity returns the identity of the request's conversation.
//
// The order is by how surely an id stays the same from turn to turn: that of a
// conversation at the provider, a cache key, a session. previous_response_id is another
// one in each turn and so comes last of them.
func (q *Request) Identity() Identity {
	for _, find := range [...]func(*Request) (uint64, bool){
		(*Request).kept, (*Request).cacheKey, (*Request).inHeader, (*Request).inMetadata, (*Request).previousResponse,
	} {
		if id, ok := find(q); ok {
			return Identity{Stated, q.hash(Stated, id)}
		}
	}
	if id, ok := q.content(); ok {
		return Identity{Content, q.hash(Content, id)}
	}
	return Identity{None, q.hash(None, 0)}
}

// hash returns the hash of a conversation that is one of the client's.
func (q *Request) hash(kind Kind, id uint64) uint64 {
	return ring.Mix(xxhash.Sum64String(q.Client) + ring.Mix(id+uint64(kind)))
}

// inHeader returns the id in a header.
func (q *Request) inHeader() (id uint64, ok bool) {
	for _, name := range headers {
		if values := q.Header[name]; len(values) > 0 && isID(values[0]) {
			return xxhash.Sum64String(values[0][:min(len(values[0]), maxID)]), true
		}
	}
	return 0, false
}

// isID reports whether a text is the id of anything, and not what programs write
// for none.
//
// Templates of clients produce the words when a variable is empty, and all their
// conversations would be one.
func isID(text string) bool {
	switch text {
	case "", "null", "undefined", "None":
		return false
	}
	return true
}

// kept returns the id of a conversation that the provider keeps.
func (q *Request) kept() (id uint64, ok bool) {
	q.peek(conversation, maxID, func(c *cursor) {
		if c.next() == '{' {
			id, ok = c.idIn("id")
			return
		}
		id, ok = c.id()
	})
	return id, ok
}

// Kept returns the id of the conversation that the provider keeps, "" for none.
//
// Such a conversation belongs to the account that has made it, which is asked again.
func (q *Request) Kept() (id string) {
	q.peek(conversation, maxID, func(c *cursor) {
		if c.next() == '"' {
			id = string(reqbody.Text(c.text[c.at:]))
			return
		}
		reqbody.Fields(c.text, func(key, value []byte) bool {
			if string(key) == "id" {
				id = string(reqbody.Text(value))
			}
			return true
		})
	})
	return id
}

func (q *Request) cacheKey() (id uint64, ok bool)         { return q.text(cacheKey) }
func (q *Request) previousResponse() (id uint64, ok bool) { return q.text(previousResponse) }

// text returns the id that a field is.
func (q *Request) text(field int) (id uint64, ok bool) {
	q.peek(field, maxID, func(c *cursor) { id, ok = c.id() })
	return id, ok
}

// inMetadata returns the id of a session in what is said about the request.
func (q *Request) inMetadata() (id uint64, ok bool) {
	if id, ok = q.text(session); ok {
		return id, true
	}
	for _, field := range [...]int{clientMetadata, metadata} {
		q.peek(field, 16*maxID, func(c *cursor) { id, ok = c.idIn("thread_id", "session_id", "conversation_id", "chat_id", "user_id") })
		if ok {
			return id, true
		}
	}
	return 0, false
}

// content returns the hash of the system prompt and of the messages up to the
// first one of the user.
func (q *Request) content() (hash uint64, ok bool) {
	for _, field := range [...]int{system, instructions, systemInstruction, systemInstructionSnake} {
		q.peek(field, maxSystem, func(c *cursor) {
			if h, found := c.content(); found {
				hash, ok = join(hash, h), true
			}
		})
	}
	for _, field := range [...]int{messages, contents, input} {
		q.peek(field, maxMessages, func(c *cursor) {
			if h, found := c.messages(); found {
				hash, ok = join(hash, h), true
			}
		})
	}
	return hash, ok
}

// peek calls f with the beginning of a field's value, unless the body has no such
// field.
func (q *Request) peek(field int, most int64, f func(*cursor)) {
	place := q.Places[field]
	if place.end == 0 || q.Body == nil {
		return
	}
	q.Body.Peek(place.start, min(place.end, place.start+most), func(text []byte) { f(&cursor{text: text}) })
}
