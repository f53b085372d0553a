package refusal

import (
	"strings"
	"time"
)

// Provider names the operator of a channel's API, by the name of its preset.
// Empty: unknown.
type Provider string

// The providers that rules name. Each is also a preset of the gateway.
const (
	Gemini      Provider = "gemini"
	Groq        Provider = "groq"
	OpenRouter  Provider = "openrouter"
	Cerebras    Provider = "cerebras"
	Mistral     Provider = "mistral"
	NVIDIA      Provider = "nvidia"
	Cloudflare  Provider = "cloudflare"
	Cohere      Provider = "cohere"
	HuggingFace Provider = "huggingface"
	Together    Provider = "together"
	ZAI         Provider = "zai"
	Zhipu       Provider = "zhipu"
	SiliconFlow Provider = "siliconflow"
	ModelScope  Provider = "modelscope"
	Moonshot    Provider = "moonshot"
	DeepSeek    Provider = "deepseek"
	DashScope   Provider = "dashscope"
	Qianfan     Provider = "qianfan"
	Volcengine  Provider = "volcengine"
	ChatAny     Provider = "chatanywhere"
	Pollination Provider = "pollinations"
	Ollama      Provider = "ollama"
	LLM7        Provider = "llm7"
	Chutes      Provider = "chutes"
	Vercel      Provider = "vercel"
	XAI         Provider = "xai"
	OpenAI      Provider = "openai"
	Azure       Provider = "azure"
	Anthropic   Provider = "anthropic"
)

// The zones in which providers' days end.
const (
	pacific  = "America/Los_Angeles"
	shanghai = "Asia/Shanghai"
	utc      = "UTC"
)

// provider is what the rules need to know about one provider.
type provider struct {
	name Provider

	// hosts are those of its API. One that begins with a dot stands for every
	// host below it.
	hosts []string

	// zone is the time zone in which its quotas of a day are reset. Empty:
	// unknown, or the day is rolling, as Groq's is; then only a stated time
	// counts.
	zone string

	// clock is the zone of times in its messages. Empty: UTC.
	clock string
}

// providers are the known providers. A zone is given only where documentation or
// responses of the provider show it:
//
//   - Gemini: "Requests per day (RPD) quotas reset at midnight Pacific time",
//     ai.google.dev/gemini-api/docs/rate-limits
//   - OpenRouter: X-RateLimit-Reset of free-models-per-day is the next midnight UTC
//   - Cloudflare: 00:00 UTC, developers.cloudflare.com/workers-ai/platform/pricing
//   - Z.ai, Zhipu, ModelScope: messages with resets in China's time
var providers = []provider{
	{name: Gemini, hosts: []string{"generativelanguage.googleapis.com"}, zone: pacific},
	{name: Groq, hosts: []string{"api.groq.com"}},
	{name: OpenRouter, hosts: []string{"openrouter.ai", ".openrouter.ai"}, zone: utc},
	{name: Cerebras, hosts: []string{"api.cerebras.ai"}},
	{name: Mistral, hosts: []string{"api.mistral.ai", "codestral.mistral.ai"}},
	{name: NVIDIA, hosts: []string{"integrate.api.nvidia.com"}},
	{name: Cloudflare, hosts: []string{"api.cloudflare.com"}, zone: utc},
	{name: Cohere, hosts: []string{"api.cohere.ai", "api.cohere.com"}},
	{name: HuggingFace, hosts: []string{"router.huggingface.co"}},
	{name: Together, hosts: []string{"api.together.ai", "api.together.xyz"}},
	{name: ZAI, hosts: []string{"api.z.ai"}, zone: shanghai, clock: shanghai},
	{name: Zhipu, hosts: []string{"open.bigmodel.cn"}, zone: shanghai, clock: shanghai},
	{name: SiliconFlow, hosts: []string{"api.siliconflow.cn", "api.siliconflow.com"}},
	{name: ModelScope, hosts: []string{"api-inference.modelscope.cn"}, zone: shanghai, clock: shanghai},
	{name: Moonshot, hosts: []string{"api.moonshot.ai", "api.moonshot.cn", "api.kimi.com"}},
	{name: DeepSeek, hosts: []string{"api.deepseek.com"}},
	{name: DashScope, hosts: []string{".aliyuncs.com"}, clock: shanghai},
	{name: Qianfan, hosts: []string{"qianfan.baidubce.com"}, clock: shanghai},
	{name: Volcengine, hosts: []string{".volces.com"}, clock: shanghai},
	{name: ChatAny, hosts: []string{"api.chatanywhere.tech", "api.chatanywhere.org", "api.chatanywhere.com.cn"}},
	{name: Pollination, hosts: []string{"gen.pollinations.ai", "text.pollinations.ai"}},
	{name: Ollama, hosts: []string{"ollama.com"}},
	{name: LLM7, hosts: []string{"api.llm7.io"}},
	{name: Chutes, hosts: []string{"llm.chutes.ai"}},
	{name: Vercel, hosts: []string{"ai-gateway.vercel.sh"}},
	{name: XAI, hosts: []string{"api.x.ai", ".api.x.ai"}},
	{name: OpenAI, hosts: []string{"api.openai.com"}},
	{name: Azure, hosts: []string{".openai.azure.com", ".services.ai.azure.com", ".cognitiveservices.azure.com"}},
	{name: Anthropic, hosts: []string{"api.anthropic.com"}},
}

