package messages

import (
	"github.com/caddy-freetier/caddy-freetier/internal/llm/neutral"
	"github.com/caddy-freetier/caddy-freetier/internal/llm/rawjson"
)

// WriteResponse returns the body of a response to the client that has sent a
// request. Claude Code asks for one without a stream whenever a stream has failed, with
// the same request but for `stream`. Of several choices the first counts.
//
// A response without parts has `"content":[]`, which Claude Code takes for an empty turn:
// it asks once more.
func WriteResponse(client *neutral.Request, response *neutral.Response, id string) []byte {
	choice := &response.Choices[0]
	w := &rawjson.Writer{}
	w.Open('{')
	w.KeyString("id", "msg_"+id)
	w.KeyString("type", "message")
	w.KeyString("role", "assistant")
	w.KeyString("model", client.Model)
	w.Key("content")
	w.Open('[')
	for i := range choice.Parts {
		writeOutput(w, &choice.Parts[i])
	}
	w.Close(']')
	w.KeyString("stop_reason", stopReason(choice.Finish))
	w.Key("stop_sequence")
	writeNullable(w, choice.StopSequence)
	w.Key("usage")
	writeUsage(w, &response.Usage)
	w.Close('}')
	return w.Bytes
}

// writeOutput writes a part as one content block, or as two: the signature of a
// call stands in a thinking block before it. When the client sends that back, it is a
// Thought without text, whose signature Gemini's writer puts on the call behind it.
//
// A refusal is a text; the stop reason says what it is. What a model has made other than
// text has no block here, so a word stands for it.
func writeOutput(w *rawjson.Writer, part *neutral.Part) {
	switch part.Kind {
	case neutral.Text, neutral.Refusal:
		if part.Text == "" {
			return
		}
		w.Open('{')
		w.KeyString("type", "text")
		w.KeyString("text", part.Text)
		writeCitations(w, part.Citations)
		w.Close('}')
	case neutral.Thought:
		writeThought(w, part.Text, part.Sig.Mark(), part.Redacted)
	case neutral.Call:
		if part.Sig.Value != "" {
			writeThought(w, "", part.Sig.Mark(), false)
		}
		w.Open('{')
		w.KeyString("type", "tool_use")
		w.KeyString("id", neutral.CallID(part.Call.ID))
		w.KeyString("name", part.Call.Name)
		w.KeyRaw("input", inputObject(part.Call.Input))
		w.Close('}')
	case neutral.Media:
		w.Open('{')
		w.KeyString("type", "text")
		w.KeyString("text", "["+part.Media.Noun()+"]")
		w.Close('}')
	}
}

func writeCitations(w *rawjson.Writer, citations []neutral.Citation) {
	if len(citations) == 0 {
		return
	}
	w.Key("citations")
	w.Open('[')
	for i := range citations {
		writeCitation(w, &citations[i])
	}
	w.Close(']')
}

// writeCitation writes a citation in the form of Anthropic's web search. Its members are
// all required by the SDK's types; encrypted_index is what Anthropic's server finds the
// source by, and empty here. Where in the text the citation belongs is lost: the dialect
// says so by the block that has it.
func writeCitation(w *rawjson.Writer, citation *neutral.Citation) {
	w.Open('{')
	w.KeyString("type", "web_search_result_location")
	w.KeyString("url", citation.URL)
	w.KeyString("title", citation.Title)
	w.KeyString("cited_text", citation.Quote)
	w.KeyString("encrypted_index", "")
	w.Close('}')
}

// writeThought writes a thinking block. A thought that was given as a signature only is
// redacted_thinking. The signature may be empty; Claude Code sends such a block back, too.
func writeThought(w *rawjson.Writer, text, signature string, redacted bool) {
	w.Open('{')
	if redacted && text == "" {
		w.KeyString("type", "redacted_thinking")
		w.KeyString("data", signature)
	} else {
		w.KeyString("type", "thinking")
		w.KeyString("thinking", text)
		w.KeyString("signature", signature)
	}
	w.Close('}')
}

// inputObject returns the arguments of a call as the object that the dialect
// demands. A text that is none is kept in one.
func inputObject(input string) rawjson.Value {
	if input == "" {
		return rawjson.Value("{}")
	}
	if v, err := rawjson.Parse([]byte(input)); err == nil && v.Is('{') {
		return v
	}
	var w rawjson.Writer
	w.Open('{')
	w.KeyString("arguments", input)
	w.Close('}')
	return w.Bytes
}

// writeUsage writes usage. Unlike all others, the dialect counts what was read from
// a cache, or written to one, beside the input. With the cached tokens in both, Claude
// Code would compact a conversation too early.
//
//	input_tokens 201, cache_read_input_tokens 15104     of 15305 prompt tokens in chat
func writeUsage(w *rawjson.Writer, u *neutral.Usage) {
	w.Open('{')
	w.KeyInt("input_tokens", u.Uncached())
	w.KeyInt("cache_creation_input_tokens", u.CacheWrite)
	w.KeyInt("cache_read_input_tokens", u.CacheRead)
	w.KeyInt("output_tokens", u.Output)
	if u.Reasoning > 0 {
		w.Key("output_tokens_details")
		w.Open('{')
		w.KeyInt("thinking_tokens", u.Reasoning)
		w.Close('}')
	}
	w.Close('}')
}
