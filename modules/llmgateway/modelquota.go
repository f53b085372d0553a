package llmgateway

import (
	"maps"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/caddy-freetier/caddy-freetier/internal/ledger"
	"github.com/caddy-freetier/caddy-freetier/internal/quota"
)

const (
	// mostModels is how many names that match a pattern have counts of their own
	// at each key, so that clients cannot fill the ledger with names.
	mostModels = 64
	// mostOpened is how many counts of models a channel begins at load.
	mostOpened = 1000
	// othersOf is, before the pattern, the name of the count that those share
	// that are more, or longer than longestModel. No model has such a name.
	othersOf = "(others of) "
)

// modelQuotas are a channel's quotas of each model by itself.
//
// It is made in Provision and only read afterwards. A quota inside of a route's block
// replaces those of the channel for the route's models, also where it is larger.
type modelQuotas struct {
	book    *ledger.Ledger // unset without such quotas
	all     []*quota.Quota // of models without quotas of their own
	ofRoute map[*ModelRoute][]*quota.Quota
}

// newModelQuotas returns the quotas of a channel. The ledger is opened while the
// configuration is loaded, or never.
func newModelQuotas(c *Channel, book func() (*ledger.Ledger, error)) (q modelQuotas, err error) {
	q.all, q.ofRoute = c.inZone(c.ModelQuotas), make(map[*ModelRoute][]*quota.Quota)
	every := slices.Clone(q.all)
	for _, route := range c.Models {
		if len(route.Quotas) > 0 {
			q.ofRoute[route] = c.inZone(route.Quotas)
			every = append(every, route.Quotas...)
		}
	}
	if len(every) == 0 {
		return q, nil
	}
	for _, one := range every {
		if err := one.Validate(); err != nil {
			return q, err
		}
		if one.Unit == ledger.Seconds {
			return q, errHours
		}
	}
	q.book, err = book()
	return q, err
}

// any reports whether there are such quotas.
func (q *modelQuotas) any() bool { return q.book != nil }

// of returns the quotas of a model.
func (q *modelQuotas) of(m *measures) []*quota.Quota {
	if own := q.ofRoute[m.route]; own != nil {
		return own
	}
	return q.all
}

// modelLimits are what a key has used of its channel's quotas of models. The counts
// of a model begin with its first request, unless openNamed has begun them: with 10,000
// keys and ten models, counts for all of them would take more memory than everything
// else.
type modelLimits struct {
	name  string                             // of the key's counts
	known atomic.Pointer[map[string]*limits] // by the channel's own name; copied on write
	mu    sync.Mutex
	named map[*measures]int // how many names of a pattern there are
}

// openNamed begins the counts of the models that the configuration names, so that it is
// shown what is left of their quotas before their first request. Where keys and models are
// more than mostOpened together, each count begins with the first request.
func (q *modelQuotas) openNamed(routes []*ModelRoute, keys []*key) error {
	var named []*measures
	for _, route := range routes {
		for _, m := range slices.Concat(route.sents...) {
			if !isPattern(m.model) && q.any() && len(q.of(m)) > 0 {
				named = append(named, m)
			}
		}
	}
	if len(named)*len(keys) > mostOpened {
		return nil
	}
	for _, k := range keys {
		for _, m := range named {
			if _, err := k.byModel.open(m.model, m, q); err != nil {
				return err
			}
		}
	}
	return nil
}

// of returns the limits of a model that has been asked for, nil for none.
func (m *modelLimits) of(model string) *limits {
	if known := m.known.Load(); known != nil {
		return (*known)[model]
	}
	return nil
}

