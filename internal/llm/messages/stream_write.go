package messages

import (
	"net/http"

	"github.com/caddy-freetier/caddy-freetier/internal/llm/eventstream"
	"github.com/caddy-freetier/caddy-freetier/internal/llm/neutral"
	"github.com/caddy-freetier/caddy-freetier/internal/llm/rawjson"
)

// StreamWriter writes the events of a stream. Blocks follow each other: one is
// closed before the next begins. Its states are in the package's documentation.
type StreamWriter struct {
	client  *neutral.Request
	id      string         // with its prefix
	w       rawjson.Writer // for one event at a time
	started bool           // message_start was written
	done    bool           // message_stop or error was written; nothing may follow
	open    block
	index   int // of the open block, or the next one: from 0, without gaps
}

// block is the kind of the block that is open.
type block int

const (
	noBlock block = iota
	textBlock
	thinkingBlock
	toolBlock
)

// NewStreamWriter returns a writer for the client that has sent a request. id is the
// response's, without the prefix of the dialect.
func NewStreamWriter(client *neutral.Request, id string) *StreamWriter {
	return &StreamWriter{client: client, id: "msg_" + id}
}

// Append appends the events that stand for an event: none, one or several, each whole.
// Of several choices the first counts. Signatures of texts (TextSig, Gemini's) are left
// out: there is no block for them, and Gemini does not ask for them.
//
// A call whose input was cut off is closed as any other: it has begun by then, and cannot
// be taken back. The stop reason max_tokens says that it is not whole.
func (s *StreamWriter) Append(dst []byte, e *neutral.Event) []byte {
	if s.done || e.Choice > 0 {
		return dst
	}
	if e.Kind == neutral.Failed {
		s.done = true
		return eventstream.Append(dst, "error", WriteError(e.Err))
	}
	dst = s.start(dst)
	switch e.Kind {
	case neutral.TextDelta, neutral.RefusalDelta:
		dst = s.begin(dst, textBlock)
		return s.delta(dst, "text_delta", "text", e.Text)
	case neutral.ThoughtDelta:
		dst = s.begin(dst, thinkingBlock)
		return s.delta(dst, "thinking_delta", "thinking", e.Text)
	case neutral.ThoughtBreak:
		if s.open == thinkingBlock {
			return s.delta(dst, "thinking_delta", "thinking", "\n\n")
		}
	case neutral.ThoughtSig:
		return s.signature(dst, e.Sig, e.Redacted)
	case neutral.CallStart:
		if e.Sig.Value != "" {
			dst = s.signature(dst, e.Sig, false)
		}
		return s.callStart(dst, e.Call)
	case neutral.CallDelta:
		return s.delta(dst, "input_json_delta", "partial_json", e.Text)
	case neutral.CallEnd:
		return s.close(dst)
	case neutral.MediaPartOut:
		dst = s.begin(dst, textBlock)
		return s.delta(dst, "text_delta", "text", "["+e.Media.Noun()+"]")
	case neutral.Cited:
		return s.citation(dst, e.Citation)
	case neutral.Finished:
		return s.finish(dst, e)
	}
	return dst
}

// End appends nothing: message_stop is the last event.
func (s *StreamWriter) End(dst []byte) []byte { return dst }

// start writes the first event, before whatever else comes first. The usage in it is not
// known yet: message_delta overwrites it. It must be there, or Anthropic's SDK throws.
//
// The model is the client's name for it. Claude Code sends thoughts back only to the
// model that the response has named.
func (s *StreamWriter) start(dst []byte) []byte {
	if s.started {
		return dst
	}
	s.started = true
	w := s.event("message_start")
	w.Key("message")
	w.Open('{')
	w.KeyString("id", s.id)
	w.KeyString("type", "message")
	w.KeyString("role", "assistant")
	w.KeyString("model", s.client.Model)
	w.KeyRaw("content", rawjson.Value("[]"))
	w.Key("stop_reason")
	w.Null()
	w.Key("stop_sequence")
	w.Null()
	w.Key("usage")
	writeUsage(w, &neutral.Usage{})
	w.Close('}')
	return s.end(dst, "message_start")
}

