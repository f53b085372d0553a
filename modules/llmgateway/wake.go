package llmgateway

import "github.com/caddy-freetier/caddy-freetier/internal/reqbody"

// sleeps reports whether the channel's instance has to wake up first.
func (c *Channel) sleeps() bool { return c.awake.Sleeps(c.dial) }

// wake wakes the channels that are asked first and that the client may use, if
// they sleep: a user is about to ask for something.
func (t tiers) wake(client *Client) {
	for _, channel := range t[0] {
		if channel.mayServe(client) {
			channel.awake.Wake(channel.dial)
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
