package responses

import (
	"github.com/caddy-freetier/caddy-freetier/internal/llm/neutral"
	"github.com/caddy-freetier/caddy-freetier/internal/llm/rawjson"
)

// openItem is the item that is being written: all of it, since its last event repeats
// what its deltas have said. The zero value is none.
type openItem struct {
	kind itemKind
	id   string

	text      []byte             // of the open part, or the input of a call
	part      neutral.PartKind   // of the open part of a message
	partOpen  bool               // of a message or a summary
	content   []byte             // the parts of a message that are complete, in JSON
	parts     int                // their number, and so the index of the open one
	citations []neutral.Citation // of the open part
	summaries []string           // the parts of a summary that are complete
	call      neutral.ToolCall   // its input is in text until it is complete
}

// itemKind is the kind of the open item. It decides which neutral events belong to it;
// every other one ends it.
type itemKind int

const (
	noItem itemKind = iota
	messageItem
	reasoningItem
	callItem // of each kind of tool; see callEvents
)

// place writes where in the output something is: the id and the index of the item, and,
// with index, the part's. Readers go by one or the other, so that both are in each event.
func (s *StreamWriter) place(w *rawjson.Writer, index string) {
	w.KeyString("item_id", s.item.id)
	w.KeyInt("output_index", int64(s.items))
	if index != "" {
		n := s.item.parts
		if s.item.kind == reasoningItem {
			n = len(s.item.summaries)
		}
		w.KeyInt(index, int64(n))
	}
}

// text writes a piece of text or of a refusal, and before it what it needs: an item, and
// a part of its kind in it.
//
//	output_item.added     {"id":"msg_…_0","status":"in_progress","content":[]}
//	content_part.added    {"type":"output_text","text":"",…}
//	output_text.delta     {"delta":"…","logprobs":[]}
//
// A delta of a refusal has no logprobs; that of a text has them in the schema of Open
// Responses.
func (s *StreamWriter) text(dst []byte, kind neutral.PartKind, text string) []byte {
	if s.item.kind != messageItem {
		dst = s.endItem(dst)
		s.item.kind, s.item.id = messageItem, s.nextID("msg_")
		dst = s.added(dst, func(w *rawjson.Writer) { writeMessageItem(w, s.item.id, "in_progress", nil) })
	}
	if s.item.partOpen && s.item.part != kind {
		dst = s.endPart(dst)
	}
	if !s.item.partOpen {
		s.item.partOpen, s.item.part = true, kind
		w := s.event("response.content_part.added")
		s.place(w, "content_index")
		w.Key("part")
		writeTextPart(w, kind, "", nil)
		dst = s.end(dst, "response.content_part.added")
	}
	s.item.text = append(s.item.text, text...)
	event := "response.output_text.delta"
	if kind == neutral.Refusal {
		event = "response.refusal.delta"
	}
	w := s.event(event)
	s.place(w, "content_index")
	w.KeyString("delta", text)
	if kind == neutral.Text {
		w.KeyRaw("logprobs", rawjson.Value("[]"))
	}
	return s.end(dst, event)
}

// endPart completes the open part of a message, with its text as a whole: once by itself
// and once in the part, as readers of the one or the other expect it. The part's JSON is
// kept as it was written, for output_item.done and the last event.
func (s *StreamWriter) endPart(dst []byte) []byte {
	item := &s.item
	if !item.partOpen {
		return dst
	}
	item.partOpen = false
	text := string(item.text)
	item.text = item.text[:0]
	event, field := "response.output_text.done", "text"
	if item.part == neutral.Refusal {
		event, field = "response.refusal.done", "refusal"
	}
	w := s.event(event)
	s.place(w, "content_index")
	w.KeyString(field, text)
	if item.part == neutral.Text {
		w.KeyRaw("logprobs", rawjson.Value("[]"))
	}
	dst = s.end(dst, event)
	w = s.event("response.content_part.done")
	s.place(w, "content_index")
	w.Key("part")
	begun := len(w.Bytes)
	writeTextPart(w, item.part, text, item.citations)
	if len(item.content) > 0 {
		item.content = append(item.content, ',')
	}
	item.content = append(item.content, w.Bytes[begun:]...)
	item.citations = nil
	dst = s.end(dst, "response.content_part.done")
	item.parts++
	return dst
}

// cite writes a citation. One that comes while no text is open is left out: the text that
// it belongs to has been completed, and clients would not look at it again.
func (s *StreamWriter) cite(dst []byte, citation *neutral.Citation) []byte {
	if !s.item.partOpen || s.item.part != neutral.Text {
		return dst
	}
	const kind = "response.output_text.annotation.added"
	w := s.event(kind)
	s.place(w, "content_index")
	w.KeyInt("annotation_index", int64(len(s.item.citations)))
	w.Key("annotation")
	writeAnnotation(w, citation)
	s.item.citations = append(s.item.citations, *citation)
	return s.end(dst, kind)
}

// beginReasoning begins an item of reasoning, unless one is open. It begins without
// encrypted_content, which is known only when the channel's thoughts have ended.
func (s *StreamWriter) beginReasoning(dst []byte) []byte {
	if s.item.kind == reasoningItem {
		return dst
	}
	dst = s.endItem(dst)
	s.item.kind, s.item.id = reasoningItem, s.nextID("rs_")
	return s.added(dst, func(w *rawjson.Writer) { writeReasoningItem(w, s.item.id, nil, "") })
}

