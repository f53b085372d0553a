package strictprovider

import (
	"encoding/json"
	"fmt"
	"strings"
)

// chat is Chat Completions. DeepSeek's and Kimi's models require the reasoning of
// turns with calls back, and OpenAI's refuse samplers while they reason.
//
// Its opaque state is reasoning_content, which the other dialects carry in a signature:
// what an agent sends back in any of them must be this text again.
type chat struct{}

// chatFields are those of OpenAI's API, without the deprecated functions and
// function_call. Many compatible servers ignore others; Mistral ("Extra inputs are not
// permitted") and Google's compatible API ("Unknown name") refuse them.
// Source: https://platform.openai.com/docs/api-reference/chat/create
var chatFields = strings.Fields(`model messages tools tool_choice parallel_tool_calls max_completion_tokens max_tokens temperature top_p
	presence_penalty frequency_penalty seed stop n logit_bias logprobs top_logprobs reasoning_effort response_format verbosity modalities
	audio prediction web_search_options stream stream_options store metadata service_tier safety_identifier user prompt_cache_key
	prompt_cache_options prompt_cache_retention`)

// check refuses a request as OpenAI's API does, in the words of its errors where they are
// known. max_tokens and effort beside functions are refused for OpenAI's models that
// reason; all else is refused for each model.
//
// Sources: https://platform.openai.com/docs/guides/reasoning and, for effort with tools,
// https://github.com/openai/openai-openapi/issues/541
func (chat) check(r object, _ *Provider) error {
	if err := onlyFields(r, "body", chatFields...); err != nil {
		return err
	}
	switch {
	case text(r["model"]) == "":
		return fmt.Errorf("you must provide a model parameter")
	case len(list(r["messages"])) == 0:
		return fmt.Errorf("[] is too short - 'messages'")
	case len(list(r["stop"])) > 4:
		return fmt.Errorf("stop: array too long, 4 at most")
	case r["stream_options"] != nil && r["stream"] != true:
		return fmt.Errorf("the 'stream_options' parameter is only allowed when 'stream' is enabled")
	}
	if reasons(r) && r["max_tokens"] != nil {
		return fmt.Errorf("unsupported parameter: 'max_tokens' is not supported with this model. Use 'max_completion_tokens' instead")
	}
	if err := checkReasoningModel(r, "frequency_penalty", "presence_penalty", "stop"); err != nil {
		return err
	}
	if reasons(r) && list(r["tools"]) != nil && r["reasoning_effort"] != nil && r["reasoning_effort"] != "none" {
		return fmt.Errorf("function tools with reasoning_effort are not supported for %v in /v1/chat/completions. Please use /v1/responses instead", r["model"])
	}
	if format := member(r["response_format"], "json_schema"); format != nil {
		if err := checkFormat(format); err != nil {
			return err
		}
	}
	if err := checkChatTools(r); err != nil {
		return err
	}
	return checkChatMessages(list(r["messages"]), needsReasoning(text(r["model"])))
}

// needsReasoning reports whether a model requires the reasoning of turns with calls back.
// "m" is any model's name in this package's tests. An empty text is as bad as none:
// DeepSeek answers "The reasoning_content in the thinking mode must be passed back to the
// API."
//
// Sources: https://api-docs.deepseek.com/guides/thinking_mode and
// https://github.com/anomalyco/opencode/issues/24722
func needsReasoning(model string) bool {
	return model == "m" || strings.HasPrefix(model, "deepseek") || strings.HasPrefix(model, "kimi")
}

// reasons reports whether a request is for a model of OpenAI's that reasons, by its name.
// gpt-oss, OpenAI's open model, is served by others and has none of these rules.
func reasons(r object) bool {
	model := text(r["model"])
	return strings.HasPrefix(model, "gpt-5") || strings.HasPrefix(model, "gpt-6") || strings.HasPrefix(model, "o3") || strings.HasPrefix(model, "o4")
}

// checkReasoningModel refuses what OpenAI's reasoning models refuse while they reason:
// samplers, and some fields more. A temperature of 1 is the default and is taken. With
// effort none, the models that know it take samplers. It serves chat, where effort is
// reasoning_effort, and Responses, where it is in reasoning.
func checkReasoningModel(r object, more ...string) error {
	effort := text(r["reasoning_effort"]) + text(member(r["reasoning"], "effort"))
	if !reasons(r) || effort == "none" {
		return nil
	}
	for _, name := range append([]string{"temperature", "top_p"}, more...) {
		if isDefault := name == "temperature" && r[name] == 1.0; r[name] != nil && !isDefault {
			return fmt.Errorf("unsupported parameter: '%s' is not supported with this model", name)
		}
	}
	return nil
}

