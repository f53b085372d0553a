package llmgateway

import (
	"cmp"
	"net/http"
	"slices"
	"time"

	"github.com/caddy-freetier/caddy-freetier/internal/cooldown"
)

// newTiers groups the channels by tier, the first asked coming first.
func newTiers(channels []*Channel) (tiers [][]*Channel) {
	sorted := slices.Clone(channels)
	slices.SortStableFunc(sorted, func(a, b *Channel) int { return cmp.Compare(a.Tier, b.Tier) })
	for _, c := range sorted {
		if n := len(tiers); n > 0 && tiers[n-1][0].Tier == c.Tier {
			tiers[n-1] = append(tiers[n-1], c)
			continue
		}
		tiers = append(tiers, []*Channel{c})
	}
	return tiers
}

// plan puts everything that could answer the call in order, once.
func (c *call) plan(r *http.Request, w http.ResponseWriter) *apiError {
	c.candidates = c.room[:0]
	if err := c.checkElsewhere(r.URL); err != nil {
		return err
	}
	if c.model == "" {
		if c.gateway.fallback == nil || c.client.restricted() {
			return noModel
		}
		c.addChannel(c.gateway.fallback, "", nil)
		return c.begin()
	}
	if !c.client.mayUse(c.model) {
		return modelNotFound(c.model)
	}
	for model, asked := c.model, []string(nil); model != "" && !slices.Contains(asked, model); {
		asked = append(asked, model)
		c.addModel(model, r, w)
		model = c.gateway.standIn(model, c.client)
	}
	if len(c.candidates) == 0 {
		return modelNotFound(c.model)
	}
	return c.begin()
}

// begin acquires the first candidate. If none may be used, it says when to come
// again.
func (c *call) begin() *apiError {
	now := c.gateway.clock.Now()
	for i := range c.candidates {
		if candidate := &c.candidates[i]; !candidate.channel.cooldowns.Until(cooldown.All, now).IsZero() {
			candidate.last = true
		}
	}
	if c.advance() {
		return nil
	}
	var soonest time.Time
	for _, candidate := range c.candidates {
		until := candidate.usableFrom(now)
		if soonest.IsZero() || until.Before(soonest) {
			soonest = until
		}
	}
	return noKeyUsable(soonest.Sub(now))
}

// standIn returns the model that stands in for another, "" for none.
func (h *Handler) standIn(model string, client *Client) string {
	for _, f := range h.Fallbacks {
		if matchesAny(f.Models, model) && client.mayUse(f.To) {
			return f.To
		}
	}
	return ""
}

// addModel adds the channels that have the model, tier by tier, and then those
// that sleep.
func (c *call) addModel(model string, r *http.Request, w http.ResponseWriter) {
	var equals, sleepers []*Channel
	first := len(c.candidates)
	for _, tier := range c.gateway.tiers {
		equals = equals[:0]
		for _, channel := range tier {
			switch sent, _ := channel.sentModel(model); {
			case sent == "":
			case channel.sleeps():
				sleepers = append(sleepers, channel)
			default:
				equals = append(equals, channel)
			}
		}
		for len(equals) > 0 {
			i := c.gateway.choose(equals, r, w)
			sent, measures := equals[i].sentModel(model)
			c.addChannel(equals[i], sent, measures)
			equals = slices.Delete(equals, i, i+1)
			w = discardHeader{} // a cookie is for the first choice
		}
	}
	c.addSleepers(sleepers, model, first)
}

// addChannel adds the channel's keys, each time beginning with another one.
func (c *call) addChannel(channel *Channel, model string, m *measures) {
	keys := channel.keys()
	n := uint32(len(keys))
	if n == 0 {
		c.candidates = append(c.candidates, candidate{channel: channel, model: model, measures: m})
		return
	}
	first := channel.turn.Add(1) - 1
	for i := range n {
		key := keys[(first+i)%n]
		c.candidates = append(c.candidates, candidate{channel: channel, key: key, model: model, measures: m})
	}
}
