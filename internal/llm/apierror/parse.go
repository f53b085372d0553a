package apierror

import (
	"bytes"
	"cmp"
	"encoding/json"
	"net/http"
	"strconv"
	"strings"
)

// longestMessage bounds what is repeated of a text that is no error of an API, in
// bytes. Load balancers answer with a word or a sentence; what is longer is a page or a
// stack trace, which helps no client.
const longestMessage = 1000

// Parse reads an error as a channel has sent it: the body of a response, or the
// data of an event. status is what it stands for. What is not an error in the form
// of any API becomes its message.
//
//	{"error":{"message":"x","type":"t","code":"c"}}    most; the object stays in raw
//	[{"error":{…}}]                                    Google's OpenAI-compatible API
//	{"error":"x"}  {"code":"c","error":"x"}            Ollama; xAI
//	{"type":"response.failed","response":{"error":{…}}}
//	{"choices":[{"error":{…}}]}                        OpenRouter, in a choice
//	{"code":"1113","msg":"x"}  {"detail":"x"}          flat; FastAPI says detail
func Parse(text []byte, status int) *Error {
	e := &Error{Status: status, Type: typeOf(status)}
	text = bytes.TrimSpace(text)
	if list, ok := bytes.CutPrefix(text, []byte("[")); ok {
		text = bytes.TrimSpace(bytes.TrimSuffix(list, []byte("]"))) // Google's compatible API
	}
	var root parsed
	if json.Unmarshal(text, &root) == nil {
		e.read(&root)
	}
	if e.Message == "" {
		e.Message = plainMessage(text, status)
	}
	return e
}

// parsed has the fields of errors in all forms, at each of their levels. Those that
// should be texts are of any type: some providers send numbers as codes, and a list as
// detail, and one field of another type must not cost the message.
type parsed struct {
	Error    json.RawMessage `json:"error"`
	Response *parsed         `json:"response"`
	Choices  []parsed        `json:"choices"`
	Type     any             `json:"type"`
	Code     any             `json:"code"`
	Param    any             `json:"param"`
	Message  any             `json:"message"`
	Msg      any             `json:"msg"`
	Detail   any             `json:"detail"`
}

// read reads the outermost level that says something. A type "error" is a marker of
// Anthropic's envelope and of events, no kind, so it leaves e.Type alone; so do codes
// that are numbers, which repeat the status.
func (e *Error) read(p *parsed) {
	var inner parsed
	var text string
	switch {
	case json.Unmarshal(p.Error, &text) == nil && text != "":
		e.Message = text
	case bytes.HasPrefix(p.Error, []byte("{")) && json.Unmarshal(p.Error, &inner) == nil:
		var compact bytes.Buffer
		if json.Compact(&compact, p.Error) == nil {
			e.raw = compact.Bytes()
		}
		p = &inner
	case p.Response != nil && p.Response.Error != nil:
		e.read(p.Response)
		return
	case len(p.Choices) > 0 && p.Choices[0].Error != nil:
		e.read(&p.Choices[0])
		return
	}
	for _, message := range [...]any{p.Message, p.Msg, p.Detail} {
		if text, ok := message.(string); ok && e.Message == "" {
			e.Message = text
		}
	}
	if kind, ok := p.Type.(string); ok && kind != "error" && kind != "" {
		e.Type = kind
	}
	if code, ok := p.Code.(string); ok {
		e.Code = code
	}
	if param, ok := p.Param.(string); ok {
		e.Param = param
	}
}

// plainMessage is the message of a response that is no error of an API. Pages (of a
// proxy, mostly) and JSON without a message are not shown to the client: the name of
// the status says as much.
func plainMessage(text []byte, status int) string {
	if len(text) == 0 || text[0] == '<' || text[0] == '{' || len(text) > longestMessage {
		return cmp.Or(http.StatusText(status), "Status "+strconv.Itoa(status))
	}
	return strings.ToValidUTF8(string(text), "\uFFFD")
}

// typeOf returns OpenAI's type of an error with a status.
// Source: https://platform.openai.com/docs/guides/error-codes
func typeOf(status int) string {
	switch {
	case status == http.StatusTooManyRequests:
		return "rate_limit_error"
	case status >= 500:
		return "server_error"
	}
	return "invalid_request_error"
}
