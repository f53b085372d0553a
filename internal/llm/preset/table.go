package preset

import (
	"github.com/caddy-freetier/caddy-freetier/internal/llm/fields"
	"github.com/caddy-freetier/caddy-freetier/internal/llm/refusal"
)

// Sources that several presets have. FreeLLMAPI (v0.8.5) was read for the fields that
// providers refuse, which its users have found out by use; cc-switch for the base URLs
// of Messages, which it sets as ANTHROPIC_BASE_URL for Claude Code.
var (
	freeLLM  = Source{"github.com/tashfeenahmed/freellmapi", "2026-08-22"}
	ccSwitch = Source{"github.com/farion1231/cc-switch", "2026-08-21"}
)

// table are the presets. Whoever adds one reads its URL at the provider, and
// leaves empty what is not written there.
//
// The order is that of docs/providers.md. The comment of an entry says what Sources and
// Note do not: why something is in it or missing.
var table = []Preset{
	{
		// Any field that the chat API does not know is a 400, "Unknown name … Cannot
		// find field"; the four are those that clients send most. Neither Responses nor
		// Messages. Quotas are of project and model and begin anew at midnight Pacific
		// time, with daylight saving.
		Name: refusal.Gemini, Title: "Google AI Studio",
		Regions: []Region{{Bases: [Dialects]Base{
			Chat:   {URL: "https://generativelanguage.googleapis.com/v1beta/openai"},
			Gemini: {URL: "https://generativelanguage.googleapis.com/v1beta", Auth: "x-goog-api-key"},
		}}},
		Fields: drop("min_p", "repetition_penalty", "logit_bias", "logprobs"),
		Pool:   PoolAccountModel, Zone: "America/Los_Angeles",
		Note:    "The quota is the project's. Any field that its chat API does not know is refused.",
		Sources: []Source{{"ai.google.dev/gemini-api/docs", "2026-11-26"}, freeLLM},
	},
	{
		// The documentation lists the four fields as a 400 if supplied. Responses are
		// in beta, Messages are not documented. Days are rolling, so there is no zone.
		Name: refusal.Groq, Title: "Groq",
		Regions: one("https://api.groq.com/openai/v1", "https://api.groq.com/openai/v1", ""),
		Fields:  drop("logprobs", "top_logprobs", "logit_bias", "messages[].name"),
		Pool:    PoolAccountModel,
		Note:    "Days are rolling. `max_tokens` counts against the tokens of a minute before the request runs.",
		Sources: []Source{{"console.groq.com/docs/openai", "2026-11-26"}},
	},
	{
		// Fields that a model does not know are ignored there, so none is dropped. All
		// models *:free share one count of the account, which begins anew at 00:00 UTC.
		Name: refusal.OpenRouter, Title: "OpenRouter",
		Regions: one("https://openrouter.ai/api/v1", "https://openrouter.ai/api/v1", "https://openrouter.ai/api"),
		Pool:    PoolAccountFree, Zone: "UTC",
		Note:    "Responses are stateless there.",
		Sources: []Source{{"github.com/OpenRouterTeam/docs", "2026-08-22"}},
	},
	{
		// /v1/responses is a 404 by users' reports. reasoning_effort is a 400 with all
		// models but gpt-oss, which takes it, and so is not dropped.
		Name: refusal.Cerebras, Title: "Cerebras",
		Regions: one("https://api.cerebras.ai/v1", "", ""),
		Pool:    PoolAccountModel,
		Note:    "`max_tokens` counts against the tokens of a minute.",
		Sources: []Source{{"inference-docs.cerebras.ai/resources/openai", "2026-11-26"}},
	},
	{
		// An unknown field is a 422. The documentation contradicts itself on whether a
		// quota is an organization's or a workspace's; either is an account here.
		Name: refusal.Mistral, Title: "Mistral",
		Regions: []Region{
			{Bases: [Dialects]Base{Chat: {URL: "https://api.mistral.ai/v1"}}},
			{Name: "codestral", Bases: [Dialects]Base{Chat: {URL: "https://codestral.mistral.ai/v1"}}},
		},
		Fields: append(drop("top_k", "min_p", "repetition_penalty", "logit_bias", "logprobs", "top_logprobs", "reasoning_effort"),
			fields.Rule{Op: fields.Rename, Paths: []string{"seed"}, To: "random_seed"}),
		Pool:    PoolAccountModel,
		Note:    "Fields that it does not know are refused. Codestral's host has keys of its own.",
		Sources: []Source{{"github.com/mistralai/platform-docs-public", "2026-08-21"}, freeLLM},
	},
	{
		// /v1/messages is a 404 (users, 2026-04-14 and 2026-07-09). The 429 has neither
		// a header nor a word, see package refusal.
		Name: refusal.NVIDIA, Title: "NVIDIA NIM",
		Regions: one("https://integrate.api.nvidia.com/v1", "", ""),
		Pool:    PoolAccount,
		Note:    "The quota is one a minute. Its terms allow evaluation only.",
		Sources: []Source{{"build.nvidia.com", "2026-11-26"}, freeLLM},
	},
	{
		// The account stands in the path. The fields are refused by some models only;
		// the quota, in neurons, is of the account and begins anew at 00:00 UTC.
		Name: refusal.Cloudflare, Title: "Cloudflare Workers AI",
		Regions: one("https://api.cloudflare.com/client/v4/accounts/{account}/ai/v1", "https://api.cloudflare.com/client/v4/accounts/{account}/ai/v1", ""),
		Fields:  drop("min_p", "logit_bias", "logprobs", "reasoning_effort"),
		Pool:    PoolAccount, Zone: "UTC",
		Note:    "A key is written `<account>/<token>`. Responses are for some models only. Without `max_tokens` answers are short.",
		Sources: []Source{{"developers.cloudflare.com/workers-ai", "2026-07-29"}, freeLLM},
	},
	{
		// The documentation of the compatibility API lists the fields as not supported.
		// Keys of the trial have a thousand calls a month over all models, and that is
		// the pool.
		Name: refusal.Cohere, Title: "Cohere",
		Regions: one("https://api.cohere.ai/compatibility/v1", "", ""),
		Fields:  drop("store", "metadata", "logit_bias", "top_logprobs", "prediction", "service_tier", "parallel_tool_calls"),
		Pool:    PoolAccount,
		Note:    "Trial keys also have a quota a model and minute.",
		Sources: []Source{{"github.com/cohere-ai/cohere-developer-experience", "2026-08-20"}},
	},
	{
		// Responses are in beta. The router passes on to other providers, whose errors
		// come through.
		Name: refusal.HuggingFace, Title: "Hugging Face",
		Regions: one("https://router.huggingface.co/v1", "https://router.huggingface.co/v1", "https://router.huggingface.co"),
		Pool:    PoolAccount,
		Note:    "The token needs the permission for Inference Providers.",
		Sources: []Source{{"github.com/huggingface/hub-docs", "2026-08-22"}},
	},
	{
		// The documentation names this host; Messages are not in it. What is free there
		// changes.
		Name: refusal.Together, Title: "Together",
		Regions: one("https://api.together.ai/v1", "", ""),
		Sources: []Source{{"docs.together.ai/docs/inference/openai-compatibility", "2026-11-26"}},
	},
	{
		// A key of one of the two companies is a 401 at the other, hence two presets.
		// No Responses.
		Name: refusal.ZAI, Title: "Z.ai",
		Regions: []Region{
			{Bases: [Dialects]Base{Chat: {URL: "https://api.z.ai/api/paas/v4"}, Messages: {URL: "https://api.z.ai/api/anthropic"}}},
			{Name: "coding", Bases: [Dialects]Base{Chat: {URL: "https://api.z.ai/api/coding/paas/v4"}}},
		},
		Pool:    PoolAccountModel,
		Note:    "Keys of Zhipu are not valid here. `coding` is for keys of the Coding Plan.",
		Sources: []Source{{"docs.z.ai", "2026-11-26"}, ccSwitch},
	},
	{
		// The same API as Z.ai's, for accounts in China.
		Name: refusal.Zhipu, Title: "Zhipu",
		Regions: []Region{
			{Bases: [Dialects]Base{Chat: {URL: "https://open.bigmodel.cn/api/paas/v4"}, Messages: {URL: "https://open.bigmodel.cn/api/anthropic"}}},
			{Name: "coding", Bases: [Dialects]Base{Chat: {URL: "https://open.bigmodel.cn/api/coding/paas/v4"}}},
		},
		Pool:    PoolAccountModel,
		Note:    "Keys of Z.ai are not valid here.",
		Sources: []Source{{"docs.bigmodel.cn", "2026-11-26"}, ccSwitch},
	},
	{
		// The two hosts have separate accounts. Limits of free models are fixed, by
		// account and model.
		Name: refusal.SiliconFlow, Title: "SiliconFlow",
		Regions: []Region{
			{Name: "cn", Bases: [Dialects]Base{Chat: {URL: "https://api.siliconflow.cn/v1"}, Messages: {URL: "https://api.siliconflow.cn"}}},
			{Name: "intl", Bases: [Dialects]Base{Chat: {URL: "https://api.siliconflow.com/v1"}, Messages: {URL: "https://api.siliconflow.com"}}},
		},
		Pool:    PoolAccountModel,
		Sources: []Source{{"docs.siliconflow.cn", "2026-11-26"}, ccSwitch},
	},
	{
		// Its responses have two pairs of headers, one of the account and one of the
		// model.
		Name: refusal.ModelScope, Title: "ModelScope",
		Regions: one("https://api-inference.modelscope.cn/v1", "", "https://api-inference.modelscope.cn"),
		Pool:    PoolAccountBoth,
		Note:    "The account must be bound to one of Alibaba Cloud.",
		Sources: []Source{ccSwitch},
	},
	{
		Name: refusal.Moonshot, Title: "Moonshot (Kimi)",
		Regions: []Region{
			{Name: "intl", Bases: same("https://api.moonshot.ai/v1", "https://api.moonshot.ai/anthropic")},
			{Name: "cn", Bases: same("https://api.moonshot.cn/v1", "https://api.moonshot.cn/anthropic")},
		},
		Pool:    PoolAccount,
		Note:    "Not free. Keys of the two regions are not interchangeable.",
		Sources: []Source{{"platform.kimi.com/docs/api", "2026-11-26"}},
	},
	{
		// Responses are unsettled: the quick start lists chat only, tests of other
		// gateways use /v1/responses, and a user met a 404. So they are translated.
		Name: refusal.DeepSeek, Title: "DeepSeek",
		Regions: one("https://api.deepseek.com", "", "https://api.deepseek.com/anthropic"),
		Pool:    PoolAccount,
		Note:    "Not free.",
		Sources: []Source{{"api-docs.deepseek.com", "2026-11-26"}},
	},
	{
		// A key is one region's. For Messages no source names a URL of the
		// international region.
		Name: refusal.DashScope, Title: "Alibaba Cloud DashScope (Bailian)",
		Regions: []Region{
			{Name: "cn", Bases: same("https://dashscope.aliyuncs.com/compatible-mode/v1", "https://dashscope.aliyuncs.com/apps/anthropic")},
			{Name: "intl", Bases: same("https://dashscope-intl.aliyuncs.com/compatible-mode/v1", "")},
		},
		Pool:    PoolAccountModel,
		Note:    "Free is a grant of tokens a model, once. Keys are a region's.",
		Sources: []Source{{"help.aliyun.com/zh/model-studio", "2026-11-26"}, ccSwitch},
	},
	{
		// Messages are for its coding plans only, at another path.
		Name: refusal.Qianfan, Title: "Baidu Qianfan",
		Regions: one("https://qianfan.baidubce.com/v2", "", ""),
		Sources: []Source{{"cloud.baidu.com/doc/qianfan-api", "2026-11-26"}},
	},
	{
		Name: refusal.Volcengine, Title: "Volcengine Ark",
		Regions: one("https://ark.cn-beijing.volces.com/api/v3", "https://ark.cn-beijing.volces.com/api/v3", "https://ark.cn-beijing.volces.com/api/compatible"),
		Pool:    PoolAccountModel,
		Sources: []Source{{"volcengine.com/docs/82379", "2025-04"}, ccSwitch},
	},
	{
		// The free quota is one of the key and of the address together: the repository
		// says 200 a day over both. So more keys behind one server give nothing, of
		// which the gateway warns at load.
		Name: refusal.ChatAny, Title: "ChatAnywhere",
		Regions: []Region{
			{Name: "cn", Bases: [Dialects]Base{Chat: {URL: "https://api.chatanywhere.tech/v1"}}},
			{Name: "intl", Bases: [Dialects]Base{Chat: {URL: "https://api.chatanywhere.org/v1"}}},
		},
		Pool:    PoolKeyAddress,
		Note:    "Responses and Messages, at the same URL, are for paid models. Chats and embeddings count apart.",
		Sources: []Source{{"github.com/chatanywhere/GPT_API_free", "2026-06-27"}},
	},
	{
		// The grant is by address and hour. See movedHosts for its older host.
		Name: refusal.Pollination, Title: "Pollinations",
		Regions: one("https://gen.pollinations.ai/v1", "", ""),
		Pool:    PoolAddress,
		Note:    "The quota is one an hour.",
		Sources: []Source{freeLLM},
	},
	{
		// Messages take Authorization: Bearer only, and not x-api-key alone.
		Name: refusal.Ollama, Title: "Ollama cloud",
		Regions: one("https://ollama.com/v1", "https://ollama.com/v1", "https://ollama.com"),
		Pool:    PoolAccount,
		Note:    "Responses are stateless there. Images by URL are not fetched.",
		Sources: []Source{{"github.com/ollama/ollama", "2026-08-21"}},
	},
	{
		// Two sources contradict each other on the quota (100 an hour; 30 a minute), so
		// none is stated.
		Name: refusal.LLM7, Title: "LLM7",
		Regions: one("https://api.llm7.io/v1", "", ""),
		Note:    "A key is optional: without one write `auth none`. It may answer with another model than was asked for.",
		Sources: []Source{freeLLM},
	},
	{
		// It stays in the table for keys of paid plans.
		Name: refusal.Chutes, Title: "Chutes",
		Regions: one("https://llm.chutes.ai/v1", "", ""),
		Warning: "Chutes has had no free plan since 2026-03-15",
		Sources: []Source{freeLLM},
	},
	{
		// Without a card requests are a 403, customer_verification_required.
		Name: refusal.Vercel, Title: "Vercel AI Gateway",
		Regions: one("https://ai-gateway.vercel.sh/v1", "", "https://ai-gateway.vercel.sh"),
		Pool:    PoolAccount,
		Note:    "Free use needs a card.",
		Sources: []Source{{"vercel.com/docs/ai-gateway", "2026-09"}},
	},
	{
		// Messages are deprecated since 2026-02-20 by users' reports.
		Name: refusal.XAI, Title: "xAI",
		Regions: one("https://api.x.ai/v1", "https://api.x.ai/v1", ""),
		Pool:    PoolAccount,
		Sources: []Source{{"docs.x.ai", "2026-11-26"}},
	},
	{
		Name: refusal.OpenAI, Title: "OpenAI",
		Regions: one("https://api.openai.com/v1", "https://api.openai.com/v1", ""),
		Pool:    PoolAccount,
		Sources: []Source{{"developers.openai.com/api", "2026-11-26"}},
	},
	{
		// No URL and so no dialect is known before the channel names its resource:
		// https://<resource>.openai.azure.com/openai/v1, where the model is the name of
		// a deployment.
		Name: refusal.Azure, Title: "Azure OpenAI",
		Note:    "The URL is your resource's own: write it into the channel's line.",
		Sources: nil,
	},
	{
		// The version is required. A client that sends another one keeps that.
		Name: refusal.Anthropic, Title: "Anthropic",
		Regions: []Region{{Bases: [Dialects]Base{
			Chat:     {URL: "https://api.anthropic.com/v1", Auth: "x-api-key"},
			Messages: {URL: "https://api.anthropic.com", Auth: "x-api-key"},
		}}},
		Headers: map[string]string{"Anthropic-Version": "2023-06-01"},
		Pool:    PoolAccount,
		Note:    "Requests without `anthropic-version` get `2023-06-01`. Its chat API is for tests, by its own words, and ignores most fields.",
		Sources: []Source{{"docs.claude.com/en/api", "2026-11-26"}},
	},
}

