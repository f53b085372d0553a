package migrate

import (
	"fmt"
	"strings"

	"github.com/caddy-freetier/caddy-freetier/internal/llm/preset"
)

// prefixes are what keys of a provider begin with, longer ones first.
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

// looksLikeKey reports whether a text begins as keys do.
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

// readKeys reads a list of keys, separated by lines, white space and commas, with
// comments behind #.
func (p *Pool) readKeys(text string, o Options) error {
	given, err := o.channel()
	if err != nil {
		return err
	}
	channels := make(map[string]*Channel)
	left := 0
	for number, line := range strings.Split(text, "\n") {
		line, _, _ = strings.Cut(line, "#")
		line = strings.NewReplacer("Bearer ", " ", "bearer ", " ").Replace(line)
		keys, none := keysOf(strings.FieldsFunc(line, func(r rune) bool { return strings.ContainsRune(" \t,;", r) }))
		left += none
		for _, key := range keys {
			c := given
			if c == nil {
				provider := providerOf(key)
				if provider == "" {
					return fmt.Errorf("line %d: whose key is this? Say it with --provider or --url", number+1)
				}
				c = &Channel{Name: provider, Provider: provider, Models: o.models()}
			}
			if channels[c.Name] == nil {
				channels[c.Name] = c
				p.Channels = append(p.Channels, c)
			}
			c = channels[c.Name]
			c.Keys = append(c.Keys, key)
		}
	}
	for _, c := range p.Channels {
		c.Keys, _ = keysOf(c.Keys) // each once
	}
	if left > 0 {
		p.note("words of the list that are no keys: %d", left)
	}
	return nil
}

// channel returns the channel that the options name, nil if they name none.
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
