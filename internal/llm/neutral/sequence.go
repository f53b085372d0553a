package neutral

import "slices"

// maxPending bounds the bytes of calls that wait for the one before them. A provider
// that sends more gets no memory for it: the response fails with status 502.
const maxPending = 16 << 20

// maxCalls bounds the calls of a response; find looks through all of them.
const maxCalls = 1024

// maxCallName bounds the name of a tool that comes in pieces.
const maxCallName = 4096

// maxRemembered bounds the arguments of a call that are remembered, in bytes. Beyond it
// lie whole files that a model writes; to write such arguments anew costs a cache miss
// once.
const maxRemembered = 64 << 10

// Sequencer puts the calls of one choice in a row. Providers may mix the pieces of
// parallel calls, give them no id or the same one, and repeat or omit indexes;
// clients take one call after the other.
//
// Seen of OpenAI-compatible providers: an index that is missing, begins at 1, or is the
// same for all calls; an id only in the first piece, in each, late or empty; a name
// that comes late, again in each piece, or in pieces; arguments in one piece or none at
// all; a call that is sent again at another index. The reader makes a key of what tells
// the calls apart, and everything else is settled here.
//
// The calls run through three states. Those before open have ended, that at open is
// emitted as it comes, and those behind it wait with their input in memory, until the
// open one has ended: by EndCall, by End, or because its arguments are a complete
// object and another call has begun.
//
//	pieces   a{"x":  b{"y":  a1}  b2}
//	events   Start(a) Delta({"x":) Delta(1}) End(a) Start(b) Delta({"y":) Delta(2}) End(b)
type Sequencer struct {
	Names  *Names
	Vendor string // whose signatures the calls have
	NewID  func() string

	// Memory gets the arguments as the model has written them; it may be nil.
	Memory *CallMemory

	calls []*pendingCall // in the order in which they came
	open  int            // the first one that has not ended
	// used are the ids of the response. Claude Code drops a call whose id it has seen,
	// and runs none without one.
	used    map[string]bool
	pending int
	any     bool
	failed  bool
}

// pendingCall is a call of which pieces have come.
type pendingCall struct {
	key     string // how the provider tells it from others
	id      string
	name    string
	sig     Sig
	input   []byte // not yet emitted
	shape   jsonShape
	started bool
	length  int
	hash    uint64 // of the input
	written []byte // the input, for the memory

	native   bool
	tool     ToolRef
	freeform FreeformDecoder
}

// Any reports whether there has been a call.
func (s *Sequencer) Any() bool { return s.any }

// Piece is a piece of a call.
type Piece struct {
	Key   string // tells the call from others of the response
	ID    string // empty if it is not known yet, or was said before
	Name  string // as the model calls the tool; the same holds
	Input string
	Sig   Sig

	// Native is set if the dialect has freeform tools: Tool is what is called, and
	// Input is the text itself. Otherwise the text is taken out of the arguments.
	Native bool
	Tool   ToolRef
}

// Piece adds a piece of a call.
//
// What becomes known late fills in what was not: the id and the signature once, the
// name until the call has started. A call is not started before its name is known and,
// unless it is native, some input has come, since no dialect can add a name later.
func (s *Sequencer) Piece(p Piece, emit Emit) {
	call := s.find(p.Key)
	if call == nil {
		if len(s.calls) >= maxCalls {
			s.fail(emit)
			return
		}
		call = &pendingCall{key: p.Key, native: p.Native, tool: p.Tool}
		s.calls = append(s.calls, call)
		s.any = true
	}
	if call.id == "" {
		call.id = p.ID
	}
	if !call.started && p.Name != call.name && len(call.name) < maxCallName {
		call.name += p.Name // a few send the name in pieces
	}
	if call.sig.Value == "" {
		call.sig = p.Sig
	}
	s.pending += len(p.Input)
	if s.pending > maxPending {
		s.fail(emit)
		return
	}
	call.input = append(call.input, p.Input...)
	call.length += len(p.Input)
	if s.Memory != nil && call.length <= maxRemembered {
		call.written = append(call.written, p.Input...)
	}
	call.hash = hashOf(call.hash, p.Input)
	call.shape.add(p.Input)
	s.advance(emit)
}

