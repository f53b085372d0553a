package llmgateway

import (
	"slices"
	"strings"
	"time"

	"github.com/caddy-freetier/caddy-freetier/internal/cooldown"
	"github.com/caddy-freetier/caddy-freetier/internal/ledger"
	"github.com/caddy-freetier/caddy-freetier/internal/llm/refusal"
	"github.com/caddy-freetier/caddy-freetier/internal/quota"
)

// channelState is a channel as the admin API shows it.
//
// JSON of GET /llm-gateway/channels. The URL is there by its host only: its path may
// contain an account.
type channelState struct {
	Name   string `json:"name"`
	Host   string `json:"host"`
	Tier   int    `json:"tier"`
	Weight int    `json:"weight"`
	// Models are the names that clients ask for, and the channel's own, in the order
	// in which they are asked for.
	Models []modelState `json:"models"`
	statsState
	Cooldowns []cooldownState `json:"cooldowns"`
	Keys      []keyState      `json:"keys"`
}

// modelState is a line of models as the admin API shows it. Without `as` a name is
// passed on.
type modelState struct {
	Names []string `json:"names"`
	As    []string `json:"as,omitempty"`
}

// keyState is a key as the admin API shows it.
//
// Key is what key.name returns, the last four characters, by which DELETE
// /llm-gateway/cooldowns takes it.
type keyState struct {
	Key string `json:"key"`
	statsState
	Cooldowns []cooldownState `json:"cooldowns"`
	Quotas    []quotaState    `json:"quotas,omitempty"`
	Learned   []learnedState  `json:"learned,omitempty"`
	// Of a channel that limits how many requests a key answers at once: those under
	// way, and those in its queue. One request may wait in several.
	UnderWay int `json:"under_way,omitempty"`
	Waiting  int `json:"waiting,omitempty"`
}

// statsState says what came of the attempts since the start of Caddy. One that is
// under way, or whose client has left, is neither answered nor refused.
type statsState struct {
	Attempts    int64        `json:"attempts"`
	Answered    int64        `json:"answered"`
	Refused     int64        `json:"refused"`
	LastRefusal *lastRefusal `json:"last_refusal,omitempty"`
}

func newStatsState(s *keyStats) statsState {
	return statsState{
		Attempts: s.attempts.Load(), Answered: s.answered.Load(), Refused: s.refused.Load(),
		LastRefusal: s.last.Load(),
	}
}

// add adds what came of other attempts.
func (s *statsState) add(other statsState) {
	s.Attempts += other.Attempts
	s.Answered += other.Answered
	s.Refused += other.Refused
	if s.LastRefusal == nil || other.LastRefusal != nil && other.LastRefusal.At.After(s.LastRefusal.At) {
		s.LastRefusal = other.LastRefusal
	}
}

// cooldownState is a cooldown as the admin API shows it. Without a model it is
// one for all models. Until is a guess, or the provider has stated it.
type cooldownState struct {
	Model   string    `json:"model,omitempty"`
	Until   time.Time `json:"until"`
	Guessed bool      `json:"guessed"`
	Reason  string    `json:"reason"`
}

func cooldownStates(b *cooldown.Breaker, now time.Time) []cooldownState {
	states := []cooldownState{}
	for _, s := range b.List(now) {
		states = append(states, cooldownState{Model: s.Name, Until: s.Until, Guessed: s.Guessed, Reason: s.Reason})
	}
	return states
}

// quotaState is a quota as the admin API shows it.
type quotaState struct {
	Model  string      `json:"model,omitempty"` // that it is of by itself
	Unit   ledger.Unit `json:"unit"`
	Limit  int64       `json:"limit"`
	Used   int64       `json:"used"`
	Left   int64       `json:"left"`
	Renews time.Time   `json:"renews"`
}

func newQuotaState(unit ledger.Unit, m *quota.Meter) quotaState {
	return quotaState{Unit: unit, Limit: m.Limit(), Used: m.Used(), Left: m.Left(), Renews: m.Renews()}
}

