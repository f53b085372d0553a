package chat

import (
	"strings"

	"github.com/caddy-freetier/caddy-freetier/internal/llm/neutral"
	"github.com/caddy-freetier/caddy-freetier/internal/llm/rawjson"
)

// WriteResponse returns the body of a response to the client that has sent a
// request. id has no prefix yet. created, in seconds since 1970, is used if the channel
// has not said when the response was made. The model is the one that the client has
// asked for, not the channel's name for it.
func WriteResponse(client *neutral.Request, response *neutral.Response, id string, created int64) []byte {
	if response.Created != 0 {
		created = response.Created
	}
	w := &rawjson.Writer{}
	w.Open('{')
	w.KeyString("id", "chatcmpl-"+id)
	w.KeyString("object", "chat.completion")
	w.KeyInt("created", created)
	w.KeyString("model", client.Model)
	w.Key("choices")
	w.Open('[')
	for i := range response.Choices {
		writeChoice(w, i, &response.Choices[i])
	}
	w.Close(']')
	w.Key("usage")
	writeUsage(w, &response.Usage)
	w.Close('}')
	return w.Bytes
}

// writeChoice writes a choice. logprobs are null: they are lost on every translated
// route, and OpenAI's SDKs declare the member as always there.
func writeChoice(w *rawjson.Writer, index int, choice *neutral.Choice) {
	w.Open('{')
	w.KeyInt("index", int64(index))
	w.Key("message")
	writeMessage(w, choice)
	w.Key("logprobs")
	w.Null()
	w.KeyString("finish_reason", finishReason(choice.Finish))
	w.Close('}')
}

// writeMessage writes what the model has said. The dialect has one text, one refusal and
// one list of calls, so that parts of a kind are joined and the order between kinds is
// lost. content is null if there is only a refusal or calls, as in OpenAI's responses,
// and an empty string if there is nothing at all.
//
// Reasoning is reasoning_content, the name that most clients know.
func writeMessage(w *rawjson.Writer, choice *neutral.Choice) {
	var text, refusal, thought strings.Builder
	for i := range choice.Parts {
		switch part := &choice.Parts[i]; part.Kind {
		case neutral.Text:
			text.WriteString(part.Text)
		case neutral.Refusal:
			refusal.WriteString(part.Text)
		case neutral.Thought:
			thought.WriteString(part.Text)
		}
	}
	w.Open('{')
	w.KeyString("role", "assistant")
	w.Key("content")
	writeNullable(w, text.String(), text.Len() == 0 && (choice.HasCalls() || refusal.Len() > 0))
	w.Key("refusal")
	writeNullable(w, refusal.String(), refusal.Len() == 0)
	if thought.Len() > 0 {
		w.KeyString("reasoning_content", thought.String())
	}
	writeParts(w, choice)
	w.Close('}')
}

// writeNullable writes a string or null: OpenAI's SDKs declare members that are one of
// both, and never absent.
func writeNullable(w *rawjson.Writer, text string, isNull bool) {
	if isNull {
		w.Null()
		return
	}
	w.String(text)
}

// writeParts writes all of a message but its texts.
func writeParts(w *rawjson.Writer, choice *neutral.Choice) {
	if choice.HasCalls() {
		w.Key("tool_calls")
		w.Open('[')
		for i := range choice.Parts {
			if choice.Parts[i].Kind == neutral.Call {
				writeCall(w, &choice.Parts[i])
			}
		}
		w.Close(']')
	}
	annotated := false
	for i := range choice.Parts {
		part := &choice.Parts[i]
		switch part.Kind {
		case neutral.Thought:
			if part.Sig.Value != "" && part.Sig.Value != neutral.TextOnly {
				writeDetail(w, &neutral.Event{Sig: part.Sig, Text: part.Text})
			}
		case neutral.Media:
			writeImage(w, part.Media)
		case neutral.Text:
			for j := range part.Citations {
				if !annotated {
					annotated = true
					w.Key("annotations")
					w.Open('[')
				}
				writeAnnotation(w, &part.Citations[j])
			}
		}
	}
	if annotated {
		w.Close(']')
	}
}

// writeCall writes a call as the kind of tool that the client has declared: a freeform
// tool's text has been taken out of the function's arguments by then. The id is in a form
// that all dialects take, so that it comes back as it is here.
func writeCall(w *rawjson.Writer, part *neutral.Part) {
	call := part.Call
	w.Open('{')
	w.KeyString("id", neutral.CallID(call.ID))
	if call.Kind == neutral.Freeform {
		w.KeyString("type", "custom")
		w.Key("custom")
		w.Open('{')
		w.KeyString("name", call.Name)
		w.KeyString("input", call.Input)
	} else {
		w.KeyString("type", "function")
		w.Key("function")
		w.Open('{')
		w.KeyString("name", call.Name)
		w.KeyString("arguments", call.Input)
	}
	w.Close('}')
	writeExtra(w, part.Sig)
	w.Close('}')
}

// writeExtra writes the signature of a call, as Google's chat endpoint does. A client
// that returns it there does so for every vendor's; the mark in it says whose it is.
func writeExtra(w *rawjson.Writer, sig neutral.Sig) {
	if sig.Value == "" {
		return
	}
	w.Key("extra_content")
	w.Open('{')
	w.Key("google")
	w.Open('{')
	w.KeyString("thought_signature", sig.Mark())
	w.Close('}')
	w.Close('}')
}

// writeDetail writes the signature of a thought, as OpenRouter does. All are written as
// encrypted, whichever they are: the text stands in reasoning_content, and clients that
// keep details return them without a look into them.
func writeDetail(w *rawjson.Writer, e *neutral.Event) {
	w.Key("reasoning_details")
	w.Open('[')
	w.Open('{')
	w.KeyString("type", "reasoning.encrypted")
	w.KeyString("data", e.Sig.Mark())
	w.Close('}')
	w.Close(']')
}

// writeImage writes an image that the model has made, as OpenRouter does: the dialect
// itself has none in responses.
func writeImage(w *rawjson.Writer, media *neutral.MediaPart) {
	w.Key("images")
	w.Open('[')
	w.Open('{')
	w.KeyString("type", "image_url")
	w.Key("image_url")
	w.Open('{')
	w.KeyString("url", media.AsURL())
	w.Close('}')
	w.Close('}')
	w.Close(']')
}

// writeAnnotation writes a citation of a web page. What a channel has not said, such as
// the place in the text, is zero or empty, since SDKs declare all four members.
func writeAnnotation(w *rawjson.Writer, citation *neutral.Citation) {
	w.Open('{')
	w.KeyString("type", "url_citation")
	w.Key("url_citation")
	w.Open('{')
	w.KeyInt("start_index", citation.Start)
	w.KeyInt("end_index", citation.End)
	w.KeyString("title", citation.Title)
	w.KeyString("url", citation.URL)
	w.Close('}')
	w.Close('}')
}
