package neutral

// EventKind is what an event of a response says.
type EventKind int

const (
	// Started comes first, once, with ID, Model and Created where they are known.
	Started EventKind = iota
	TextDelta
	RefusalDelta
	ThoughtDelta
	ThoughtSig   // the signature of the thoughts before it, or of thoughts whose text is not shown
	ThoughtBreak // the next thought is another one, or another part of a summary
	TextSig      // a signature of the text before it
	CallStart    // Call has the id and what is called
	CallDelta    // Text is a piece of the call's input: of JSON, or of a freeform tool's text
	CallEnd      // Incomplete if the input was cut off
	MediaPartOut // Media is an image or a sound
	Cited        // Citation of the text before it
	Finished     // with Finish and Usage; the last event of a choice
	Failed       // with Err; the last event of all
)

// Event is a piece of a response. A reader gives events in this order, and a
// writer relies on it:
//
//	Started (deltas | CallStart CallDelta* CallEnd)* Finished
//
// Calls do not overlap. A response that fails ends with Failed instead. An event
// and what it points to are valid until the next one.
type Event struct {
	Kind   EventKind
	Choice int // which of several choices

	ID      string // of the response
	Model   string
	Created int64 // in seconds since 1970, 0 if unknown

	Text       string
	Sig        Sig
	Redacted   bool
	Call       *ToolCall // of the three of a call; without its input
	Incomplete bool
	Media      *MediaPart
	Citation   *Citation

	Finish       Finish
	StopSequence string
	Usage        Usage
	Err          *Error
}

// Finish is why a response has ended.
type Finish int

const (
	FinishStop Finish = iota
	FinishCalls
	FinishLength
	FinishContext // the context is full
	FinishSequence
	FinishFilter // the response was filtered or refused
	FinishPause  // a server's tool is to be continued
	FinishBroken // the model has made a call that nobody can read
)

// Emit passes on an event.
type Emit func(*Event)

// Response is a response as a whole.
type Response struct {
	ID      string
	Model   string
	Created int64
	Choices []Choice // at least one
	Usage   Usage
	Err     *Error
}

// Choice is one of the responses to a request, mostly the only one.
type Choice struct {
	Parts        []Part
	Finish       Finish
	StopSequence string
}

// HasCalls reports whether the choice has calls of tools.
func (c *Choice) HasCalls() bool {
	for i := range c.Parts {
		if c.Parts[i].Kind == Call {
			return true
		}
	}
	return false
}
