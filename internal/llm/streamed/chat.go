package streamed

import "encoding/json"

// chat writes the chunks of a chat completion: what each choice says, why it
// ended, and the usage. The older completions have no messages; their chunks look
// like the whole, and are text_completion objects too.
//
// The reason comes in a chunk of its own, after the content, as OpenAI sends it. A
// choice without one gets "stop", since OpenAI's stream helper fails with "missing
// finish_reason" on a stream that has none. The usage is taken out of all chunks but
// the last, which has no choices and is written only for clients that expect it.
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

// delta returns a message as what is new in a chunk. The only difference is in the
// calls of tools: in a delta each has an index, without which OpenAI's SDK loses the
// call, and a type, which its stream helper demands in the first delta of a call.
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
