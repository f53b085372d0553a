package neutral

// Target says for whom a request is written: the channel of one attempt. The gateway
// makes it of the channel's options.
type Target struct {
	Model string // the channel's name for the model

	// Vendor names those who can read each other's signatures: a provider, or a
	// channel. It must not contain a colon.
	Vendor string

	// MaxOutput is what messages gets as max_tokens, which it requires, if the client
	// has set none. 0 means 32000, which Claude Code uses for models it does not know.
	MaxOutput int64

	// Calls knows how models have written their calls; nil for none.
	Calls *CallMemory
}

// Reading says how a response is read.
type Reading struct {
	Vendor string      // as in Target
	Names  *Names      // of the request's tools; required
	Calls  *CallMemory // as in Target
	NewID  func() string

	// OpenThought says that text begins inside of a thought, which </think> ends.
	//
	// The channel's template must say so (as those of DeepSeek R1 and its distillations
	// do): from the response alone it cannot be known before </think> has come.
	OpenThought bool
}

// StreamReader reads the events of a response. There is one for each dialect.
type StreamReader interface {
	// Event reads an event of the stream, or a whole response. What it calls emit
	// with shares no memory with data after it returns.
	Event(name string, data []byte, emit Emit)
	// End ends the response. A response that is not complete by then has failed.
	End(emit Emit)
}

// StreamWriter writes the events of a response. There is one for each dialect.
//
// A writer appends whole events only, since some readers lose one that is cut across
// two writes.
type StreamWriter interface {
	// Append appends the events of the client's dialect that stand for e.
	Append(dst []byte, e *Event) []byte

	// End appends what a complete stream still lacks behind its last event.
	End(dst []byte) []byte
}
