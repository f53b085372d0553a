package refusal

import "bytes"

// Dialect is the API that a response belongs to.
type Dialect uint8

const (
	// DialectOther: embeddings, images, lists and everything else that is not a
	// chat. Anything but an error is output.
	DialectOther Dialect = iota
	// DialectChat: Chat Completions, and the older Completions.
	DialectChat
	// DialectResponses: OpenAI's Responses.
	DialectResponses
	// DialectMessages: Anthropic's Messages.
	DialectMessages
	// DialectGemini: generateContent and streamGenerateContent.
	DialectGemini
)

// Found is the content of an event or a body, as far as it decides whether an
// attempt has succeeded.
type Found uint8

const (
	// Nothing: neither output nor an end, such as response.created,
	// message_start, ping, a chunk with a role only, `choices: []`.
	Nothing Found = iota
	// Output: text, reasoning, a tool call, or a finish reason.
	Output
	// Failure: an error.
	Failure
	// End: the stream's end, without output in it.
	End
)

var done = []byte("[DONE]")

// InspectEvent inspects one event of a stream. name is the event's name, if it
// has one. It runs for every event until the first output, and allocates nothing.
//
// Data that is not a JSON object counts as output: what cannot be judged is
// passed on to the client.
func InspectEvent(d Dialect, name, data []byte) Found {
	data = trimStart(data)
	if len(data) == 0 || string(name) == "ping" {
		return Nothing
	}
	if bytes.HasPrefix(data, done) {
		return End
	}
	v := parse(data)
	if v == nil {
		if bytes.HasPrefix(data, []byte("null")) {
			return Nothing
		}
		return Output
	}
	if string(name) == "error" && v.isObject() {
		return Failure
	}
	if v.isArray() {
		return inspectList(d, v, true)
	}
	return inspect(d, v, true)
}

// InspectBody inspects the body of a response: one JSON text, or an event stream
// whatever its Content-Type is. A body that is cut off is Nothing as long as no
// output is in the part that is there.
func InspectBody(d Dialect, body []byte) Found {
	found, _ := inspectBody(d, body)
	return found
}

// inspectBody also returns the data of the event that decided, if body is an event
// stream.
func inspectBody(d Dialect, body []byte) (Found, []byte) {
	text := trimStart(body)
	if len(text) == 0 {
		return Nothing, nil
	}
	if isEvents(text) {
		w := Watch{Dialect: d}
		found := w.Look(text, true)
		return found, w.Event.Data
	}
	v := parse(text)
	switch {
	case v == nil && (text[0] == '<' || bytes.HasPrefix(text, []byte("null"))):
		return Nothing, nil
	case v == nil:
		return Output, nil
	case v.isArray() && d == DialectOther:
		return Output, nil
	case v.isArray():
		return inspectList(d, v, false), nil
	}
	return inspect(d, v, false), nil
}

// inspectList inspects an array of responses. Gemini streams in this form without
// alt=sse, and Google wraps errors in an array.
func inspectList(d Dialect, list value, inStream bool) Found {
	for element := range list.items {
		if found := inspect(d, element, inStream); found != Nothing {
			return found
		}
	}
	return Nothing
}

// inspect inspects one JSON object: first for output of the dialect, then for an
// error, then for output of another dialect.
func inspect(d Dialect, v value, inStream bool) Found {
	found := Nothing
	switch d {
	case DialectChat:
		found = inspectChat(v)
	case DialectResponses:
		found = inspectResponses(v, inStream)
	case DialectMessages:
		found = inspectMessages(v)
	case DialectGemini:
		found = inspectGemini(v)
	}
	if found != Nothing {
		return found
	}
	switch {
	case mayFail(v) && isFailure(d, v):
		return Failure
	case d == DialectOther && v.isSet():
		return Output
	case d != DialectOther && !inStream && isForeign(d, v):
		return Output
	}
	return Nothing
}

// signs are texts of which at least one is in every object that is a failure.
var signs = [...][]byte{
	[]byte(`"error`), []byte(`"message"`), []byte(`"msg"`), []byte(`"detail"`), []byte(`"success"`), []byte(`"base_resp"`),
}

// mayFail reports whether an object may be a failure. It saves reading every
// member of the many chunks that are neither output nor failure.
func mayFail(v value) bool {
	for _, sign := range signs {
		if bytes.Contains(v, sign) {
			return true
		}
	}
	return false
}

// isFailure reports whether an object without output is an error. The forms are
// those of reader, and "success": false. A message alone is an error only where
// nothing else in the object looks like a result.
func isFailure(d Dialect, v value) bool {
	var code, message, failed, answered bool
	for name, member := range v.fields {
		switch string(name) {
		case "error", "errors":
			if member.isSet() && !isNoError(member) {
				return true
			}
		case "type", "object":
			failed = failed || member.is("error")
		case "success":
			failed = failed || member.kind() == 'f'
		case "base_resp": // MiniMax
			failed = failed || !isOneOf(member.get("status_code"), "", "0")
		case "code", "error_code", "errcode":
			code = member.isSet() && !isOneOf(member, "0", "200", "success")
		case "message", "msg", "error_msg", "detail":
			message = message || member.isSet() && !member.isObject()
		case "data", "results", "embeddings", "models", "content", "output", "result", "text":
			answered = answered || member.isSet()
		}
	}
	return failed || message && !answered && (code || d != DialectOther)
}

// isOneOf reports whether a value is one of the strings or numbers. "" stands for
// a member that is missing.
func isOneOf(v value, names ...string) bool {
	for _, name := range names {
		if v.is(name) || string(v) == name {
			return true
		}
	}
	return false
}

// isNoError reports whether an error object reports success. ChatAnywhere has
// ended streams with an error of code "200 OK" and no message.
func isNoError(failure value) bool {
	code := failure.get("code")
	return failure.isObject() && (isOneOf(code, "200 OK", "200") || isOneOf(code, "0") && !failure.get("message").isSet())
}

// foreign are members that hold output in some dialect, or in a provider's own
// API.
var foreign = [...]string{"choices", "output", "content", "candidates", "result", "results", "response", "message", "data", "generated_text", "text"}

// isForeign reports whether an object without output of its dialect has some of
// another one. Such a response is unexpected but not a failure, so it is passed
// on.
func isForeign(d Dialect, v value) bool {
	for _, name := range foreign {
		if !isOwn(d, name) && v.get(name).isSet() {
			return true
		}
	}
	return false
}

// isOwn reports whether a member holds output in the dialect itself. It has been
// inspected already.
func isOwn(d Dialect, name string) bool {
	switch d {
	case DialectChat:
		return name == "choices"
	case DialectResponses:
		return name == "output" || name == "response"
	case DialectMessages:
		return name == "content" || name == "message"
	}
	return name == "candidates"
}
