package llmgateway

import (
	"slices"
	"time"
)

// exclusion is what a request does not try any more: all of a channel, or that part
// of it for which the further fields are set.
//
// Exclusions are the request's own and end with it, in contrast to cooldowns: what a
// request learns about itself, such as that it is too long for a model, must not keep
// others away.
type exclusion struct {
	channel *Channel
	isModel bool   // of this model only
	model   string // the channel's own name
	isKey   bool   // this key only
	key     *key
	account string // keys of this account only, "" for all
	but     []*key // all keys but these, unless it is empty
}

// exclude excludes a part of a channel.
func (c *candidates) exclude(e exclusion) { c.excluded = append(c.excluded, e) }

// excludeChannel excludes all of a channel.
func (c *candidates) excludeChannel(channel *Channel) { c.exclude(exclusion{channel: channel}) }

// excludeModel excludes all keys of the candidate's channel for its model.
func (c *candidates) excludeModel(of *candidate) {
	c.exclude(exclusion{channel: of.channel, isModel: true, model: of.model})
}

// excludeAccount excludes those of them that share the candidate's quotas.
//
// Another key of the same account would be refused by the same quota.
func (c *candidates) excludeAccount(of *candidate) {
	if of.key == nil || of.key.account == "" && of.channel.account != "" {
		c.excludeModel(of) // all keys do
		return
	}
	c.exclude(exclusion{channel: of.channel, isModel: true, model: of.model, account: of.account()})
}

// excludeKey excludes the candidate's key for all models.
func (c *candidates) excludeKey(of *candidate) {
	c.exclude(exclusion{channel: of.channel, isKey: true, key: of.key})
}

// excludeKeysBut excludes all keys of a channel but these.
func (c *candidates) excludeKeysBut(channel *Channel, keys []*key) {
	c.exclude(exclusion{channel: channel, but: slices.Clone(keys)})
}

// isWhole reports whether the exclusion is of all keys.
func (e *exclusion) isWhole() bool { return !e.isKey && e.account == "" && len(e.but) == 0 }

// matches reports whether a candidate is excluded.
func (e *exclusion) matches(c *candidate) bool {
	switch {
	case e.channel != c.channel || e.isModel && e.model != c.model,
		e.isKey && e.key != c.key,
		e.account != "" && e.account != c.account():
		return false
	}
	return !slices.Contains(e.but, c.key)
}

// putLast puts a channel behind all others that have not failed.
func (c *candidates) putLast(channel *Channel) { c.failing = append(c.failing, channel) }

// excludes reports whether none of a channel's keys is tried for the model, or not
// in this step.
func (c *candidates) excludes(l *leg) bool {
	return c.excludesLeg(l) || c.isDeferred(l.measures) || c.step.demand < demandAny && slices.Contains(c.failing, l.channel)
}

// excludesLeg reports whether none of a channel's keys is tried for the model.
func (c *candidates) excludesLeg(l *leg) bool {
	for i := range c.excluded {
		if e := &c.excluded[i]; e.channel == l.channel && e.isWhole() && (!e.isModel || e.model == l.model) {
			return true
		}
	}
	return !c.fits(l.measures)
}

// excludesKey reports whether a candidate is not tried any more, or never is.
func (c *candidates) excludesKey(next *candidate) bool {
	if !c.fits(next.measures) {
		return true
	}
	for i := range c.excluded {
		if c.excluded[i].matches(next) {
			return true
		}
	}
	return slices.ContainsFunc(c.tried, func(t candidate) bool { return t.isAt(next) && t.key == next.key })
}

// hasOther reports whether another key of a candidate's channel may be used for its
// model, of another account if that is asked for.
//
// The answer decides whether a second opinion can be had. Nothing is claimed by asking.
func (c *candidates) hasOther(than *candidate, otherAccount bool, now time.Time) bool {
	for _, l := range c.plan.legs {
		if l.channel != than.channel || l.model != than.model || c.excludesLeg(l) {
			continue
		}
		walk := c.choice.walkKeys(l, false, now)
		for i, ok := walk.walk.Next(); ok; i, ok = walk.walk.Next() {
			next := c.of(l, walk.set.at(i))
			switch {
			case c.excludesKey(&next) || otherAccount && next.account() == than.account():
			case next.mayBeUsed(now):
				return true
			default:
				walk.walk.Block()
			}
		}
		return false
	}
	return false
}
