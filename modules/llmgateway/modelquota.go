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
	// othersOf is, before the pattern, the name of the count that those share
	// that are more. No model has such a name.
	othersOf = "(others of) "
)

// modelLimits are a key's quotas of each model by itself. The counts of a model
// begin with its first request.
type modelLimits struct {
	any   bool // some model has quotas
	book  *ledger.Ledger
	name  string // of the key's counts
	zoned func([]*quota.Quota) []*quota.Quota
	all   []*quota.Quota // of models without quotas of their own

	known atomic.Pointer[map[string]*limits] // by the channel's own name; copied on write
	mu    sync.Mutex
	named map[*measures]int // how many names of a pattern there are
}

// prepare checks the quotas that a channel's key has for models.
func (m *modelLimits) prepare(c *Channel, book func() (*ledger.Ledger, error), name string) (err error) {
	m.all, m.name, m.zoned = c.inZone(c.ModelQuotas), name, c.inZone
	lists := [][]*quota.Quota{m.all}
	for _, route := range c.Models {
		lists = append(lists, route.Quotas)
	}
	for _, quotas := range lists {
		m.any = m.any || len(quotas) > 0
		for _, q := range quotas {
			if err := q.Validate(); err != nil {
				return err
			}
			if q.Unit == ledger.Seconds {
				return errHours
			}
		}
	}
	if m.any {
		m.book, err = book() // while the configuration is loaded, or never
	}
	return err
}

// of returns the limits of a model that has been asked for, nil for none.
func (m *modelLimits) of(model string) *limits {
	if known := m.known.Load(); known != nil {
		return (*known)[model]
	}
	return nil
}

// open returns the limits of a candidate's model, and begins its counts if it has
// quotas: nil if it has none.
func (m *modelLimits) open(model string, measured *measures) (*limits, error) {
	if l := m.of(model); l != nil || measured == nil {
		return l, nil
	}
	quotas := m.all
	if len(measured.route.Quotas) > 0 {
		quotas = m.zoned(measured.route.Quotas)
	}
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
	book := func() (*ledger.Ledger, error) { return m.book, nil }
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
	case m.named[measured] >= mostModels:
		return othersOf + measured.model
	case m.named == nil:
		m.named = make(map[*measures]int)
	}
	m.named[measured]++
	return model
}

func (m *modelLimits) add(model string, l *limits) {
	known := map[string]*limits{model: l}
	if old := m.known.Load(); old != nil {
		for name, other := range *old {
			known[name] = other
		}
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
	if c.key == nil || !c.key.byModel.any {
		return nil
	}
	l, err := c.key.byModel.open(c.model, c.measures)
	if err != nil {
		return nil // cannot happen: prepare has seen the quotas
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
// it, it charges nothing and returns that one.
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

// states describes the quotas of models that have been asked for.
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
