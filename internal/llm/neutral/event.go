package neutral

// EventKind is what an event of a response says.
//
// A reader emits deltas as they come from the provider and keeps nothing back but what
// could still turn out to be something else: the beginning of a tag, the calls behind
// the open one.
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
//
// With several choices (Chat's n, Gemini's candidateCount) the events of the choices
// may mix, and the order above holds for each. Started and Failed are of the response
// as a whole.
type Event struct {
	Kind   EventKind
	Choice int // which of several choices

	ID      string // of the response
	Model   string
	Created int64 // in seconds since 1970, 0 if unknown

	Text     string
	Sig      Sig
	Redacted bool
	Call     *ToolCall // of the three of a call; without its input
	// Incomplete says that the input of a call was cut off, by the limit on output
	// mostly. Nobody can run it.
	Incomplete bool
	Media      *MediaPart
	Citation   *Citation

	Finish       Finish
	StopSequence string
	Usage        Usage
	Err          *Error
}

// Finish is why a response has ended.
//
//	                chat            responses   messages       gemini
//	FinishStop      stop            completed   end_turn       STOP
//	FinishCalls     tool_calls      completed   tool_use       STOP
//	FinishLength    length          incomplete  max_tokens     MAX_TOKENS
//	FinishContext   length          failed      model_context… MAX_TOKENS
//	FinishSequence  stop            completed   stop_sequence  STOP
//	FinishFilter    content_filter  incomplete  refusal        SAFETY
//	FinishPause     stop            completed   pause_turn     STOP
//	FinishBroken    stop            failed      end_turn       MALFORMED_FUNCTION_CALL
//
// Readers go by the content and not by the provider's word: a response with calls is
// FinishCalls even if the provider says stop, as xAI and, in streams, Gemini's Chat
// endpoint do.
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

// CutsOff reports whether a response that ends so may have ended anywhere. A call whose
// input is not complete by then is none: an agent would run half a command.
func (f Finish) CutsOff() bool {
	return f == FinishLength || f == FinishContext || f == FinishFilter
}

// Emit passes on an event, which is the reader's again when the call returns.
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
