package chat

import (
	"strconv"
	"strings"

	"github.com/caddy-freetier/caddy-freetier/internal/llm/neutral"
	"github.com/caddy-freetier/caddy-freetier/internal/llm/rawjson"
)

// StreamReader reads the chunks of a stream, or a whole response as if it were one
// chunk.
type StreamReader struct {
	how     neutral.Reading
	choices []*choiceReader
	started bool
	done    bool // the stream says that it is complete
	failed  bool
	usage   neutral.Usage
}

// choiceReader is what has been read of a choice.
type choiceReader struct {
	index     int
	calls     neutral.Sequencer
	think     neutral.ThinkTags
	emit      neutral.Emit // adds the choice
	late      strings.Builder
	thoughts  bool // the last thing was a thought without a signature
	signed    bool // the thoughts have a signature of their own
	finish    string
	keyOf     map[string]string // of an index, the call that it means now
	annotated int
}

// NewStreamReader returns a reader.
func NewStreamReader(how neutral.Reading) *StreamReader { return &StreamReader{how: how} }

// Event reads a chunk.
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
			for choice := range member.Elements {
				s.choice(choice, emit)
			}
		}
	}
}

func (s *StreamReader) fail(err *neutral.Error, emit neutral.Emit) {
	s.failed = true
	emit(&neutral.Event{Kind: neutral.Failed, Err: err})
}

func (s *StreamReader) start(v rawjson.Value, emit neutral.Emit) {
	if s.started {
		return
	}
	s.started = true
	created, _ := v.Get("created").Int()
	emit(&neutral.Event{Kind: neutral.Started, ID: v.Get("id").Text(), Model: v.Get("model").Text(), Created: created})
}

func (s *StreamReader) choice(v rawjson.Value, emit neutral.Emit) {
	index, _ := v.Get("index").Int()
	c := s.reader(int(index), emit)
	if c == nil {
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

// maxChoices bounds n.
const maxChoices = 128

// reader returns the reader of a choice.
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

func withChoice(index int, emit neutral.Emit) neutral.Emit {
	if index == 0 {
		return emit
	}
	return func(e *neutral.Event) {
		e.Choice = index
		emit(e)
	}
}

// End ends the response.
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

func (c *choiceReader) end(usage neutral.Usage) {
	c.think.End(c.say)
	truncated := c.finish == "length"
	c.calls.End(truncated, c.emit)
	if c.late.Len() > 0 {
		c.emit(&neutral.Event{Kind: neutral.TextDelta, Text: c.late.String()})
	}
	c.endThought()
	c.emit(&neutral.Event{Kind: neutral.Finished, Finish: c.finished(), Usage: usage})
}

// finished returns why the choice has ended. A call is one, whatever the provider
// says.
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

// say emits a piece of text or of a thought, after all calls that are complete.
func (c *choiceReader) say(kind neutral.EventKind, text string) {
	if text == "" {
		return
	}
	if c.calls.Any() {
		if !c.calls.AllComplete() {
			c.late.WriteString(text)
			return
		}
		c.calls.End(false, c.emit)
	}
	if kind == neutral.ThoughtDelta {
		c.thoughts = true
	} else {
		c.endThought()
	}
	c.emit(&neutral.Event{Kind: kind, Text: text})
}

// endThought says whose the thoughts were, unless they have a signature.
func (c *choiceReader) endThought() {
	if c.thoughts && !c.signed {
		c.emit(&neutral.Event{Kind: neutral.ThoughtSig, Sig: neutral.Sig{Vendor: c.calls.Vendor, Value: neutral.TextOnly}})
	}
	c.thoughts, c.signed = false, false
}

func (c *choiceReader) text(text string) {
	if text != "" {
		c.think.Add(text, c.say)
	}
}

// key of a call by its place.
func placeKey(kind string, n int) string { return kind + strconv.Itoa(n) }
