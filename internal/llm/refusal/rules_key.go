package refusal

import "slices"

// keyRules match keys and accounts that are refused for every model:
//
//	400 {"error":{"code":400,"message":"API key not valid. Please pass a valid API key.",
//	     "status":"INVALID_ARGUMENT","details":[{"reason":"API_KEY_INVALID",…}]}}           Gemini
//	403 {"error":{"code":403,"message":"Your API key was reported as leaked. …",
//	     "status":"PERMISSION_DENIED"}}                                                     Gemini
//	400 {"error":{"message":"Organization has been restricted. …",
//	     "type":"invalid_request_error","code":"organization_restricted"}}                  Groq
//	401 {"error":{"message":"No auth credentials found","code":401}}                        OpenRouter
//
// A 401 of an unknown provider without a word about a key is left to unclearRules:
// it may be about the request, such as a member that the organisation forbids.
var keyRules = []rule{
	{
		name: "dead key, by field", group: groupKey, status: "400 401 403",
		fields: []string{
			"API_KEY_INVALID", "API_KEY_EXPIRED", "API_KEY_*", "CONSUMER_*", "SERVICE_DISABLED", "USER_PROJECT_DENIED", "keyInvalid", "keyExpired",
			"invalid_api_key", "wrong_api_key", "incorrect_api_key*", "invalid_authentication*", "authentication_error", "authentication",
			"AuthenticationError", "InvalidApiKey", "invalid_iam_token", "invalid_appid", "organization_restricted", "account_deactivated",
			"account_suspended", "customer_verification_required", "UNAUTHENTICATED", "token_expired", "key_disabled", "missing_api_key",
			"zai:1000", "zai:1001", "zai:1002", "zai:1003", "zai:1004", "zai:1005", "zai:1110", "zai:1111", "zai:1112", "zai:1120", "zai:1121",
			"cloudflare:3023", "cloudflare:10000", "cloudflare:9109", "cloudflare:6003", "cloudflare:6111",
		},
		kind: KindDead, reason: ReasonDead,
		source: "Gemini, OpenAI, Anthropic, Groq, Cerebras, DashScope, Qianfan, Moonshot, OpenRouter, Vercel, Z.ai, Cloudflare: error codes",
	},
	{
		name: "dead key, by text", group: groupKey, status: "400 401 403",
		texts: []string{
			"^api key not valid", "^api key expired", "^api key not found", "^your api key was reported as leaked", "^your api key has been",
			"^incorrect api key", "^invalid api key", "^invalid api token", "^invalid x-api-key", "^api key has expired", "^the api key*invalid",
			"^api key is invalid", "^your project has been denied", "^permission denied: consumer*has been suspended",
			"^please bind your alibaba cloud account", "^your account has been", "^your account is", "^organization has been restricted",
			"^this organization has been disabled", "^your organization has been", "^no auth credentials found", "^user not found$",
			"^authentication fails", "^invalid authentication", "^apikey错误", "^apikey 错误", "^无效的令牌", "^无效的api", "^令牌已过期",
			"^该令牌已过期", "^该令牌状态不可用", "^身份验证失败", "^api key 已过期",
		},
		kind: KindDead, reason: ReasonDead,
		source: "Gemini, xAI, Groq, DeepSeek, OpenRouter, ModelScope, ChatAnywhere, one-api: messages",
	},
	{
		name: "dead key, by text of a 401", group: groupKey, status: "401",
		texts: []string{
			"api key", "api token", "x-api-key", "access token", "bearer token", "credential", "authenticat", "令牌", "鉴权", "密钥",
		},
		except: otherThanKey,
		kind:   KindDead, reason: ReasonDead, source: "RFC 9110, section 15.5.2, in words about the key",
	},
	{
		name: "dead key, by status", group: groupKey, status: "401",
		only: []Provider{
			Gemini, Groq, OpenRouter, Cerebras, Mistral, NVIDIA, Cloudflare, Cohere, HuggingFace, ZAI, Zhipu, Moonshot, DeepSeek, DashScope,
			Volcengine, ChatAny, Pollination, Vercel, Anthropic,
		},
		except: otherThanKey,
		kind:   KindDead, reason: ReasonDead, source: "these providers' documentation: 401 is the key",
	},
}

// otherThanKey are texts of a 401 that is about an address or an organisation. The
// client may have named the organisation in its request.
var otherThanKey = []string{"ip ", "ip address", "allowlist", "allow list", "must be a member", "organization"}

