package llmgateway

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/caddy-freetier/caddy-freetier/internal/cooldown"
	"github.com/caddy-freetier/caddy-freetier/internal/ledger"
	"github.com/caddy-freetier/caddy-freetier/internal/llm/refusal"
	"github.com/caddy-freetier/caddy-freetier/internal/quota"
	"github.com/caddy-freetier/caddy-freetier/internal/status"
)

// describe adds the channels and clients to a status. One block of a Caddyfile can be
// several gateways, which have them in common.
func (g *gateway) describe(now time.Time, s *status.Status) {
	for _, c := range g.channels {
		known := func(other status.Channel) bool { return other.Name == c.Name && other.Host == c.base.Host }
		if !slices.ContainsFunc(s.Channels, known) {
			s.Channels = append(s.Channels, describeChannel(c, now))
			describeReceipt(c, now, &s.Receipt)
		}
	}
	known := make(map[string]bool, len(s.Clients))
	for _, c := range s.Clients {
		known[c.Name] = true
	}
	add := func(c *Client) {
		if !known[c.Name] {
			s.Clients = append(s.Clients, c.describe(now))
		}
	}
	if g.auth.anonymous {
		add(g.auth.everybody)
		return
	}
	for _, c := range g.auth.keys.Load().named {
		add(c)
	}
}

// describe describes a client, with what it has used today by UTC.
func (c *Client) describe(now time.Time) status.Client {
	described := status.Client{Name: c.Name, Limits: c.describeLimits("", now)}
	described.Requests, described.Tokens = c.uses.today()
	return described
}

// today returns what was used today of the models that were asked for since the
// start.
func (u *uses) today() (requests, tokens int64) {
	u.mu.RLock()
	defer u.mu.RUnlock()
	for _, use := range u.models {
		requests += use.requests.Sum()
		tokens += use.tokens.Sum()
	}
	return requests, tokens
}

// describeLimits describes each meter, requests before tokens. model is set for limits
// of one model, "" for those of the client or key.
func (l *limits) describeLimits(model string, now time.Time) []status.Quota {
	all := []status.Quota{}
	add := func(meters quota.Meters, unit ledger.Unit) {
		for _, m := range meters {
			q := status.NewQuota(m, string(unit), string(m.Period()), now)
			q.Model = model
			all = append(all, q)
		}
	}
	add(l.requests, ledger.Requests)
	add(l.tokens, ledger.Tokens)
	return all
}

// describeChannel describes the channel. Its keys are counted, not listed.
func describeChannel(c *Channel, now time.Time) status.Channel {
	summary := newChannelSummary(c, now)
	described := status.Channel{
		Name: c.Name, Host: c.base.Host, Tier: c.Tier,
		Attempts: summary.Attempts, Answered: summary.Answered, Refused: summary.Refused,
		Keys:      status.Keys{Total: summary.Keys, Usable: summary.Usable, Groups: []status.KeyGroup{}},
		Cooldowns: []status.Cooldown{},
	}
	if last := summary.LastRefusal; last != nil {
		described.LastRefusal = &status.Refusal{At: last.At.UTC(), Status: last.Status, Scope: last.Scope, Reason: last.Reason}
	}
	for _, state := range c.cooldowns.List(now) {
		described.Cooldowns = append(described.Cooldowns, status.Cooldown{Model: modelOf(state), Until: state.Until.UTC(), Reason: state.Reason})
	}
	described.Cooldowns = described.Cooldowns[:min(len(described.Cooldowns), status.MaxCooldowns)]
	sums := newQuotaSums(now)
	for _, k := range c.keys() {
		if group, ok := k.group(now); ok {
			described.Keys.Groups = addGroup(described.Keys.Groups, group)
		}
		sums.add("", &k.limits)
		if c.modelQuotas.any() {
			if known := k.byModel.known.Load(); known != nil {
				for model, l := range *known {
					sums.add(model, l)
				}
			}
		}
	}
	slices.SortFunc(described.Keys.Groups, func(a, b status.KeyGroup) int {
		return cmp.Or(cmp.Compare(b.Count, a.Count), strings.Compare(a.State+a.Reason, b.State+b.Reason))
	})
	described.Keys.Groups = described.Keys.Groups[:min(len(described.Keys.Groups), status.MaxGroups)]
	described.Quotas = sums.quotas()
	return described
}

// modelOf returns the model of a cooldown, "" for all.
func modelOf(s cooldown.State) string {
	if s.Name == cooldown.All {
		return ""
	}
	return s.Name
}

