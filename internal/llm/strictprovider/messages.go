package strictprovider

import (
	"fmt"
	"slices"
	"strings"
)

// messages is Anthropic's API with a model that thinks adaptively.
type messages struct{}

var (
	messagesFields = strings.Fields(`model messages max_tokens system stop_sequences stream tools tool_choice thinking output_config metadata
		service_tier speed cache_control container inference_geo diagnostics context_management temperature top_p top_k`)
	messagesBlocks = map[string][]string{
		"user":      {"text", "image", "document", "search_result", "tool_result"},
		"assistant": {"text", "thinking", "redacted_thinking", "tool_use", "server_tool_use", "web_search_tool_result"},
		"system":    {"text"},
	}
	imageTypes = []string{"image/jpeg", "image/png", "image/gif", "image/webp"}
)

func (messages) check(r object, p *Provider) error {
	if err := onlyFields(r, "body", messagesFields...); err != nil {
		return err
	}
	switch {
	case text(r["model"]) == "":
		return fmt.Errorf("model: Field required")
	case r["max_tokens"] == nil:
		return fmt.Errorf("max_tokens: Field required")
	case len(list(r["messages"])) == 0:
		return fmt.Errorf("messages: at least one message is required")
	case strings.Count(encode(r), `"cache_control":`) > 4:
		return fmt.Errorf("a maximum of 4 blocks with cache_control may be provided")
	}
	if err := checkThinking(r); err != nil {
		return err
	}
	thinks := r["thinking"] != nil && member(r["thinking"], "type") != "disabled"
	if format := member(r["output_config"], "format"); format != nil {
		if err := checkClosed(member(format, "schema"), "output_config.format.schema"); err != nil {
			return err
		}
	}
	if err := checkMessagesTools(r, thinks); err != nil {
		return err
	}
	if thinks && isOlder(r) {
		if err := checkThoughtsBeforeCalls(list(r["messages"])); err != nil {
			return err
		}
	}
	return checkMessagesTurns(list(r["messages"]), p)
}

// isOlder reports whether a request is for a model from before adaptive thinking.
func isOlder(r object) bool {
	model := text(r["model"])
	return strings.Contains(model, "claude-3") || strings.Contains(model, "-4-5") || strings.Contains(model, "-4-1")
}

// checkThinking checks what a model takes of thinking and samplers.
func checkThinking(r object) error {
	thinking, budget := member(r["thinking"], "type"), member(r["thinking"], "budget_tokens")
	sampled := r["temperature"] != nil || r["top_p"] != nil || r["top_k"] != nil
	if isOlder(r) {
		n, _ := budget.(float64)
		limit, _ := r["max_tokens"].(float64)
		temperature, _ := r["temperature"].(float64)
		switch {
		case r["thinking"] != nil && thinking != "enabled" && thinking != "disabled":
			return fmt.Errorf("thinking.type: %v is not supported on this model", thinking)
		case thinking == "enabled" && (n < 1024 || n >= limit):
			return fmt.Errorf("thinking.budget_tokens: at least 1024, and less than max_tokens")
		case thinking == "enabled" && (r["top_k"] != nil || (r["temperature"] != nil && temperature != 1)):
			return fmt.Errorf("`temperature` may only be set to 1 when thinking is enabled")
		case r["temperature"] != nil && r["top_p"] != nil:
			return fmt.Errorf("`temperature` and `top_p` cannot both be specified for this model")
		case temperature > 1:
			return fmt.Errorf("temperature: range: 0..1")
		case member(r["output_config"], "effort") != nil:
			return fmt.Errorf("output_config.effort is not supported on this model")
		}
		return nil
	}
	effort := member(r["output_config"], "effort")
	switch {
	case sampled:
		return fmt.Errorf("temperature, top_p and top_k are not supported by this model")
	case thinking == "disabled" && (effort == "xhigh" || effort == "max"):
		return fmt.Errorf("thinking cannot be disabled with effort %v", effort)
	case r["thinking"] == nil:
		return nil
	}
	return oneOf(thinking, "thinking.type", "adaptive", "between_tools", "disabled")
}

// checkThoughtsBeforeCalls refuses a last turn of the model that calls tools without
// having thought.
func checkThoughtsBeforeCalls(turns []any) error {
	for i, turn := range slices.Backward(turns) {
		if member(turn, "role") != "assistant" {
			continue
		}
		for j, block := range list(member(turn, "content")) {
			switch kind := text(member(block, "type")); {
			case j == 0 && strings.HasSuffix(kind, "thinking"):
				return nil
			case kind == "tool_use":
				return fmt.Errorf("messages.%d.content.0.type: Expected `thinking` or `redacted_thinking`, but found `tool_use`", i)
			}
		}
		return nil
	}
	return nil
}

