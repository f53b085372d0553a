// Package translate joins the dialects: a client's request becomes a channel's, and
// the channel's response the client's.
//
//	client, err := translate.Read(neutral.Messages, body)
//	sent, err := translate.Write(client, neutral.Chat, target)
//	… send sent.Body, then, for a stream:
//	stream := translate.NewStream(client, translate.Response{From: neutral.Chat, …})
//	out = stream.Append(out[:0], piece) // for each piece of the response
//	out = stream.End(out[:0])
//
// One request may be written for several channels, one after the other: Write does
// not change what Read has returned. A request and all that is made of it belong to one
// goroutine; only the CallMemory may be shared.
//
// # Twelve directions, eight readers and writers
//
// No dialect knows another. Each reads into the neutral forms and writes from them, so
// that a dialect is added by its own package and a case in each switch of this file, and
// what two dialects have in common and the neutral form lacks is lost. What is lost, by
// direction, stands in docs/dialects.md; a test compares its tables with the code.
//
// # What a response passes through
//
//	bytes ─▶ input ─┬─ event stream: eventstream.Decoder ─▶ StreamReader.Event, each
//	                └─ JSON: gathered until the end ──────▶ StreamReader.Event, once
//	StreamReader ─▶ neutral events ─┬─▶ StreamWriter ─▶ Stream's bytes
//	                                └─▶ Collector ─▶ Whole's JSON text
//
// What the channel sends, a stream or JSON, and what the client has asked for are
// independent of each other, and all four combinations go this way. A whole response is
// read as if it were one event, so that a reader's oddities are handled in one place.
//
// # Ids
//
// The response's id, and those of its items, are made from Response.ID or, without one,
// from a random number: the channel's own have another dialect's form, and OpenAI checks
// the prefixes of item ids that come back. The ids of calls are the channel's where it
// gives any; neutral.CallID maps those that another dialect would refuse. A call without
// an id, or with one that another call of the response has, gets a random one, since
// Claude Code runs neither. It comes back with the client's next request, so that the
// turns of a conversation agree about it.
package translate

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"net/http"

	"github.com/caddy-freetier/caddy-freetier/internal/llm/chat"
	"github.com/caddy-freetier/caddy-freetier/internal/llm/gemini"
	"github.com/caddy-freetier/caddy-freetier/internal/llm/messages"
	"github.com/caddy-freetier/caddy-freetier/internal/llm/neutral"
	"github.com/caddy-freetier/caddy-freetier/internal/llm/responses"
)

// Read reads a request in a client's dialect. Gemini's clients name the model, and
// whether they ask for a stream, in the path: the caller sets both. The request shares the
// memory of body, which must not change while the request, or a response to it, is in
// use.
//
// The error is a *neutral.InvalidError or a *neutral.UnsupportedError. ErrorOf makes of
// it what the client gets.
func Read(dialect neutral.Dialect, body []byte) (*neutral.Request, error) {
	switch dialect {
	case neutral.Chat:
		return chat.ReadRequest(body)
	case neutral.Responses:
		return responses.ReadRequest(body)
	case neutral.Messages:
		return messages.ReadRequest(body)
	case neutral.Gemini:
		return gemini.ReadRequest(body)
	}
	return nil, errUnknown(dialect)
}

// Sent is a request as it goes to a channel.
type Sent struct {
	Body []byte
	// Dropped names what was left out of it, for X-Gateway-Dropped: what no reader
	// knows, and what this channel's dialect has no place for.
	Dropped neutral.Dropped
}

