package strictprovider

import (
	"fmt"
	"maps"
	"strings"
)

// responses is OpenAI's Responses API without memory (store is false). Its opaque state is
// encrypted_content of a reasoning item.
type responses struct{}

// responsesFields are those of the API, and client_metadata, which Codex adds. There is no
// stop, seed or n, and no penalty.
// Source: https://platform.openai.com/docs/api-reference/responses/create
var responsesFields = strings.Fields(`model input instructions max_output_tokens temperature top_p top_logprobs tools tool_choice parallel_tool_calls
	max_tool_calls reasoning text include store previous_response_id conversation background truncation context_management prompt prompt_cache_key
	prompt_cache_options prompt_cache_retention metadata safety_identifier user service_tier stream stream_options moderation client_metadata`)

// check refuses a request as OpenAI does. The least max_output_tokens is 16; Claude
// Desktop, for one, asks for one token to see whether a model is there.
//
// Sources: https://github.com/earendil-works/pi/issues/6265 and
// https://github.com/farion1231/cc-switch/pull/7287
func (responses) check(r object, p *Provider) error {
	if err := onlyFields(r, "body", responsesFields...); err != nil {
		return err
	}
	switch {
	case text(r["model"]) == "":
		return fmt.Errorf("missing required parameter: 'model'")
	case r["input"] == nil:
		return fmt.Errorf("missing required parameter: 'input'")
	}
	if n, ok := r["max_output_tokens"].(float64); ok && n < 16 {
		return fmt.Errorf("invalid 'max_output_tokens': integer below minimum value, 16")
	}
	if err := checkReasoningModel(r); err != nil {
		return err
	}
	if format := member(r["text"], "format"); member(format, "type") == "json_schema" {
		if err := checkFormat(format); err != nil {
			return err
		}
	}
	if err := checkResponsesTools(list(r["tools"]), ""); err != nil {
		return err
	}
	if choice := text(member(r["tool_choice"], "name")); choice != "" && (responses{}).read(r).tools[choice].name == "" {
		return fmt.Errorf("tool choice '%s' not found in 'tools' parameter", choice)
	}
	if r["tool_choice"] == "required" && len(list(r["tools"])) == 0 {
		return fmt.Errorf("tool choice 'required' must be specified with 'tools' parameter")
	}
	if len(list(r["input"])) == 0 && text(r["input"]) == "" {
		return fmt.Errorf("'input' is empty")
	}
	return checkItems(list(r["input"]), p)
}

// checkResponsesTools checks the tools of a request, of a namespace, of Codex's item
// additional_tools or of the result of a search for tools. A namespace has functions and
// freeform tools in it, and no other namespace.
func checkResponsesTools(tools []any, namespace string) error {
	for _, t := range tools {
		kind, name := text(member(t, "type")), text(member(t, "name"))
		switch kind {
		case "namespace":
			if namespace != "" {
				return fmt.Errorf("a namespace in a namespace")
			}
			if err := checkResponsesTools(list(member(t, "tools")), name); err != nil {
				return err
			}
		case "function":
			schema := member(t, "parameters")
			if schema != nil && member(schema, "type") != "object" {
				return fmt.Errorf("invalid schema for function '%s': schema must have type 'object'", name)
			}
			if member(t, "strict") != false {
				if err := checkStrict(schema, name); err != nil {
					return err
				}
			}
		case "custom", "tool_search", "web_search", "image_generation", "code_interpreter":
		default:
			return fmt.Errorf("invalid value: '%s' for 'tools[].type'", kind)
		}
		if (kind == "function" || kind == "custom" || kind == "namespace") && !isName(name, 64, "") {
			return fmt.Errorf("invalid 'tools[].name': %q", name)
		}
	}
	return nil
}

// checkStrict refuses schemas that strict mode does not take. Where strict is not
// said, the server would fill in all optional arguments, which is as bad.
// Source: https://github.com/open-webui/open-webui/issues/27750
func checkStrict(schema any, name string) error {
	return eachSchema(schema, func(s object) error {
		properties, _ := s["properties"].(object)
		if s["type"] == "object" && (s["additionalProperties"] != false || len(list(s["required"])) != len(properties)) {
			return fmt.Errorf("invalid schema for function '%s': strict needs additionalProperties false and all properties in required", name)
		}
		return nil
	})
}

