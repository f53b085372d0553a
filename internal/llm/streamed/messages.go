package streamed

import "encoding/json"

// message writes the events of a message: its beginning, each block, and its end.
// Indexes of blocks count from 0: Anthropic's SDK loses the text if they do not. The
// stop reason and the final usage stand in message_delta, where they overwrite what
// message_start has said.
func (w *writer) message(whole object) {
	blocks := objects(whole["content"])
	w.event("message_start", map[string]any{"type": "message_start", "message": whole.with(map[string]any{
		"content": []any{}, "stop_reason": json.RawMessage("null"), "stop_sequence": json.RawMessage("null"),
		"usage": whole.usageOrNone(),
	})})
	for i, block := range blocks {
		begun, deltas := w.block(block)
		w.event("content_block_start", map[string]any{"type": "content_block_start", "index": i, "content_block": begun})
		for _, delta := range deltas {
			w.event("content_block_delta", map[string]any{"type": "content_block_delta", "index": i, "delta": delta})
		}
		w.event("content_block_stop", map[string]any{"type": "content_block_stop", "index": i})
	}
	end := object{"stop_reason": raw("end_turn"), "stop_sequence": json.RawMessage("null")}
	for name := range end {
		if whole.isSet(name) {
			end[name] = whole[name]
		}
	}
	w.event("message_delta", map[string]any{"type": "message_delta", "delta": end, "usage": whole.usageOrNone()})
	w.event("message_stop", map[string]any{"type": "message_stop"})
}

// usageOrNone returns the usage. Anthropic's SDK fails if message_start or message_delta
// has none, so that a channel which does not count gets zeros.
func (o object) usageOrNone() json.RawMessage {
	if o.isSet("usage") {
		return o["usage"]
	}
	return json.RawMessage(`{"input_tokens":0,"output_tokens":0}`)
}

// block returns a block as it begins, empty, and what fills it. Blocks of other
// kinds, such as redacted_thinking and results of the provider's own tools, begin
// whole and have no deltas.
//
// The signature comes after the thought and in one delta: the SDK overwrites it, where
// it appends to texts. The input of a call must come as a delta too: Claude Code and
// the SDK run a tool with {} if it stands in the block's start.
func (w *writer) block(block object) (begun object, deltas []map[string]any) {
	switch block.text("type") {
	case "text":
		if block.text("text") != "" {
			deltas = append(deltas, map[string]any{"type": "text_delta", "text": block["text"]})
		}
		for _, citation := range objects(block["citations"]) {
			deltas = append(deltas, map[string]any{"type": "citations_delta", "citation": citation})
		}
		return block.with(map[string]any{"text": "", "citations": nil}), deltas
	case "thinking":
		if block.text("thinking") != "" {
			deltas = append(deltas, map[string]any{"type": "thinking_delta", "thinking": block["thinking"]})
		}
		if block.text("signature") != "" {
			deltas = append(deltas, map[string]any{"type": "signature_delta", "signature": block["signature"]})
		}
		return block.with(map[string]any{"thinking": "", "signature": ""}), deltas
	case "tool_use", "server_tool_use":
		input := string(block["input"])
		if !block.isSet("input") {
			input = "{}"
		}
		deltas = append(deltas, map[string]any{"type": "input_json_delta", "partial_json": input})
		return block.with(map[string]any{"input": json.RawMessage("{}")}), deltas
	}
	return block, nil
}
