package refusal

import (
	"net/http"
	"strings"
)

// capacityRules match models that are overloaded for everybody. Another key of the
// channel would get the same response, so none is tried:
//
//	429 {"message":"We're experiencing high traffic right now! …","param":"queue",
//	     "type":"too_many_requests_error","code":"queue_exceeded"}                          Cerebras
//	429 {"error":{"code":429,"message":"Provider returned error","metadata":{"raw":"m1 is
//	     temporarily rate-limited upstream. …","limit_source":
//	     "upstream_provider_shared_pool"}}}                                                 OpenRouter
//	503 {"error":{"code":503,"message":"The model is overloaded. …","status":"UNAVAILABLE"}} Gemini
var capacityRules = []rule{
	{
		name: "capacity, by field", group: groupCapacity, status: "408 429 498 5xx",
		fields: []string{
			"queue_exceeded", "cloudflare:3040", "mistral:3505", "service_tier_capacity_exceeded", "zai:1305", "zai:1312", "engine_overloaded*",
			"capacity_exceeded", "capacity_exhausted", "provider_overloaded", "provider_unavailable", "temporarily_unavailable",
			"upstream_provider_shared_pool", "overloaded*", "*_overloaded", "*Overloaded", "UNAVAILABLE", "preemptible_*", "model_overloaded", "slow_down",
		},
		kind: KindCapacity, reason: ReasonOverloaded,
		source: "Cerebras, Cloudflare, Mistral, Z.ai, Moonshot, Groq, OpenRouter, Anthropic, Gemini, Volcengine, Qianfan: error codes",
	},
	{
		name: "capacity, by status", group: groupCapacity, status: "498 529",
		kind: KindCapacity, reason: ReasonOverloaded, source: docGroq + "; " + docAnthropic,
	},
	{
		name: "capacity, by text", group: groupCapacity, status: "429 502 503",
		texts: []string{
			"maximum capacity", "at capacity", "over capacity", "rate-limited upstream", "rate limited upstream", "overloaded", "high demand",
			"high traffic", "currently loading", "model is loading", "server is busy", "service is too busy", "too busy", "error-code-429",
			"访问量过大", "负载过高", "系统繁忙", "服务繁忙",
		},
		kind: KindCapacity, reason: ReasonOverloaded,
		source: "OpenRouter, Chutes, Groq, Gemini, Vertex, Hugging Face, DeepSeek, Z.ai: messages",
	},
	{
		name: "capacity, by text of a 500", group: groupCapacity, status: "500",
		texts: []string{"^the model is overloaded", "^overloaded", "^*engine is currently overloaded", "^the server is overloaded"},
		kind:  KindCapacity, reason: ReasonOverloaded, source: reported,
	},
}

// longRules match exhausted quotas of hours, a day or a month. They come before
// shortRules, since the same response often names both, and the time that it
// states may be a minute's:
//
//	429 {"error":{"code":429,"status":"RESOURCE_EXHAUSTED","details":[{"violations":[{
//	     "quotaId":"GenerateRequestsPerDayPerProjectPerModel-FreeTier"}]},
//	     {"retryDelay":"34s"}]}}                                                            Gemini
//	429 {"error":{"message":"Rate limit reached for model m1 … on tokens per day (TPD):
//	     Limit 100000, Used 97050, Requested 3619. Please try again in 9m38.016s.",
//	     "type":"tokens","code":"rate_limit_exceeded"}}                                     Groq
//	429 {"error":{"code":429,"message":"Rate limit exceeded: free-models-per-day",
//	     "metadata":{"headers":{"X-RateLimit-Reset":"1795737600000",…}}}}                   OpenRouter
//	429 {"success":false,"errors":[{"code":3036,"message":"You have used up your daily free
//	     allocation of 10,000 neurons."}]}                                                  Cloudflare
var longRules = []rule{
	{
		name: "day quota, by quotaId", group: groupLong, status: "403 429",
		when: hasQuota("PerDay"), whenWords: "a `quotaId` has PerDay in it",
		kind: KindDayQuota, reason: ReasonDayQuota, window: windowDay, zone: pacific, byField: true,
		source: docGemini + ": the delay beside it is a minute's",
	},
	{
		name: "day quota of all free models", group: groupLong, status: "402 403 429",
		fields: []string{"openrouter_free_tier_daily"},
		texts:  []string{"free-models-per-day"},
		kind:   KindDayQuota, reason: ReasonDayQuota, models: "*:free", window: windowDay, zone: utc, source: docOpenRouter,
	},
	{
		name: "day quota of the account", group: groupLong, status: "403 429",
		fields: []string{"cloudflare:3036"},
		kind:   KindDayQuota, reason: ReasonDayQuota, models: "*", window: windowDay, zone: utc, source: docCloudflare,
	},
	{
		name: "day quota, by field", group: groupLong, status: "403 429",
		fields: []string{"zai:1304", "dailyLimitExceeded*", "daily_limit_exceeded", "rpd_*", "tpd_*"},
		kind:   KindDayQuota, reason: ReasonDayQuota, window: windowDay, source: docZAI + "; Google's older APIs",
	},
	{
		name: "usage limit of the account, a week or month", group: groupLong, status: "403 429",
		fields: []string{"zai:1310", "zai:1316", "zai:1317", "monthly_limit_exceeded"},
		kind:   KindDayQuota, reason: ReasonUsageLimit, models: "*", window: windowMonth, source: docZAI,
	},
	{
		name: "usage limit of the account, by field", group: groupLong, status: "403 429",
		fields: []string{"zai:1308", "zai:1313", "usage_limit_reached"},
		kind:   KindDayQuota, reason: ReasonUsageLimit, models: "*", window: windowHours, source: docZAI,
	},
	{
		name: "usage limit of the account, by text", group: groupLong, status: "402 403 429",
		texts: []string{
			"reached your session usage limit", "reached your hourly usage limit", "reached your weekly usage limit",
			"reached your monthly usage limit", "reached your*/weekly usage limit", "usage limit reached", "weekly/monthly limit exhausted",
		},
		kind: KindDayQuota, reason: ReasonUsageLimit, models: "*", window: windowHours, source: "Ollama, Z.ai: messages",
	},
	{
		name: "month quota, by text", group: groupLong, status: "429",
		texts: []string{"requests per month", "tokens per month", "calls / month", "calls per month", "monthly limit", "monthly quota", "per month limit", "本月"},
		kind:  KindDayQuota, reason: ReasonMonthQuota, window: windowMonth, source: "Cohere, Mistral: messages",
	},
	{
		name: "day quota, by text", group: groupLong, status: "429",
		texts: []string{
			"(rpd)", "(tpd)", "requests per day", "tokens per day", "per-day", "per day limit", "daily limit", "daily quota", "daily request", "daily free",
			"limit*per day", "quota*per day", "exceeded*per day", "limit*/day", "每日", "今日", "每天", "当日",
		},
		kind: KindDayQuota, reason: ReasonDayQuota, window: windowDay, source: "Groq, Cerebras, OpenAI, SiliconFlow: messages",
	},
}

