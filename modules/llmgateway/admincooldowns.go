package llmgateway

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/caddyserver/caddy/v2"
	"go.uber.org/zap"

	"github.com/caddy-freetier/caddy-freetier/internal/cooldown"
)

// maxNamed is how many names an error lists.
const maxNamed = 20

// serveCooldowns lifts cooldowns.
//
// An empty parameter is refused, as ?key= of a script whose variable is unset would
// lift everything.
func (a *Admin) serveCooldowns(w http.ResponseWriter, r *http.Request) error {
	if err := allowMethods(w, r, http.MethodDelete); err != nil {
		return err
	}
	query, err := adminQuery(r, "channel", "key", "model")
	if err != nil {
		return err
	}
	for name, value := range query {
		if value == "" {
			return caddy.APIError{HTTPStatus: http.StatusBadRequest, Err: fmt.Errorf("the parameter %s is empty", name)}
		}
	}
	matched := &lifting{model: query["model"]}
	if err := matched.find(query["channel"], query["key"]); err != nil {
		return caddy.APIError{HTTPStatus: http.StatusNotFound, Err: err}
	}
	return showJSON(w, map[string]int{"lifted": matched.lift()})
}

// lifting is what DELETE is about.
type lifting struct {
	model    string // "" for all
	channels []*Channel
	breakers []*cooldown.Breaker
	learned  []*learnedLimits
	clock    func() time.Time
	logger   *zap.Logger
}

// find finds the channels and keys of these names, "" standing for all. Its errors
// say which names there are. They do not repeat the name that was given, which
// may be a key by mistake.
//
// A key can be given with or without the ellipsis before its last four characters,
// which shells and terminals make hard to type. Several keys may end alike; all of them
// match.
func (l *lifting) find(channel, key string) error {
	var channels, keys []string
	known := false // the key
	for _, g := range loadedGateways() {
		l.clock, l.logger = g.clock.Now, g.logger
		for _, c := range g.channels {
			channels = append(channels, c.Name)
			if channel != "" && c.Name != channel {
				continue
			}
			l.channels = append(l.channels, c)
			if key == "" {
				l.add(c.cooldowns)
			}
			for _, k := range c.keys() {
				name := k.name()
				keys = append(keys, name)
				if key == "" || name == key || name == "…"+key {
					known = true
					l.add(k.cooldowns)
					l.learned = append(l.learned, k.learned)
				}
			}
		}
	}
	switch {
	case len(l.channels) == 0:
		return noneOf("channel", channels)
	case key != "" && !known:
		return noneOf("key", keys)
	case l.model != "" && !l.knowsModel():
		return noneOf("model", l.models())
	}
	return nil
}

// add adds the cooldowns of a channel or key. Those of one URL are shared.
func (l *lifting) add(b *cooldown.Breaker) { l.breakers = append(l.breakers, b) }

// knowsModel reports whether there is such a model, by the name that the channel
// has for it.
//
// With a pattern any name can be one of the channel's. Else a name that matches nothing
// is more likely misspelled, and an error helps more than "lifted: 0".
func (l *lifting) knowsModel() bool {
	for _, c := range l.channels {
		if models, any := ownModels(c.Models); any || slices.Contains(models, l.model) {
			return true
		}
	}
	return slices.Contains(l.models(), l.model)
}

// models returns the names that a model can be given by.
func (l *lifting) models() (all []string) {
	for _, c := range l.channels {
		models, _ := ownModels(c.Models)
		all = append(all, models...)
	}
	now := l.clock()
	for _, b := range l.breakers {
		for _, state := range b.List(now) {
			if state.Name != cooldown.All {
				all = append(all, state.Name)
			}
		}
	}
	return all
}

// lift lifts what was found and returns how many cooldowns that were.
//
// It goes through the Breakers, which record the lift: other instances on the same
// storage follow, and a restart does not bring the cooldowns back. Learned limits are
// lifted in this process only.
func (l *lifting) lift() (lifted int) {
	now := l.clock()
	for _, b := range l.breakers {
		if l.model == "" {
			lifted += b.LiftEverything(now)
		} else {
			lifted += b.Lift(l.model, now)
		}
	}
	for _, limits := range l.learned {
		lifted += limits.lift(l.model, now)
	}
	l.logger.Info("cooldowns lifted", zap.Int("count", lifted))
	return lifted
}

// noneOf says that nothing has the name that was given, and which names there
// are.
func noneOf(what string, names []string) error {
	if len(names) == 0 {
		return fmt.Errorf("there is no such %s, nor any other", what)
	}
	slices.Sort(names)
	names = slices.Compact(names)
	more := ""
	if n := len(names) - maxNamed; n > 0 {
		names, more = names[:maxNamed], fmt.Sprintf(" and %d more", n)
	}
	return fmt.Errorf("there is no such %s; there are: %s%s", what, strings.Join(names, ", "), more)
}
