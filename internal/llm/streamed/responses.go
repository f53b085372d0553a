package streamed

import "encoding/json"

// lifecycle writes an event about the response as a whole, which is nested under
// response: Codex does not see one whose members stand at the top.
func (w *writer) lifecycle(name string, response object) {
	w.numbered(name, map[string]any{"response": response})
}

// numbered writes an event with its type and number inside.
func (w *writer) numbered(name string, data map[string]any) {
	data["type"], data["sequence_number"] = name, w.sequence
	w.sequence++
	w.event(name, data)
}

// response writes the events of a response: that it was made, each of its items,
// and that it is complete. The last event repeats the whole response, and ends the
// stream: this dialect has no [DONE]. A response with the status failed does not come
// here, since package refusal takes it for an error, which the client gets as one.
func (w *writer) response(whole object) {
	begun := whole.with(map[string]any{
		"status": "in_progress", "output": []any{}, "usage": json.RawMessage("null"), "completed_at": nil,
	})
	w.lifecycle("response.created", begun)
	w.lifecycle("response.in_progress", begun)
	for i, item := range objects(whole["output"]) {
		w.item(i, item)
	}
	end := "response.completed"
	if whole.text("status") == "incomplete" {
		end = "response.incomplete"
	}
	w.lifecycle(end, whole)
}

// item writes the events of one item. Items begin without what their events add, and
// end with the whole: Codex reads output_item.done only, while OpenAI's stream helper
// adds up the deltas and fails if the item or the part they belong to was not begun.
// Items of the provider's own tools have no deltas here.
func (w *writer) item(i int, item object) {
	added := item
	switch item.text("type") {
	case "message":
		added = item.with(map[string]any{"content": []any{}, "status": "in_progress"})
	case "reasoning":
		added = item.with(map[string]any{"summary": []any{}, "encrypted_content": nil})
	case "function_call":
		added = item.with(map[string]any{"arguments": "", "status": "in_progress"})
	case "custom_tool_call":
		added = item.with(map[string]any{"input": "", "status": "in_progress"})
	}
	w.numbered("response.output_item.added", map[string]any{"output_index": i, "item": added})
	at := place{output: i, item: item.text("id")}
	switch item.text("type") {
	case "message":
		for n, part := range objects(item["content"]) {
			w.part(at, n, part)
		}
	case "reasoning":
		for n, part := range objects(item["summary"]) {
			w.summary(at, n, part)
		}
	case "function_call":
		w.argument(at, "response.function_call_arguments", "arguments", item)
	case "custom_tool_call":
		w.argument(at, "response.custom_tool_call_input", "input", item)
	}
	w.numbered("response.output_item.done", map[string]any{"output_index": i, "item": item})
}

// place is where a part of an item belongs: readers find it by the item's place in
// output, and by its id, which must be the same in all of the item's events.
type place struct {
	output int
	item   string
}

// data returns what an event about a part of an item has in it.
func (p place) data(members map[string]any) map[string]any {
	members["output_index"], members["item_id"] = p.output, p.item
	return members
}

// part writes a part of a message, which is a text or a refusal. Open Responses' schema
// demands logprobs in events about texts, also where there are none.
func (w *writer) part(at place, n int, part object) {
	name, member := "response.output_text", "text"
	if part.text("type") == "refusal" {
		name, member = "response.refusal", "refusal"
	}
	w.numbered("response.content_part.added", at.data(map[string]any{
		"content_index": n, "part": part.with(map[string]any{member: ""}),
	}))
	delta := map[string]any{"content_index": n, "delta": part.text(member)}
	done := map[string]any{"content_index": n, member: part.text(member)}
	if member == "text" {
		delta["logprobs"], done["logprobs"] = []any{}, []any{}
	}
	w.numbered(name+".delta", at.data(delta))
	w.numbered(name+".done", at.data(done))
	w.numbered("response.content_part.done", at.data(map[string]any{"content_index": n, "part": part}))
}

// summary writes a part of the summary of a reasoning.
func (w *writer) summary(at place, n int, part object) {
	const name = "response.reasoning_summary_"
	w.numbered(name+"part.added", at.data(map[string]any{"summary_index": n, "part": part.with(map[string]any{"text": ""})}))
	w.numbered(name+"text.delta", at.data(map[string]any{"summary_index": n, "delta": part.text("text")}))
	w.numbered(name+"text.done", at.data(map[string]any{"summary_index": n, "text": part.text("text")}))
	w.numbered(name+"part.done", at.data(map[string]any{"summary_index": n, "part": part}))
}

// argument writes what a tool is called with.
func (w *writer) argument(at place, name, member string, item object) {
	w.numbered(name+".delta", at.data(map[string]any{"delta": item.text(member)}))
	w.numbered(name+".done", at.data(map[string]any{member: item.text(member)}))
}
