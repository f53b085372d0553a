package gemini

import (
	"strconv"
	"strings"

	"github.com/caddy-freetier/caddy-freetier/internal/llm/neutral"
	"github.com/caddy-freetier/caddy-freetier/internal/llm/rawjson"
)

// StreamReader reads the events of a stream, each of which is a response with what
// is new, or a whole response. There is no last event: what finishReason says counts
// when the body ends, since some gateways say it in each event, and usage may come in
// any.
//
//	begun ──response──▶ open ──End, with a finishReason────▶ Finished, by candidate
//	                      ├────End, blockReason only───────▶ Finished, as filtered
//	                      ├────End, with neither───────────▶ Failed: cut off
//	                      └────error────────────────────────▶ Failed
type StreamReader struct {
	how        neutral.Reading
	candidates []*candidateReader // in the order in which they came
	started    bool               // Started was emitted
	failed     bool               // Failed was emitted; nothing more is read
	usage      neutral.Usage      // of the last event that had one
	blocked    bool               // the prompt was blocked
}

// candidateReader is what has been read of a candidate.
type candidateReader struct {
	index  int
	calls  neutral.Sequencer
	finish string          // finishReason, "" if it has not come
	cited  map[string]bool // the sources that were emitted, by URL and place
	text   textOffsets     // of what the citations are about
}

// NewStreamReader returns a reader of one response. how.Vendor marks its signatures, and
// how.NewID gives ids to calls: Gemini's often have none.
func NewStreamReader(how neutral.Reading) *StreamReader { return &StreamReader{how: how} }

// Event reads an event. Events have no names. A body that is an array is what
// streamGenerateContent answers without alt=sse.
func (s *StreamReader) Event(_ string, data []byte, emit neutral.Emit) {
	v, err := rawjson.Parse(data)
	if err != nil || s.failed {
		return
	}
	if v.Is('[') { // a stream without alt=sse, as a whole
		for element := range v.Elements {
			s.response(element, emit)
		}
		return
	}
	s.response(v, emit)
}

// response reads a response, or what is new of one. An error may stand in a stream that
// has begun, {"error":{"code":500,…}}. Members of no use to other dialects
// (safetyRatings, modelStatus) are ignored.
func (s *StreamReader) response(v rawjson.Value, emit neutral.Emit) {
	if s.failed {
		return
	}
	if inner := v.Get("response"); inner.Is('{') {
		v = inner // Code Assist wraps it
	}
	if v.Get("error").Is('{') {
		s.fail(neutral.ReadError(0, v), emit)
		return
	}
	if !s.started {
		s.started = true
		emit(&neutral.Event{Kind: neutral.Started, ID: v.Get("responseId").Text(), Model: v.Get("modelVersion").Text()})
	}
	for name, member := range v.Members {
		switch name {
		case "usageMetadata":
			readUsage(&s.usage, member)
		case "promptFeedback":
			s.blocked = s.blocked || member.Get("blockReason").IsSet()
		case "candidates":
			for candidate := range member.Elements {
				s.candidate(candidate, emit)
			}
		}
	}
}

func (s *StreamReader) fail(err *neutral.Error, emit neutral.Emit) {
	s.failed = true
	emit(&neutral.Event{Kind: neutral.Failed, Err: err})
}

// maxCandidates bounds candidateCount, and with it what a provider can make the gateway
// keep by counting up index. Candidates beyond it are ignored.
const maxCandidates = 128

// candidate reads what is new of a candidate. A missing index is 0, as Protocol Buffers
// leave a zero out. content and parts may be missing, such as in the event with the
// reason.
func (s *StreamReader) candidate(v rawjson.Value, emit neutral.Emit) {
	index, _ := v.Get("index").Int()
	c := s.reader(int(index))
	if c == nil {
		return
	}
	emit = withChoice(c.index, emit)
	for part := range v.Get("content").Get("parts").Elements {
		s.part(c, part, emit)
	}
	if reason := v.Get("finishReason").Text(); reason != "" && reason != "FINISH_REASON_UNSPECIFIED" {
		c.finish = reason
	}
	c.citations(v, emit)
}

func (s *StreamReader) reader(index int) *candidateReader {
	for _, c := range s.candidates {
		if c.index == index {
			return c
		}
	}
	if index < 0 || index >= maxCandidates {
		return nil
	}
	c := &candidateReader{index: index, cited: make(map[string]bool)}
	c.calls.Names, c.calls.NewID, c.calls.Vendor = s.how.Names, s.how.NewID, s.how.Vendor
	s.candidates = append(s.candidates, c)
	return c
}

// withChoice returns an Emit that says which choice an event is of. The Sequencer, which
// makes the events of calls, does not know it.
func withChoice(index int, emit neutral.Emit) neutral.Emit {
	if index == 0 {
		return emit
	}
	return func(e *neutral.Event) {
		e.Choice = index
		emit(e)
	}
}