// one is the only region of a provider. A base may be empty.
//
// Its Messages, like those of same, take the key as a bearer token.
func one(chat, responses, messages string) []Region {
	r := Region{}
	r.Bases[Chat].URL = chat
	r.Bases[Responses].URL = responses
	r.Bases[Messages].URL = messages
	return []Region{r}
}

// same are the bases of a region with the same URL for chat and responses.
func same(chat, messages string) [Dialects]Base {
	return [Dialects]Base{Chat: {URL: chat}, Responses: {URL: chat}, Messages: {URL: messages}}
}

func drop(paths ...string) []fields.Rule { return []fields.Rule{{Op: fields.Drop, Paths: paths}} }

// retired says of services that are gone what has become of them.
//
// A configuration with such a name is an error at load and not a preset that always
// fails: people copy them from lists that are older.
var retired = map[string]string{
	"github":    "GitHub Models was retired on 2026-07-30 (github.com/orgs/community/discussions/203602)",
	"sambanova": "SambaNova has had no free plan since 2026-06, and there is no preset for it; write its URL without provider",
}

// retiredHosts are the hosts of services that are gone.
var retiredHosts = map[string]string{
	"models.github.ai": "github",
}

// movedHosts are hosts that do not answer any more, though the service exists.
var movedHosts = map[string]string{
	"text.pollinations.ai": "this host of Pollinations does not answer since 2026-07; it is gen.pollinations.ai now",
}

// spellings are names that people write for a provider.
//
// They are in an error and not aliases: a configuration has one word for one thing.
var spellings = []struct{ typed, meant string }{
	{"google aistudio ai-studio google-ai-studio googleai", "gemini"},
	{"github-models githubmodels github_models", "github, which is retired"},
	{"nim nvidia-nim", "nvidia"},
	{"workers-ai workersai cf", "cloudflare"},
	{"hf hugging-face hugging_face", "huggingface"},
	{"z.ai z-ai glm", "zai (or zhipu, for keys of bigmodel.cn)"},
	{"bigmodel zhipuai chatglm", "zhipu"},
	{"kimi", "moonshot"},
	{"bailian aliyun alibaba qwen tongyi", "dashscope"},
	{"baidu ernie wenxin", "qianfan"},
	{"ark doubao bytedance volces", "volcengine"},
	{"gpt_api_free chatanywhere.tech", "chatanywhere"},
	{"claude", "anthropic"},
	{"chatgpt", "openai"},
	{"grok x.ai", "xai"},
	{"codestral", "mistral codestral"},
}