// checkFormat checks a schema for structured output, of chat and Responses. The name is
// required, and only a strict schema is looked at.
// Source: https://platform.openai.com/docs/guides/structured-outputs
func checkFormat(format any) error {
	if name := text(member(format, "name")); !isName(name, 64, "") {
		return fmt.Errorf("invalid json_schema.name: %q", name)
	}
	if member(format, "strict") == true {
		return checkStrict(member(format, "schema"), text(member(format, "name")))
	}
	return nil
}

// checkChatTools checks the tools and the choice among them. An empty list of tools is
// refused, and so are tool_choice and parallel_tool_calls without tools; Codex sends
// `"tools":[]` and `"tool_choice":"auto"` when it compacts a conversation. Custom tools
// are OpenAI's only: llama.cpp answers "'type' of tool must be 'function'".
//
// Sources: https://github.com/Upsonic/Upsonic/issues/323 (parallel_tool_calls),
// https://github.com/ggml-org/llama.cpp/issues/20156
func checkChatTools(r object) error {
	tools, isThere := r["tools"]
	switch {
	case isThere && len(list(tools)) == 0:
		return fmt.Errorf("[] is too short - 'tools'")
	case !isThere && r["tool_choice"] != nil:
		return fmt.Errorf("'tool_choice' is only allowed when 'tools' are specified")
	case !isThere && r["parallel_tool_calls"] != nil:
		return fmt.Errorf("'parallel_tool_calls' is only allowed when 'tools' are specified")
	}
	names := make(map[string]bool)
	for _, tool := range list(tools) {
		if err := oneOf(member(tool, "type"), "'type' of tool", "function"); err != nil {
			return err
		}
		name := text(member(tool, "function", "name"))
		if !isName(name, 64, "") || names[name] {
			return fmt.Errorf("invalid 'tools[].function.name': %q", name)
		}
		names[name] = true
		if p := member(tool, "function", "parameters"); p != nil && member(p, "type") != "object" {
			return fmt.Errorf("invalid schema for function %q: schema must have type 'object'", name)
		}
		if member(tool, "function", "strict") == true {
			if err := checkStrict(member(tool, "function", "parameters"), name); err != nil {
				return err
			}
		}
	}
	if forced := text(member(r["tool_choice"], "function", "name")); forced != "" && !names[forced] {
		return fmt.Errorf("tool_choice: there is no tool %s", forced)
	}
	return nil
}

// chatParts are the types of parts that a message of each role may have. The result of a
// tool has texts only, which is why the gateway puts images of a result into a user's
// message behind it. The deprecated role function is refused.
var chatParts = map[string][]string{
	"system": {"text"}, "developer": {"text"}, "tool": {"text"}, "assistant": {"text", "refusal"}, "user": {"text", "image_url", "input_audio", "file"},
}

// checkChatMessages checks the order of a conversation: after a message with calls come
// the results of all of them, in any order, and nothing else before that. Parallel calls
// that are spread over several messages of the model are refused by that, which is what
// Codex once sent.
// Source: https://github.com/openai/codex/pull/8556
func checkChatMessages(messages []any, needsReasoning bool) error {
	var calls paired
	for i, m := range messages {
		role := text(member(m, "role"))
		where := fmt.Sprintf("messages[%d]", i)
		if chatParts[role] == nil {
			return fmt.Errorf("%s.role: %q", where, role)
		}
		for _, part := range list(member(m, "content")) {
			if err := oneOf(member(part, "type"), where+".content[].type", chatParts[role]...); err != nil {
				return err
			}
		}
		if role == "tool" {
			if err := calls.result(text(member(m, "tool_call_id"))); err != nil {
				return fmt.Errorf("%s: messages with role 'tool' must be a response to a preceding message with 'tool_calls': %w", where, err)
			}
			continue
		}
		if err := calls.none(); err != nil {
			return fmt.Errorf("an assistant message with 'tool_calls' must be followed by tool messages: %w", err)
		}
		if err := checkChatCalls(m, where, &calls, needsReasoning); err != nil {
			return err
		}
	}
	return calls.none()
}

