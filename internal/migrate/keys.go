package migrate

import (
	"fmt"
	"strings"

	"github.com/caddy-freetier/caddy-freetier/internal/llm/preset"
)

// prefixes are what keys of a provider begin with. `sk-` alone is none of them, since
// many providers use it.
//
// OpenAI's older keys, DeepSeek, Moonshot and most relays have sk-. No provider
// promises the form of its keys, so this is used only where nothing else says whose a
// key is.
var prefixes = []struct{ prefix, provider string }{
	{"AIza", "gemini"},
	{"gsk_", "groq"},
	{"sk-or-", "openrouter"},
	{"csk-", "cerebras"},
	{"nvapi-", "nvidia"},
	{"hf_", "huggingface"},
	{"sk-ant-", "anthropic"},
	{"sk-proj-", "openai"},
	{"xai-", "xai"},
}

// looksLikeKey reports whether a text begins as keys do, or is as long and as
// uniform as tokens are.
//
// It errs on the side of taking a text for a key: the text is only a name, and is
// replaced.
func looksLikeKey(text string) bool {
	return providerOf(text) != "" || strings.HasPrefix(text, "sk-") || len(text) > 32 && !strings.ContainsAny(text, "-._")
}

// providerOf returns the provider of a key by what it begins with.
func providerOf(key string) string {
	for _, p := range prefixes {
		if strings.HasPrefix(strings.ToLower(key), strings.ToLower(p.prefix)) {
			return p.provider
		}
	}
	return ""
}

// channel returns the channel that the options name, nil if they name none.
//
// Each call returns a new channel, to which the caller adds keys or models.
func (o Options) channel() (*Channel, error) {
	if o.Provider == "" && o.URL == "" {
		return nil, nil
	}
	c := &Channel{Name: o.Provider, Models: o.models()}
	if o.Provider != "" {
		name, region, _ := strings.Cut(o.Provider, " ")
		known, err := preset.Lookup(name)
		if err != nil {
			return nil, err
		}
		if _, err := known.Region(region); err != nil && len(known.Regions) > 0 {
			return nil, err
		}
		c.Name, c.Provider, c.Region = name, name, region
	}
	if o.URL != "" {
		base, err := baseURL(o.URL)
		if err != nil {
			return nil, fmt.Errorf("--url: %w", err)
		}
		c.URL = base
	}
	return c, nil
}

func (o Options) models() []Model {
	if len(o.Models) == 0 {
		return nil
	}
	return []Model{{Names: o.Models}}
}
