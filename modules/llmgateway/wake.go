package llmgateway

import (
	"context"
	"time"

	"github.com/caddy-freetier/caddy-freetier/internal/reqbody"
)

// sleeps tells whether the channel's instance has to wake up first.
func (c *Channel) sleeps() bool { return c.awake.Sleeps(c.dial) }

// wake wakes the channels that are asked first and that the client may use, if
// they sleep: a user is about to ask for something.
func (h *Handler) wake(client *Client) {
	for _, channel := range h.tiers[0] {
		if channel.mayServe(client) {
			h.awake.Wake(channel.dial)
		}
	}
}

// mayServe reports whether the channel has a model that the client may use.
func (c *Channel) mayServe(client *Client) bool {
	if !client.limited() {
		return true
	}
	for _, route := range c.Models {
		for _, name := range route.Names {
			for _, pattern := range client.Models {
				if reqbody.Match(pattern, name) || reqbody.Match(name, pattern) {
					return true
				}
			}
		}
	}
	return false
}

// addSleepers adds the channels that sleep, behind those that are awake, of
// which first is the number of the first. The one that would have been asked
// before them is woken up in the background.
func (c *call) addSleepers(sleepers []*Channel, model string, first int) {
	if len(sleepers) == 0 {
		return
	}
	if s := sleepers[0]; first < len(c.candidates) && s.Tier <= c.candidates[first].channel.Tier {
		c.gateway.awake.Wake(s.dial)
	}
	for _, channel := range sleepers {
		sent, measures := channel.sentModel(model)
		c.addChannel(channel, sent, measures)
	}
}

// await waits until the channel's instance is awake: what it would answer
// before that is its platform's waking-up page.
func (c *call) await(ctx context.Context) {
	done := c.gateway.awake.Wake(c.current.channel.dial)
	if done == nil {
		return
	}
	clock := c.gateway.clock
	timer := clock.NewTimer(time.Duration(c.gateway.TryDuration) - clock.Since(c.start))
	defer timer.Stop()
	select {
	case <-done:
	case <-timer.Chan():
	case <-ctx.Done():
	}
}
