package neutral

import "strings"

// Collector makes a Response of events, for a client that has not asked for a stream.
// It copies what it keeps, since an event is valid only until the next one.
type Collector struct {
	response Response
	open     []openPart // by choice
	finished bool
}

// openPart gathers the text of the part that is being received.
//
// A part gets its text only when it ends, so that appending a delta costs no copy of
// those before it.
type openPart struct {
	text     strings.Builder // of the part that began last, also after its end
	input    strings.Builder // of the call under way
	inCall   bool
	isOpen   bool
	kind     PartKind
	lastText int // where the last part with text stands, counted from 1
}

// Event adds an event.
func (c *Collector) Event(e *Event) {
	switch e.Kind {
	case Started:
		c.response.ID, c.response.Model, c.response.Created = e.ID, e.Model, e.Created
		return
	case Failed:
		c.response.Err = e.Err
		return
	}
	choice, open := c.choice(e.Choice)
	switch e.Kind {
	case TextDelta:
		open.add(choice, Text, e.Text)
	case RefusalDelta:
		open.add(choice, Refusal, e.Text)
	case ThoughtDelta:
		open.add(choice, Thought, e.Text)
	case ThoughtBreak:
		open.end(choice)
	case ThoughtSig:
		if !open.isOpen || open.kind != Thought {
			open.begin(choice, Thought)
		}
		open.end(choice)
		last := &choice.Parts[len(choice.Parts)-1]
		last.Sig, last.Redacted = e.Sig, e.Redacted
	case TextSig:
		open.end(choice)
		choice.Parts = append(choice.Parts, Part{Kind: Signature, Sig: e.Sig})
	case CallStart:
		open.end(choice)
		call := *e.Call
		call.Input = ""
		choice.Parts = append(choice.Parts, Part{Kind: Call, Call: &call, Sig: e.Sig})
		open.input.Reset()
		open.inCall = true
	case CallDelta:
		open.input.WriteString(e.Text)
	case CallEnd:
		c.endCall(choice, open, e)
	case MediaPartOut:
		open.end(choice)
		media := *e.Media
		choice.Parts = append(choice.Parts, Part{Kind: Media, Media: &media})
	case Cited:
		c.cite(choice, open, e)
	case Finished:
		open.end(choice)
		choice.Finish, choice.StopSequence = e.Finish, e.StopSequence
		c.response.Usage = e.Usage
		c.finished = true
	}
}

// endCall completes a call. One that was cut off is left out: nobody can run it.
func (c *Collector) endCall(choice *Choice, open *openPart, e *Event) {
	if !open.inCall {
		return
	}
	open.inCall = false
	last := len(choice.Parts) - 1
	if e.Incomplete {
		choice.Parts = choice.Parts[:last]
		return
	}
	choice.Parts[last].Call.Input = open.input.String()
}

// cite adds a citation to the last text. It ends the part, but text that comes next
// goes on in the same one: Chat's annotations stand beside a message's text, not within
// it.
func (c *Collector) cite(choice *Choice, open *openPart, e *Event) {
	open.end(choice)
	if open.lastText > 0 {
		part := &choice.Parts[open.lastText-1]
		part.Citations = append(part.Citations, *e.Citation)
	}
}

// choice returns the choice of an index, and those before it that have not begun are
// made empty. Readers bound the index.
func (c *Collector) choice(index int) (*Choice, *openPart) {
	for len(c.response.Choices) <= index {
		c.response.Choices = append(c.response.Choices, Choice{})
		c.open = append(c.open, openPart{})
	}
	return &c.response.Choices[index], &c.open[index]
}

// add appends text to the open part, or begins another one.
func (o *openPart) add(choice *Choice, kind PartKind, text string) {
	if !o.isOpen || o.kind != kind {
		o.end(choice)
		if last := len(choice.Parts) - 1; kind == Text && last >= 0 && choice.Parts[last].Kind == Text {
			o.isOpen, o.kind = true, kind // a citation stood between two pieces
		} else {
			o.begin(choice, kind)
		}
	}
	o.text.WriteString(text)
}

func (o *openPart) begin(choice *Choice, kind PartKind) {
	o.end(choice)
	choice.Parts = append(choice.Parts, Part{Kind: kind})
	if kind == Text {
		o.lastText = len(choice.Parts)
	}
	o.isOpen, o.kind = true, kind
	o.text.Reset()
}

func (o *openPart) end(choice *Choice) {
	if o.isOpen {
		choice.Parts[len(choice.Parts)-1].Text = o.text.String()
		o.isOpen = false
	}
}

// Response returns what the events amount to. There is an error in it if they
// say so, or if they do not come to an end.
func (c *Collector) Response() *Response {
	if len(c.response.Choices) == 0 {
		c.choice(0)
	}
	for i := range c.open {
		c.open[i].end(&c.response.Choices[i])
	}
	if !c.finished && c.response.Err == nil {
		c.response.Err = EndedEarly()
	}
	return &c.response
}

// EndedEarly is the error of a stream that has ended without a finish reason.
func EndedEarly() *Error {
	return &Error{Status: 502, Type: "server_error", Message: "The response ended before it was complete"}
}