// hasQuota returns a condition: the id of a violated quota contains part.
func hasQuota(part string) func(*facts) bool {
	return func(f *facts) bool {
		for _, id := range f.quota.ids {
			if strings.Contains(id, part) {
				return true
			}
		}
		return false
	}
}

// shortRules match rate limits of a second or a minute:
//
//	429 {"error":{"code":429,"status":"RESOURCE_EXHAUSTED","details":[{"violations":[{
//	     "quotaId":"GenerateRequestsPerMinutePerProjectPerModel-FreeTier"}]},
//	     {"retryDelay":"17s"}]}}                                                            Gemini
//	429 {"error":{"message":"Rate limit reached for model m1 … on requests per minute (RPM):
//	     Limit 30, Used 30, Requested 1. Please try again in 2s.","type":"requests",…}}     Groq
//	429 {"message":"Requests per minute limit exceeded - …","param":"quota",
//	     "code":"request_quota_exceeded"}                                                   Cerebras
var shortRules = []rule{
	{
		name: "rate limit of all free models", group: groupShort, status: "403 429",
		fields: []string{"openrouter_free_tier_per_minute"},
		texts:  []string{"free-models-per-min"},
		kind:   KindRateLimit, reason: ReasonRateLimit, models: "*:free", source: docOpenRouter,
	},
	{
		name: "rate limit of the account", group: groupShort, only: []Provider{HuggingFace}, status: "429",
		when:      func(f *facts) bool { return f.in.Header.Get("Ratelimit") != "" },
		whenWords: "`RateLimit` is given",
		kind:      KindRateLimit, reason: ReasonRateLimit, models: "*", byField: true, source: "huggingface.co/docs/hub/rate-limits, 2026-08-22",
	},
	{
		name: "rate limit, by field", group: groupShort, status: "400 403 429 5xx",
		fields: []string{
			"*rate_limit*", "rate_limited", "RESOURCE_EXHAUSTED", "*Throttling*", "too_many_requests*", "limit_requests", "requests_limit*",
			"request_quota_exceeded", "token_quota_exceeded", "requests", "tokens", "zai:1302", "zai:1303", "mistral:1300", "quota_exceeded", "quotaExceeded",
			"rateLimitExceeded", "userRateLimitExceeded", "ModelAccount*RateLimitExceeded", "concurrency_*",
		},
		kind: KindRateLimit, reason: ReasonRateLimit, source: "OpenAI, Anthropic, Gemini, Groq, Cerebras, Mistral, DashScope, Qianfan, Z.ai, Volcengine: error codes",
	},
	{
		name: "rate limit, by text", group: groupShort, status: "429 503",
		texts: []string{
			"rate limit", "rate-limit", "ratelimit", "rate limited", "per minute", "per second", "requests per", "tokens per", "(rpm)", "(tpm)", "throttl", "quota", "slow down",
			"concurren", "sending requests too quickly", "try again in", "retry in", "限流", "速率", "频率", "频繁", "并发", "rpm", "tpm",
		},
		kind: KindRateLimit, reason: ReasonRateLimit, source: reported,
	},
	{
		name: "rate limit, by header", group: groupShort, status: "429",
		when: statesTime, whenWords: "a header or a field states when to try again",
		kind: KindRateLimit, reason: ReasonRateLimit, source: "RFC 9110, section 10.2.3",
	},
}

// statesTime reports whether a 429 states when to try again. That a header about
// limits is there proves nothing: some APIs send them with every response.
func statesTime(f *facts) bool {
	return f.status == http.StatusTooManyRequests && !f.hint().Until.IsZero()
}
