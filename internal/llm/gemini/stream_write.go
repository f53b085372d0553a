package gemini

import (
	"github.com/caddy-freetier/caddy-freetier/internal/llm/eventstream"
	"github.com/caddy-freetier/caddy-freetier/internal/llm/neutral"
	"github.com/caddy-freetier/caddy-freetier/internal/llm/rawjson"
)

// StreamWriter writes the events of a stream: data lines only, because Google's
// clients lose an event before which a name or a comment stands, and no [DONE].
type StreamWriter struct {
	client     *neutral.Request
	id         string
	w          rawjson.Writer
	candidates []candidateWriter
	done       bool
}

type candidateWriter struct {
	sig       string // stands on the part that follows
	args      []byte // of the call under way
	citations []neutral.Citation
	done      bool
}

// NewStreamWriter returns a writer for the client that has sent a request.
func NewStreamWriter(client *neutral.Request, id string) *StreamWriter {
	n := max(1, int(min(client.Settings.Int(neutral.Count), maxCandidates)))
	return &StreamWriter{client: client, id: id, candidates: make([]candidateWriter, n)}
}

// Append appends the events that stand for an event.
func (s *StreamWriter) Append(dst []byte, e *neutral.Event) []byte {
	if s.done || e.Choice >= len(s.candidates) {
		return dst
	}
	c := &s.candidates[e.Choice]
	switch e.Kind {
	case neutral.TextDelta, neutral.RefusalDelta, neutral.ThoughtDelta:
		s.begin(e.Choice)
		writeText(&s.w, e.Text, e.Kind == neutral.ThoughtDelta, &c.sig)
		return s.end(dst, e.Choice)
	case neutral.ThoughtSig, neutral.TextSig:
		if e.Sig.Value != neutral.TextOnly {
			c.sig = e.Sig.Mark()
		}
	case neutral.CallStart:
		c.args = c.args[:0]
		if e.Sig.Value != "" {
			c.sig = e.Sig.Mark()
		}
	case neutral.CallDelta:
		c.args = append(c.args, e.Text...)
	case neutral.CallEnd:
		if e.Incomplete {
			return dst
		}
		s.begin(e.Choice)
		writeCall(&s.w, e.Call, string(c.args), &c.sig)
		return s.end(dst, e.Choice)
	case neutral.MediaPartOut:
		s.begin(e.Choice)
		writeMedia(&s.w, e.Media)
		return s.end(dst, e.Choice)
	case neutral.Cited:
		c.citations = append(c.citations, *e.Citation)
	case neutral.Finished:
		return s.finish(dst, e, c)
	case neutral.Failed:
		s.done = true
		return eventstream.Append(dst, "", WriteError(e.Err))
	}
	return dst
}

// begin begins an event up to its first part.
func (s *StreamWriter) begin(choice int) {
	w := &s.w
	w.Bytes = w.Bytes[:0]
	w.Open('{')
	w.Key("candidates")
	w.Open('[')
	w.Open('{')
	w.Key("content")
	w.Open('{')
	w.Key("parts")
	w.Open('[')
}

// endParts ends the content.
func (s *StreamWriter) endParts() {
	s.w.Close(']')
	s.w.KeyString("role", "model")
	s.w.Close('}')
}

func (s *StreamWriter) end(dst []byte, choice int) []byte {
	s.endParts()
	s.w.KeyInt("index", int64(choice))
	return s.close(dst)
}

// close ends the candidate and the event.
func (s *StreamWriter) close(dst []byte) []byte {
	w := &s.w
	w.Close('}')
	w.Close(']')
	s.identity()
	w.Close('}')
	return eventstream.Append(dst, "", w.Bytes)
}

func (s *StreamWriter) identity() {
	s.w.KeyString("modelVersion", s.client.Model)
	s.w.KeyString("responseId", s.id)
}

func (s *StreamWriter) finish(dst []byte, e *neutral.Event, c *candidateWriter) []byte {
	if c.done {
		return dst
	}
	c.done = true
	w := &s.w
	s.begin(e.Choice)
	writeText(w, "", false, &c.sig)
	s.endParts()
	w.KeyString("finishReason", finishReason(e.Finish))
	w.KeyInt("index", int64(e.Choice))
	writeGrounding(w, c.citations)
	w.Close('}')
	w.Close(']')
	w.Key("usageMetadata")
	writeUsage(w, &e.Usage)
	s.identity()
	w.Close('}')
	return eventstream.Append(dst, "", w.Bytes)
}

// writeText writes a part with text, and the signature that waits for one.
func writeText(w *rawjson.Writer, text string, isThought bool, sig *string) {
	w.Open('{')
	w.KeyString("text", text)
	if isThought {
		w.KeyBool("thought", true)
	} else if *sig != "" {
		w.KeyString("thoughtSignature", *sig)
		*sig = ""
	}
	w.Close('}')
}

func writeCall(w *rawjson.Writer, call *neutral.ToolCall, args string, sig *string) {
	if call.Kind == neutral.Freeform {
		args = neutral.FreeformArguments(args)
	}
	w.Open('{')
	w.Key("functionCall")
	w.Open('{')
	w.KeyString("id", call.ID)
	w.KeyString("name", call.Name)
	w.KeyRaw("args", argsObject(args))
	w.Close('}')
	if *sig != "" {
		w.KeyString("thoughtSignature", *sig)
		*sig = ""
	}
	w.Close('}')
}

func writeMedia(w *rawjson.Writer, media *neutral.MediaPart) {
	w.Open('{')
	if media.Data != "" {
		writeInline(w, media)
	} else {
		w.Key("fileData")
		w.Open('{')
		w.KeyString("fileUri", media.URL)
		w.Close('}')
	}
	w.Close('}')
}

// writeGrounding writes the sources of the text.
func writeGrounding(w *rawjson.Writer, citations []neutral.Citation) {
	if len(citations) == 0 {
		return
	}
	w.Key("groundingMetadata")
	w.Open('{')
	w.Key("groundingChunks")
	w.Open('[')
	for i := range citations {
		w.Open('{')
		w.Key("web")
		w.Open('{')
		w.KeyString("uri", citations[i].URL)
		w.KeyString("title", citations[i].Title)
		w.Close('}')
		w.Close('}')
	}
	w.Close(']')
	w.Key("groundingSupports")
	w.Open('[')
	for i := range citations {
		w.Open('{')
		w.Key("segment")
		w.Open('{')
		w.KeyInt("startIndex", citations[i].Start)
		w.KeyInt("endIndex", citations[i].End)
		w.KeyString("text", citations[i].Quote)
		w.Close('}')
		w.Key("groundingChunkIndices")
		w.Open('[')
		w.Int(int64(i))
		w.Close(']')
		w.Close('}')
	}
	w.Close(']')
	w.Close('}')
}

// finishReason is what the dialect calls the end of a response.
func finishReason(finish neutral.Finish) string {
	switch finish {
	case neutral.FinishLength, neutral.FinishContext:
		return "MAX_TOKENS"
	case neutral.FinishFilter:
		return "SAFETY"
	case neutral.FinishBroken:
		return "MALFORMED_FUNCTION_CALL"
	}
	return "STOP"
}
