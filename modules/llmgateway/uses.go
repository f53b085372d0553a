package llmgateway

import (
	"slices"
	"sync"
	"time"

	"github.com/caddy-freetier/caddy-freetier/internal/ledger"
	"github.com/caddy-freetier/caddy-freetier/internal/reqbody"
)

// uses counts what a client has used of each model, by day of UTC. Models go by
// the names and patterns of the configuration, so that clients cannot make up any
// number of them. Counters begin with their first use.
//
// The ledger goes on over reloads and restarts. mu protects models only; a counter is
// safe for concurrent use.
type uses struct {
	ledger *ledger.Ledger
	client string

	mu     sync.RWMutex
	models map[string]*use
}

// use is what a client has used of a model.
type use struct{ requests, tokens *ledger.Counter }

func newUses(counts *ledger.Ledger, client string) *uses {
	return &uses{ledger: counts, client: client, models: make(map[string]*use)}
}

// name is under which the ledger counts the uses of a model.
func (u *uses) name(model string) string {
	return "llm_gateway use of client " + u.client + "\x00" + model
}

// of returns the use of a model, by its name in the configuration.
func (u *uses) of(model string) *use {
	u.mu.RLock()
	known := u.models[model]
	u.mu.RUnlock()
	if known != nil {
		return known
	}
	counter := func(unit ledger.Unit) *ledger.Counter {
		return u.ledger.Counter(u.name(model), unit, ledger.Day, time.UTC)
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.models[model] == nil {
		u.models[model] = &use{counter(ledger.Requests), counter(ledger.Tokens)}
	}
	return u.models[model]
}

// countTokens counts the tokens of a request that was counted.
func (u *use) countTokens(tokens int64) {
	if u != nil {
		u.tokens.Add(tokens)
	}
}

// usedNames are the names that models are counted by: those that clients ask for,
// as the configuration has them.
type usedNames struct {
	exact    map[string]bool
	patterns []string // in the order of the configuration

	mu    sync.RWMutex
	found map[string]string // names that patterns match, by these
}

// mostFound is how many names that match patterns are remembered.
const mostFound = 4096

// It is made once per configuration. A name that stands in several channels counts
// once.
func newUsedNames(channels []*Channel, fallbacks []*Fallback) *usedNames {
	n := &usedNames{exact: make(map[string]bool), found: make(map[string]string)}
	known := make(map[string]bool)
	add := func(names []string) {
		for _, name := range names {
			switch {
			case known[name]:
			case isPattern(name):
				n.patterns = append(n.patterns, name)
			default:
				n.exact[name] = true
			}
			known[name] = true
		}
	}
	for _, c := range channels {
		for _, route := range c.Models {
			add(route.Names)
		}
	}
	for _, f := range fallbacks {
		add(f.Models)
	}
	return n
}

// of returns the name that a model is counted by: its own, or the first pattern
// that matches it.
//
// found remembers what patterns match, up to mostFound names: beyond that a name is
// matched again each time, which costs time and no memory.
func (n *usedNames) of(model string) string {
	switch {
	case model == "":
		return noModelName
	case n.exact[model]:
		return model
	}
	n.mu.RLock()
	name, ok := n.found[model]
	n.mu.RUnlock()
	if ok {
		return name
	}
	if i := slices.IndexFunc(n.patterns, func(pattern string) bool { return reqbody.Match(pattern, model) }); i >= 0 {
		name = n.patterns[i]
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if len(n.found) < mostFound {
		n.found[model] = name
	}
	return name
}

// all returns the names that models are counted by.
func (n *usedNames) all() []string {
	names := make([]string, 0, len(n.exact)+len(n.patterns)+1)
	for name := range n.exact {
		names = append(names, name)
	}
	slices.Sort(names)
	return append(append(names, n.patterns...), noModelName)
}
