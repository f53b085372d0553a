package refusal

import (
	"slices"
	"strings"
	"time"
)

const minute = time.Minute

// contentRules match refusals of the prompt's content. No other candidate is
// tried: every provider would be asked to serve what one has flagged, and may
// suspend the account for it:
//
//	403 {"error":{"code":403,"message":"m1 requires moderation. Your input was flagged",
//	     "metadata":{"reasons":["violence"],"flagged_input":"…"}}}                          OpenRouter
//	400 {"error":{"code":"data_inspection_failed","message":"Input data may contain
//	     inappropriate content."}}                                                          DashScope
var contentRules = []rule{
	{
		name: "content, by field", group: groupContent,
		fields: []string{
			"*content_filter*", "*content_policy*", "content_moderation*", "moderation_blocked", "refusal", "invalid_prompt",
			"DataInspectionFailed", "data_inspection_failed", "system_unsafe", "user_setting_unsafe", "functions_unsafe",
			"*RiskDetection", "*SensitiveContent*", "sensitive_words_detected", "ResponsibleAIPolicyViolation",
			"zai:1301", "PROHIBITED_CONTENT", "cyber_policy*", "bio_policy*", "image_generation_user_error",
		},
		kind: KindRequest, reason: ReasonContent,
		source: "OpenRouter, OpenAI, Azure, DashScope, Qianfan, Volcengine, Z.ai, Moonshot: error codes",
	},
	{
		name: "content, by metadata", group: groupContent, status: "400 403 422 451",
		when: func(f *facts) bool { return f.flagged }, whenWords: "`metadata.reasons`, `flagged_input` or `patterns` are given",
		kind: KindRequest, reason: ReasonContent, byField: true, source: docOpenRouter,
	},
	{
		name: "content, by text", group: groupContent, status: "400 403 422 451",
		texts: []string{
			"requires moderation", "input was flagged", "prompt was flagged", "flagged as potentially violating",
			"flagged by moderation", "content management policy", "safety system", "violates*content policy",
			"content violates", "violat*usage guidelines", "prompt*violat*usage polic", "inappropriate content",
			"prompt was blocked", "input or output*sensitive", "敏感内容", "敏感词", "不安全或敏感",
		},
		except: []string{"account*suspended", "account*deactivated", "account*disabled", "organization*disabled", "^*your api key"},
		kind:   KindRequest, reason: ReasonContent, source: reported,
	},
}