// Write writes a client's request in a channel's dialect. The error is a
// *neutral.UnsupportedError if the channel cannot serve it; the caller may try a channel
// of another dialect.
//
// The body is a function of the request and the target alone, and that of a
// conversation's next turn begins with the same bytes: prompt caches of providers
// compare prefixes. (Calls is part of the target: what it has forgotten is written in
// another form, which costs a cache hit and nothing else.)
func Write(client *neutral.Request, dialect neutral.Dialect, to neutral.Target) (*Sent, error) {
	// A copy, since writers count what they drop: another channel may get the same
	// request. It is shallow, so writers must not change what the fields point to.
	r := *client
	r.Dropped = client.Dropped.Clone()
	var body []byte
	var err error
	switch dialect {
	case neutral.Chat:
		body, err = chat.WriteRequest(&r, to)
	case neutral.Responses:
		body, err = responses.WriteRequest(&r, to)
	case neutral.Messages:
		body, err = messages.WriteRequest(&r, to)
	case neutral.Gemini:
		body, err = gemini.WriteRequest(&r, to)
	default:
		err = errUnknown(dialect)
	}
	if err != nil {
		return nil, err
	}
	return &Sent{Body: body, Dropped: r.Dropped}, nil
}

func errUnknown(dialect neutral.Dialect) error {
	return &neutral.InvalidError{Reason: "unknown dialect " + string(dialect)}
}

// WriteError returns the body of an error in a client's dialect. Chat and responses have
// the same; in the middle of a stream they differ, which the StreamWriters see to.
func WriteError(dialect neutral.Dialect, err *neutral.Error) []byte {
	switch dialect {
	case neutral.Messages:
		return messages.WriteError(err)
	case neutral.Gemini:
		return gemini.WriteError(err)
	}
	return chat.WriteError(err)
}

// ErrorOf returns the error that a client gets for an error of Read or Write. It is
// always 400, which Codex and the Gemini CLI do not send again.
func ErrorOf(err error) *neutral.Error {
	e := &neutral.Error{Status: http.StatusBadRequest, Message: err.Error()}
	var invalid *neutral.InvalidError
	var unsupported *neutral.UnsupportedError
	switch {
	case errors.As(err, &invalid):
		e.Param = invalid.Param
	case errors.As(err, &unsupported):
		e.Param = unsupported.Param
	}
	return e
}

// Response says how a response is translated.
type Response struct {
	From   neutral.Dialect // the channel's
	Vendor string          // as in neutral.Target; signatures are marked with it
	Calls  *neutral.CallMemory

	// OpenThought is as in neutral.Reading.
	OpenThought bool

	ID  string // of the response, without a prefix; random if empty
	Now int64  // in seconds since 1970, for channels that do not say it
}

// newID returns a random id of 24 hexadecimal digits. It begins with nothing that says
// what it is of: each dialect has its own prefixes, such as chatcmpl-, resp_, msg_.
func newID() string {
	var random [12]byte
	_, _ = rand.Read(random[:]) // never fails
	return hex.EncodeToString(random[:])
}

// reader returns a reader of the channel's dialect. It fixes the id, so that what is
// called after it agrees with it.
func (p *Response) reader(client *neutral.Request) neutral.StreamReader {
	if p.ID == "" {
		p.ID = newID()
	}
	how := neutral.Reading{Vendor: p.Vendor, Names: client.Names, Calls: p.Calls, OpenThought: p.OpenThought, NewID: func() string { return "call_" + newID() }}
	switch p.From {
	case neutral.Responses:
		return responses.NewStreamReader(how)
	case neutral.Messages:
		return messages.NewStreamReader(how)
	case neutral.Gemini:
		return gemini.NewStreamReader(how)
	}
	return chat.NewStreamReader(how)
}

func (p *Response) writer(client *neutral.Request) neutral.StreamWriter {
	switch client.Dialect {
	case neutral.Responses:
		return responses.NewStreamWriter(client, p.ID, p.Now)
	case neutral.Messages:
		return messages.NewStreamWriter(client, p.ID)
	case neutral.Gemini:
		return gemini.NewStreamWriter(client, p.ID)
	}
	return chat.NewStreamWriter(client, p.ID, p.Now)
}

// write returns a whole response in the client's dialect.
func (p *Response) write(client *neutral.Request, response *neutral.Response) []byte {
	switch client.Dialect {
	case neutral.Responses:
		return responses.WriteResponse(client, response, p.ID, p.Now)
	case neutral.Messages:
		return messages.WriteResponse(client, response, p.ID)
	case neutral.Gemini:
		return gemini.WriteResponse(client, response, p.ID)
	}
	return chat.WriteResponse(client, response, p.ID, p.Now)
}
