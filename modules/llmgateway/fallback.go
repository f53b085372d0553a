package llmgateway

import (
	"fmt"
	"slices"
)

// check refuses names that cannot be meant.
func (f *Fallback) check() error {
	if i := slices.IndexFunc(f.To, isPattern); i >= 0 {
		return fmt.Errorf("fallback to %s: the model that stands in must have no wildcard", f.To[i])
	}
	if err := checkModelNames(f.Models, nil); err != nil {
		return err
	}
	return checkModelNames(f.To, nil)
}

// fallbacks say which models stand in for others.
type fallbacks []*Fallback

// chain returns a model and those that stand in for it, in order, as far as the
// client may use them.
//
// Fallbacks of fallbacks count, each model once, so that circles end. The first name is
// the requested one, also if the client may not use it: that was checked before.
func (f fallbacks) chain(model string, client *Client) []string {
	chain := []string{model}
	for i := 0; i < len(chain); i++ {
		for _, next := range f.of(chain[i], client) {
			if !slices.Contains(chain, next) {
				chain = append(chain, next)
			}
		}
	}
	return chain
}

// of returns the models that the first fallback for a model has which the client may
// use.
func (f fallbacks) of(model string, client *Client) []string {
	for _, fallback := range f {
		if !matchesAny(fallback.Models, model) {
			continue
		}
		may := slices.DeleteFunc(slices.Clone(fallback.To), func(to string) bool { return !client.mayUse(to) })
		if len(may) > 0 {
			return may
		}
	}
	return nil
}
