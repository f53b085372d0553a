package chat

import (
	"strings"

	"github.com/caddy-freetier/caddy-freetier/internal/llm/neutral"
	"github.com/caddy-freetier/caddy-freetier/internal/llm/rawjson"
)

// WriteResponse returns the body of a response to the client that has sent a
// request.
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

// writeExtra writes the signature of a call, as Google's chat endpoint does.
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

// writeDetail writes the signature of a thought, as OpenRouter does.
func writeDetail(w *rawjson.Writer, e *neutral.Event) {
	w.Key("reasoning_details")
	w.Open('[')
	w.Open('{')
	w.KeyString("type", "reasoning.encrypted")
	w.KeyString("data", e.Sig.Mark())
	w.Close('}')
	w.Close(']')
}

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