// notInStrict are keywords that schemas for structured output must not have.
var notInStrict = strings.Fields("minimum maximum exclusiveMinimum exclusiveMaximum multipleOf minLength maxLength maxItems uniqueItems propertyNames not if oneOf")

// checkClosed checks a schema for structured output.
func checkClosed(schema any, where string) error {
	return eachSchema(schema, func(s object) error {
		if s["type"] == "object" && s["additionalProperties"] != false {
			return fmt.Errorf("%s: for 'object' type, 'additionalProperties' must be explicitly set to false", where)
		}
		for _, keyword := range notInStrict {
			if _, ok := s[keyword]; ok {
				return fmt.Errorf("%s: property '%s' is not supported", where, keyword)
			}
		}
		return nil
	})
}

func checkMessagesTools(r object, thinks bool) error {
	names := make(map[string]bool)
	for i, t := range list(r["tools"]) {
		name, where := text(member(t, "name")), fmt.Sprintf("tools.%d", i)
		if !isName(name, 128, "") || names[name] {
			return fmt.Errorf("%s.name: %q", where, name)
		}
		names[name] = true
		if strings.HasPrefix(text(member(t, "type")), "web_search_") {
			continue
		}
		schema := member(t, "input_schema")
		switch {
		case member(schema, "type") != "object":
			return fmt.Errorf("%s.input_schema.type: Field required", where)
		case member(t, "strict") == true && checkClosed(schema, where) != nil:
			return checkClosed(schema, where)
		case member(schema, "anyOf") != nil || member(schema, "oneOf") != nil || member(schema, "allOf") != nil:
			return fmt.Errorf("%s.input_schema: does not support oneOf, allOf, or anyOf at the top level", where)
		}
	}
	choice := text(member(r["tool_choice"], "type"))
	switch {
	case choice != "" && len(names) == 0:
		return fmt.Errorf("tool_choice may only be specified while providing tools")
	case thinks && (choice == "any" || choice == "tool"):
		return fmt.Errorf("thinking may not be enabled when tool_choice forces tool use")
	case choice == "tool" && !names[text(member(r["tool_choice"], "name"))]:
		return fmt.Errorf("tool_choice: there is no such tool")
	}
	return nil
}

func checkMessagesTurns(turns []any, p *Provider) error {
	if member(turns[0], "role") != "user" {
		return fmt.Errorf("messages: first message must use the user role")
	}
	var calls paired
	for i, m := range turns {
		role, where := text(member(m, "role")), fmt.Sprintf("messages.%d", i)
		if messagesBlocks[role] == nil {
			return fmt.Errorf("%s.role: %q", where, role)
		}
		if plain, ok := member(m, "content").(string); ok {
			if err := calls.none(); err != nil && role != "system" {
				return fmt.Errorf("%s: `tool_use` ids were found without `tool_result` blocks immediately after: %w", where, err)
			}
			if plain == "" && role == "user" {
				return fmt.Errorf("%s: user messages must have non-empty content", where)
			}
			continue
		}
		for j, block := range list(member(m, "content")) {
			if err := checkBlock(block, role, fmt.Sprintf("%s.content.%d", where, j), &calls, p); err != nil {
				return err
			}
		}
		if role == "user" {
			if err := calls.none(); err != nil {
				return fmt.Errorf("%s: `tool_use` ids were found without `tool_result` blocks immediately after: %w", where, err)
			}
		}
	}
	return calls.none()
}