// itemPrefixes are how the ids of items begin, by their type. An item may have no id; one
// with another's prefix, or "", is refused: "Expected an ID that begins with 'fc'". The
// id of the item is not the call's, which is call_id.
//
// Sources: https://github.com/nodetool-ai/nodetool/pull/4252,
// https://github.com/Wei-Shaw/sub2api/issues/3785,
// https://github.com/langchain-ai/langchainjs/issues/11044 ("")
var itemPrefixes = map[string]string{"message": "msg_", "reasoning": "rs_", "function_call": "fc_", "custom_tool_call": "ctc_"}

// checkItems checks the conversation. Results need not follow their calls at once, but
// each call must have one. The reasoning of another vendor is refused, as OpenAI refuses
// what it cannot decrypt.
// Source: https://github.com/openai/codex/issues/8145
func checkItems(items []any, p *Provider) error {
	var calls paired
	for i, item := range items {
		where, kind := fmt.Sprintf("input[%d]", i), text(member(item, "type"))
		if kind == "" && member(item, "role") != nil {
			kind = "message"
		}
		if id, ok := member(item, "id").(string); ok && !strings.HasPrefix(id, itemPrefixes[kind]) {
			return fmt.Errorf("invalid '%s.id': '%s'. Expected an ID that begins with '%s'", where, id, itemPrefixes[kind])
		}
		var err error
		switch kind {
		case "message":
			err = checkItemParts(item, where)
		case "function_call", "custom_tool_call", "tool_search_call":
			err = calls.call(text(member(item, "call_id")))
		case "function_call_output", "custom_tool_call_output", "tool_search_output":
			err = checkOutput(item, where, &calls)
		case "reasoning":
			if s := text(member(item, "encrypted_content")); s != "" && !p.isOwn(s) {
				err = fmt.Errorf("the encrypted content could not be verified")
			}
		case "additional_tools":
			err = checkResponsesTools(list(member(item, "tools")), "")
		case "web_search_call", "compaction", "compaction_trigger":
		default:
			err = fmt.Errorf("invalid value: '%s' for '%s.type'", kind, where)
		}
		if err != nil {
			return fmt.Errorf("%s: %w", where, err)
		}
	}
	return calls.none()
}

// checkOutput checks the result of a call: a text, or parts, among them images.
func checkOutput(item any, where string, calls *paired) error {
	for _, part := range list(member(item, "output")) {
		if err := oneOf(member(part, "type"), where+".output[].type", "input_text", "input_image", "input_file"); err != nil {
			return err
		}
	}
	return calls.result(text(member(item, "call_id")))
}

// checkItemParts checks the parts of a message. What the model has said is output_text or
// refusal, what all others have said is input_…; the same word for both is a 400.
func checkItemParts(item any, where string) error {
	role := text(member(item, "role"))
	if err := oneOf(role, where+".role", "user", "assistant", "system", "developer"); err != nil {
		return err
	}
	allowed := []string{"input_text", "input_image", "input_file", "input_audio"}
	if role == "assistant" {
		allowed = []string{"output_text", "refusal"}
	}
	for _, part := range list(member(item, "content")) {
		if err := oneOf(member(part, "type"), where+".content[].type", allowed...); err != nil {
			return err
		}
	}
	return nil
}

// read reads the conversation. Calls that follow each other are of one turn; whatever item
// stands between two calls, such as a result or reasoning, begins the next one. Tools are
// found in the three places where Codex puts them: the field tools, an item
// additional_tools, and the result of a search for tools.
func (responses) read(r object) conversation {
	c := conversation{tools: make(map[string]tool)}
	c.declare(list(r["tools"]), "")
	calls := false // in the turn of the model that is being read
	for _, item := range list(r["input"]) {
		parts := append(list(member(item, "output")), list(member(item, "content"))...)
		for _, part := range parts {
			if member(part, "type") == "input_image" {
				c.images++
			}
		}
		switch text(member(item, "type")) {
		case "additional_tools", "tool_search_output":
			c.declare(list(member(item, "tools")), "")
		case "reasoning":
			c.signatures = append(c.signatures, text(member(item, "encrypted_content")))
		case "function_call", "custom_tool_call", "tool_search_call":
			if !calls {
				c.turns++
			}
			calls = true
			continue
		case "function_call_output", "custom_tool_call_output":
			c.results++
		}
		calls = false
	}
	return c
}

