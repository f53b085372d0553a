package messages

import (
	"strconv"

	"github.com/caddy-freetier/caddy-freetier/internal/llm/neutral"
	"github.com/caddy-freetier/caddy-freetier/internal/llm/rawjson"
)

// StreamReader reads the events of a stream, or a whole message.
//
//	         message_start            message_delta with a stop_reason,
//	begun ──────────────────▶ open ──── or message_stop ─────────────▶ complete
//	                     blocks, ping                                      │ End
//	begun, open: End, error                                                ▼
//	      └─────────────────▶ failed                                   Finished
//
// It is less strict than clients are: one of message_delta and message_stop will do, the
// event's name may stand for the type in its data, blocks may overlap and skip indexes,
// and the end of a block may be missing. A delta of a block that has not begun is
// ignored, as is everything of an unknown type. message_start may have usage and blocks
// that are complete already.
//
// Usage comes in two parts, of which the later overwrites the earlier, and is given out
// with Finished, at the end of the response.
type StreamReader struct {
	how    neutral.Reading
	calls  neutral.Sequencer      // puts calls in a row, if blocks overlap
	blocks map[int64]*blockReader // those that are open, by index
	// openCall is the key of a call whose block has ended and whose input is not complete,
	// "" for none.
	openCall string
	started  bool   // message_start, or a whole message, has come
	failed   bool   // Failed was emitted; nothing more is read
	done     bool   // message_stop has come
	stop     string // stop_reason, "" if it has not come
	stopSeq  string // stop_sequence, of the stop_reason of that name
	usage    usageReader
}

// blockReader is what has been read of a block.
type blockReader struct {
	kind   string // type of the block
	input  string // of a call, if it stands in the block's start
	pieces bool   // of the input have come
	signed bool   // a signature has come
}

// NewStreamReader returns a reader of one response. how.Vendor marks its signatures.
func NewStreamReader(how neutral.Reading) *StreamReader {
	s := &StreamReader{how: how, blocks: make(map[int64]*blockReader)}
	s.calls.Names, s.calls.NewID, s.calls.Vendor = how.Names, how.NewID, how.Vendor
	return s
}

// Event reads an event. A whole response, of the type message, is one as well. An error
// that does not say its type ({"error":{…}}) fails the response, too.
func (s *StreamReader) Event(name string, data []byte, emit neutral.Emit) {
	v, err := rawjson.Parse(data)
	if err != nil || s.failed {
		return
	}
	kind := v.Get("type").Text()
	if kind == "" {
		kind = name
	}
	switch kind {
	case "message_start":
		s.start(v.Get("message"), emit)
	case "message":
		s.start(v, emit)
		s.end(v, v.Get("usage"))
		s.done = true
	case "content_block_start":
		s.blockStart(v, emit)
	case "content_block_delta":
		s.blockDelta(v, emit)
	case "content_block_stop":
		index, _ := v.Get("index").Int()
		s.blockStop(index, emit)
	case "message_delta":
		s.end(v.Get("delta"), v.Get("usage"))
	case "message_stop":
		s.done = true
	case "error":
		s.fail(neutral.ReadError(0, v), emit)
	default:
		if v.Get("error").IsSet() {
			s.fail(neutral.ReadError(0, v), emit)
		}
	}
}

func (s *StreamReader) fail(err *neutral.Error, emit neutral.Emit) {
	s.failed = true
	emit(&neutral.Event{Kind: neutral.Failed, Err: err})
}

// start reads the beginning of a message, and the blocks that it has already.
func (s *StreamReader) start(message rawjson.Value, emit neutral.Emit) {
	if s.started {
		return
	}
	s.started = true
	emit(&neutral.Event{Kind: neutral.Started, ID: message.Get("id").Text(), Model: message.Get("model").Text()})
	s.usage.read(message.Get("usage"))
	index := int64(0)
	for block := range message.Get("content").Elements {
		s.begin(index, block, emit)
		s.blockStop(index, emit)
		index++
	}
}

