package chat

import (
	"strconv"
	"strings"

	"github.com/caddy-freetier/caddy-freetier/internal/llm/neutral"
	"github.com/caddy-freetier/caddy-freetier/internal/llm/rawjson"
)

// StreamReader reads the chunks of a stream, or a whole response as if it were one
// chunk. Text and reasoning are passed on as they come; the end of each choice is passed
// on by End only, because the usage comes after it, and because some providers have a
// finish reason in each chunk, or two chunks with one.
//
// A stream is complete if a choice has a finish reason or [DONE] has come: some have the
// one, some the other. One with neither has been cut off and fails.
type StreamReader struct {
	how     neutral.Reading
	choices []*choiceReader // in the order in which they came; mostly one
	started bool            // Started was emitted
	done    bool            // the stream says that it is complete
	failed  bool            // Failed was emitted; what comes is ignored
	usage   neutral.Usage   // the last that has come, of all choices together
}

// choiceReader is what has been read of a choice.
type choiceReader struct {
	index     int
	calls     neutral.Sequencer
	think     neutral.ThinkTags // <think>…</think> at the beginning of content
	emit      neutral.Emit      // adds the choice
	late      []*latePiece      // what came in the middle of a call; it follows at the end
	thoughts  bool              // the last thing was a thought without a signature
	signed    bool              // the thoughts have a signature of their own
	finish    string            // the channel's word; "" as long as there is none
	keyOf     map[string]string // of an index, the call that it means now
	annotated int               // citations so far, for maxAnnotations
}

// latePiece is what came in the middle of a call, as far as it is of one kind.
type latePiece struct {
	kind neutral.EventKind
	text strings.Builder
}

// NewStreamReader returns a reader.
func NewStreamReader(how neutral.Reading) *StreamReader { return &StreamReader{how: how} }

// Event reads a chunk. Its name counts for nothing: the dialect has none. An error stands
// alone or beside choices, in a stream that began with status 200; OpenRouter has it in a
// choice too. Chunks without choices are Azure's first one, with the results of its
// filter, and the one with the usage.
func (s *StreamReader) Event(_ string, data []byte, emit neutral.Emit) {
	if s.failed {
		return
	}
	if string(data) == "[DONE]" {
		s.done = true
		return
	}
	v, err := rawjson.Parse(data)
	if err != nil {
		return // a few send a piece of text between events
	}
	if failure := v.Get("error"); failure.IsSet() && (failure.Is('{') || failure.Is('"')) {
		s.fail(neutral.ReadError(0, v), emit)
		return
	}
	s.start(v, emit)
	for name, member := range v.Members {
		switch name {
		case "usage":
			readUsage(&s.usage, member)
		case "choices":
			place := 0
			for choice := range member.Elements {
				s.choice(place, choice, emit)
				place++
			}
		}
	}
}

// fail ends the response. Later chunks are ignored, and End has nothing to add.
func (s *StreamReader) fail(err *neutral.Error, emit neutral.Emit) {
	s.failed = true
	emit(&neutral.Event{Kind: neutral.Failed, Err: err})
}

// start emits what all chunks repeat. Only the time is used: clients get the gateway's id
// and the name of the model that they have asked for.
func (s *StreamReader) start(v rawjson.Value, emit neutral.Emit) {
	if s.started {
		return
	}
	s.started = true
	created, _ := v.Get("created").Int()
	emit(&neutral.Event{Kind: neutral.Started, ID: v.Get("id").Text(), Model: v.Get("model").Text(), Created: created})
}

// choice reads what a chunk says of a choice:
//
//	delta      in a stream
//	message    in a whole response, also where a stream was asked for
//	text       of the older completions
//
// finish_reason may be null, "" or "null" until the end. "error" is OpenRouter's. A choice
// without an index has that of its place in the chunk.
func (s *StreamReader) choice(place int, v rawjson.Value, emit neutral.Emit) {
	index, ok := v.Get("index").Int()
	if !ok {
		index = int64(place)
	}
	c := s.reader(int(index), emit)
	if c == nil || s.failed {
		return
	}
	for name, member := range v.Members {
		switch name {
		case "delta":
			c.delta(member, false)
		case "message":
			c.delta(member, true)
		case "text":
			c.text(member.Text())
		case "error":
			if member.IsSet() {
				s.fail(neutral.ReadError(0, v), emit)
				return
			}
		case "finish_reason":
			if reason := member.Text(); reason != "" && reason != "null" {
				c.finish = reason
			}
		}
	}
	if c.finish == "error" {
		s.fail(neutral.ReadError(0, v), emit)
	}
}

// maxChoices bounds n. It is what OpenAI takes; a channel must not make the gateway keep
// more, whatever indexes it sends.
const maxChoices = 128