// fail ends a response whose calls are more than anybody runs.
//
// It emits Failed once; what still comes of the response is for nobody.
func (s *Sequencer) fail(emit Emit) {
	if !s.failed {
		s.failed = true
		emit(&Event{Kind: Failed, Err: &Error{Status: 502, Type: "server_error", Message: "The calls of the response are too large"}})
	}
}

// find returns the call of a key that has not ended.
func (s *Sequencer) find(key string) *pendingCall {
	for _, call := range slices.Backward(s.calls) {
		if call.key == key {
			return call
		}
	}
	return nil
}

// advance emits what has come of the call whose turn it is, and ends it if
// another call waits and the input is complete.
func (s *Sequencer) advance(emit Emit) {
	for s.open < len(s.calls) {
		call := s.calls[s.open]
		if call.name != "" && (len(call.input) > 0 || call.native) {
			s.flush(call, emit)
		}
		if s.open == len(s.calls)-1 || !call.shape.complete() {
			return
		}
		s.end(call, false, emit)
	}
}

// flush emits what has come of a call.
func (s *Sequencer) flush(call *pendingCall, emit Emit) {
	if !call.started {
		call.started = true
		call.id = s.unique(call.id)
		if !call.native {
			call.tool = s.Names.Declared(call.name)
		}
		emit(&Event{Kind: CallStart, Sig: call.sig, Call: call.neutral()})
	}
	if len(call.input) == 0 {
		return
	}
	text := string(call.input)
	if call.tool.Kind == Freeform && !call.native {
		text = call.freeform.Add(text)
	}
	if text != "" {
		emit(&Event{Kind: CallDelta, Text: text, Call: call.neutral()})
	}
	s.pending -= len(call.input)
	call.input = call.input[:0]
}

func (c *pendingCall) neutral() *ToolCall { return &ToolCall{ID: c.id, ToolRef: c.tool} }

// end emits what is left of the open call and moves on to the next. Arguments that are
// "" are no JSON and mean a call without any; {} is what all clients can parse. They
// are remembered only if the client will get, and send back, another form of them.
func (s *Sequencer) end(call *pendingCall, incomplete bool, emit Emit) {
	s.open++
	if call.name == "" && !call.started {
		return // nobody can be called
	}
	s.flush(call, emit)
	switch {
	case call.tool.Kind == Freeform:
		if text := call.freeform.End(); text != "" {
			emit(&Event{Kind: CallDelta, Text: text, Call: call.neutral()})
		}
	case call.length == 0 && !incomplete:
		emit(&Event{Kind: CallDelta, Text: "{}", Call: call.neutral()}) // a call without arguments
	}
	if written := string(call.written); s.Memory != nil && !call.native && !incomplete && call.length == len(written) && !isOwnForm(call.tool.Kind, written) {
		s.Memory.Record(call.id, written)
	}
	call.written = nil
	emit(&Event{Kind: CallEnd, Incomplete: incomplete, Call: call.neutral()})
}

// End ends all calls. truncated reports that the response was cut off: a call
// whose input is not complete is then none.
func (s *Sequencer) End(truncated bool, emit Emit) {
	for s.open < len(s.calls) {
		call := s.calls[s.open]
		s.end(call, truncated && !call.shape.complete() && !call.native, emit)
	}
}

// EndCall ends the call of a key, and those before it. truncated is as in End.
func (s *Sequencer) EndCall(key string, truncated bool, emit Emit) {
	for i := s.open; i < len(s.calls); i++ {
		if s.calls[i].key != key {
			continue
		}
		for s.open <= i {
			call := s.calls[s.open]
			s.end(call, truncated && !call.shape.complete() && !call.native, emit)
		}
		return
	}
}

// unique returns an id that no other call of the response has.
//
// The first call that has an id keeps it, so that the client's history and the
// provider's logs agree. Gemini's calls mostly have none.
func (s *Sequencer) unique(id string) string {
	for id == "" || s.used[id] {
		id = s.NewID()
	}
	if s.used == nil {
		s.used = make(map[string]bool)
	}
	s.used[id] = true
	return id
}
