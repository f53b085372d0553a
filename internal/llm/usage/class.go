package usage

// class is what the name of a field says about its value.
type class uint8

const (
	classOther    class = iota
	classMeta           // never text of a model: names, signatures, repetitions
	classMedia          // an image, sound or document in base64
	classUsage          // the object with the numbers
	classWrapper        // an object that may have the usage in it
	classMessage        // such a one that has the text too
	classResponse       // such a one, or the text itself
	classChoices        // the response's parts, which may have the usage in them
	classParts          // the response's parts
	classText           // text of the model, however deep
	classWords          // such text, or at the top what a client has asked of it
	classTokens         // Cohere's object with the numbers, in its usage

	classPrompt // the numbers
	classCacheWrite
	classCacheRead
	classTools
	classCompletion
	classThoughts
	classTotal
	classEvalPrompt // Ollama's, which stand beside the text
	classEval
)

// classOf returns the class of a name.
// Sources: https://platform.openai.com/docs/api-reference/chat/object and
// …/responses/object, https://docs.anthropic.com/en/api/messages,
// https://ai.google.dev/api/generate-content#UsageMetadata,
// https://docs.cohere.com/reference/chat and
// https://github.com/ollama/ollama/blob/main/docs/api.md
func classOf(name []byte) class {
	switch string(name) {
	case "usage", "usageMetadata", "usage_metadata":
		return classUsage
	case "x_groq", "meta", "result":
		return classWrapper
	case "message":
		return classMessage
	case "response":
		return classResponse
	case "choices":
		return classChoices
	case "candidates", "output", "outputs", "generations":
		return classParts
	case "text":
		return classWords
	case "content", "delta", "content_block", "completion", "thinking", "reasoning", "reasoning_content", "summary",
		"arguments", "args", "partial_json", "input", "refusal", "transcript", "code":
		return classText
	case "tokens":
		return classTokens
	case "data", "url", "image_url", "b64_json", "partial_image_b64", "file_data", "image", "audio", "bytes", "result_b64":
		return classMedia
	case "id", "object", "type", "role", "model", "name", "status", "finish_reason", "finishReason", "stop_reason", "call_id", "item_id",
		"response_id", "system_fingerprint", "service_tier", "event_id", "mime_type", "mimeType", "media_type", "created_at",
		"signature", "thoughtSignature", "thought_signature", "encrypted_content", "obfuscation", "embedding",
		"logprobs", "logprobsResult", "annotations", "citations", "reasoning_details":
		return classMeta
	}
	return classOfNumber(name)
}

func classOfNumber(name []byte) class {
	switch string(name) {
	case "prompt_tokens", "input_tokens", "promptTokenCount", "inputTokens":
		return classPrompt
	case "completion_tokens", "output_tokens", "candidatesTokenCount", "outputTokens":
		return classCompletion
	case "cache_creation_input_tokens":
		return classCacheWrite
	case "cache_read_input_tokens":
		return classCacheRead
	case "thoughtsTokenCount":
		return classThoughts
	case "toolUsePromptTokenCount":
		return classTools
	case "total_tokens", "totalTokenCount", "totalTokens":
		return classTotal
	case "prompt_eval_count":
		return classEvalPrompt
	case "eval_count":
		return classEval
	}
	return classOther
}

// longestName is the length of the longest name above.
const longestName = len("cache_creation_input_tokens")

// place is what stands in a part of a JSON text, by the path to it:
//
//	{                                       top
//	  "usage": {"prompt_tokens": 9},        usage
//	  "choices": [{                         choice
//	    "message": {"content": "Hello"}}],  parts, text
//	  "id": "x"                             meta
//	}
type place uint8

const (
	placeTop     place = iota // the object itself, or one of a list of them
	placeOther                // nothing that is known
	placeMeta                 // nothing that counts
	placeMedia                // media in base64
	placeUsage                // the numbers
	placeWrapper              // usage, and else nothing that is known
	placeMessage              // usage and text
	placeChoice               // usage, and text behind some names
	placeParts                // text behind some names
	placeText                 // text of the model
)

// inside returns what the value of a field is, in an object that stands at a
// place. Only so far as the path to it is known is an object named usage the
// response's own: anything deeper may repeat what a client has sent.
//
// What is meta stays meta at any depth: logprobs repeat the text token by token.
func (p place) inside(c class, isString bool) place {
	if p == placeMeta {
		return placeMeta
	}
	switch c {
	case classMeta:
		return placeMeta
	case classMedia:
		if isString {
			return placeMedia
		}
	}
	switch p {
	case placeTop:
		return insideTop(c, isString)
	case placeUsage:
		if c == classTokens {
			return placeUsage
		}
	case placeWrapper:
		if c == classUsage || c == classTokens {
			return placeUsage
		}
	case placeMessage:
		switch c {
		case classUsage:
			return placeUsage
		case classText, classWords:
			return placeText
		}
	case placeChoice, placeParts:
		switch {
		case c == classUsage && p == placeChoice:
			return placeUsage
		case c == classText, c == classWords:
			return placeText
		}
		return placeParts
	case placeText:
		return placeText
	}
	return placeOther
}

func insideTop(c class, isString bool) place {
	switch c {
	case classUsage:
		return placeUsage
	case classWrapper:
		return placeWrapper
	case classMessage:
		return placeMessage
	case classResponse:
		if isString {
			return placeText
		}
		return placeWrapper
	case classChoices:
		return placeChoice
	case classParts:
		if isString {
			return placeText
		}
		return placeParts
	case classText:
		return placeText
	case classWords:
		if isString {
			return placeText
		}
	}
	return placeOther
}
