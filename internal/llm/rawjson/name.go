package rawjson

import "strings"

// names are the names that occur in most requests and events. Looking one up costs
// less than making a string of it.
var names = func() map[string]string {
	const list = `id object created model choices index delta message content role finish_reason logprobs usage
system_fingerprint service_tier error text type name arguments function tool_calls reasoning_content reasoning refusal
prompt_tokens completion_tokens total_tokens prompt_tokens_details completion_tokens_details cached_tokens
reasoning_tokens audio_tokens obfuscation provider native_finish_reason x_groq messages system tools tool_choice stream
max_tokens temperature top_p stream_options parameters description properties required additionalProperties items enum
input_schema cache_control thinking signature tool_use_id input is_error source media_type data metadata output_config
candidates parts finishReason usageMetadata modelVersion responseId promptTokenCount candidatesTokenCount
totalTokenCount thoughtsTokenCount cachedContentTokenCount thought thoughtSignature functionCall args safetyRatings
response item item_id output_index content_index sequence_number status output summary encrypted_content call_id
content_block stop_reason stop_sequence input_tokens output_tokens cache_read_input_tokens
cache_creation_input_tokens partial_json default title format minimum maximum strict url image_url detail`
	known := make(map[string]string)
	for name := range strings.FieldsSeq(list) {
		known[name] = name
	}
	return known
}()

// nameOf returns the name that a member's key, in quotes, says.
func nameOf(key Value) string {
	if len(key) >= 2 {
		if name, ok := names[string(key[1:len(key)-1])]; ok {
			return name
		}
	}
	return key.Text()
}