// open returns the limits of a model, and begins its counts if it has quotas: nil if
// it has none.
//
// Looking is free of locks, since it is done for each candidate of each request; mu is
// for the first request of a model only.
func (m *modelLimits) open(model string, measured *measures, q *modelQuotas) (*limits, error) {
	if l := m.of(model); l != nil || measured == nil {
		return l, nil
	}
	quotas := q.of(measured)
	if len(quotas) == 0 {
		return nil, nil
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if l := m.of(model); l != nil {
		return l, nil
	}
	if model = m.counted(model, measured); m.of(model) != nil {
		return m.of(model), nil
	}
	l := new(limits)
	book := func() (*ledger.Ledger, error) { return q.book, nil }
	if err := l.open(ofModel(quotas, model), book, m.name+" model "+model); err != nil {
		return nil, err
	}
	m.add(model, l)
	return l, nil
}

// counted returns the name under which a model is counted that has no count yet.
func (m *modelLimits) counted(model string, measured *measures) string {
	switch {
	case model == measured.model:
		return model // it stands in the configuration
	case len(model) > longestModel || m.named[measured] >= mostModels:
		return othersOf + measured.model
	case m.named == nil:
		m.named = make(map[*measures]int)
	}
	m.named[measured]++
	return model
}

// add replaces the map by a copy with one more model. The caller holds mu.
func (m *modelLimits) add(model string, l *limits) {
	known := map[string]*limits{model: l}
	if old := m.known.Load(); old != nil {
		maps.Copy(known, *old)
	}
	m.known.Store(&known)
}

// ofModel returns quotas whose accounts count the model by itself.
func ofModel(quotas []*quota.Quota, model string) []*quota.Quota {
	own := make([]*quota.Quota, len(quotas))
	for i, q := range quotas {
		one := *q
		if one.Account != "" {
			one.Account += " model " + model // a Caddyfile's accounts have no space
		}
		own[i] = &one
	}
	return own
}

// modelLimits returns the limits of the candidate's model at its key, nil for none.
func (c *candidate) modelLimits() *limits {
	if c.key == nil || !c.channel.modelQuotas.any() {
		return nil
	}
	l, err := c.key.byModel.open(c.model, c.measures, &c.channel.modelQuotas)
	if err != nil {
		return nil // cannot happen: the quotas were checked at load
	}
	return l
}

// exhaustedMeter returns the quota that keeps the candidate from being used, nil
// for none: of several the one that renews last.
func (c *candidate) exhaustedMeter() *quota.Meter {
	if c.key == nil {
		return nil
	}
	exhausted := c.key.exhausted()
	if l := c.modelLimits(); l != nil {
		if m := l.exhausted(); m != nil && (exhausted == nil || m.Renews().After(exhausted.Renews())) {
			return m
		}
	}
	return exhausted
}

// chargeRequest charges a request to the candidate's key. If a quota does not allow
// it, it charges nothing and returns that one. The check and the charge are one step for
// each quota of requests, so that no number of requests at once gets more than is left.
func (c *candidate) chargeRequest() *quota.Meter {
	l := c.modelLimits()
	if l != nil {
		if m := l.exhausted(); m != nil {
			return m
		}
	}
	if m := c.key.chargeRequest(); m != nil || l == nil {
		return m
	}
	return l.chargeRequest()
}

// chargeTokens charges tokens to the candidate's key.
//
// They count for the key as a whole and for the model at the key, as a request does. A
// channel without keys has no quotas.
func (c *candidate) chargeTokens(tokens int64) {
	if c.key == nil {
		return
	}
	c.key.chargeTokens(tokens)
	if l := c.modelLimits(); l != nil {
		l.chargeTokens(tokens)
	}
}

// countsTokens reports whether a quota of the candidate's is one of tokens.
func (c *candidate) countsTokens() bool {
	if c.key == nil {
		return false
	}
	l := c.modelLimits()
	return len(c.key.tokens) > 0 || l != nil && len(l.tokens) > 0
}

// states describes the quotas of models whose counts have begun.
func (m *modelLimits) states() (states []quotaState) {
	known := m.known.Load()
	if known == nil {
		return nil
	}
	for _, model := range slices.Sorted(maps.Keys(*known)) {
		l := (*known)[model]
		for _, meter := range l.requests {
			states = append(states, newQuotaState(ledger.Requests, meter))
		}
		for _, meter := range l.tokens {
			states = append(states, newQuotaState(ledger.Tokens, meter))
		}
		for i := len(states) - len(l.requests) - len(l.tokens); i < len(states); i++ {
			states[i].Model = model
		}
	}
	return states
}
