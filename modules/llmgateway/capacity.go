package llmgateway

import (
	"fmt"
	"strings"

	"go.uber.org/zap"

	"github.com/caddy-freetier/caddy-freetier/internal/capacity"
	"github.com/caddy-freetier/caddy-freetier/internal/quota"
)

// Capacity says what the channels give, and what the clients may use.
//
// It is called by `caddy freetier plan` on a provisioned Handler, and calls no
// provider. With a clients_file the sums are not compared: its clients change while the
// configuration runs.
func (h *Handler) Capacity() (r capacity.Report) {
	for _, c := range h.Channels {
		r.Channels = append(r.Channels, capacityOf(c)...)
		if warning := c.warningOfProvider(); warning != "" {
			r.Warn(warning, zap.String("channel", c.Name))
		}
	}
	for _, c := range h.Clients {
		if len(c.Limits) == 0 {
			r.Clients = append(r.Clients, capacity.Of(c.Name, 1, nil))
		}
		for _, q := range c.Limits {
			r.Clients = append(r.Clients, capacity.Of(c.Name, 1, q))
		}
	}
	given, bounded := capacity.Total(r.Channels)
	allowed, limited := capacity.Total(r.Clients)
	if bounded && limited && h.ClientsFile == "" && allowed > given {
		r.Warn(fmt.Sprintf("the clients may make %d requests a month, and the channels give %d: lower the limits, or some will be refused before theirs is reached", allowed, given))
	}
	return r
}

// capacityOf describes the quotas of the channel's keys.
//
// Each quota is multiplied by the number of keys as they are now, at least one: a
// channel with auth none has no key and still has its quota once.
func capacityOf(c *Channel) (all []capacity.Quota) {
	keys := max(1, len(c.keys()))
	add := func(model string, quotas []*quota.Quota) {
		for _, q := range c.inZone(quotas) {
			described := capacity.Of(c.Name, keys, q)
			described.Model = model
			all = append(all, described)
		}
	}
	add("", c.Quotas)
	add(capacity.EachModel, c.ModelQuotas)
	for _, route := range c.Models {
		add(route.counted(), route.Quotas)
	}
	if len(all) == 0 {
		return []capacity.Quota{capacity.Of(c.Name, keys, nil)}
	}
	return all
}

// counted says what each of the route's quotas is of: the channel's own name for a
// model counts.
func (r *ModelRoute) counted() string {
	names := r.Names
	if len(r.As) > 0 && !r.captures() {
		names = r.As
	}
	text := strings.Join(names, " ")
	if len(names) > 1 || strings.Contains(text, "*") {
		return "each of " + text
	}
	return text
}