// newChannelState describes the channel and its keys.
//
// Each part is read by itself and without a lock around all: counts may be of slightly
// different moments.
func newChannelState(c *Channel, now time.Time) channelState {
	keys := c.keys()
	state := channelState{
		Name: c.Name, Host: c.base.Host, Tier: c.Tier, Weight: c.Weight,
		statsState: newStatsState(c.stats),
		Cooldowns:  cooldownStates(c.cooldowns, now),
		Keys:       make([]keyState, 0, len(keys)),
	}
	for _, route := range c.Models {
		state.Models = append(state.Models, modelState{route.Names, route.As})
	}
	for _, k := range keys {
		s := keyState{Key: k.name(), statsState: newStatsState(k.stats), Cooldowns: cooldownStates(k.cooldowns, now), Learned: k.learned.states()}
		s.UnderWay, s.Waiting = k.slots.Total()
		for _, m := range k.requests {
			s.Quotas = append(s.Quotas, newQuotaState(ledger.Requests, m))
		}
		for _, m := range k.tokens {
			s.Quotas = append(s.Quotas, newQuotaState(ledger.Tokens, m))
		}
		if c.modelQuotas.any() {
			s.Quotas = append(s.Quotas, k.byModel.states()...)
		}
		state.add(s.statsState)
		state.Keys = append(state.Keys, s)
	}
	return state
}

// channelSummary counts what channelState lists.
type channelSummary struct {
	Name   string `json:"name"`
	Host   string `json:"host"`
	Tier   int    `json:"tier"`
	Weight int    `json:"weight"`
	Keys   int    `json:"keys"`
	// Usable are the keys that may be used now for at least one model.
	Usable     int            `json:"usable"`
	InCooldown cooldownCounts `json:"in_cooldown"`
	// Dead are, of the keys in cooldown for all models, those that the provider
	// does not know or has revoked.
	Dead int `json:"dead"`
	// Exhausted are the keys with an exhausted quota.
	Exhausted int `json:"exhausted"`
	statsState
}

// cooldownCounts counts cooldowns by their scope.
type cooldownCounts struct {
	Key          int `json:"key"`           // keys, for all models
	KeyModel     int `json:"key_model"`     // keys, for some models
	Channel      int `json:"channel"`       // 1 if the channel is in cooldown
	ChannelModel int `json:"channel_model"` // models
}

// newChannelSummary counts the channel's keys.
func newChannelSummary(c *Channel, now time.Time) channelSummary {
	keys := c.keys()
	models, any := ownModels(c.Models)
	models = slices.DeleteFunc(models, func(name string) bool { return !c.cooldowns.BlockOfName(name, now).Until.IsZero() })
	s := channelSummary{
		Name: c.Name, Host: c.base.Host, Tier: c.Tier, Weight: c.Weight,
		Keys: len(keys), statsState: newStatsState(c.stats),
	}
	for _, state := range c.cooldowns.List(now) {
		if state.Name == cooldown.All {
			s.InCooldown.Channel++
		} else {
			s.InCooldown.ChannelModel++
		}
	}
	for _, k := range keys {
		s.add(newStatsState(k.stats))
		s.count(k, k.cooldowns.List(now), now, models, any)
	}
	return s
}

// count counts a key with its cooldowns. models are those that the key is asked
// for, but for those in cooldown for the whole channel, unless it can be asked for
// any.
//
// A key in cooldown for all models and for some counts under both. Usable is whether a
// request for some model would find it usable, without regard to learned limits and
// slots.
func (s *channelSummary) count(k *key, list []cooldown.State, now time.Time, models []string, any bool) {
	whole, usable := false, any || len(list) == 0 && len(models) > 0
	for _, state := range list {
		whole = whole || state.Name == cooldown.All
		if state.Name == cooldown.All && state.Reason == string(refusal.ReasonDead) {
			s.Dead++
		}
	}
	if whole {
		s.InCooldown.Key++
	}
	if !whole && len(list) > 0 || len(list) > 1 {
		s.InCooldown.KeyModel++
	}
	for i := 0; !usable && i < len(models); i++ {
		usable = k.cooldowns.Until(models[i], now).IsZero()
	}
	exhausted := k.exhausted() != nil
	if exhausted {
		s.Exhausted++
	}
	if usable && !whole && !exhausted {
		s.Usable++
	}
}

// ownModels returns the channel's own names for its models, and whether there can
// be others.
func ownModels(routes []*ModelRoute) (models []string, any bool) {
	for _, route := range routes {
		for _, name := range route.own() {
			if strings.Contains(name, "*") {
				any = true
			} else {
				models = append(models, name)
			}
		}
	}
	return models, any
}
