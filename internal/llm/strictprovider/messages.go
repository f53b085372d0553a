package strictprovider

import (
	"fmt"
	"slices"
	"strings"
)

// messages is Anthropic's API with a model that thinks adaptively. Its opaque state is the
// signature of a thinking block.
// Source: https://platform.claude.com/docs/en/api/messages
type messages struct{}

// The API refuses unknown members ("Extra inputs are not permitted"), here at the top
// level. messagesBlocks are the blocks that a message of each role may have; the role
// system is there for models that take it. imageTypes are those of a base64 source.
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

// check refuses a request as Anthropic does. A request may have four marks of the prompt
// cache. They are counted as members of that name in the JSON text, which is enough for
// the agents' requests.
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

// isOlder reports whether a request is for a model from before adaptive thinking: Claude
// 3, 4.1 and 4.5.
func isOlder(r object) bool {
	model := text(r["model"])
	return strings.Contains(model, "claude-3") || strings.Contains(model, "-4-5") || strings.Contains(model, "-4-1")
}

// checkThinking checks what a model takes of thinking and samplers. Older models think
// with a budget of at least 1024 tokens, below max_tokens; meanwhile they take no top_k
// and no temperature but 1, and never temperature beside top_p. Newer models take no
// budget and no sampler at all, and take no {"type":"disabled"} while the effort is xhigh
// or max, which is documented for Opus 5.
//
// Sources: https://platform.claude.com/docs/en/build-with-claude/extended-thinking and
// https://platform.claude.com/docs/en/build-with-claude/adaptive-thinking
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
// having thought. The API's error says so of the final message of the assistant only, and
// recommends to disable thinking if there is no block to send. Turns before it are not
// looked at.
// Source: https://github.com/mastra-ai/mastra/issues/7799
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

// notInStrict are keywords that schemas for structured output must not have. Numbers and
// lengths can be said in the description only.
// Source: https://platform.claude.com/docs/en/build-with-claude/structured-outputs
var notInStrict = strings.Fields("minimum maximum exclusiveMinimum exclusiveMaximum multipleOf minLength maxLength maxItems uniqueItems propertyNames not if oneOf")

// checkClosed checks a schema for structured output, or of a strict tool. Unlike OpenAI's
// strict mode it may have optional properties.
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

// checkMessagesTools checks the tools and the choice among them. Of a tool that is the
// provider's own, only the name is looked at.
//
// Sources: https://github.com/anthropics/claude-code/issues/5319 (anyOf at the top level),
// https://github.com/can1357/oh-my-pi/issues/341 (forced tools beside thinking)
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

// checkMessagesTurns checks the order of a conversation. Results stand in the user's
// message right after the calls, before all other blocks of it, and all of them do. A
// system message may come between. Messages of one role in a row are allowed, as the
// server merges them.
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

// checkBlock checks a block: its type by the role, and what is in it. Texts of nothing but
// space are refused everywhere, also beside others, where the API may take them. Ids of
// calls must match the API's pattern; Kimi's functions.Bash:0 does not.
//
// Sources: https://github.com/anthropics/claude-code/issues/23440 (texts of space),
// https://github.com/LibreChat-AI/agents/pull/124 (what is refused where)
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

// checkImage checks an image. The media type must be said, and be one of four.
func checkImage(block any, where string) error {
	source := member(block, "source")
	if member(source, "type") != "base64" {
		return oneOf(member(source, "type"), where+".source.type", "url", "file")
	}
	return oneOf(member(source, "media_type"), where+".source.media_type", imageTypes...)
}

// read reads the conversation. Images count in the user's messages and in results, where
// this dialect alone has them in place.
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

// message writes a message: the whole answer, or what is in message_start. It has the id
// of the turn, as Claude Code takes two responses with one id for one.
func (t turn) message(content []any, reason any) object {
	return object{
		"id": fmt.Sprint("msg_", t.number), "type": "message", "role": "assistant", "model": t.model, "content": content, "stop_reason": reason, "stop_sequence": nil,
		"usage": object{"input_tokens": 12, "output_tokens": 3},
	}
}

// stopReason is why the turn has ended.
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

// stream writes the events of Anthropic's API: blocks in a row, with indexes from 0, the
// signature whole and just before the end of its block, calls with an empty input in
// their start. An error takes the place of message_delta and message_stop.
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