// group returns a group with this key alone. There is none if the key may be used
// for all models.
//
// A dead key is a group of its own, since only its owner can change that. Of several
// cooldowns by model the first to end counts: from then on the key can do more.
func (k *key) group(now time.Time) (group status.KeyGroup, ok bool) {
	group = status.KeyGroup{Count: 1, Names: []string{k.name()}}
	list := k.cooldowns.List(now)
	for _, state := range list {
		if state.Name == cooldown.All {
			group.State, group.Reason, group.Until = status.KeyCooldown, state.Reason, state.Until.UTC()
			if state.Reason == string(refusal.ReasonDead) {
				group.State = status.KeyDead
			}
			return group, true
		}
	}
	if m := k.exhausted(); m != nil {
		group.State, group.Until = status.KeyExhausted, m.Renews().UTC()
		return group, true
	}
	if len(list) == 0 {
		return group, false
	}
	first := slices.MinFunc(list, func(a, b cooldown.State) int { return a.Until.Compare(b.Until) })
	group.State, group.Reason, group.Until = status.KeyPartly, first.Reason, first.Until.UTC()
	return group, true
}

// addGroup adds a key's group to that of the same state and reason.
//
// Until is the earliest of the group, which is when the next key is available. The
// number of names is bounded, so that a page about 10,000 keys stays short.
func addGroup(groups []status.KeyGroup, one status.KeyGroup) []status.KeyGroup {
	i := slices.IndexFunc(groups, func(g status.KeyGroup) bool { return g.State == one.State && g.Reason == one.Reason })
	if i < 0 {
		return append(groups, one)
	}
	g := &groups[i]
	g.Count++
	if len(g.Names) < status.MaxNames {
		g.Names = append(g.Names, one.Names...)
	}
	if one.Until.Before(g.Until) {
		g.Until = one.Until
	}
	return groups
}

// quotaSums adds up the quotas of a channel's keys. What several keys count
// together counts once.
//
// seen has the counters that were added: keys of one account, and several names that
// share a count, have the same one. The sums are of one channel, made for each
// description and used by its goroutine only.
type quotaSums struct {
	now  time.Time
	seen map[any]bool
	sums map[quotaKind]*status.Quota
}

type quotaKind struct {
	model  string
	unit   ledger.Unit
	period ledger.Period
}

func newQuotaSums(now time.Time) *quotaSums {
	return &quotaSums{now: now, seen: make(map[any]bool), sums: make(map[quotaKind]*status.Quota)}
}

func (s *quotaSums) add(model string, l *limits) {
	add := func(meters quota.Meters, unit ledger.Unit) {
		for _, m := range meters {
			if s.seen[m.Count()] {
				continue
			}
			s.seen[m.Count()] = true
			kind := quotaKind{model, unit, m.Period()}
			sum := s.sums[kind]
			if sum == nil {
				first := status.NewQuota(m, string(unit), string(m.Period()), s.now)
				first.Model = model
				s.sums[kind] = &first
				continue
			}
			sum.Limit += m.Limit()
			sum.Used += m.Used()
			from, until := m.Window()
			sum.ExhaustedOn = status.ExhaustedOn(float64(sum.Used), float64(sum.Limit), from, until, s.now)
		}
	}
	add(l.requests, ledger.Requests)
	add(l.tokens, ledger.Tokens)
}

// quotas returns the sums, those first of which least is left.
//
// What is left is compared as a fraction, since numbers of requests and of tokens
// cannot be compared.
func (s *quotaSums) quotas() []status.Quota {
	all := make([]status.Quota, 0, len(s.sums))
	for _, sum := range s.sums {
		all = append(all, *sum)
	}
	left := func(q status.Quota) float64 { return float64(q.Limit-q.Used) / float64(q.Limit) }
	slices.SortFunc(all, func(a, b status.Quota) int {
		return cmp.Or(cmp.Compare(left(a), left(b)), strings.Compare(a.Model+a.Unit+a.Period, b.Model+b.Unit+b.Period))
	})
	return all[:min(len(all), status.MaxQuotas)]
}

// reportKey reports that a key is in cooldown for all models, such as a dead one.
//
// The event goes to those who are notified of changes; it has the end of the key and
// the classifier's reason, never the provider's message.
func (g *gateway) reportKey(c *candidate, v refusal.Verdict) {
	g.changes.Report(status.Event{
		At: g.clock.Now(), Kind: status.EventKey, Subject: c.channel.Name,
		Message: fmt.Sprintf("key %s of %s is in cooldown: %s", c.key.name(), c.channel.Name, v.Reason),
	})
}

// reportChannel reports a change of a channel's health.
func (g *gateway) reportChannel(c *Channel, kind, what string) {
	g.changes.Report(status.Event{At: g.clock.Now(), Kind: kind, Subject: c.Name, Message: c.Name + " " + what})
}