// part reads a part. A text may be empty and have a signature only. A call comes whole, so
// each is one piece with a key of its own, and ends when something else follows or the
// response ends; args may be missing.
//
// executableCode and its result are shown as text, in fences: they are what the model did
// to find its answer, and other dialects have no part for them.
func (s *StreamReader) part(c *candidateReader, v rawjson.Value, emit neutral.Emit) {
	sig := neutral.Sig{Vendor: s.how.Vendor, Value: v.Get("thoughtSignature").Text()}
	call := v.Get("functionCall")
	if call.Is('{') {
		args := call.Get("args")
		if !args.IsSet() {
			args = rawjson.Value("{}")
		}
		c.calls.Piece(neutral.Piece{
			Key:   strconv.Itoa(c.calls.Count()),
			ID:    call.Get("id").Text(),
			Name:  call.Get("name").Text(),
			Input: string(args),
			Sig:   sig,
		}, emit)
		return
	}
	c.calls.End(false, emit)
	isThought := v.Get("thought").Bool()
	for name, member := range v.Members {
		switch name {
		case "text":
			kind := neutral.TextDelta
			if isThought {
				kind = neutral.ThoughtDelta
			}
			if text := member.Text(); text != "" {
				if !isThought {
					c.text.add(text)
				}
				emit(&neutral.Event{Kind: kind, Text: text})
			}
		case "inlineData":
			emit(&neutral.Event{Kind: neutral.MediaPartOut, Media: readMedia(member)})
		case "executableCode":
			code := "```" + strings.ToLower(member.Get("language").Text()) + "\n" + member.Get("code").Text() + "\n```\n"
			emit(&neutral.Event{Kind: neutral.TextDelta, Text: code})
		case "codeExecutionResult":
			emit(&neutral.Event{Kind: neutral.TextDelta, Text: "```\n" + member.Get("output").Text() + "\n```\n"})
		}
	}
	if sig.Value == "" {
		return
	}
	kind := neutral.TextSig
	if isThought {
		kind = neutral.ThoughtSig
	}
	emit(&neutral.Event{Kind: kind, Sig: sig})
}

// maxCitations bounds the citations of a response.
const maxCitations = 1000

// citations reads where the text comes from. The sources may be repeated in each event,
// and grow. A support joins a segment of the text with its sources, by their indexes in
// groundingChunks:
//
//	{"segment":{"startIndex":0,"endIndex":9,"text":"…"},"groundingChunkIndices":[0,2]}
//
// citationMetadata is about texts that the model has recited. Google counts a segment in
// bytes (Segment in its SDK's types) and neutral.Citation in characters, which agree for
// ASCII only.
func (c *candidateReader) citations(v rawjson.Value, emit neutral.Emit) {
	var sources []neutral.Citation
	grounding := v.Get("groundingMetadata")
	for chunk := range grounding.Get("groundingChunks").Elements {
		web := chunk.Get("web")
		sources = append(sources, neutral.Citation{URL: web.Get("uri").Text(), Title: web.Get("title").Text()})
	}
	for support := range grounding.Get("groundingSupports").Elements {
		segment := support.Get("segment")
		for index := range support.Get("groundingChunkIndices").Elements {
			n, _ := index.Int()
			if n < 0 || int(n) >= len(sources) {
				continue
			}
			citation := sources[n]
			citation.Quote = segment.Get("text").Text()
			c.cite(citation, segment, emit)
		}
	}
	for source := range v.Get("citationMetadata").Get("citations").Elements {
		citation := neutral.Citation{URL: source.Get("uri").Text(), Title: source.Get("title").Text()}
		c.cite(citation, source, emit)
	}
}

// cite emits a citation once, with the place that it is about. What was cited goes by
// Google's own place: that in characters may not be known yet when it comes first.
func (c *candidateReader) cite(citation neutral.Citation, place rawjson.Value, emit neutral.Emit) {
	start, _ := place.Get("startIndex").Int()
	end, _ := place.Get("endIndex").Int()
	key := citation.URL + "\x00" + strconv.FormatInt(start, 10) + "\x00" + strconv.FormatInt(end, 10)
	if citation.URL == "" || c.cited[key] || len(c.cited) >= maxCitations {
		return
	}
	c.cited[key] = true
	citation.Start, citation.End = c.text.characters(start), c.text.characters(end)
	emit(&neutral.Event{Kind: neutral.Cited, Citation: &citation})
}

// End ends the response. One finishReason among the candidates is enough. A prompt that
// was blocked has no candidates, and a blockReason; other dialects say that as a filtered
// answer and not as an error.
func (s *StreamReader) End(emit neutral.Emit) {
	if s.failed {
		return
	}
	finished := false
	for _, c := range s.candidates {
		finished = finished || c.finish != ""
	}
	switch {
	case !finished && s.blocked:
		emit(&neutral.Event{Kind: neutral.Finished, Finish: neutral.FinishFilter, Usage: s.usage})
		return
	case !finished:
		s.fail(neutral.EndedEarly(), emit)
		return
	}
	for _, c := range s.candidates {
		emit := withChoice(c.index, emit)
		c.calls.End(false, emit)
		emit(&neutral.Event{Kind: neutral.Finished, Finish: c.finished(), Usage: s.usage})
	}
}

// finished returns why the candidate has ended. STOP stands for calls too. A call that the
// model has garbled counts as broken if there is no other; IMAGE_OTHER, NO_IMAGE, OTHER
// and what is not known are the end of an answer.
func (c *candidateReader) finished() neutral.Finish {
	switch c.finish {
	case "MAX_TOKENS":
		return neutral.FinishLength
	case "SAFETY", "RECITATION", "BLOCKLIST", "PROHIBITED_CONTENT", "SPII", "LANGUAGE", "IMAGE_SAFETY", "IMAGE_PROHIBITED_CONTENT", "IMAGE_RECITATION":
		return neutral.FinishFilter
	case "MALFORMED_FUNCTION_CALL", "UNEXPECTED_TOOL_CALL", "TOO_MANY_TOOL_CALLS":
		if !c.calls.Any() {
			return neutral.FinishBroken
		}
	}
	if c.calls.Any() {
		return neutral.FinishCalls
	}
	return neutral.FinishStop
}