// end reads why the message has ended. A message_delta without a stop_reason only has
// usage.
func (s *StreamReader) end(delta, usage rawjson.Value) {
	if reason := delta.Get("stop_reason").Text(); reason != "" {
		s.stop = reason
		s.stopSeq = delta.Get("stop_sequence").Text()
	}
	s.usage.read(usage)
}

func (s *StreamReader) blockStart(v rawjson.Value, emit neutral.Emit) {
	index, _ := v.Get("index").Int()
	s.begin(index, v.Get("content_block"), emit)
}

// callKey is by what the Sequencer tells calls apart: the index of the block, of which
// each is used once.
func callKey(index int64) string { return strconv.FormatInt(index, 10) }

// begin reads the start of a block, which may be all of it. Anthropic's starts are empty
// but for redacted_thinking and the id and name of a call; other providers put a text, a
// signature or a call's whole input there. An input of the start counts only if no
// pieces follow (see blockStop): the empty object {} of Anthropic's never does.
//
// Blocks of the provider's own tools (server_tool_use, web_search_tool_result) are opened
// so that their deltas are known, and say nothing: their input is no call of the
// client's.
func (s *StreamReader) begin(index int64, v rawjson.Value, emit neutral.Emit) {
	s.endOpenCall(emit)
	block := &blockReader{kind: v.Get("type").Text()}
	s.blocks[index] = block
	switch block.kind {
	case "text":
		s.say(neutral.TextDelta, v.Get("text").Text(), emit)
		for citation := range v.Get("citations").Elements {
			s.cite(citation, emit)
		}
	case "thinking":
		s.say(neutral.ThoughtDelta, v.Get("thinking").Text(), emit)
		s.sign(block, v.Get("signature").Text(), emit)
	case "redacted_thinking":
		block.signed = true
		emit(&neutral.Event{Kind: neutral.ThoughtSig, Redacted: true, Sig: neutral.Sig{Vendor: s.how.Vendor, Value: v.Get("data").Text()}})
	case "tool_use":
		if input := v.Get("input"); input.Is('{') && input.Len() > 0 {
			block.input = string(input)
		}
		s.calls.Piece(neutral.Piece{Key: callKey(index), ID: v.Get("id").Text(), Name: v.Get("name").Text()}, emit)
	}
}

// say emits a piece of text. Empty ones begin a block, and mean nothing.
func (s *StreamReader) say(kind neutral.EventKind, text string, emit neutral.Emit) {
	if text != "" {
		emit(&neutral.Event{Kind: kind, Text: text})
	}
}

// sign emits the signature of a thought. Anthropic sends it whole, once, just before the
// block's end; its SDK overwrites and does not append.
func (s *StreamReader) sign(block *blockReader, signature string, emit neutral.Emit) {
	if signature != "" {
		block.signed = true
		emit(&neutral.Event{Kind: neutral.ThoughtSig, Sig: neutral.Sig{Vendor: s.how.Vendor, Value: signature}})
	}
}

// blockDelta reads a piece of a block. The type of the delta decides, not the block's:
// providers that translate from chat send thinking_delta in a block that began as text.
func (s *StreamReader) blockDelta(v rawjson.Value, emit neutral.Emit) {
	index, _ := v.Get("index").Int()
	block := s.blocks[index]
	if block == nil {
		return
	}
	s.endOpenCall(emit)
	delta := v.Get("delta")
	switch delta.Get("type").Text() {
	case "text_delta":
		s.say(neutral.TextDelta, delta.Get("text").Text(), emit)
	case "thinking_delta":
		s.say(neutral.ThoughtDelta, delta.Get("thinking").Text(), emit)
	case "signature_delta":
		s.sign(block, delta.Get("signature").Text(), emit)
	case "citations_delta":
		s.cite(delta.Get("citation"), emit)
	case "input_json_delta":
		if input := delta.Get("partial_json").Text(); input != "" && block.kind == "tool_use" {
			block.pieces = true
			s.calls.Piece(neutral.Piece{Key: callKey(index), Input: input}, emit)
		}
	}
}

