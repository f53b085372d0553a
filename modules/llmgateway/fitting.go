package llmgateway

import (
	"fmt"
	"slices"
	"strings"

	"github.com/caddy-freetier/caddy-freetier/internal/llm/capability"
	"github.com/caddy-freetier/caddy-freetier/internal/llm/refusal"
	"github.com/caddy-freetier/caddy-freetier/internal/llm/usage"
)

// noLimits are those of models of which nothing is known.
var noLimits capability.Limits

// limits returns what is known of the model.
func (m *measures) limits() *capability.Limits {
	if m == nil {
		return &noLimits
	}
	return &m.route.Limits
}

// fits reports whether a model can serve the request.
func (c *candidates) fits(m *measures) bool { return !c.plan.limited || m.limits().Fits(&c.needs) }

// needsOf returns what a request needs of a model, if the plan's models have limits.
func (p *plan) needsOf(q *request) (n capability.Needs) {
	if !p.limited || !q.hasBody() || q.form != nil || q.opaque || q.isTokenCount() {
		return n
	}
	n = capability.NeedsOf(q.body)
	if p.leastContext > 0 {
		if n.Input = q.body.Len() / usage.TextBytes; n.Input > p.leastContext {
			n.Input = q.estimateInput()
		}
	}
	return n
}

// fitNothing reports whether no candidate can serve the request.
func (c *candidates) fitNothing() bool {
	return c.plan.limited && !slices.ContainsFunc(c.plan.legs, func(l *leg) bool { return c.fits(l.measures) })
}

// unfit says why no candidate can serve a request for a model, and which models of
// the tiers could that the client may use.
func (c *candidates) unfit(model string, all tiers, client *Client) *apiError {
	e := invalidRequest(fmt.Sprintf("No channel can serve this request for %s: %s.%s", model, c.lacks(), c.whoFits(all, client)))
	if !slices.ContainsFunc(c.plan.legs, func(l *leg) bool { return !l.measures.limits().IsTooLong(&c.needs) }) {
		e.Code = "context_length_exceeded" // by which agents know that they have to say less
	}
	return e
}

// mostFits bounds what an error lists.
const mostFits = 4

// lacks says what each channel lacks.
func (c *candidates) lacks() string {
	var lacks []string
	for _, l := range c.plan.legs {
		if len(lacks) == mostFits {
			return strings.Join(lacks, "; ") + fmt.Sprintf("; and so on, of %d", len(c.plan.legs))
		}
		lacks = append(lacks, fmt.Sprintf("%s at channel %s %s", l.model, l.channel.Name, l.measures.limits().Lack(&c.needs)))
	}
	return strings.Join(lacks, "; ")
}

// whoFits names models that could serve the request, as a sentence.
func (c *candidates) whoFits(all tiers, client *Client) string {
	var fits []string
	for _, channel := range slices.Concat(all...) {
		for _, route := range channel.Models {
			for i, name := range route.Names {
				if len(fits) < mostFits && !isPattern(name) && client.mayUse(name) && c.fitsAny(route.sents[i]) {
					fits = append(fits, fmt.Sprintf("%s (channel %s)", name, channel.Name))
				}
			}
		}
	}
	if len(fits) == 0 {
		return ""
	}
	return " These can: " + strings.Join(fits, ", ") + "."
}

// fitsAny reports whether one of a name's models can serve the request.
func (c *candidates) fitsAny(of sents) bool {
	return slices.ContainsFunc(of, func(m *measures) bool { return m.limits().Fits(&c.needs) })
}

// preferWider lets models with a larger context than the candidate's be asked before
// others, if the request was too long for it.
func (c *candidates) preferWider(than *candidate, v refusal.Verdict) {
	if c.plan.limited && (v.Reason == refusal.ReasonContext || v.Reason == refusal.ReasonTooLarge) {
		c.wider, c.widerThan = true, max(c.widerThan, than.measures.limits().Context)
		c.restart()
	}
}

// isDeferred reports whether models with a larger context come first.
func (c *candidates) isDeferred(m *measures) bool {
	return c.wider && m.limits().Context <= c.widerThan
}