// checkChatCalls checks the calls of a message. Arguments are a text that must be a JSON
// object: servers that fill in a chat template, such as vLLM, decode it and fail
// otherwise.
func checkChatCalls(m any, where string, calls *paired, needsReasoning bool) error {
	made := list(member(m, "tool_calls"))
	if needsReasoning && member(m, "role") == "assistant" && len(made) > 0 && text(member(m, "reasoning_content")) == "" {
		return fmt.Errorf("%s: missing reasoning_content in an assistant message with tool calls", where)
	}
	if member(m, "role") == "user" && member(m, "content") == nil {
		return fmt.Errorf("%s.content: expected a string, got null", where)
	}
	for _, call := range made {
		if err := calls.call(text(member(call, "id"))); err != nil {
			return fmt.Errorf("%s: %w", where, err)
		}
		if name := text(member(call, "function", "name")); !isName(name, 64, "") {
			return fmt.Errorf("%s.tool_calls[].function.name: %q", where, name)
		}
		var arguments object
		if err := json.Unmarshal([]byte(text(member(call, "function", "arguments"))), &arguments); err != nil {
			return fmt.Errorf("%s.tool_calls[].function.arguments: %w", where, err)
		}
	}
	return nil
}

// read reads the conversation. Images can only stand in messages of the user.
func (chat) read(r object) conversation {
	c := conversation{tools: make(map[string]tool)}
	for _, t := range list(r["tools"]) {
		f := member(t, "function")
		c.tools[text(member(f, "name"))] = tool{schema: member(f, "parameters")}
	}
	for _, m := range list(r["messages"]) {
		if len(list(member(m, "tool_calls"))) > 0 {
			c.turns++
		}
		if thought := text(member(m, "reasoning_content")); thought != "" {
			c.signatures = append(c.signatures, thought)
		}
		for _, part := range list(member(m, "content")) {
			if member(part, "type") == "image_url" {
				c.images++
			}
		}
		if member(m, "role") == "tool" {
			c.results++
		}
	}
	return c
}

// whole writes the answer as one response. content is null beside calls, as OpenAI has it.
func (chat) whole(turn turn) string {
	message := object{"role": "assistant", "content": nil, "reasoning_content": turn.signature}
	finish := "tool_calls"
	if len(turn.calls) == 0 {
		message["content"], finish = turn.text, "stop"
	}
	var calls []any
	for _, call := range turn.calls {
		calls = append(calls, object{"id": call.id, "type": "function", "function": object{"name": call.name, "arguments": call.arguments}})
	}
	if calls != nil {
		message["tool_calls"] = calls
	}
	return encode(object{
		"id": "chatcmpl-1", "object": "chat.completion", "created": 1, "model": "real", "choices": []any{object{"index": 0, "message": message, "finish_reason": finish}},
		"usage": object{"prompt_tokens": 12, "completion_tokens": 3, "total_tokens": 15},
	})
}

// stream writes the answer as OpenAI's servers do: the role first, each call's id and name
// before its arguments, the finish reason in a chunk of its own, usage behind it and
// [DONE]. Usage comes although it may not have been asked for, as with many providers.
// After the error of a turn that breaks there is nothing, not even [DONE].
func (chat) stream(turn turn) []string {
	var events []string
	chunk := func(delta object, finish any) {
		events = append(events, "data: "+encode(object{
			"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": "real",
			"choices": []any{object{"index": 0, "delta": delta, "finish_reason": finish}},
		})+"\n\n")
	}
	chunk(object{"role": "assistant", "content": ""}, nil)
	chunk(object{"reasoning_content": turn.signature}, nil)
	for i, call := range turn.calls {
		chunk(object{"tool_calls": []any{object{"index": i, "id": call.id, "type": "function", "function": object{"name": call.name, "arguments": ""}}}}, nil)
		for _, piece := range pieces(call.arguments) {
			chunk(object{"tool_calls": []any{object{"index": i, "function": object{"arguments": piece}}}}, nil)
		}
	}
	if turn.text != "" {
		chunk(object{"content": turn.text}, nil)
	}
	if turn.breaks {
		return append(events, `data: {"error":{"message":"the model has stopped","type":"server_error"}}`+"\n\n")
	}
	if len(turn.calls) > 0 {
		chunk(object{}, "tool_calls")
	} else {
		chunk(object{}, "stop")
	}
	return append(events, `data: {"id":"chatcmpl-1","object":"chat.completion.chunk","created":1,"model":"real","choices":[],"usage":{"prompt_tokens":12,"completion_tokens":3,"total_tokens":15}}`+"\n\n", "data: [DONE]\n\n")
}
