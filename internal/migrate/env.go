package migrate

import (
	"regexp"
	"slices"
	"strings"

	"github.com/caddy-freetier/caddy-freetier/internal/llm/preset"
)

// envKey and envURL split a name into whose it is and what: OPENROUTER_API_KEY_2 is a
// key of OPENROUTER, OPENAI_BASE_URL and OPENAI_API_BASE the URL of OPENAI. Numbers
// behind a name count further keys of the same account or another one.
var (
	envLine = regexp.MustCompile(`^(?:export\s+)?([A-Za-z_][A-Za-z0-9_]*)\s*=(.*)$`)
	envKey  = regexp.MustCompile(`^(.+?)_?(?:API_?)?(?:KEY|TOKEN|SECRET)S?(?:_?\d+)?$`)
	envURL  = regexp.MustCompile(`^(.+?)_?(?:API_?)?(?:BASE_?)?(?:URL|ENDPOINT|BASE)$`)
)

// isEnv reports whether each line that is no comment sets a variable, one of them to
// something. What ends with = is a key in base64.
func isEnv(text string) bool {
	isSet := false
	for line := range strings.Lines(text) {
		if line = strings.TrimSpace(line); line == "" || line[0] == '#' {
			continue
		}
		match := envLine.FindStringSubmatch(line)
		if match == nil || isPadding(match[2]) {
			return false
		}
		isSet = isSet || match[2] != ""
	}
	return isSet
}

// isPadding reports whether a value is the second = behind a key in base64.
func isPadding(value string) bool { return value == "=" }

// conventional are names of variables that may be shown: nothing else that is read
// here is certain to be no key.
//
// A file may have anything to the left of =, also a key in base64 that was taken for a
// name.
var conventional = regexp.MustCompile(`^[A-Z][A-Z0-9]{0,15}(?:_[A-Z0-9]{1,15}){0,5}$`)

// shownVariable returns the name of a variable as a note has it.
func shownVariable(name string) string {
	if conventional.MatchString(name) && !looksLikeKey(name) {
		return name
	}
	return "a variable"
}

// vendors are names of providers as variables have them, where the preset's differs.
//
// They are names that SDKs and LiteLLM use: GOOGLE_API_KEY, HF_TOKEN, ARK_API_KEY.
// Unlike the spellings of package preset they are not for people, who get a hint, but
// are taken as they are.
var vendors = map[string]string{
	"google": "gemini", "google_ai": "gemini", "google_generative_ai": "gemini", "googleai": "gemini", "aistudio": "gemini",
	"hf": "huggingface", "hugging_face": "huggingface", "huggingfacehub": "huggingface", "huggingface_hub": "huggingface",
	"cf": "cloudflare", "cloudflare_workers_ai": "cloudflare", "workers_ai": "cloudflare",
	"co": "cohere", "nim": "nvidia", "nvidia_nim": "nvidia", "claude": "anthropic", "grok": "xai", "kimi": "moonshot",
	"z_ai": "zai", "glm": "zhipu", "bigmodel": "zhipu", "zhipuai": "zhipu", "qwen": "dashscope", "alibaba": "dashscope", "bailian": "dashscope",
	"ark": "volcengine", "doubao": "volcengine", "open_router": "openrouter", "togetherai": "together", "together_ai": "together",
	"ai_gateway": "vercel", "open_ai": "openai",
}

// vendor returns the preset of a provider's name, "" if it has none.
func vendor(name string) string {
	name = strings.ToLower(strings.TrimSpace(name))
	for _, spelling := range []string{name, strings.ReplaceAll(name, "-", "_"), strings.ReplaceAll(name, " ", "_")} {
		if known := vendors[spelling]; known != "" {
			return known
		}
		if slices.Contains(preset.Names(), spelling) {
			return spelling
		}
	}
	return ""
}

