package responses

import (
	"github.com/caddy-freetier/caddy-freetier/internal/llm/neutral"
	"github.com/caddy-freetier/caddy-freetier/internal/llm/rawjson"
)

// writeMessageItem writes a message; content is its parts, without brackets. An item is
// written twice in a stream, when it begins and when it is complete, and a third time in
// the last event; all members but the status and what deltas add are the same each time.
// The same is true of all items here.
func writeMessageItem(w *rawjson.Writer, id, status string, content []byte) {
	w.Open('{')
	w.KeyString("id", id)
	w.KeyString("type", "message")
	w.KeyString("status", status)
	w.KeyString("role", "assistant")
	w.Key("content")
	w.Open('[')
	w.Bytes = append(w.Bytes, content...)
	w.Close(']')
	w.Close('}')
}

// writeTextPart writes a text or a refusal. Open Responses demands annotations and
// logprobs in each text, also if they are empty.
func writeTextPart(w *rawjson.Writer, kind neutral.PartKind, text string, citations []neutral.Citation) {
	w.Open('{')
	if kind == neutral.Refusal {
		w.KeyString("type", "refusal")
		w.KeyString("refusal", text)
		w.Close('}')
		return
	}
	w.KeyString("type", "output_text")
	w.KeyString("text", text)
	w.Key("annotations")
	w.Open('[')
	for i := range citations {
		writeAnnotation(w, &citations[i])
	}
	w.Close(']')
	w.KeyRaw("logprobs", rawjson.Value("[]"))
	w.Close('}')
}

// writeAnnotation writes a citation of a web page. The place, in characters of the text,
// is 0 and 0 if the channel has not said it.
func writeAnnotation(w *rawjson.Writer, citation *neutral.Citation) {
	w.Open('{')
	w.KeyString("type", "url_citation")
	w.KeyInt("start_index", citation.Start)
	w.KeyInt("end_index", citation.End)
	w.KeyString("url", citation.URL)
	w.KeyString("title", citation.Title)
	w.Close('}')
}

// writeReasoningItem writes reasoning; summaries are its texts. sig is the marked
// signature, "" for none, which Codex sends back in encrypted_content as it got it. The
// texts are summaries also if the channel has sent all of its reasoning: Codex shows
// summaries, and content only if it is configured to.
func writeReasoningItem(w *rawjson.Writer, id string, summaries []string, sig string) {
	w.Open('{')
	w.KeyString("id", id)
	w.KeyString("type", "reasoning")
	w.Key("summary")
	w.Open('[')
	for _, text := range summaries {
		writeSummary(w, text)
	}
	w.Close(']')
	if sig != "" {
		w.KeyString("encrypted_content", sig)
	}
	w.Close('}')
}

func writeSummary(w *rawjson.Writer, text string) {
	w.Open('{')
	w.KeyString("type", "summary_text")
	w.KeyString("text", text)
	w.Close('}')
}

// writeCallItem writes a call as the kind of tool that the client has declared:
//
//	{"type":"function_call","call_id":"…","name":"ls","namespace":"fs","arguments":"{…}"}
//	{"type":"custom_tool_call","call_id":"…","name":"apply_patch","input":"*** Begin Patch…"}
//	{"type":"tool_search_call","call_id":"…","execution":"client","arguments":{…}}
//
// Codex drops an item whose arguments are of the other type, or without a call_id.
func writeCallItem(w *rawjson.Writer, id, status string, call *neutral.ToolCall) {
	w.Open('{')
	w.KeyString("id", id)
	switch call.Kind {
	case neutral.Freeform:
		w.KeyString("type", "custom_tool_call")
		w.KeyString("status", status)
		w.KeyString("call_id", neutral.CallID(call.ID))
		writeName(w, call)
		w.KeyString("input", call.Input)
	case neutral.ToolSearch:
		w.KeyString("type", "tool_search_call")
		w.KeyString("status", status)
		w.KeyString("call_id", neutral.CallID(call.ID))
		w.KeyString("execution", "client")
		w.KeyRaw("arguments", argumentsObject(call.Input))
	default:
		w.KeyString("type", "function_call")
		w.KeyString("status", status)
		w.KeyString("call_id", neutral.CallID(call.ID))
		writeName(w, call)
		w.KeyString("arguments", call.Input)
	}
	w.Close('}')
}

// writeName writes what is called. name alone, or joined to the namespace in any way, is
// no tool that Codex knows.
func writeName(w *rawjson.Writer, call *neutral.ToolCall) {
	w.KeyString("name", call.Name)
	if call.Namespace != "" {
		w.KeyString("namespace", call.Namespace)
	}
}

// argumentsObject returns the arguments of a search for tools. A model that has written
// plain text in place of JSON meant the query.
func argumentsObject(input string) rawjson.Value {
	if v, err := rawjson.Parse([]byte(input)); err == nil && v.Is('{') {
		return v
	}
	if input == "" {
		return rawjson.Value("{}")
	}
	var w rawjson.Writer
	w.Open('{')
	w.KeyString("query", input)
	w.Close('}')
	return w.Bytes
}

// itemPrefix is how the id of a call's item begins: fc_ for OpenAI's function calls,
// ctc_ for its custom calls, tsc_ for Codex's searches.
func itemPrefix(kind neutral.ToolKind) string {
	switch kind {
	case neutral.Freeform:
		return "ctc_"
	case neutral.ToolSearch:
		return "tsc_"
	}
	return "fc_"
}

// writeImageItem writes an image that the model has made as a call of the provider's tool
// for images, the only form that the dialect has for one. result is base64; the type of
// the image cannot be said.
func writeImageItem(w *rawjson.Writer, id string, media *neutral.MediaPart) {
	w.Open('{')
	w.KeyString("id", id)
	w.KeyString("type", "image_generation_call")
	w.KeyString("status", "completed")
	w.KeyString("result", media.Data)
	w.Close('}')
}
