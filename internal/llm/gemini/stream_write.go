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
	w          rawjson.Writer    // for one event at a time
	candidates []candidateWriter // as many as the client has asked for
	done       bool              // an error was written; nothing may follow
}

// candidateWriter is what has to be kept of a choice between two of its events.
type candidateWriter struct {
	sig       string // marked; stands on the part that follows, "" for none
	args      []byte // of the call under way, as they come
	citations []neutral.Citation
	text      textOffsets // of what the citations are about
	done      bool        // its finishReason was written
}

// NewStreamWriter returns a writer for the client that has sent a request.
func NewStreamWriter(client *neutral.Request, id string) *StreamWriter {
	n := max(1, int(min(client.Settings.Int(neutral.Count), maxCandidates)))
	return &StreamWriter{client: client, id: id, candidates: make([]candidateWriter, n)}
}

// Append appends the events that stand for an event, none or one. What a model says is one
// event a piece; the Gemini CLI shows it as it comes. A call is written when it is
// complete, since args is an object; one that was cut off is not written, so that no
// client runs half of it. A choice that the client has not asked for is left out.
//
// neutral.TextOnly, the signature of thoughts that have none, is not passed on: thoughts
// do not come back from clients of this dialect.
func (s *StreamWriter) Append(dst []byte, e *neutral.Event) []byte {
	if s.done || e.Choice >= len(s.candidates) {
		return dst
	}
	c := &s.candidates[e.Choice]
	switch e.Kind {
	case neutral.TextDelta, neutral.RefusalDelta, neutral.ThoughtDelta:
		if e.Kind != neutral.ThoughtDelta {
			c.text.add(e.Text)
		}
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

// End appends nothing: the chunk with the finish reason is the last one.
func (s *StreamWriter) End(dst []byte) []byte { return dst }

// begin begins an event up to its first part:
//
//	{"candidates":[{"content":{"parts":[…],"role":"model"},"index":0}],
//	 "modelVersion":"…","responseId":"…"}
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

// identity writes what is the same in each event. Clients take modelVersion for the model
// that has answered, so that it is the client's own name for it.
func (s *StreamWriter) identity() {
	s.w.KeyString("modelVersion", s.client.Model)
	s.w.KeyString("responseId", s.id)
}

// finish writes the last event of a choice. It has a part even if there is nothing to say,
// because clients look for parts, and the signature that no part has had. Usage stands in
// this event only; it is of the whole response, also where there are several choices.
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
	writeGrounding(w, c.citations, &c.text)
	w.Close('}')
	w.Close(']')
	w.Key("usageMetadata")
	writeUsage(w, &e.Usage)
	s.identity()
	w.Close('}')
	return eventstream.Append(dst, "", w.Bytes)
}

// writeText writes a part with text, and the signature that waits for one. A thought
// leaves it for the part behind it: the Gemini CLI drops thoughts from the conversation,
// and the signature with them.
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

// writeCall writes a call. It has an id always: the Gemini CLI runs two calls of one id
// once. The signature stands beside functionCall, from where the CLI sends it back.
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

// writeMedia writes an image or a sound that a model has made: as data, or, where another
// provider gives only its address, as that.
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

// writeGrounding writes the sources of the text, in the form of Google's search. Each
// citation is a source of its own, even if two have the same URL: what it is about
// stands in a support, which names the source by its index.
func writeGrounding(w *rawjson.Writer, citations []neutral.Citation, text *textOffsets) {
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
		w.KeyInt("startIndex", text.bytes(citations[i].Start))
		w.KeyInt("endIndex", text.bytes(citations[i].End))
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

// finishReason is what the dialect calls the end of a response. STOP is also for calls,
// for a stop sequence, which is not named, and for a turn that a server's tool has
// paused.
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