// reader returns the reader of a choice, nil for an index that nobody can have asked
// for. emit is set anew each time, since it may differ from call to call.
func (s *StreamReader) reader(index int, emit neutral.Emit) *choiceReader {
	for _, c := range s.choices {
		if c.index == index {
			c.emit = withChoice(index, emit)
			return c
		}
	}
	if index < 0 || index >= maxChoices {
		return nil
	}
	c := &choiceReader{index: index, emit: withChoice(index, emit), keyOf: make(map[string]string)}
	c.calls.Names, c.calls.NewID = s.how.Names, s.how.NewID
	c.calls.Vendor, c.calls.Memory = s.how.Vendor, s.how.Calls
	if s.how.OpenThought {
		c.think.Open()
	}
	s.choices = append(s.choices, c)
	return c
}

// withChoice returns emit for the events of a choice.
func withChoice(index int, emit neutral.Emit) neutral.Emit {
	if index == 0 {
		return emit
	}
	return func(e *neutral.Event) {
		e.Choice = index
		emit(e)
	}
}

// End ends the response: each choice in the order in which they began, with the same
// usage, which writers use once.
func (s *StreamReader) End(emit neutral.Emit) {
	if s.failed {
		return
	}
	finished := s.done
	for _, c := range s.choices {
		finished = finished || c.finish != ""
	}
	if !finished || len(s.choices) == 0 {
		s.fail(neutral.EndedEarly(), emit)
		return
	}
	for _, c := range s.choices {
		c.emit = withChoice(c.index, emit)
		c.end(s.usage)
	}
}

// end ends a choice. Its order is that of the neutral events: what may still be a tag is
// text, calls are complete, what came among them follows as text, and the reason is
// last. A call that the end has cut off is none.
func (c *choiceReader) end(usage neutral.Usage) {
	c.think.End(c.say)
	c.calls.End(c.finished().CutsOff(), c.emit)
	for _, piece := range c.late {
		c.tell(piece.kind, piece.text.String())
	}
	c.endThought()
	c.emit(&neutral.Event{Kind: neutral.Finished, Finish: c.finished(), Usage: usage})
}

// finished returns why the choice has ended. A call is one, whatever the provider
// says: xAI and Google's chat endpoint, when they stream, say "stop", after which an
// agent would end its turn. The output limit and a filter count for more.
// Sources: https://github.com/vercel/ai/issues/12218 and
// https://github.com/googleapis/python-genai/issues/2868
func (c *choiceReader) finished() neutral.Finish {
	switch c.finish {
	case "length", "max_tokens":
		return neutral.FinishLength
	case "content_filter", "safety":
		return neutral.FinishFilter
	}
	if c.calls.Any() {
		return neutral.FinishCalls
	}
	return neutral.FinishStop
}

// say emits a piece of text or of a thought, after all calls that are complete. Neutral
// calls are not interrupted, so what comes in the middle of one waits for the end.
func (c *choiceReader) say(kind neutral.EventKind, text string) {
	if text == "" {
		return
	}
	if c.calls.Any() {
		if !c.calls.AllComplete() {
			c.postpone(kind, text)
			return
		}
		c.calls.End(false, c.emit)
	}
	c.tell(kind, text)
}

// postpone keeps a piece until the calls are complete.
func (c *choiceReader) postpone(kind neutral.EventKind, text string) {
	if n := len(c.late); n == 0 || c.late[n-1].kind != kind {
		c.late = append(c.late, &latePiece{kind: kind})
	}
	c.late[len(c.late)-1].text.WriteString(text)
}

// tell emits a piece of text, of a refusal or of a thought.
func (c *choiceReader) tell(kind neutral.EventKind, text string) {
	if kind == neutral.ThoughtDelta {
		c.thoughts = true
	} else {
		c.endThought()
	}
	c.emit(&neutral.Event{Kind: kind, Text: text})
}

// endThought says whose the thoughts were, unless they have a signature: DeepSeek and
// others take the text itself back, and no other vendor must get it as its own.
func (c *choiceReader) endThought() {
	if c.thoughts && !c.signed {
		c.emit(&neutral.Event{Kind: neutral.ThoughtSig, Sig: neutral.Sig{Vendor: c.calls.Vendor, Value: neutral.TextOnly}})
	}
	c.thoughts, c.signed = false, false
}

// text reads a piece of content, in which local models may have written their reasoning.
func (c *choiceReader) text(text string) {
	if text != "" {
		c.think.Add(text, c.say)
	}
}

// placeKey returns the key of a call by its place; see key.
func placeKey(kind string, n int) string { return kind + strconv.Itoa(n) }
