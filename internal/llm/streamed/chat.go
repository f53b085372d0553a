package streamed

import "encoding/json"

// chat writes the chunks of a chat completion: what each choice says, why it
// ended, and the usage. The older completions have no messages; their chunks look
// like the whole.
func (w *writer) chat(whole object, withUsage bool) {
	chunk := whole.with(map[string]any{"usage": nil})
	if whole.text("object") != "text_completion" {
		chunk["object"] = raw("chat.completion.chunk")
	}
	for i, choice := range objects(whole["choices"]) {
		if !choice.isSet("index") {
			choice["index"] = raw(i)
		}
		var message object
		if json.Unmarshal(choice["message"], &message) != nil || message == nil {
			w.event("", chunk.with(map[string]any{"choices": []object{choice}}))
			continue
		}
		said := choice.with(map[string]any{"message": nil, "delta": delta(message)})
		said["finish_reason"] = json.RawMessage("null")
		w.event("", chunk.with(map[string]any{"choices": []object{said}}))
		reason := choice["finish_reason"]
		if !choice.isSet("finish_reason") {
			reason = raw("stop")
		}
		w.event("", chunk.with(map[string]any{"choices": []object{{
			"index": choice["index"], "delta": json.RawMessage("{}"), "finish_reason": reason,
		}}}))
	}
	if withUsage && whole.isSet("usage") {
		w.event("", chunk.with(map[string]any{"choices": []object{}, "usage": whole["usage"]}))
	}
	w.out.WriteString("data: [DONE]\n\n")
}

// delta returns a message as what is new in a chunk. Calls of tools are numbered
// there.
func delta(message object) object {
	calls := objects(message["tool_calls"])
	if len(calls) == 0 {
		return message.with(map[string]any{"tool_calls": nil})
	}
	for i := range calls {
		calls[i]["index"] = raw(i)
		if !calls[i].isSet("type") {
			calls[i]["type"] = raw("function")
		}
	}
	return message.with(map[string]any{"tool_calls": calls})
}
