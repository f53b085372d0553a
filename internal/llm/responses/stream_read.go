package responses

import (
	"strconv"
	"strings"

	"github.com/caddy-freetier/caddy-freetier/internal/llm/neutral"
	"github.com/caddy-freetier/caddy-freetier/internal/llm/rawjson"
)

// StreamReader reads the events of a stream, or a whole response.
//
// The same text comes up to four times: in deltas, when the part is complete, when the
// item is, and in the last event. What comes first is emitted, and the rest is skipped:
//
//	deltas           emitted as they come; the item is said
//	*.done of parts  ignored
//	output_item.done emitted unless the item is said; the item is done
//	last event       items that are not done, as if they had come with output_item.done
//
// So a stream without deltas, or of nothing but its last event, is read as well, and a
// whole response is read as a last event. The end of the response is emitted by End.
type StreamReader struct {
	how     neutral.Reading
	calls   neutral.Sequencer
	items   map[int64]*itemReader // by output_index
	started bool                  // Started was emitted
	failed  bool                  // Failed was emitted; what comes is ignored
	ended   bool                  // the last event has come; what comes is ignored
	finish  neutral.Finish        // from the last event
	usage   neutral.Usage         // from the last event
}

// itemReader is what has been read of an item.
type itemReader struct {
	said  bool // some of it has been emitted
	parts int  // of a summary
	done  bool // all of it has come; later events of it are ignored
}

// NewStreamReader returns a reader.
func NewStreamReader(how neutral.Reading) *StreamReader {
	s := &StreamReader{how: how, items: make(map[int64]*itemReader)}
	s.calls.Names, s.calls.NewID = how.Names, how.NewID
	s.calls.Vendor, s.calls.Memory = how.Vendor, how.Calls
	return s
}

// Event reads an event, by its type or, without one, by its name. response.done is the
// last event's name in the Realtime API. A response or an error without a type is a whole
// body. Events of an unknown type are ignored, as clients must; so are those that are no
// JSON, such as [DONE].
func (s *StreamReader) Event(name string, data []byte, emit neutral.Emit) {
	v, err := rawjson.Parse(data)
	if err != nil || s.failed || s.ended {
		return
	}
	kind := v.Get("type").Text()
	if kind == "" {
		kind = name
	}
	switch kind {
	case "response.created", "response.in_progress", "response.queued":
		s.start(v.Get("response"), emit)
	case "response.completed", "response.incomplete", "response.failed", "response.done":
		s.end(v.Get("response"), emit)
	case "error":
		s.fail(neutral.ReadError(0, v), emit)
	default:
		switch {
		case strings.HasPrefix(kind, "response."):
			s.itemEvent(kind, v, emit)
		case v.Get("object").Text() == "response":
			s.end(v, emit)
		case v.Get("error").IsSet():
			s.fail(neutral.ReadError(0, v), emit)
		}
	}
}

// fail ends the response with an error.
func (s *StreamReader) fail(err *neutral.Error, emit neutral.Emit) {
	s.failed = true
	emit(&neutral.Event{Kind: neutral.Failed, Err: err})
}

// start emits what response.created says, once. A stream without this event begins with
// what is known by then.
func (s *StreamReader) start(response rawjson.Value, emit neutral.Emit) {
	if s.started {
		return
	}
	s.started = true
	created, _ := response.Get("created_at").Int()
	emit(&neutral.Event{Kind: neutral.Started, ID: response.Get("id").Text(), Model: response.Get("model").Text(), Created: created})
}

// item returns what has been read of an item. Events say which one they are about by
// output_index, which is enough: item_id, which they have too, is not looked at.
func (s *StreamReader) item(v rawjson.Value) (index int64, item *itemReader) {
	index, _ = v.Get("output_index").Int()
	item = s.items[index]
	if item == nil {
		item = &itemReader{}
		s.items[index] = item
	}
	return index, item
}