// thought writes a piece of reasoning as a part of the item's summary: that is where
// clients look for thoughts to show. The part begins with its first piece, so that an item
// with nothing but a signature has an empty summary.
func (s *StreamWriter) thought(dst []byte, text string) []byte {
	dst = s.beginReasoning(dst)
	if !s.item.partOpen {
		s.item.partOpen = true
		w := s.event("response.reasoning_summary_part.added")
		s.place(w, "summary_index")
		w.Key("part")
		writeSummary(w, "")
		dst = s.end(dst, "response.reasoning_summary_part.added")
	}
	s.item.text = append(s.item.text, text...)
	w := s.event("response.reasoning_summary_text.delta")
	s.place(w, "summary_index")
	w.KeyString("delta", text)
	return s.end(dst, "response.reasoning_summary_text.delta")
}

// endSummary completes the open part of a summary. The next piece of reasoning begins
// another part of the same item: OpenAI's own summaries have several, each with a title.
func (s *StreamWriter) endSummary(dst []byte) []byte {
	if s.item.kind != reasoningItem || !s.item.partOpen {
		return dst
	}
	s.item.partOpen = false
	text := string(s.item.text)
	s.item.text = s.item.text[:0]
	w := s.event("response.reasoning_summary_text.done")
	s.place(w, "summary_index")
	w.KeyString("text", text)
	dst = s.end(dst, "response.reasoning_summary_text.done")
	w = s.event("response.reasoning_summary_part.done")
	s.place(w, "summary_index")
	w.Key("part")
	writeSummary(w, text)
	dst = s.end(dst, "response.reasoning_summary_part.done")
	s.item.summaries = append(s.item.summaries, text)
	return dst
}

// signature completes an item of reasoning with its opaque state. State without
// visible thoughts is an item of its own, which the client sends back in place. That is
// also how the signature of a call is kept, which only gemini has: as an item before the
// call. The mark says whose it is, so that no other vendor gets it.
func (s *StreamWriter) signature(dst []byte, sig neutral.Sig) []byte {
	if sig.Value == "" {
		return dst
	}
	dst = s.beginReasoning(dst)
	return s.endReasoning(dst, sig.Mark())
}

// endReasoning completes an item of reasoning; sig is "" if the channel gave none.
func (s *StreamWriter) endReasoning(dst []byte, sig string) []byte {
	dst = s.endSummary(dst)
	id, summaries := s.item.id, s.item.summaries
	return s.completed(dst, func(w *rawjson.Writer) { writeReasoningItem(w, id, summaries, sig) })
}

// callStart begins an item for a call. Its kind is that of the tool which the client has
// declared: the Sequencer has looked the name up by then.
func (s *StreamWriter) callStart(dst []byte, call *neutral.ToolCall) []byte {
	dst = s.endItem(dst)
	s.item.kind, s.item.id, s.item.call = callItem, s.nextID(itemPrefix(call.Kind)), *call
	return s.added(dst, func(w *rawjson.Writer) { writeCallItem(w, s.item.id, "in_progress", &s.item.call) })
}

// callEvents are the names of the events of a call's input, by the kind of tool. A
// search for tools has none.
var callEvents = map[neutral.ToolKind]struct{ delta, done, field string }{
	neutral.Function: {"response.function_call_arguments.delta", "response.function_call_arguments.done", "arguments"},
	neutral.Freeform: {"response.custom_tool_call_input.delta", "response.custom_tool_call_input.done", "input"},
}

// callDelta writes a piece of a call's input: JSON of a function, the text itself of a
// freeform tool, which the Sequencer takes out of the function's arguments as they come.
func (s *StreamWriter) callDelta(dst []byte, text string) []byte {
	if s.item.kind != callItem {
		return dst
	}
	s.item.text = append(s.item.text, text...)
	events, ok := callEvents[s.item.call.Kind]
	if !ok {
		return dst
	}
	w := s.event(events.delta)
	s.place(w, "")
	w.KeyString("delta", text)
	return s.end(dst, events.delta)
}

// callEnd completes a call. One that was cut off does not become an item: Codex
// runs each that is complete, whatever its status. Its index is not used again, because
// clients have seen it begin; the final output does not have it.
func (s *StreamWriter) callEnd(dst []byte, incomplete bool) []byte {
	if s.item.kind != callItem {
		return dst
	}
	if incomplete {
		s.item = openItem{text: s.item.text[:0]}
		s.items++
		return dst
	}
	s.item.call.Input = string(s.item.text)
	if events, ok := callEvents[s.item.call.Kind]; ok {
		w := s.event(events.done)
		s.place(w, "")
		if s.item.call.Kind == neutral.Function {
			w.KeyString("name", s.item.call.Name)
		}
		w.KeyString(events.field, s.item.call.Input)
		dst = s.end(dst, events.done)
	}
	id, call := s.item.id, s.item.call
	return s.completed(dst, func(w *rawjson.Writer) { writeCallItem(w, id, "completed", &call) })
}

// endItem completes the open item, if there is one. A call that has not ended by then has
// been cut off.
func (s *StreamWriter) endItem(dst []byte) []byte {
	switch s.item.kind {
	case messageItem:
		dst = s.endPart(dst)
		id, content := s.item.id, s.item.content
		return s.completed(dst, func(w *rawjson.Writer) { writeMessageItem(w, id, "completed", content) })
	case reasoningItem:
		return s.endReasoning(dst, "")
	case callItem:
		return s.callEnd(dst, true)
	}
	return dst
}
