package llmgateway

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
)

// demoKeys are the keys in Caddyfile.example, which everybody knows.
var demoKeys = [...]string{"demo-key", "demo-free-key", "demo-paid-key"}

func isDemoKey(key string) bool { return slices.Contains(demoKeys[:], key) }

// isDemo reports whether a channel is one of the example's own: on this
// machine, and without a key that is worth anything.
func isDemo(c *Channel, isDemoKeys bool) bool { return isDemoKeys && isLoopback(c.base.Hostname()) }

// Names below localhost never leave the machine (RFC 6761, 6.3).
func isLoopback(host string) bool {
	host = strings.ToLower(host)
	addr, err := netip.ParseAddr(host)
	return host == "localhost" || strings.HasSuffix(host, ".localhost") || err == nil && addr.Unmap().IsLoopback()
}

// errDemoKey is for a gateway that would be open to everybody.
func errDemoKey(client, channel string) error {
	return fmt.Errorf("client %s has the public key of the demo, and channel %s is no demo, so anybody could use it; "+
		"give the client a key of its own, such as {env.CLIENT_KEY} (for Caddyfile.example: CLIENT_KEYS='{env.CLIENT_KEY}' CLIENT_KEY=...)", client, channel)
}

// checkDemo refuses a client with a demo's key beside keys of a channel that is
// no demo.
func (k *keyring) checkDemo(c *Channel, keys []*key) error {
	if isDemo(c, !slices.ContainsFunc(keys, func(k *key) bool { return !isDemoKey(k.secret) })) {
		return nil
	}
	for _, demo := range demoKeys {
		if client, ok := k.client(demo); ok {
			return located(client.Source, errDemoKey(client.Name, c.Name))
		}
	}
	return nil
}

// checkDemo is for keys as they are written in a Caddyfile.
func checkDemo(clients []*Client, channels []*Channel) error {
	for _, client := range clients {
		if !slices.ContainsFunc(client.Keys, isDemoKey) {
			continue
		}
		for _, c := range channels {
			if !isDemo(c, !slices.ContainsFunc(c.APIKeys, func(key string) bool { return !isDemoKey(key) })) {
				return fmt.Errorf("%w, at %s", errDemoKey(client.Name, c.Name), client.Source)
			}
		}
	}
	return nil
}