// itemEvent reads an event of an item. Raw reasoning (reasoning_text), which open models
// give, counts as a summary does. A delta of a call counts only if the call was begun:
// without its name nobody knows whether it is JSON or text. Events of the provider's own
// tools, such as response.web_search_call.searching, are ignored.
func (s *StreamReader) itemEvent(kind string, v rawjson.Value, emit neutral.Emit) {
	index, item := s.item(v)
	if item.done {
		return
	}
	delta := v.Get("delta").Text()
	switch kind {
	case "response.output_item.added":
		if callKinds[v.Get("item").Get("type").Text()] {
			s.beginCall(index, v.Get("item"), emit)
		}
	case "response.output_item.done":
		s.completeItem(index, item, v.Get("item"), emit)
	case "response.output_text.delta":
		s.say(item, neutral.TextDelta, delta, emit)
	case "response.refusal.delta":
		s.say(item, neutral.RefusalDelta, delta, emit)
	case "response.reasoning_summary_text.delta", "response.reasoning_text.delta":
		s.say(item, neutral.ThoughtDelta, delta, emit)
	case "response.reasoning_summary_part.added":
		if item.parts++; item.parts > 1 {
			emit(&neutral.Event{Kind: neutral.ThoughtBreak})
		}
	case "response.output_text.annotation.added":
		s.cite(v.Get("annotation"), emit)
	case "response.function_call_arguments.delta", "response.custom_tool_call_input.delta":
		if delta != "" && s.calls.State(callKey(index)).Known {
			item.said = true
			s.calls.Piece(neutral.Piece{Key: callKey(index), Input: delta}, emit)
		}
	}
}

// callKey returns the Sequencer's key for the call at an index of the output.
func callKey(index int64) string { return strconv.FormatInt(index, 10) }

// say emits a piece of text and remembers that the item has been said.
func (s *StreamReader) say(item *itemReader, kind neutral.EventKind, text string, emit neutral.Emit) {
	if text != "" {
		item.said = true
		emit(&neutral.Event{Kind: kind, Text: text})
	}
}

// cite emits a citation of a web page. Those of files have no URL and mean nothing to
// anybody but the provider.
func (s *StreamReader) cite(v rawjson.Value, emit neutral.Emit) {
	citation := &neutral.Citation{URL: v.Get("url").Text(), Title: v.Get("title").Text()}
	if citation.URL == "" {
		return
	}
	citation.Start, _ = v.Get("start_index").Int()
	citation.End, _ = v.Get("end_index").Int()
	emit(&neutral.Event{Kind: neutral.Cited, Citation: citation})
}

// callKinds are the items that call a tool of the client's.
var callKinds = map[string]bool{"function_call": true, "custom_tool_call": true}

// beginCall tells the Sequencer of a call. A name with a namespace is made flat, as the
// channel got it, so that Names finds what the client has declared. The input of a
// custom call is the text itself, which Native says.
func (s *StreamReader) beginCall(index int64, v rawjson.Value, emit neutral.Emit) {
	name := v.Get("name").Text()
	if namespace := v.Get("namespace").Text(); namespace != "" {
		name = s.how.Names.Sent(neutral.ToolRef{Namespace: namespace, Name: name})
	}
	piece := neutral.Piece{Key: callKey(index), ID: v.Get("call_id").Text(), Name: name}
	if v.Get("type").Text() == "custom_tool_call" {
		piece.Native, piece.Tool = true, s.how.Names.Declared(name)
		piece.Tool.Kind = neutral.Freeform
	}
	s.calls.Piece(piece, emit)
}

// completeItem reads an item that is complete, and of it what has not come before. Other
// items, such as calls of the provider's own tools, have nothing for the client; what
// they have found is cited in the texts. The type of a generated image is not said; PNG
// is the default.
func (s *StreamReader) completeItem(index int64, item *itemReader, v rawjson.Value, emit neutral.Emit) {
	item.done = true
	switch kind := v.Get("type").Text(); kind {
	case "message":
		if !item.said {
			s.content(item, v.Get("content"), emit)
		}
	case "reasoning":
		s.reasoning(item, v, emit)
	case "function_call", "custom_tool_call":
		if !s.calls.State(callKey(index)).Known {
			s.beginCall(index, v, emit)
		}
		input := v.Get("arguments").Text()
		if kind == "custom_tool_call" {
			input = v.Get("input").Text()
		}
		if !item.said && input != "" {
			s.calls.Piece(neutral.Piece{Key: callKey(index), Input: input}, emit)
		}
		s.calls.EndCall(callKey(index), v.Get("status").Text() == "incomplete", emit)
	case "image_generation_call":
		if data := v.Get("result").Text(); data != "" {
			emit(&neutral.Event{Kind: neutral.MediaPartOut, Media: &neutral.MediaPart{Type: neutral.Image, MIME: "image/png", Data: data}})
		}
	}
}