// sizeRules match requests that are too large for this channel or its account:
//
//	413 {"error":{"message":"Request too large for model m1 … on tokens per minute (TPM):
//	     Limit 6000, Requested 9012, …","type":"tokens","code":"rate_limit_exceeded"}}      Groq
//	402 {"error":{"code":402,"message":"This request requires more credits, or fewer
//	     max_tokens. You requested up to 65536 tokens, but can only afford 3919."}}         OpenRouter
//	400 {"error":{"code":400,"message":"The input token count (1500000) exceeds the maximum
//	     number of tokens allowed (1048576).","status":"INVALID_ARGUMENT"}}                 Gemini
//	403 {"error":{"message":"The number of prompt tokens for free accounts is limited to
//	     4096.","type":"chatanywhere_error","code":"403 FORBIDDEN"}}                        ChatAnywhere
//
// They come before the rules about keys and limits: no key and no wait makes such
// a request pass, but a channel with a larger context may.
var sizeRules = []rule{
	{
		name: "size, by field", group: groupSize,
		fields: []string{
			"context_length_exceeded", "context_window_exceeded", "exceed_context_size*", "string_too_long", "string_above_max_length",
			"token_limit_exceeded", "max_tokens_exceeded", "tokens_too_long", "characters_too_long", "zai:1261",
			"cloudflare:3006", "request_too_large", "payload_too_large", "prompt_too_long", "tokens_limit_reached",
		},
		kind: KindRequestHere, reason: ReasonContext,
		source: "OpenAI, Anthropic, OpenRouter, Groq, Cerebras, Qianfan, Z.ai, Cloudflare: error codes",
	},
	{
		name: "max_tokens above the credit", group: groupSize, status: "402 403",
		when: canAffordLess, whenWords: "`weight_exceeds_budget`, or the text offers fewer `max_tokens` and the credit is enough for more than 0",
		kind: KindRequestHere, reason: ReasonMaxTokens, source: docOpenRouter,
	},
	{
		name: "request above a minute's tokens", group: groupSize, status: "400 403 413 422 429",
		when: isTooLarge, whenWords: "the text begins with \"request too large\", or gives a limit below what was requested",
		kind: KindRequestHere, reason: ReasonTooLarge, source: docGroq + ": no wait makes it fit",
	},
	{
		name: "size, by status", group: groupSize, status: "413 414 431",
		kind: KindRequestHere, reason: ReasonTooLarge, source: "RFC 9110, section 15.5.14; also from Cloudflare in front of an API",
	},
	{
		name: "max_tokens, by text", group: groupSize, status: "400 422",
		texts: []string{
			"max_tokens*too large", "max_tokens*is larger than", "max_completion_tokens*too large", "range of max_tokens should be",
			"max_tokens*must be less than or equal", "max_tokens*exceeds the", "maximum allowed number of output tokens",
		},
		kind: KindRequestHere, reason: ReasonMaxTokens, source: reported,
	},
	{
		name: "size, by text", group: groupSize, status: "400 402 403 404 422 5xx",
		texts: []string{
			"maximum context length", "context length exceeded", "context window", "context limit", "available context size", "context size has been exceeded",
			"prompt is too long", "input is too long", "input too long", "prompt too long", "too many tokens", "too many input tokens",
			"token count*exceeds", "model token limit", "reduce the length of the messages", "prompt tokens*limited to",
			"prompt tokens limit exceeded", "prompt contains*too large for model", "range of input length should be",
			"request body too large", "exceeds the maximum number of tokens", "maximum number of input tokens", "maximum prompt length",
			"输入过长", "上下文长度", "超过最大长度", "prompt 超长", "prompt超长",
		},
		kind: KindRequestHere, reason: ReasonContext, source: "Gemini, Cohere, Moonshot, Mistral, DashScope, ChatAnywhere, llama.cpp, vLLM: messages",
	},
}

// canAffordLess reports whether the same request with a smaller max_tokens would
// pass.
func canAffordLess(f *facts) bool {
	switch {
	case slices.Contains(f.names, "weightexceedsbudget"):
		return true
	case f.amounts.statesAffordable:
		return f.amounts.affordable > 0
	}
	return f.messages.match(fewerTokens)
}

var (
	fewerTokens = compileAll("fewer max_tokens", "lower max_tokens")
	tooLarge    = compileAll("^request too large")
)

// isTooLarge reports whether the request alone is above the limit of a minute, so
// that waiting does not help.
func isTooLarge(f *facts) bool {
	if f.amounts.limit > 0 && f.amounts.requested > 0 {
		return f.amounts.requested > f.amounts.limit
	}
	return f.messages.match(tooLarge)
}