func checkBlock(block any, role, where string, calls *paired, p *Provider) error {
	kind := text(member(block, "type"))
	if err := oneOf(kind, where+".type", messagesBlocks[role]...); err != nil {
		return err
	}
	if role == "user" && kind != "tool_result" {
		if err := calls.none(); err != nil {
			return fmt.Errorf("%s: tool_result blocks must come first: %w", where, err)
		}
	}
	switch kind {
	case "text":
		if strings.TrimSpace(text(member(block, "text"))) == "" {
			return fmt.Errorf("%s: text content blocks must be non-empty", where)
		}
	case "image":
		return checkImage(block, where)
	case "thinking":
		if s := text(member(block, "signature")); !p.isOwn(s) {
			return fmt.Errorf("%s: Invalid `signature` in `thinking` block", where)
		}
	case "redacted_thinking":
		if !p.isOwn(text(member(block, "data"))) {
			return fmt.Errorf("%s: Invalid `data` in `redacted_thinking` block", where)
		}
	case "tool_use":
		id := text(member(block, "id"))
		if !isName(id, 1<<10, "") {
			return fmt.Errorf("%s.id: String should match pattern '^[a-zA-Z0-9_-]+$'", where)
		}
		if !isObject(member(block, "input")) {
			return fmt.Errorf("%s.input: Input should be a valid dictionary", where)
		}
		return calls.call(id)
	case "tool_result":
		for j, inner := range list(member(block, "content")) {
			if err := oneOf(member(inner, "type"), where+".content.type", "text", "image", "document", "search_result", "tool_reference"); err != nil {
				return err
			}
			if member(inner, "type") == "image" {
				if err := checkImage(inner, fmt.Sprintf("%s.content.%d", where, j)); err != nil {
					return err
				}
			}
		}
		return calls.result(text(member(block, "tool_use_id")))
	}
	return nil
}

func checkImage(block any, where string) error {
	source := member(block, "source")
	if member(source, "type") != "base64" {
		return oneOf(member(source, "type"), where+".source.type", "url", "file")
	}
	return oneOf(member(source, "media_type"), where+".source.media_type", imageTypes...)
}

func (messages) read(r object) conversation {
	c := conversation{tools: make(map[string]tool)}
	for _, t := range list(r["tools"]) {
		c.tools[text(member(t, "name"))] = tool{schema: member(t, "input_schema")}
	}
	for _, m := range list(r["messages"]) {
		calls := false
		for _, block := range list(member(m, "content")) {
			switch text(member(block, "type")) {
			case "tool_use":
				calls = true
			case "image":
				c.images++
			case "thinking":
				c.signatures = append(c.signatures, text(member(block, "signature")))
			case "redacted_thinking":
				c.signatures = append(c.signatures, text(member(block, "data")))
			case "tool_result":
				c.results++
				for _, inner := range list(member(block, "content")) {
					if member(inner, "type") == "image" {
						c.images++
					}
				}
			}
		}
		if calls {
			c.turns++
		}
	}
	return c
}

func (t turn) message(content []any, reason any) object {
	return object{
		"id": fmt.Sprint("msg_", t.number), "type": "message", "role": "assistant", "model": t.model, "content": content, "stop_reason": reason, "stop_sequence": nil,
		"usage": object{"input_tokens": 12, "output_tokens": 3},
	}
}

func (t turn) stopReason() string {
	if len(t.calls) > 0 {
		return "tool_use"
	}
	return "end_turn"
}

func (messages) whole(turn turn) string {
	content := []any{object{"type": "thinking", "thinking": "Let me think.", "signature": turn.signature}}
	if turn.text != "" {
		content = append(content, object{"type": "text", "text": turn.text})
	}
	for _, call := range turn.calls {
		content = append(content, object{"type": "tool_use", "id": call.id, "name": call.name, "input": decoded(call.arguments)})
	}
	return encode(turn.message(content, turn.stopReason()))
}

func (messages) stream(turn turn) (events []string) {
	event := func(kind string, o object) {
		o["type"] = kind
		events = append(events, "event: "+kind+"\ndata: "+encode(o)+"\n\n")
	}
	index := 0
	block := func(start object, deltas ...object) {
		event("content_block_start", object{"index": index, "content_block": start})
		for _, delta := range deltas {
			event("content_block_delta", object{"index": index, "delta": delta})
		}
		event("content_block_stop", object{"index": index})
		index++
	}
	event("message_start", object{"message": turn.message([]any{}, nil)})
	block(object{"type": "thinking", "thinking": "", "signature": ""},
		object{"type": "thinking_delta", "thinking": "Let me think."}, object{"type": "signature_delta", "signature": turn.signature})
	if turn.text != "" {
		block(object{"type": "text", "text": ""}, object{"type": "text_delta", "text": turn.text})
	}
	for _, call := range turn.calls {
		var deltas []object
		for _, piece := range pieces(call.arguments) {
			deltas = append(deltas, object{"type": "input_json_delta", "partial_json": piece})
		}
		block(object{"type": "tool_use", "id": call.id, "name": call.name, "input": object{}}, deltas...)
	}
	if turn.breaks {
		event("error", object{"error": object{"type": "api_error", "message": "the model has stopped"}})
		return events
	}
	event("message_delta", object{"delta": object{"stop_reason": turn.stopReason(), "stop_sequence": nil}, "usage": object{"output_tokens": 3}})
	event("message_stop", object{})
	return events
}