// declare adds tools by the name in Call.Tool, and how they must be called: Codex takes a
// call only as the kind that it has declared, with the namespace beside the name.
func (c *conversation) declare(tools []any, namespace string) {
	for _, t := range tools {
		name := text(member(t, "name"))
		switch text(member(t, "type")) {
		case "namespace":
			c.declare(list(member(t, "tools")), name)
		case "function", "custom":
			full := name
			if namespace != "" {
				full = namespace + "__" + name
			}
			c.tools[full] = tool{schema: member(t, "parameters"), isFreeform: member(t, "type") == "custom", name: name, namespace: namespace}
		}
	}
}

// items writes what the model says: reasoning with the encrypted state, a message, calls.
func (turn turn) items() []any {
	items := []any{object{"type": "reasoning", "id": fmt.Sprint("rs_", turn.number), "summary": []any{object{"type": "summary_text", "text": "Let me think."}}, "encrypted_content": turn.signature}}
	if turn.text != "" {
		items = append(items, object{
			"type": "message", "id": fmt.Sprint("msg_", turn.number), "role": "assistant", "status": "completed",
			"content": []any{object{"type": "output_text", "text": turn.text, "annotations": []any{}}},
		})
	}
	for i, call := range turn.calls {
		item := object{"type": "function_call", "id": fmt.Sprintf("fc_%d_%d", turn.number, i), "call_id": call.id, "name": call.name, "arguments": call.arguments, "status": "completed"}
		if call.isFreeform {
			item = object{"type": "custom_tool_call", "id": fmt.Sprintf("ctc_%d_%d", turn.number, i), "call_id": call.id, "name": call.name, "input": call.arguments, "status": "completed"}
		}
		if call.namespace != "" {
			item["namespace"] = call.namespace
		}
		items = append(items, item)
	}
	return items
}

// response writes the response with what is in it so far. All numbers of usage are there:
// Codex rejects a response in which one is missing.
func (turn turn) response(status string, output []any) object {
	return object{
		"id": fmt.Sprint("resp_", turn.number), "object": "response", "created_at": 1, "status": status, "model": "real", "output": output, "error": nil,
		"usage": object{
			"input_tokens": 12, "input_tokens_details": object{"cached_tokens": 0}, "output_tokens": 3, "output_tokens_details": object{"reasoning_tokens": 0}, "total_tokens": 15,
		},
	}
}

func (responses) whole(turn turn) string { return encode(turn.response("completed", turn.items())) }

// stream writes the events of OpenAI's API, with the type in the event's name and in its
// data and numbers from 0. Each item is announced, filled in pieces and repeated whole;
// the last event repeats all of them. The text comes in one piece, the arguments of
// functions in many, and reasoning and the input of freeform tools only with their item:
// a reader that waits for deltas alone loses them.
func (responses) stream(turn turn) (events []string) {
	event := func(kind string, o object) {
		o["type"], o["sequence_number"] = kind, len(events)
		events = append(events, "event: "+kind+"\ndata: "+encode(o)+"\n\n")
	}
	event("response.created", object{"response": turn.response("in_progress", []any{})})
	items := turn.items()
	for i, item := range items {
		begun := object{}
		maps.Copy(begun, item.(object))
		id := begun["id"]
		switch begun["type"] {
		case "message":
			begun["content"] = []any{}
		case "function_call":
			begun["arguments"] = ""
		case "custom_tool_call":
			begun["input"] = ""
		}
		event("response.output_item.added", object{"output_index": i, "item": begun})
		switch begun["type"] {
		case "message":
			event("response.content_part.added", object{"output_index": i, "item_id": id, "content_index": 0, "part": object{"type": "output_text", "text": "", "annotations": []any{}}})
			event("response.output_text.delta", object{"output_index": i, "item_id": id, "content_index": 0, "delta": turn.text, "logprobs": []any{}})
			event("response.output_text.done", object{"output_index": i, "item_id": id, "content_index": 0, "text": turn.text, "logprobs": []any{}})
		case "function_call":
			for _, piece := range pieces(text(member(item, "arguments"))) {
				event("response.function_call_arguments.delta", object{"output_index": i, "item_id": id, "delta": piece})
			}
			event("response.function_call_arguments.done", object{"output_index": i, "item_id": id, "arguments": member(item, "arguments")})
		}
		event("response.output_item.done", object{"output_index": i, "item": item})
	}
	if turn.breaks {
		failed := turn.response("failed", items)
		failed["error"] = object{"code": "server_error", "message": "the model has stopped"}
		event("response.failed", object{"response": failed})
		return events
	}
	event("response.completed", object{"response": turn.response("completed", items)})
	return events
}