// content emits the parts of a message that had no deltas.
func (s *StreamReader) content(item *itemReader, parts rawjson.Value, emit neutral.Emit) {
	for part := range parts.Elements {
		s.say(item, neutral.TextDelta, part.Get("text").Text(), emit)
		s.say(item, neutral.RefusalDelta, part.Get("refusal").Text(), emit)
		for annotation := range part.Get("annotations").Elements {
			s.cite(annotation, emit)
		}
	}
}

// reasoning emits an item of reasoning that is complete: its text, the summary or else
// the content, if it had no deltas, and its signature. encrypted_content in
// output_item.added may be incomplete, so that only the one here counts. Reasoning with
// neither text nor signature is nothing. One without a signature gets the mark of its
// vendor, so that the text goes back to no other.
func (s *StreamReader) reasoning(item *itemReader, v rawjson.Value, emit neutral.Emit) {
	if !item.said {
		for _, field := range []string{"summary", "content"} {
			for part := range v.Get(field).Elements {
				if item.said {
					emit(&neutral.Event{Kind: neutral.ThoughtBreak})
				}
				s.say(item, neutral.ThoughtDelta, part.Get("text").Text(), emit)
			}
			if item.said {
				break
			}
		}
	}
	value := v.Get("encrypted_content").Text()
	if value == "" && item.said {
		value = neutral.TextOnly
	}
	if value != "" {
		emit(&neutral.Event{Kind: neutral.ThoughtSig, Redacted: !item.said, Sig: neutral.Sig{Vendor: s.how.Vendor, Value: value}})
	}
}

// end reads the end of a response, and of its items those that have not come. The status
// counts and not the event's name, which a whole response does not have. Not every
// incomplete response says why; the output limit is the usual reason.
func (s *StreamReader) end(response rawjson.Value, emit neutral.Emit) {
	s.start(response, emit)
	status := response.Get("status").Text()
	if status == "failed" || status == "cancelled" || response.Get("error").Is('{') {
		s.fail(neutral.ReadError(0, response), emit)
		return
	}
	index := int64(0)
	for v := range response.Get("output").Elements {
		item := s.items[index]
		if item == nil {
			item = &itemReader{}
			s.items[index] = item
		}
		if !item.done {
			s.completeItem(index, item, v, emit)
		}
		index++
	}
	readUsage(&s.usage, response.Get("usage"))
	s.finish = neutral.FinishStop
	if status == "incomplete" {
		s.finish = neutral.FinishLength
		if response.Get("incomplete_details").Get("reason").Text() == "content_filter" {
			s.finish = neutral.FinishFilter
		}
	}
	s.ended = status != "in_progress" && status != "queued"
}

// readUsage reads usage. input_tokens are all of the request, with what was read from a
// cache and written to one. Negative numbers are none.
func readUsage(u *neutral.Usage, v rawjson.Value) {
	if !v.Is('{') {
		return
	}
	count := func(v rawjson.Value, name string) int64 {
		n, _ := v.Get(name).Int()
		return max(0, n)
	}
	details := v.Get("input_tokens_details")
	*u = neutral.Usage{
		Known:      true,
		Input:      count(v, "input_tokens"),
		CacheRead:  count(details, "cached_tokens"),
		CacheWrite: count(details, "cache_write_tokens"),
		Output:     count(v, "output_tokens"),
		Reasoning:  count(v.Get("output_tokens_details"), "reasoning_tokens"),
	}
}

// End ends the response. One without its last event has been cut off, also if all items
// were complete: the status may have been a failure. A response with calls ends with
// them, although the dialect says completed for both.
func (s *StreamReader) End(emit neutral.Emit) {
	switch {
	case s.failed:
		return
	case !s.ended:
		s.fail(neutral.EndedEarly(), emit)
		return
	}
	s.calls.End(s.finish.CutsOff(), emit)
	if s.finish == neutral.FinishStop && s.calls.Any() {
		s.finish = neutral.FinishCalls
	}
	emit(&neutral.Event{Kind: neutral.Finished, Finish: s.finish, Usage: s.usage})
}
