// Package preset holds what is known of the providers of LLM APIs and does not
// change from week to week: where each dialect is served, how a key is shown,
// which fields a request must not have, what shares one free quota, and where
// its day ends. Each was read at the source that stands beside it. What no source
// states, or what users only guess, stays empty: numbers of quotas and names of
// models are never in it.
//
// How a provider refuses is in package refusal, by the same names.
//
// A preset is what the option `provider` of a channel stands for. The gateway reads it in
// Provision, when the channel's own options have been read, and each of those overrides
// it: a URL all of its bases, auth the way of showing the key, rules for fields those for
// the same fields, the zone of a quota its Zone. Nothing here changes while it runs.
//
// A new provider needs an entry in the table with its sources, one in package refusal,
// and a line in testdata/bases.tsv, which is written from the documentation a second time.
// docs/providers.md is made from the table.
package preset

import (
	"fmt"
	"slices"
	"strings"

	"github.com/caddy-freetier/caddy-freetier/internal/llm/fields"
	"github.com/caddy-freetier/caddy-freetier/internal/llm/refusal"
)

// Dialect is an API that a client may speak. It is a number here, unlike
// neutral.Dialect, since it is the index of a provider's bases.
type Dialect int

// The dialects, and how many there are.
const (
	Chat      Dialect = iota // OpenAI's Chat Completions, and all else of its API
	Responses                // OpenAI's Responses
	Messages                 // Anthropic's
	Gemini                   // Google's own
	Dialects
)

func (d Dialect) String() string {
	return [Dialects]string{"chat", "responses", "messages", "gemini"}[d]
}

// Base is where a provider serves a dialect.
type Base struct {
	// URL is what clients of the dialect take as base URL: for chat and
	// responses it is followed by /chat/completions and /responses, for messages
	// by /v1/messages, for gemini by /models. `{account}` in it stands for the
	// key's account. Empty: the provider does not serve the dialect, or no source
	// says that it does.
	URL string

	// Auth is how the key is shown, as in the option auth. Default: bearer.
	Auth string
}

// Region is one of the addresses of a provider that differ in their accounts or
// their place. The first one of a provider is its default.
//
// All its bases have one host, on which the gateway relies and which a test checks.
type Region struct {
	Name  string // as in `provider dashscope intl`
	Bases [Dialects]Base
}

// Pool is what shares one quota of a provider.
//
// The gateway warns of keys that share a quota by address; the rest is for the
// documentation, and for whoever wonders whether another key would help.
type Pool string

// The pools that are known.
const (
	PoolKeyAddress   Pool = "address and key"                 // more keys behind one server give nothing
	PoolAddress      Pool = "address"                         // nor do they here
	PoolAccount      Pool = "account"                         // all models of an account together
	PoolAccountModel Pool = "account and model"               // of organizations and projects too
	PoolAccountFree  Pool = "account, all *:free"             // OpenRouter's
	PoolAccountBoth  Pool = "account; also account and model" // ModelScope's
)

// OfAddress reports whether several keys behind one address share the quota.
func (p Pool) OfAddress() bool { return p == PoolKeyAddress || p == PoolAddress }

// Source is where a preset was read.
//
// Read is the date of the document where it has one, else the day on which it was read:
// it says how old the facts are, not how recently somebody has looked.
type Source struct {
	Place string // an address, or a repository
	Read  string // the day of what was read
}

// Preset is what is known of a provider.
type Preset struct {
	Name    refusal.Provider
	Title   string
	Regions []Region // none: the URL is each customer's own

	// Fields are the changes without which the provider refuses common requests
	// for chat completions.
	Fields []fields.Rule

	// Headers are what the provider needs besides, where the client sends none.
	Headers map[string]string

	// Pool and Zone say what shares the free quota and where its day ends. Empty:
	// not known, or by a rolling window.
	Pool Pool
	Zone string

	// Warning is said at load.
	Warning string

	// Note is for the documentation.
	Note string

	Sources []Source
}

// Lookup returns the preset of a name, and an error that says why there is none.
func Lookup(name string) (*Preset, error) {
	for i := range table {
		if string(table[i].Name) == name {
			return &table[i], nil
		}
	}
	if reason := retired[name]; reason != "" {
		return nil, fmt.Errorf("%s: %s", name, reason)
	}
	for _, hint := range spellings {
		if slices.Contains(strings.Fields(hint.typed), strings.ToLower(name)) {
			return nil, fmt.Errorf("unknown provider %q: write %s", name, hint.meant)
		}
	}
	return nil, fmt.Errorf("unknown provider %q: it is one of %s; for another one leave the option out", name, strings.Join(Names(), ", "))
}

// Names returns the names of all presets.
func Names() []string {
	names := make([]string, len(table))
	for i := range table {
		names[i] = string(table[i].Name)
	}
	return names
}

// All returns all presets, in the order of the documentation.
//
// The slice is a copy, but what its elements point to is the table's.
func All() []Preset { return slices.Clone(table) }

// Region returns the region of a name, the default one for an empty name.
func (p *Preset) Region(name string) (*Region, error) {
	var names []string
	for i := range p.Regions {
		if r := &p.Regions[i]; r.Name == name || name == "" {
			return r, nil
		}
		names = append(names, p.Regions[i].Name)
	}
	switch {
	case name == "":
		return new(Region), nil
	case len(names) < 2:
		return nil, fmt.Errorf("provider %s has no regions: leave %s out", p.Name, name)
	}
	return nil, fmt.Errorf("provider %s has no region %s: it is one of %s", p.Name, name, strings.Join(names, ", "))
}

// RetiredHost says what has become of an API by its host, "" if nothing is known.
func RetiredHost(host string) string {
	if name := retiredHosts[strings.ToLower(host)]; name != "" {
		return retired[name]
	}
	return movedHosts[strings.ToLower(host)]
}