// readEnv reads variables such as GROQ_API_KEY, and OPENAI_API_KEY with
// OPENAI_BASE_URL.
//
// A variable whose name says nothing (SECRET_KEY of a web framework) becomes a channel
// only if its key tells the provider. Variables that are no keys are counted in a note.
func (p *Pool) readEnv(text string) error {
	keys, urls := make(map[string][]string), make(map[string]string)
	var names []string
	unused := 0
	account := ""
	for line := range strings.Lines(text) {
		match := envLine.FindStringSubmatch(strings.TrimSpace(line))
		if match == nil {
			continue
		}
		name, value := strings.ToUpper(match[1]), unquoted(match[2])
		switch {
		case value == "" || isPadding(value):
		case strings.HasSuffix(name, "_ACCOUNT_ID") || strings.HasSuffix(name, "_ACCOUNT"):
			account = value
		case envURL.MatchString(name):
			urls[envURL.FindStringSubmatch(name)[1]] = value
		case envKey.MatchString(name):
			of := envKey.FindStringSubmatch(name)[1]
			if keys[of] == nil {
				names = append(names, of)
			}
			keys[of] = append(keys[of], strings.FieldsFunc(value, func(r rune) bool { return strings.ContainsRune(" \t,;\n", r) })...)
		default:
			unused++
		}
	}
	for _, name := range names {
		c := &Channel{Name: name, Provider: vendor(name)}
		var left int
		if c.Keys, left = keysOf(keys[name]); left > 0 || len(c.Keys) == 0 {
			p.note("%s: words that are no keys: %d", shownVariable(name), max(left, 1))
		}
		if len(c.Keys) == 0 {
			continue
		}
		if c.Provider == "" {
			c.Provider = providerOf(c.Keys[0])
		}
		if !p.place(c, urls[name], shownVariable(name)) || c.Provider == "cloudflare" && !p.withAccount(c, account, shownVariable(name)) {
			p.leave(c.Keys)
			continue
		}
		p.Channels = append(p.Channels, c)
	}
	if unused > 0 {
		p.note("variables that are not used: %d", unused)
	}
	return nil
}

// place sets where a channel is, and reports whether that is known. A URL at the host
// of a preset becomes that preset, which knows more than the URL. "openai" with another
// host is the usual way to say that a server speaks as OpenAI does, so the provider is
// dropped then: its quotas and refusals would be OpenAI's.
func (p *Pool) place(c *Channel, address, about string) bool {
	if address != "" {
		base, err := baseURL(address)
		if err != nil {
			p.note("%s: left out, since %v", about, err)
			return false
		}
		if known := providerAt(hostOf(base)); known != "" && (c.Provider == "" || c.Provider == known || c.Provider == "openai") {
			c.Provider, c.Region = known, regionAt(known, hostOf(base))
		} else {
			if c.Provider == "openai" {
				c.Provider = "" // another one that speaks as OpenAI does
			}
			c.URL = base
		}
	}
	if c.URL == "" && (c.Provider == "" || c.Provider == "azure") {
		p.note("%s: left out, since nothing says where its API is", about)
		return false
	}
	return true
}

// providerAt returns the provider whose API is at a host.
func providerAt(host string) string {
	name, _ := presetAt(host)
	return name
}

// regionAt returns the region of a provider whose API is at a host, "" for the default
// one.
func regionAt(provider, host string) string {
	if name, region := presetAt(host); name == provider {
		return region
	}
	return ""
}

// presetAt looks through all regions and dialects, since the URL may be that of any of
// them. {account} stands in Cloudflare's path only, so that any word serves to parse
// the URL.
func presetAt(host string) (name, region string) {
	for _, p := range preset.All() {
		for i, r := range p.Regions {
			for _, base := range r.Bases {
				if base.URL == "" || hostOf(strings.ReplaceAll(base.URL, "{account}", "a")) != host {
					continue
				}
				if i == 0 {
					return string(p.Name), ""
				}
				return string(p.Name), r.Name
			}
		}
	}
	return "", ""
}

// withAccount writes the account before each key, as Cloudflare's URL needs it.
//
// A key with a slash in it has its account already, as the option api_key takes it.
func (p *Pool) withAccount(c *Channel, account, about string) bool {
	if strings.Contains(c.Keys[0], "/") {
		return true
	}
	if !hostWord.MatchString(account) {
		p.note("%s: left out, since its account is not given", about)
		return false
	}
	for i, key := range c.Keys {
		c.Keys[i] = account + "/" + key
	}
	return true
}

// unquoted returns a value without its quotation marks or its comment.
func unquoted(value string) string {
	value = strings.TrimSpace(value)
	if value != "" && strings.ContainsRune("\"'`", rune(value[0])) {
		if inside, _, closed := strings.Cut(value[1:], value[:1]); closed {
			return inside
		}
	}
	value, _, _ = strings.Cut(value, " #")
	return strings.TrimSpace(value)
}