// parameterRules match invalid requests. An unknown or unsupported parameter is a
// matter of this channel, since dialects differ between providers; any other
// invalid request is everybody's:
//
//	400 {"error":{"message":"Invalid JSON payload received. Unknown name
//	     \"frequency_penalty\": Cannot find field.","status":"INVALID_ARGUMENT"}}           Gemini
//	422 {"message":{"detail":[{"type":"extra_forbidden","loc":["body","top_k"],
//	     "msg":"Extra inputs are not permitted"}]}}                                         Mistral
//	400 {"error":{"message":"Failed to call a function. …","code":"tool_use_failed",
//	     "failed_generation":"…"}}                                                          Groq
var parameterRules = []rule{
	{
		name: "unsupported parameter, by field", group: groupParameters, status: "4xx",
		fields: []string{
			"extra_forbidden", "unsupported_*", "unknown_parameter", "unknown_field", "wrong_api_format", "tool_use_failed",
			"json_validate_failed", "not_supported_error", "feature_not_supported", "UNIMPLEMENTED", "constraint_filtered",
		},
		kind: KindRequestHere, reason: ReasonUnsupported, source: "Groq, Cerebras, Mistral, OpenAI, OpenRouter: error codes",
	},
	{
		name: "unsupported parameter, by text", group: groupParameters, status: "400 404 422",
		texts: []string{
			"unknown name", "cannot find field", "unrecognized request argument", "unknown parameter", "unknown field", "unrecognized field",
			"extra inputs are not permitted", "additional properties", "not supported", "unsupported", "does not support", "doesn't support",
			"is not enabled for", "not permitted", "no endpoints found that*support", "no endpoints found that can handle",
			"no allowed providers", "thought_signature", "must be set to false for non-streaming", "only support*stream", "不支持",
		},
		kind: KindRequestHere, reason: ReasonUnsupported, source: "Gemini, DashScope, OpenRouter, NVIDIA, Ollama: messages",
	},
	{
		name: "validation", group: groupParameters, status: "422",
		kind: KindRequestHere, reason: ReasonUnsupported, source: "Mistral and other closed schemas",
	},
	{
		name: "invalid request, by parameter", group: groupParameters, status: "400",
		when: namesParameter, whenWords: "`param` names a parameter",
		kind: KindRequest, reason: ReasonInvalid, byField: true, source: docOpenAI,
	},
	{
		name: "a 400 about the account", group: groupParameters, status: "400",
		texts: []string{
			"api key", "api_key", "apikey", "credential", "billing", "your account", "your organization", "your project", "your plan",
			"your quota", "令牌", "密钥", "账户", "账号", "额度",
		},
		kind: KindUnclear, reason: ReasonUnclear, source: docTogether + ": 400 may be a bad key",
	},
	{
		name: "invalid request", group: groupParameters, status: "400",
		fields: []string{
			"*invalid_request*", "invalid_argument", "InvalidParameter*", "invalid_parameter*", "invalid_value", "invalid_type", "invalid_json*",
			"missing_required_parameter", "bad_request*", "failed_precondition", "zai:1210", "zai:1212", "zai:1213", "zai:1214", "zai:1215", "invalid_image*",
			"validation_error*", "wrong_endpoint", "precondition_failed", "unprocessable",
		},
		kind: KindRequest, reason: ReasonInvalid, source: "OpenAI, Anthropic, Gemini, DashScope, Z.ai: error codes",
	},
	{
		name: "unsupported request", group: groupParameters, status: "406 415",
		kind: KindRequestHere, reason: ReasonUnsupported, source: "RFC 9110",
	},
}

// namesParameter reports whether `param` names a parameter of the request. A key
// is none, and a wrong model is a matter of modelRules.
func namesParameter(f *facts) bool {
	for _, param := range f.params {
		if param != "" && !strings.Contains(param, "key") && param != "model" {
			return true
		}
	}
	return false
}

// unclearRules match everything else. The last one has no condition, so that
// [Classify] always returns the verdict of a rule.
var unclearRules = []rule{
	{
		name: "error in a stream", group: groupUnclear,
		when: func(f *facts) bool { return f.status == 0 }, whenWords: "it is an error inside a 200 that gives no status",
		kind: KindChannel, reason: ReasonServerError, source: reported,
	},
	{
		name: "unclear", group: groupUnclear,
		kind: KindUnclear, reason: ReasonUnclear, source: "NVIDIA, OpenRouter, Anthropic, relays: one status for several causes",
	},
}

// failureRules match the statuses of a server that fails. They come after the
// rules about capacity and limits, which some providers send with a 5xx.
var failureRules = []rule{
	{
		name: "cancelled upstream", group: groupFailure, status: "409 425 499",
		kind: KindChannel, reason: ReasonServerError, source: docGroq,
	},
	{
		name: "timeout", group: groupFailure, status: "408 504",
		kind: KindChannel, reason: ReasonTimeout, source: "RFC 9110, sections 15.5.9 and 15.6.5",
	},
	{
		name: "server error", group: groupFailure, status: "5xx",
		kind: KindChannel, reason: ReasonServerError, source: "RFC 9110, section 15.6",
	},
}
