package llmgateway

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/caddy-freetier/caddy-freetier/internal/llm/capability"
	"github.com/caddy-freetier/caddy-freetier/internal/llm/fields"
	"github.com/caddy-freetier/caddy-freetier/internal/quota"
	"github.com/caddy-freetier/caddy-freetier/internal/reqbody"
)

// ModelRoute says under which names clients get a model of the channel.
type ModelRoute struct {
	// Names that clients ask for, `*` standing for any characters.
	Names []string `json:"names,omitempty"`

	// The channel's own name for all of them. A `*` in it is replaced with what
	// the one in the client's name stands for. Of several names, each is asked for
	// when the ones before it cannot answer, at all channels of the tier; none of
	// them has a `*` then. For embeddings only the first one is. Default: the name
	// that the client asked for.
	As []string `json:"as,omitempty"`

	// Quotas of each of these models by itself, in the place of the channel's
	// model_quotas. Default: those.
	Quotas []*quota.Quota `json:"quotas,omitempty"`

	// Changes of the fields of JSON bodies, after the channel's. Default: none.
	Fields []fields.Rule `json:"fields,omitempty"`

	// What the provider asks for a million tokens from those who pay, in any
	// currency: the receipt of the status page says what the model's use would
	// have cost. Default: it is not on the receipt.
	Price Price `json:"price,omitzero"`

	// What these models can do. Candidates that cannot serve a request are passed
	// over. Default: nothing is known of them.
	capability.Limits

	sents []sents // of each name
	rules fieldRules
}

// sents are the channel's own names that stand behind a client's, in order.
type sents []*measures

// provision prepares the route of a channel.
func (r *ModelRoute) provision(c *Channel) (err error) {
	if err := r.Check(); err != nil {
		return fmt.Errorf("models %s: %w", strings.Join(r.Names, " "), err)
	}
	for _, name := range r.Names {
		own := r.As
		if len(own) == 0 || r.captures() {
			own = []string{name}
		}
		var of sents
		for _, model := range own {
			of = append(of, &measures{channel: c.Name, model: model, route: r})
		}
		r.sents = append(r.sents, of)
	}
	r.rules, err = newFieldRules(c, r.Fields)
	return err
}

// own returns the channel's own names, with those of its patterns.
func (r *ModelRoute) own() []string {
	if len(r.As) > 0 {
		return r.As
	}
	return r.Names
}

// captures reports whether the channel's own name has a part of the client's.
func (r *ModelRoute) captures() bool { return len(r.As) == 1 && isPattern(r.As[0]) }

// checkCapture checks that each `*` of the channel's own name has one that it
// stands for.
func (r *ModelRoute) checkCapture() error {
	if len(r.As) > 1 && slices.ContainsFunc(r.As, isPattern) {
		return fmt.Errorf("models %s as %s: of several names after as, none has a *", strings.Join(r.Names, " "), strings.Join(r.As, " "))
	}
	if !r.captures() {
		return nil
	}
	one := func(name string) bool { return strings.Count(name, "*") == 1 }
	if !one(r.As[0]) || slices.ContainsFunc(r.Names, func(name string) bool { return !one(name) }) {
		return fmt.Errorf("models %s as %s: where the channel's own name has a *, it and the names before it have exactly one", strings.Join(r.Names, " "), r.As[0])
	}
	return nil
}

// sent returns one of the channel's own names for a model that a client has asked
// for by a name that matches the pattern, "" for none: a * of a pattern may stand
// for nothing, a model's name does not.
func (r *ModelRoute) sent(pattern, model string, rank int) string {
	switch {
	case len(r.As) == 0:
		return model
	case !r.captures():
		return r.As[rank]
	}
	text := capture(pattern, model)
	if text == "" {
		return ""
	}
	return fill(r.As[0], text)
}

// offered returns the name under which clients get a model that the channel lists,
// "" if the pattern is for none of that name.
func (r *ModelRoute) offered(pattern, listed string) string {
	switch {
	case len(r.As) == 0 && reqbody.Match(pattern, listed):
		return listed
	case r.captures() && reqbody.Match(r.As[0], listed):
		return fill(pattern, capture(r.As[0], listed))
	}
	return ""
}

// capture returns what the * of a pattern stands for in a name that matches it.
func capture(pattern, name string) string {
	before, after, _ := strings.Cut(pattern, "*")
	return name[len(before) : len(name)-len(after)]
}

// fill puts a text in the place of a pattern's *.
func fill(pattern, text string) string {
	before, after, _ := strings.Cut(pattern, "*")
	if before == "" && after == "" {
		return text
	}
	return before + text + after
}

// sentModel returns the channel's own name for a model, "" if it has none, and
// what is measured of it. Of several that is the first.
func (c *Channel) sentModel(model string) (string, *measures) { return c.sentOf(model, 0) }

// sentOf returns the channel's own name of a rank for a model, from 0.
func (c *Channel) sentOf(model string, rank int) (string, *measures) {
	for _, route := range c.Models {
		for i, pattern := range route.Names {
			if !reqbody.Match(pattern, model) || route.sent(pattern, model, 0) == "" {
				continue
			}
			if of := route.sents[i]; rank < len(of) {
				return route.sent(pattern, model, rank), of[rank]
			}
			return "", nil
		}
	}
	return "", nil
}

// has reports whether the channel has a model.
func (c *Channel) has(model string) bool {
	sent, _ := c.sentModel(model)
	return sent != ""
}

var errOwnField = errors.New("the gateway itself writes the model and reads whether a response is streamed: there are no rules for the fields model and stream")

// fieldRules are the compiled changes of a route: those of chat completions, which
// have the preset's among them, and those of other calls. Unset for none.
type fieldRules struct {
	chat, other *fields.Rules
	// ownUsage says that a rule is about stream_options, which the gateway then
	// leaves as they are.
	ownUsage bool
}

// of returns the rules of chat completions or those of other calls, nil for none.
func (r *fieldRules) of(chat bool) *fields.Rules {
	if chat {
		return r.chat
	}
	return r.other
}

func newFieldRules(c *Channel, ofRoute []fields.Rule) (r fieldRules, err error) {
	own := slices.Concat(c.Fields, ofRoute)
	for _, rule := range own {
		if err := checkFieldRule(rule); err != nil {
			return r, fmt.Errorf("fields: %w", err)
		}
		r.ownUsage = r.ownUsage || rule.Touches("stream_options")
	}
	if r.other, err = fields.Compile(own); err != nil {
		return r, fmt.Errorf("fields: %w", err)
	}
	r.chat = r.other
	if c.preset != nil {
		// An error cannot happen: a test has compiled all presets.
		r.chat, err = fields.Compile(fields.Override(c.preset.Fields, own))
	}
	return r, err
}

func checkFieldRule(r fields.Rule) error {
	if err := r.Check(); err != nil {
		return err
	}
	if r.Touches("model") || r.Touches("stream") {
		return errOwnField
	}
	return nil
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
