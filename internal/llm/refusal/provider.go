package refusal

import (
	"strings"
	"time"
)

// Provider is whose API a channel is, by the name of its preset. Empty means
// that it is not known.
type Provider string

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

const (
	pacific  = "America/Los_Angeles"
	shanghai = "Asia/Shanghai"
	utc      = "UTC"
)

// provider is what the classifier knows of one provider.
type provider struct {
	name Provider
	// hosts are its API's hosts; one that begins with a point also stands for
	// all hosts below it.
	hosts []string
	// zone is where its day ends. Empty: unknown, or a rolling day, for which
	// only the time that it states counts.
	zone string
	// clock is the zone of the times in its messages.
	clock string
}

// providers are the known hosts. Zones are given only where the provider's
// documentation or its responses show them.
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

func (p Provider) known() provider {
	for _, known := range providers {
		if known.name == p {
			return known
		}
	}
	return provider{}
}

// location returns a zone. Where the system has no zone files, the known zones
// still get their usual offset: at worst a quota is tried an hour too late.
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

// NextDay returns when the day of now ends in the zone: the first moment of
// the next one, also where a clock change skips midnight.
func NextDay(now time.Time, zone string) time.Time {
	year, month, date := now.In(location(zone)).Date()
	return firstMoment(year, month, date+1, zone)
}

// NextMonth returns when the month of now ends in the zone.
func NextMonth(now time.Time, zone string) time.Time {
	year, month, _ := now.In(location(zone)).Date()
	return firstMoment(year, month+1, 1, zone)
}

// firstMoment returns the first moment of a day. For a midnight that a clock
// change skips, time.Date returns a time on either side of the gap, and for one
// that comes twice either of them.
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