// moneyRules match accounts without credit:
//
//	402 {"error":{"message":"Insufficient credits. Add more using …","code":402}}           OpenRouter
//	429 {"error":{"message":"You exceeded your current quota, please check your plan and
//	     billing details.","type":"insufficient_quota","code":"insufficient_quota"}}        OpenAI
//	429 {"error":{"code":429,"message":"Your prepayment credits are depleted. …",
//	     "status":"RESOURCE_EXHAUSTED"}}                                                    Gemini
//
// The text of OpenAI's error is also DashScope's for tokens a minute, which
// overrideRules match first, and the beginning of every 429 of Gemini, so that
// text matches nothing here.
var moneyRules = []rule{
	{
		name: "budget of requests under way", group: groupMoney, status: "402 403 429",
		fields: []string{"openrouter_in_flight_budget"},
		kind:   KindRateLimit, reason: ReasonRateLimit, models: "*", source: docOpenRouter,
	},
	{
		name: "credit or max_tokens", group: groupMoney, status: "402",
		when: isCreditOrSize, whenWords: "`limit_source` is `openrouter_credits` and the text does not say more",
		kind: KindUnclear, reason: ReasonUnclear, source: docOpenRouter + ": the same for an empty account and for a max_tokens that is too high",
	},
	{
		name: "month's credit", group: groupMoney, status: "402 403 429",
		texts: []string{"monthly included credits", "monthly spending limit", "usage limit for this billing cycle"},
		kind:  KindDayQuota, reason: ReasonMonthQuota, models: "*", window: windowMonth, source: "Hugging Face, Together, Moonshot: messages",
	},
	{
		name: "no credit, by field", group: groupMoney, status: "400 402 403 429",
		fields: []string{
			"insufficient_quota", "insufficient_balance", "insufficient_credits", "insufficient_user_quota", "PAYMENT_METHOD_REQUIRED", "billing_*",
			"BILLING_DISABLED", "exceeded_current_quota_error", "Arrearage", "AccountOverdueError", "openrouter_key_limit", "*_budget", "credit_limit_reached",
			"zai:1113", "zai:1309", "siliconflow:30001", "minimax:1008", "quota_not_enough", "pre_consume_token_quota_failed",
		},
		kind: KindNoCredit, reason: ReasonNoCredit,
		source: "OpenAI, Anthropic, OpenRouter, DashScope, Volcengine, Moonshot, SambaNova, Z.ai, one-api: error codes",
	},
	{
		name: "no credit, by status", group: groupMoney, status: "402",
		only: []Provider{Cerebras, Cohere, Together, Vercel, Chutes, HuggingFace, DeepSeek, Pollination},
		kind: KindNoCredit, reason: ReasonNoCredit, source: "these providers' documentation: 402 is the account",
	},
	{
		name: "no credit, by text of a limit", group: groupMoney, status: "402 429",
		texts: []string{
			"insufficient balance", "insufficient credit", "insufficient funds", "prepayment credits", "credit balance", "credits or licenses",
			"out of credits", "afford 0", "negative balance", "add more credits", "余额不足", "欠费",
			"额度已用尽", "额度不足", "pollen",
		},
		kind: KindNoCredit, reason: ReasonNoCredit, source: "DeepSeek, Gemini, OpenRouter, Z.ai, Pollinations, one-api: messages",
	},
	{
		name: "no credit, by text", group: groupMoney, status: "400 401 403",
		texts: []string{
			"^your credit balance is too low", "^you have reached your specified api usage limits", "^your newly created team*credits", "^your team*credits",
			"^insufficient balance", "^insufficient credit", "^your account*insufficient balance", "^sorry, your account balance is insufficient",
			"^billing hard limit", "^余额不足", "^账户余额不足", "^您的账户余额不足", "^用户额度不足", "^该令牌额度已用尽", "^您的账户已欠费",
		},
		kind: KindNoCredit, reason: ReasonNoCredit, source: "Anthropic, xAI, Moonshot, SiliconFlow, one-api: messages",
	},
}

// isCreditOrSize reports whether OpenRouter names its credit as the limit and
// leaves open whether the credit is used up or max_tokens is above it.
func isCreditOrSize(f *facts) bool {
	if f.amounts.statesAffordable || !slices.Contains(f.names, "openroutercredits") {
		return false
	}
	return !f.messages.match(noCredit)
}

// noCredit are texts with which OpenRouter states that nothing is left.
var noCredit = compileAll("insufficient credits", "negative balance", "never purchased credits")
