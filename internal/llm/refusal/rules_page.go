package refusal

import (
	"net/http"
	"slices"
)

// Documents that are the source of several rules.
const (
	docOpenRouter = "openrouter.ai/docs/api_reference/errors-and-debugging, 2026-08-22"
	docGemini     = "ai.google.dev/gemini-api/docs/troubleshooting, AIP-193"
	docGroq       = "console.groq.com/docs/errors"
	docCloudflare = "developers.cloudflare.com/workers-ai/platform/errors, 2026-07-29"
	docZAI        = "docs.z.ai/api-reference/api-code, docs.bigmodel.cn/cn/faq/api-code"
	docDashScope  = "help.aliyun.com/zh/model-studio/error-code"
	docOpenAI     = "developers.openai.com/api/docs/guides/error-codes"
	docAnthropic  = "docs.claude.com/en/api/errors"
	docMoonshot   = "platform.kimi.com/docs/api/errors"
	docTogether   = "docs.together.ai/docs/error-codes"
	docVolcengine = "volcengine.com/docs/82379/1299023, 2025-04"
	docCFErrors   = "developers.cloudflare.com/fundamentals/reference/error-responses, 2026-03"
	reported      = "reported by users"
)

// overrideRules match responses that a later rule would take for something else.
// Most are of one provider that uses a common code in a sense of its own.
var overrideRules = []rule{
	{
		name: "another account's request", group: groupOverride, status: "400 401 403 404",
		fields: []string{"mismatched_organization", "mismatched_project", "invalid_organization", "previous_response_not_found", "image_not_found"},
		kind:   KindRequest, reason: ReasonInvalid, source: docOpenAI,
	},
	{
		name: "relay: upstream saturated", group: groupOverride, status: "429 5xx",
		texts: []string{"负载已饱和"},
		kind:  KindCapacity, reason: ReasonOverloaded,
		source: "QuantumNous/new-api#991: one-api and new-api say so for any 429 of theirs, whatever the code says",
	},
	{
		name: "dashscope: rate limit", group: groupOverride, only: []Provider{DashScope}, status: "429",
		fields: []string{
			"insufficient_quota", "limit_requests", "limit_burst_rate", "Throttling", "Throttling.RateQuota",
			"Throttling.AllocationQuota", "Throttling.BurstRate", "Throttling.User",
		},
		kind: KindRateLimit, reason: ReasonRateLimit, longest: minute,
		source: docDashScope + ": insufficient_quota is tokens a minute",
	},
	{
		name: "modelscope: retired model", group: groupOverride, only: []Provider{ModelScope}, status: "429",
		texts: []string{"insufficient balance"},
		kind:  KindModel, reason: ReasonWithdrawn, source: reported + " (FreeLLMAPI#581)",
	},
	{
		name: "modelscope: day quota of the account", group: groupOverride, status: "429",
		when: hasZeroHeader("Modelscope-Ratelimit-Requests-Remaining"), whenWords: "`modelscope-ratelimit-requests-remaining` is 0",
		kind: KindDayQuota, reason: ReasonDayQuota, models: "*", window: windowDay, zone: shanghai, byField: true,
		source: reported,
	},
	{
		name: "modelscope: day quota of the model", group: groupOverride, status: "429",
		when: hasZeroHeader("Modelscope-Ratelimit-Model-Requests-Remaining"), whenWords: "`modelscope-ratelimit-model-requests-remaining` is 0",
		kind: KindDayQuota, reason: ReasonDayQuota, window: windowDay, zone: shanghai, byField: true,
		source: reported,
	},
	{
		name: "together: context length", group: groupOverride, only: []Provider{Together}, status: "403",
		when: isAPI, whenWords: "the body is JSON",
		kind: KindRequestHere, reason: ReasonContext, source: docTogether + ": 403 is input and max_tokens above the context length",
	},
	{
		name: "azure: the deployment's rate limit", group: groupOverride, only: []Provider{Azure}, status: "429",
		when:      func(f *facts) bool { return !isTooLarge(f) && !slices.Contains(f.names, "insufficientquota") },
		whenWords: "it is neither about credit nor about the request's size",
		kind:      KindCapacity, reason: ReasonRateLimit, source: reported + ": all keys of a resource share the deployment's limit",
	},
	{
		name: "chatanywhere: day quota", group: groupOverride, only: []Provider{ChatAny}, status: "429",
		except: []string{"分钟", "minute", "频繁"},
		kind:   KindDayQuota, reason: ReasonDayQuota, window: windowDay,
		source: "chatanywhere/GPT_API_free, 2026-06-27: free keys have limits a day only",
	},
	{
		name: "cohere: 498", group: groupOverride, only: []Provider{Cohere}, status: "498",
		kind: KindUnclear, reason: ReasonUnclear, source: reported + ": an invalid token, where Groq means capacity",
	},
	{
		name: "groq: address blocked", group: groupOverride, only: []Provider{Groq}, status: "403",
		texts: []string{"^access denied*network settings"},
		kind:  KindPage, reason: ReasonBlocked, source: reported,
	},
	{
		name: "unsupported client", group: groupOverride, status: "400 403",
		texts: []string{"only available for coding agents"},
		kind:  KindRequestHere, reason: ReasonClient, source: docMoonshot + ": Kimi Code looks at the User-Agent, which is the client's",
	},
}

