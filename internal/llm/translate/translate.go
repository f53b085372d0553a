// Package translate joins the dialects: a client's request becomes a channel's, and
// the channel's response the client's.
//
//	client, err := translate.Read(neutral.Messages, body)
//	sent, err := translate.Write(client, neutral.Chat, target)
//	… send sent.Body, then, for a stream:
//	stream := translate.NewStream(client, neutral.Chat, how)
//	out, err = stream.Append(out[:0], piece) // for each piece of the response
//	out = stream.End(out[:0])
//
// One request may be written for several channels, one after the other: Write does
// not change what Read has returned.
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
// whether they want a stream, in the path: the caller sets both.
//
// The error is a *neutral.InvalidError or a *neutral.UnsupportedError.
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
	// Dropped names what was left out of it, for X-Gateway-Dropped.
	Dropped neutral.Dropped
}

// Write writes a client's request in a channel's dialect. The error is a
// *neutral.UnsupportedError if the channel cannot serve it.
func Write(client *neutral.Request, dialect neutral.Dialect, to neutral.Target) (*Sent, error) {
	r := *client // of its own: another channel may get the same request
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

// WriteError returns the body of an error in a client's dialect.
func WriteError(dialect neutral.Dialect, err *neutral.Error) []byte {
	switch dialect {
	case neutral.Messages:
		return messages.WriteError(err)
	case neutral.Gemini:
		return gemini.WriteError(err)
	}
	return chat.WriteError(err)
}

// ErrorOf returns the error that a client gets for an error of Read or Write.
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
	Vendor string          // as in neutral.Target
	Calls  *neutral.CallMemory

	// OpenThought is as in neutral.Reading.
	OpenThought bool

	ID  string // of the response, without a prefix; random if empty
	Now int64  // in seconds since 1970, for channels that do not say it
}

// newID returns a random id.
func newID() string {
	var random [12]byte
	_, _ = rand.Read(random[:]) // never fails
	return hex.EncodeToString(random[:])
}

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