// event begins an event.
func (s *StreamWriter) event(kind string) *rawjson.Writer {
	s.w.Bytes = s.w.Bytes[:0]
	s.w.Open('{')
	s.w.KeyString("type", kind)
	return &s.w
}

func (s *StreamWriter) end(dst []byte, kind string) []byte {
	s.w.Close('}')
	return eventstream.Append(dst, kind, s.w.Bytes)
}

// begin opens a block of text or thinking, unless one is open. Text in a thinking block,
// or the other way round, is a malformed stream to Claude Code.
func (s *StreamWriter) begin(dst []byte, kind block) []byte {
	if s.open == kind {
		return dst
	}
	dst = s.close(dst)
	s.open = kind
	w := s.event("content_block_start")
	w.KeyInt("index", int64(s.index))
	if kind == textBlock {
		w.KeyRaw("content_block", rawjson.Value(`{"type":"text","text":""}`))
	} else {
		w.KeyRaw("content_block", rawjson.Value(`{"type":"thinking","thinking":"","signature":""}`))
	}
	return s.end(dst, "content_block_start")
}

// close ends the open block. Without it Claude Code has an empty turn.
func (s *StreamWriter) close(dst []byte) []byte {
	if s.open == noBlock {
		return dst
	}
	s.open = noBlock
	w := s.event("content_block_stop")
	w.KeyInt("index", int64(s.index))
	s.index++
	return s.end(dst, "content_block_stop")
}

// delta writes a piece of the open block. Without one (a piece of a call that was not
// begun) there is nothing that it could belong to.
func (s *StreamWriter) delta(dst []byte, kind, field, text string) []byte {
	if s.open == noBlock {
		return dst
	}
	w := s.event("content_block_delta")
	w.KeyInt("index", int64(s.index))
	w.Key("delta")
	w.Open('{')
	w.KeyString("type", kind)
	w.KeyString(field, text)
	w.Close('}')
	return s.end(dst, "content_block_delta")
}

// signature ends the thinking block with its signature. One that belongs to no
// visible thought gets a block of its own, which the client sends back in place:
// redacted_thinking, which comes whole in its start, or a thinking block without text.
// A second signature in a row begins another block, since clients keep one a block.
func (s *StreamWriter) signature(dst []byte, sig neutral.Sig, redacted bool) []byte {
	if sig.Value == "" {
		return dst
	}
	if redacted && s.open != thinkingBlock {
		dst = s.close(dst)
		w := s.event("content_block_start")
		w.KeyInt("index", int64(s.index))
		w.Key("content_block")
		w.Open('{')
		w.KeyString("type", "redacted_thinking")
		w.KeyString("data", sig.Mark())
		w.Close('}')
		dst = s.end(dst, "content_block_start")
		s.open = thinkingBlock
		return s.close(dst)
	}
	dst = s.begin(dst, thinkingBlock)
	dst = s.delta(dst, "signature_delta", "signature", sig.Mark())
	return s.close(dst)
}

// callStart begins a call. The input is {} here and comes in deltas: Anthropic's SDK and
// Claude Code ignore an input that stands in the start. The name is what the client has
// declared, the id one that the API's pattern allows.
func (s *StreamWriter) callStart(dst []byte, call *neutral.ToolCall) []byte {
	dst = s.close(dst)
	s.open = toolBlock
	w := s.event("content_block_start")
	w.KeyInt("index", int64(s.index))
	w.Key("content_block")
	w.Open('{')
	w.KeyString("type", "tool_use")
	w.KeyString("id", neutral.CallID(call.ID))
	w.KeyString("name", call.Name)
	w.KeyRaw("input", rawjson.Value("{}"))
	w.Close('}')
	return s.end(dst, "content_block_start")
}