// pageRules match responses that are not the API's: redirects, challenges, and the
// pages of firewalls and web servers:
//
//	403 cf-mitigated: challenge   <title>Just a moment...</title>                   a challenge
//	403 server: cloudflare        <title>Attention Required! | Cloudflare</title>   a firewall
//	429 text/html                 <title>Sorry...</title>                           Google
//	403 text/plain                error code: 1010                                  Cloudflare
var pageRules = []rule{
	{
		name: "redirect", group: groupPage, status: "3xx",
		kind: KindBlockPage, reason: ReasonRedirect, source: "RFC 9110, section 15.4: an API does not redirect a POST",
	},
	{
		name: "challenge", group: groupPage,
		when: isChallenge, whenWords: "`cf-mitigated: challenge`, or the title of a page for browsers",
		kind: KindPage, reason: ReasonChallenge, source: "developers.cloudflare.com/cloudflare-challenges",
	},
	{
		name: "region, by Cloudflare", group: groupPage,
		when: isCloudflareError(1009), whenWords: "Cloudflare's error is 1009",
		kind: KindRegion, reason: ReasonRegion, source: docCFErrors,
	},
	{
		name: "address blocked", group: groupPage,
		when:      isCloudflareError(1005, 1006, 1007, 1008, 1012, 1015, 1106),
		whenWords: "Cloudflare's error is 1005 to 1008, 1012, 1015 or 1106",
		kind:      KindPage, reason: ReasonBlocked, source: docCFErrors,
	},
	{
		name: "address blocked by Google", group: groupPage, status: "403 429 503",
		when: func(f *facts) bool { return f.page.titleBegins("sorry") }, whenWords: "the page's title begins with Sorry",
		kind: KindPage, reason: ReasonBlocked, source: reported,
	},
	{
		name: "request blocked by Cloudflare", group: groupPage, status: "4xx",
		when: func(f *facts) bool { return f.page.cloudflareError > 0 }, whenWords: "there is any other error of Cloudflare's own (1010, 1020)",
		kind: KindBlockPage, reason: ReasonNotAPI,
		source: docCFErrors + "; anthropics/claude-code#58294: its firewall looks at prompts and User-Agents",
	},
	{
		name: "origin not reached", group: groupPage, status: "520 521 522 523 524 525 526 527 530",
		kind: KindChannel, reason: ReasonServerError, source: docCFErrors,
	},
	{
		name: "unsupported endpoint", group: groupPage, status: "404 405",
		when: isUnknownPath, whenWords: "the body is a page, no JSON, or a web framework's own response to an unknown path",
		kind: KindRequestHere, reason: ReasonEndpoint, source: reported + ": an endpoint that the channel does not have",
	},
	{
		name: "page", group: groupPage,
		when: func(f *facts) bool { return isPage(f) && f.in.Status < 500 && !isSizeStatus(f.in.Status) }, whenWords: "the body is a page, and the status neither about size nor 5xx",
		kind: KindBlockPage, reason: ReasonNotAPI, source: reported,
	},
}

// isChallenge reports whether the response tests for a browser.
func isChallenge(f *facts) bool {
	return f.in.Header.Get("Cf-Mitigated") == "challenge" || f.page.titleBegins(challenges...)
}

// hasZeroHeader returns a condition: the header is there and its number is 0.
func hasZeroHeader(name string) func(*facts) bool {
	return func(f *facts) bool {
		left := f.in.Header.Get(name)
		return left != "" && isZero(left)
	}
}

func isCloudflareError(codes ...int) func(*facts) bool {
	return func(f *facts) bool { return slices.Contains(codes, f.page.cloudflareError) }
}

func isAPI(f *facts) bool { return f.form == formJSON }

func isPage(f *facts) bool { return f.form == formPage }

// isSizeStatus reports whether a status means that the request is too large. It
// means that from a proxy as well as from the API.
func isSizeStatus(status int) bool {
	return status == http.StatusRequestEntityTooLarge || status == http.StatusRequestURITooLong ||
		status == http.StatusRequestHeaderFieldsTooLarge
}

// notFound are the messages of web frameworks for an unknown path.
var notFound = compileAll(
	"^not found$", "^method not allowed$", "^page not found$", "^404 page not found$", "^no route*", "^invalid url (*", "^unknown request url*",
	"^cannot post /*", "^the requested resource*not found", "^unrecognized request url*", "^no such route*",
)

// noRoutes are the names that APIs give to an unknown path.
var noRoutes = []glob{
	compileGlob("unknown_url"), compileGlob("cloudflare:7000"), compileGlob("cloudflare:7003"),
	compileGlob("route_not_found"), compileGlob("method_not_allowed"),
}

// isUnknownPath reports whether the channel does not have the endpoint. Such a 404
// says nothing about the model.
func isUnknownPath(f *facts) bool {
	return f.form == formPage || f.form == formText || f.noRoute || f.in.Status == http.StatusMethodNotAllowed ||
		f.names.match(noRoutes) || f.messages.match(notFound)
}
