package chat

import (
	"github.com/caddy-freetier/caddy-freetier/internal/llm/eventstream"
	"github.com/caddy-freetier/caddy-freetier/internal/llm/neutral"
	"github.com/caddy-freetier/caddy-freetier/internal/llm/rawjson"
)

// StreamWriter writes the chunks of a stream. See the package's comment for the order
// that it keeps.
type StreamWriter struct {
	client  *neutral.Request
	id      string         // of the response, with its prefix
	created int64          // in seconds since 1970; the same in all chunks
	w       rawjson.Writer // of the chunk under way; its memory is used again

	choices []choiceWriter // as many as the client has asked for
	left    int            // choices that have not finished
	usage   neutral.Usage  // of all choices, with the last that has finished
	failed  bool           // the error was written; nothing follows it
}

// choiceWriter is what has been written of a choice.
type choiceWriter struct {
	begun bool // the role was written
	calls int  // that have begun; the index of the next one
	done  bool // the finish reason was written
}

// NewStreamWriter returns a writer for the client that has sent a request. id has no
// prefix yet; created is used where the channel's response does not say it.
func NewStreamWriter(client *neutral.Request, id string, created int64) *StreamWriter {
	n := max(1, int(min(client.Settings.Int(neutral.Count), maxChoices)))
	return &StreamWriter{client: client, id: "chatcmpl-" + id, created: created, choices: make([]choiceWriter, n), left: n}
}

// Append appends the chunks that stand for an event: none for what the dialect does not
// have (ThoughtBreak, TextSig), for CallEnd, which a finish reason implies, and for the
// gateway's own mark of thoughts without a signature. That mark is of no use here: the
// reasoning_content that comes back has no place for it.
func (s *StreamWriter) Append(dst []byte, e *neutral.Event) []byte {
	if s.failed || e.Choice >= len(s.choices) {
		return dst
	}
	c := &s.choices[e.Choice]
	switch e.Kind {
	case neutral.Started:
		if e.Created != 0 {
			s.created = e.Created
		}
	case neutral.TextDelta:
		return s.text(dst, e, c, "content")
	case neutral.RefusalDelta:
		return s.text(dst, e, c, "refusal")
	case neutral.ThoughtDelta:
		return s.text(dst, e, c, "reasoning_content")
	case neutral.ThoughtSig:
		if e.Sig.Value == neutral.TextOnly {
			return dst
		}
		s.begin(e, c)
		writeDetail(&s.w, e)
		return s.end(dst, "")
	case neutral.CallStart:
		s.begin(e, c)
		s.callStart(e, c.calls)
		c.calls++
		return s.end(dst, "")
	case neutral.CallDelta:
		s.begin(e, c)
		s.callDelta(e, c.calls-1)
		return s.end(dst, "")
	case neutral.MediaPartOut:
		s.begin(e, c)
		writeImage(&s.w, e.Media)
		return s.end(dst, "")
	case neutral.Cited:
		s.begin(e, c)
		s.w.Key("annotations")
		s.w.Open('[')
		writeAnnotation(&s.w, e.Citation)
		s.w.Close(']')
		return s.end(dst, "")
	case neutral.Finished:
		return s.finish(dst, e, c)
	case neutral.Failed:
		s.failed = true
		return eventstream.Append(dst, "", WriteError(e.Err))
	}
	return dst
}

// begin begins a chunk of a choice, with the role in the first one. OpenAI's stream
// helper demands the role ("missing role"). Beside anything but text, an empty content
// goes with it: in OpenAI's own streams the first delta has both.
func (s *StreamWriter) begin(e *neutral.Event, c *choiceWriter) {
	w := &s.w
	w.Bytes = w.Bytes[:0]
	s.head(w)
	w.Key("choices")
	w.Open('[')
	w.Open('{')
	w.KeyInt("index", int64(e.Choice))
	w.Key("delta")
	w.Open('{')
	if !c.begun {
		c.begun = true
		w.KeyString("role", "assistant")
		if e.Kind != neutral.TextDelta {
			w.KeyString("content", "")
		}
	}
}

// head writes what all chunks begin with. The model is the one that the client has asked
// for.
func (s *StreamWriter) head(w *rawjson.Writer) {
	w.Open('{')
	w.KeyString("id", s.id)
	w.KeyString("object", "chat.completion.chunk")
	w.KeyInt("created", s.created)
	w.KeyString("model", s.client.Model)
}

