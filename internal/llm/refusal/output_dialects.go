package refusal

import "bytes"

// inspectChat inspects a chunk or a whole response of Chat Completions:
//
//	{"choices": [{"delta": {"content": "Hi"}, "finish_reason": null}]}
//
// A finish reason is output even without text: an empty answer is an answer. An
// error next to it, as OpenRouter sends when a provider fails in a stream, is a
// failure.
//
// Source: platform.openai.com/docs/api-reference/chat.
func inspectChat(v value) Found {
	finished := false
	for choice := range v.get("choices").items {
		said, end := inspectChoice(choice)
		switch {
		case end == Failure:
			return Failure
		case said:
			return Output
		}
		finished = finished || end == Output
	}
	if failure := v.get("error"); finished && failure.isSet() && !isNoError(failure) {
		return Failure
	}
	return outputIf(finished)
}

// inspectChoice returns whether a choice has content, and how it ends: Failure for
// an error, Output for a finish reason, Nothing if it goes on.
func inspectChoice(choice value) (said bool, end Found) {
	for name, member := range choice.fields {
		switch string(name) {
		case "finish_reason":
			switch {
			case member.is("error"):
				return said, Failure
			case member.isString() && member.isSet() && !member.is("null"):
				end = Output
			}
		case "error":
			if member.isSet() {
				return said, Failure
			}
		case "delta", "message":
			said = said || hasContent(member)
		case "text":
			said = said || member.isSet()
		}
	}
	return said, end
}

// hasContent reports whether a message or delta has content. A role alone is none.
func hasContent(message value) bool {
	for name, member := range message.fields {
		switch string(name) {
		case "content", "reasoning_content", "reasoning", "reasoning_details", "thinking", "refusal", "tool_calls",
			"function_call", "audio", "images", "annotations":
			if member.isSet() {
				return true
			}
		}
	}
	return false
}

// inspectResponses inspects an event or a whole response of OpenAI's Responses. An
// event has a member `type`, such as response.output_text.delta; a response has
// `object` instead.
//
// Source: platform.openai.com/docs/api-reference/responses-streaming.
func inspectResponses(v value, inStream bool) Found {
	kind := v.get("type")
	if !kind.isString() {
		return inspectResponse(v, inStream)
	}
	name := kind.raw()
	switch string(name) {
	case "error", "response.failed":
		return Failure
	case "response.created", "response.in_progress", "response.queued":
		return Nothing
	case "response.completed", "response.done":
		return inspectResponse(v.get("response"), false)
	case "response.incomplete":
		return inspectResponse(v.get("response"), false)
	case "response.output_item.added":
		return inspectItem(v.get("item"))
	case "response.output_item.done", "response.output_text.annotation.added":
		return Output
	case "response.content_part.added", "response.reasoning_summary_part.added":
		if v.get("part").get("text").isSet() {
			return Output
		}
		return Nothing
	}
	switch {
	case bytes.HasSuffix(name, []byte(".delta")):
		return outputIf(v.get("delta").isSet())
	case bytes.HasSuffix(name, []byte(".done")):
		return outputIf(v.get("text").isSet() || v.get("arguments").isSet() || v.get("input").isSet() || v.get("refusal").isSet())
	case bytes.Contains(name, []byte("_call.")): // response.web_search_call.searching and the like
		return Output
	}
	return Nothing
}

func outputIf(ok bool) Found {
	if ok {
		return Output
	}
	return Nothing
}

// inspectResponse inspects a response object. The status completed is a finish
// reason, and incomplete is one if the reason is given. A response that runs in
// the background is queued when it comes, which is all that its client expects.
func inspectResponse(v value, inStream bool) Found {
	if v.get("error").isSet() {
		return Failure
	}
	status := v.get("status")
	switch {
	case status.is("failed"), status.is("cancelled"):
		return Failure
	case v.get("output").isSet():
		return Output
	case status.is("completed"):
		return Output
	case status.is("incomplete"):
		return outputIf(v.get("incomplete_details").get("reason").isSet())
	case status.is("queued"), status.is("in_progress"):
		return outputIf(!inStream)
	}
	return Nothing
}

// inspectItem inspects the item of response.output_item.added. Messages and
// reasoning begin empty; every other item is the call of a tool.
func inspectItem(item value) Found {
	kind := item.get("type")
	if !kind.isString() || kind.is("message") || kind.is("reasoning") {
		return outputIf(item.get("content").isSet() || item.get("summary").isSet() || item.get("encrypted_content").isSet())
	}
	return Output
}

// inspectMessages inspects an event or a whole response of Anthropic's Messages:
//
//	message_start → content_block_start → content_block_delta … → content_block_stop → … →
//	message_delta (stop_reason) → message_stop, with ping anywhere
//
// Source: docs.claude.com/en/docs/build-with-claude/streaming.
func inspectMessages(v value) Found {
	kind := v.get("type")
	switch {
	case kind.is("error"):
		return Failure
	case kind.is("message_start"):
		return inspectMessage(v.get("message"))
	case kind.is("content_block_start"):
		return outputIf(isBlock(v.get("content_block")))
	case kind.is("content_block_delta"):
		return inspectBlockDelta(v.get("delta"))
	case kind.is("message_delta"):
		return outputIf(v.get("delta").get("stop_reason").isSet())
	case kind.is("message_stop"):
		return End
	case kind.is("ping"), kind.is("content_block_stop"):
		return Nothing
	}
	return inspectMessage(v)
}

// inspectMessage inspects a message object, whole or as message_start has it.
func inspectMessage(v value) Found {
	if v.get("stop_reason").isSet() {
		return Output
	}
	for block := range v.get("content").items {
		if isBlock(block) {
			return Output
		}
	}
	return Nothing
}

// isBlock reports whether a content block is output. Text and thinking begin empty
// in a stream; every other block is output from its start.
func isBlock(block value) bool {
	kind := block.get("type")
	switch {
	case !kind.isString():
		return false
	case kind.is("text"):
		return block.get("text").isSet()
	case kind.is("thinking"):
		return block.get("thinking").isSet() || block.get("signature").isSet()
	}
	return true
}

// inspectBlockDelta inspects a delta, such as {"type": "text_delta", "text": "Hi"}:
// any member with content is output.
func inspectBlockDelta(delta value) Found {
	for name, member := range delta.fields {
		if string(name) != "type" && member.isSet() {
			return Output
		}
	}
	return Nothing
}

// inspectGemini inspects one of Gemini's responses, whole or a piece of a stream:
//
//	{"candidates": [{"content": {"parts": [{"text": "Hi"}]}, "finishReason": "STOP"}]}
//
// A blocked prompt has promptFeedback.blockReason and no candidates; that is a
// finish reason too.
//
// Source: ai.google.dev/api/generate-content.
func inspectGemini(v value) Found {
	if v.get("promptFeedback").get("blockReason").isSet() {
		return Output
	}
	for candidate := range v.get("candidates").items {
		reason := candidate.get("finishReason")
		if reason.isSet() && !reason.is("FINISH_REASON_UNSPECIFIED") {
			return Output
		}
		for part := range candidate.get("content").get("parts").items {
			if isPart(part) {
				return Output
			}
		}
	}
	return Nothing
}

// isPart reports whether a part has content. A thought signature alone is none.
func isPart(part value) bool {
	for name, member := range part.fields {
		switch string(name) {
		case "thought", "thoughtSignature", "thought_signature":
		default:
			if member.isSet() {
				return true
			}
		}
	}
	return false
}
