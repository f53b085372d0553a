package llmgateway

import (
	"cmp"
	"net/http"
	"slices"
)

// tiers are the channels by tier, the first asked first.
type tiers [][]*Channel

// newTiers groups the channels by tier, the first asked coming first.
func newTiers(channels []*Channel) (all tiers) {
	sorted := slices.Clone(channels)
	slices.SortStableFunc(sorted, func(a, b *Channel) int { return cmp.Compare(a.Tier, b.Tier) })
	for _, c := range sorted {
		if n := len(all); n > 0 && all[n-1][0].Tier == c.Tier {
			all[n-1] = append(all[n-1], c)
			continue
		}
		all = append(all, []*Channel{c})
	}
	return all
}

// plan puts everything that could answer the request in order, once.
func (as *attempts) plan(r *http.Request, w http.ResponseWriter) *apiError {
	as.candidates.list = as.candidates.few[:0]
	if err := as.checkElsewhere(r.URL); err != nil {
		return err
	}
	if as.model != "" && !as.client.mayUse(as.model) {
		return modelNotFound(as.model)
	}
	if as.pin() {
		return as.begin(r.Context())
	}
	if as.model == "" {
		if !as.gateway.takesUnnamed() || as.client.restricted() {
			return noModel
		}
		as.addChannel(as.gateway.unnamed, "", nil)
		return as.begin(r.Context())
	}
	for model, asked := as.model, []string(nil); model != "" && !slices.Contains(asked, model); {
		asked = append(asked, model)
		as.addModel(model, r, w)
		model = as.gateway.fallbacks.of(model, as.client)
	}
	if len(as.candidates.list) == 0 {
		return modelNotFound(as.model)
	}
	return as.begin(r.Context())
}

// addModel adds the channels that have the model, tier by tier, and then those
// that sleep.
func (as *attempts) addModel(model string, r *http.Request, w http.ResponseWriter) {
	var equals, sleepers []*Channel
	first := len(as.candidates.list)
	for _, tier := range as.gateway.tiers {
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
			i := as.gateway.balancer.choose(equals, r, w)
			sent, measures := equals[i].sentModel(model)
			as.addChannel(equals[i], sent, measures)
			equals = slices.Delete(equals, i, i+1)
			w = discardHeader{} // a cookie is for the first choice
		}
	}
	as.addSleepers(sleepers, model, first)
}

// addChannel adds the channel's keys, each time beginning with another one.
func (as *attempts) addChannel(channel *Channel, model string, m *measures) {
	keys := channel.keys()
	n := uint32(len(keys))
	next := candidate{channel: channel, model: model, measures: m, auxiliary: as.isTokenCount()}
	if n == 0 {
		as.candidates.list = append(as.candidates.list, next)
		return
	}
	first := channel.turn.Add(1) - 1
	for i := range n {
		next.key = keys[(first+i)%n]
		as.candidates.list = append(as.candidates.list, next)
	}
}

// addSleepers adds the channels that sleep, behind those that are awake, of
// which first is the number of the first. The one that would have been asked
// before them is woken up in the background.
func (as *attempts) addSleepers(sleepers []*Channel, model string, first int) {
	if len(sleepers) == 0 {
		return
	}
	if s := sleepers[0]; first < len(as.candidates.list) && s.Tier <= as.candidates.list[first].channel.Tier {
		as.gateway.awake.Wake(s.dial)
	}
	for _, channel := range sleepers {
		sent, measures := channel.sentModel(model)
		as.addChannel(channel, sent, measures)
	}
}