// cite reads a citation. Those of search results have a source in place of a URL. Those
// of documents have neither; they point into what the client has sent, and are left out.
func (s *StreamReader) cite(v rawjson.Value, emit neutral.Emit) {
	citation := &neutral.Citation{URL: v.Get("url").Text(), Title: v.Get("title").Text(), Quote: v.Get("cited_text").Text()}
	if citation.URL == "" {
		citation.URL = v.Get("source").Text()
	}
	if citation.URL != "" {
		emit(&neutral.Event{Kind: neutral.Cited, Citation: citation})
	}
}

// blockStop ends a block. Thoughts without a signature come from providers that speak the
// dialect and sign nothing; neutral.TextOnly says whose they are.
//
// stop_reason comes behind the end of the last block in Anthropic's streams. So a call
// whose input is not complete stays open: if something follows, the model has not been cut
// off, and that was all of its input; else End knows why the message has ended.
func (s *StreamReader) blockStop(index int64, emit neutral.Emit) {
	block := s.blocks[index]
	if block == nil {
		return
	}
	delete(s.blocks, index)
	switch block.kind {
	case "thinking":
		if !block.signed {
			s.sign(block, neutral.TextOnly, emit)
		}
	case "tool_use":
		if !block.pieces && block.input != "" {
			s.calls.Piece(neutral.Piece{Key: callKey(index), Input: block.input}, emit)
		}
		s.endOpenCall(emit)
		key := callKey(index)
		if s.stop == "" && !s.calls.State(key).Complete {
			s.openCall = key
			return
		}
		s.calls.EndCall(key, s.finished().CutsOff(), emit)
	}
}

// endOpenCall ends the call that was left open at the end of its block.
func (s *StreamReader) endOpenCall(emit neutral.Emit) {
	if s.openCall != "" {
		s.calls.EndCall(s.openCall, false, emit)
		s.openCall = ""
	}
}

// End ends the response. One without message_stop has been cut off, unless it says
// why it has ended.
func (s *StreamReader) End(emit neutral.Emit) {
	switch {
	case s.failed:
		return
	case !s.started || (s.stop == "" && !s.done):
		s.fail(neutral.EndedEarly(), emit)
		return
	}
	s.calls.End(s.finished().CutsOff(), emit)
	emit(&neutral.Event{Kind: neutral.Finished, Finish: s.finished(), StopSequence: s.stopSeq, Usage: s.usage.neutral()})
}

// finished returns why the message has ended. Limits and refusals come first, then what
// the content says: calls are calls also where a provider says end_turn. What is not
// known, such as a beta's new reason, is the end of a turn.
func (s *StreamReader) finished() neutral.Finish {
	switch s.stop {
	case "max_tokens":
		return neutral.FinishLength
	case "model_context_window_exceeded":
		return neutral.FinishContext
	case "refusal":
		return neutral.FinishFilter
	}
	switch {
	case s.calls.Any():
		return neutral.FinishCalls
	case s.stop == "stop_sequence":
		return neutral.FinishSequence
	case s.stop == "pause_turn":
		return neutral.FinishPause
	}
	return neutral.FinishStop
}

// usageReader reads usage, of which each event of a stream has a part: message_start the
// input and what is known of the cache, message_delta the output so far and, optionally,
// the others again. Each count replaces the one before it, and one that is missing or
// null leaves it. The neutral input includes what was read from a cache or written to it.
type usageReader struct {
	known                                 bool
	input, cached, written, output, think int64
}

func (u *usageReader) read(v rawjson.Value) {
	for name, member := range v.Members {
		n, ok := member.Int()
		switch {
		case name == "output_tokens_details":
			if n, ok := member.Get("thinking_tokens").Int(); ok {
				u.think = n
			}
			continue
		case !ok:
			continue
		}
		u.known = true
		n = max(0, n)
		switch name {
		case "input_tokens":
			u.input = n
		case "cache_read_input_tokens":
			u.cached = n
		case "cache_creation_input_tokens":
			u.written = n
		case "output_tokens":
			u.output = n
		}
	}
}

func (u *usageReader) neutral() neutral.Usage {
	return neutral.Usage{
		Known: u.known, Input: u.input + u.cached + u.written, CacheRead: u.cached, CacheWrite: u.written,
		Output: u.output, Reasoning: u.think,
	}
}