// citation writes a citation of the open text. Providers that send theirs at the end of
// the response may do so behind a call, where the dialect has no text to put it on; it is
// left out then.
func (s *StreamWriter) citation(dst []byte, citation *neutral.Citation) []byte {
	if s.open != textBlock {
		return dst
	}
	w := s.event("content_block_delta")
	w.KeyInt("index", int64(s.index))
	w.Key("delta")
	w.Open('{')
	w.KeyString("type", "citations_delta")
	w.Key("citation")
	writeCitation(w, citation)
	w.Close('}')
	return s.end(dst, "content_block_delta")
}

// finish writes the end of the message. The usage in message_delta is all of it: the SDK
// takes over each count that is there.
func (s *StreamWriter) finish(dst []byte, e *neutral.Event) []byte {
	s.done = true
	dst = s.close(dst)
	w := s.event("message_delta")
	w.Key("delta")
	w.Open('{')
	w.KeyString("stop_reason", stopReason(e.Finish))
	w.Key("stop_sequence")
	writeNullable(w, e.StopSequence)
	w.Close('}')
	w.Key("usage")
	writeUsage(w, &e.Usage)
	dst = s.end(dst, "message_delta")
	s.event("message_stop")
	return s.end(dst, "message_stop")
}

func writeNullable(w *rawjson.Writer, text string) {
	if text == "" {
		w.Null()
		return
	}
	w.String(text)
}

// stopReason is what the dialect calls the end of a response. A call that nobody could
// read (FinishBroken) is the end of a turn, as there is nothing to run. Claude Code runs
// the calls of a response also with end_turn. At max_tokens, a refusal and a full context
// it asks once or twice more and then shows an error.
func stopReason(finish neutral.Finish) string {
	switch finish {
	case neutral.FinishCalls:
		return "tool_use"
	case neutral.FinishLength:
		return "max_tokens"
	case neutral.FinishContext:
		return "model_context_window_exceeded"
	case neutral.FinishSequence:
		return "stop_sequence"
	case neutral.FinishFilter:
		return "refusal"
	case neutral.FinishPause:
		return "pause_turn"
	}
	return "end_turn"
}

// WriteError returns the body of an error, which is also its event in a stream. That the
// request is longer than the context is said in Anthropic's words, "prompt is too long:
// N tokens > M maximum", by which Claude Code compacts the conversation.
//
// Source: https://platform.claude.com/docs/en/api/errors (November 2026)
func WriteError(e *neutral.Error) []byte {
	message := e.Message
	if e.Code == neutral.ContextExceeded {
		message = e.PromptTooLong()
	}
	w := &rawjson.Writer{}
	w.Open('{')
	w.KeyString("type", "error")
	w.Key("error")
	w.Open('{')
	w.KeyString("type", errorType(e.StatusOr(http.StatusInternalServerError)))
	w.KeyString("message", message)
	w.Close('}')
	w.Close('}')
	return w.Bytes
}

// errorType returns the API's type of an error with a status. 503 and 529 are the same:
// the caller writes the status that the client's dialect has for it.
func errorType(status int) string {
	switch status {
	case http.StatusUnauthorized:
		return "authentication_error"
	case http.StatusPaymentRequired:
		return "billing_error"
	case http.StatusForbidden:
		return "permission_error"
	case http.StatusNotFound:
		return "not_found_error"
	case http.StatusRequestEntityTooLarge:
		return "request_too_large"
	case http.StatusTooManyRequests:
		return "rate_limit_error"
	case http.StatusServiceUnavailable, 529:
		return "overloaded_error"
	case http.StatusRequestTimeout, http.StatusGatewayTimeout:
		return "timeout_error"
	}
	if status >= 500 {
		return "api_error"
	}
	return "invalid_request_error"
}