// ProviderOf returns the provider whose API has this host, and an empty one if
// the host is not known. A port is ignored.
func ProviderOf(host string) Provider {
	host = strings.ToLower(strings.TrimSuffix(host, "."))
	if i := strings.LastIndexByte(host, ':'); i >= 0 && isDigits(host[i+1:]) {
		host = host[:i]
	}
	for _, p := range providers {
		for _, known := range p.hosts {
			if host == known || known[0] == '.' && strings.HasSuffix(host, known) {
				return p.name
			}
		}
	}
	return ""
}

// known returns the provider's row, and a zero one for an unknown provider.
func (p Provider) known() provider {
	for _, known := range providers {
		if known.name == p {
			return known
		}
	}
	return provider{}
}

// location returns a time zone. On a system without zone files the zones of
// providers get their offset without daylight saving: in summer a quota is then
// tried an hour late.
func location(zone string) *time.Location {
	if loc, err := time.LoadLocation(zone); err == nil {
		return loc
	}
	switch zone {
	case pacific:
		return time.FixedZone(zone, -8*60*60)
	case shanghai:
		return time.FixedZone(zone, 8*60*60)
	}
	return time.UTC
}

// NextDay returns the first moment of the day after now in a zone. That is not
// 00:00 where a clock change skips midnight.
func NextDay(now time.Time, zone string) time.Time {
	year, month, date := now.In(location(zone)).Date()
	return firstMoment(year, month, date+1, zone)
}

// NextMonth returns the first moment of the month after now in a zone.
func NextMonth(now time.Time, zone string) time.Time {
	year, month, _ := now.In(location(zone)).Date()
	return firstMoment(year, month+1, 1, zone)
}

// firstMoment returns the first moment of a day. time.Date is not enough: for a
// midnight that a clock change skips it returns a time on either side of the
// gap, and for one that occurs twice either of the two. So the moment is searched
// in steps of a quarter of an hour, which every zone's changes are multiples of.
func firstMoment(year int, month time.Month, date int, zone string) time.Time {
	loc := location(zone)
	noon := time.Date(year, month, date, 12, 0, 0, 0, loc)
	at := time.Date(year, month, date, 0, 0, 0, 0, loc)
	for at.Before(noon) && at.Day() != noon.Day() {
		at = at.Add(15 * time.Minute)
	}
	for earlier := at.Add(-15 * time.Minute); earlier.Day() == noon.Day(); earlier = earlier.Add(-15 * time.Minute) {
		at = earlier
	}
	return at
}