// end ends a chunk and appends it. finish is the finish reason, "" for null. With
// include_usage all chunks but the last have a null for it, as OpenAI documents.
func (s *StreamWriter) end(dst []byte, finish string) []byte {
	w := &s.w
	w.Close('}')
	w.Key("logprobs")
	w.Null()
	w.Key("finish_reason")
	if finish == "" {
		w.Null()
	} else {
		w.String(finish)
	}
	w.Close('}')
	w.Close(']')
	if s.client.StreamUsage {
		w.Key("usage")
		w.Null()
	}
	w.Close('}')
	return eventstream.Append(dst, "", w.Bytes)
}

func (s *StreamWriter) text(dst []byte, e *neutral.Event, c *choiceWriter, field string) []byte {
	s.begin(e, c)
	s.w.KeyString(field, e.Text)
	return s.end(dst, "")
}

// callStart writes the first delta of a call, with all that OpenAI's SDK needs to begin
// one: index, id, type, name and empty arguments. Without the type its stream helper
// fails, without the index it loses the call.
func (s *StreamWriter) callStart(e *neutral.Event, index int) {
	w := &s.w
	w.Key("tool_calls")
	w.Open('[')
	w.Open('{')
	w.KeyInt("index", int64(index))
	w.KeyString("id", neutral.CallID(e.Call.ID))
	isCustom := e.Call.Kind == neutral.Freeform
	if isCustom {
		w.KeyString("type", "custom")
		w.Key("custom")
	} else {
		w.KeyString("type", "function")
		w.Key("function")
	}
	w.Open('{')
	w.KeyString("name", e.Call.Name)
	if isCustom {
		w.KeyString("input", "")
	} else {
		w.KeyString("arguments", "")
	}
	w.Close('}')
	writeExtra(w, e.Sig)
	w.Close('}')
	w.Close(']')
}

// callDelta writes a piece of a call's input. Id, type and name are not repeated, as in
// OpenAI's streams.
func (s *StreamWriter) callDelta(e *neutral.Event, index int) {
	field, key := "function", "arguments"
	if e.Call.Kind == neutral.Freeform {
		field, key = "custom", "input"
	}
	w := &s.w
	w.Key("tool_calls")
	w.Open('[')
	w.Open('{')
	w.KeyInt("index", int64(index))
	w.Key(field)
	w.Open('{')
	w.KeyString(key, e.Text)
	w.Close('}')
	w.Close('}')
	w.Close(']')
}

// finish writes the finish reason, and after the last choice's the end of the stream.
func (s *StreamWriter) finish(dst []byte, e *neutral.Event, c *choiceWriter) []byte {
	if c.done {
		return dst
	}
	c.done = true
	s.left--
	if !c.begun { // an empty response
		s.begin(&neutral.Event{Kind: neutral.TextDelta, Choice: e.Choice}, c)
		s.w.KeyString("content", "")
		dst = s.end(dst, "")
	}
	s.begin(e, c)
	dst = s.end(dst, finishReason(e.Finish))
	s.usage = e.Usage
	if s.left > 0 {
		return dst
	}
	return s.close(dst)
}

// End ends a stream in which a channel has given fewer choices than the client has asked
// for.
func (s *StreamWriter) End(dst []byte) []byte {
	if s.failed || s.left == 0 || s.left == len(s.choices) {
		return dst
	}
	return s.close(dst)
}

// close writes the usage, if it was asked for, and the end of the stream.
func (s *StreamWriter) close(dst []byte) []byte {
	s.left = 0
	if s.client.StreamUsage {
		w := &s.w
		w.Bytes = w.Bytes[:0]
		s.head(w)
		w.KeyRaw("choices", rawjson.Value("[]"))
		w.Key("usage")
		writeUsage(w, &s.usage)
		w.Close('}')
		dst = eventstream.Append(dst, "", w.Bytes)
	}
	return eventstream.Append(dst, "", []byte("[DONE]"))
}

// finishReason is what the dialect calls the end of a response. What it has no word for,
// such as a stop sequence, a paused tool and a call that nobody can read, is stop. A full
// context is length, as it is for OpenAI.
func finishReason(finish neutral.Finish) string {
	switch finish {
	case neutral.FinishCalls:
		return "tool_calls"
	case neutral.FinishLength, neutral.FinishContext:
		return "length"
	case neutral.FinishFilter:
		return "content_filter"
	}
	return "stop"
}
