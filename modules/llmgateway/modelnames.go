package llmgateway

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/caddy-freetier/caddy-freetier/internal/reqbody"
	"go.uber.org/zap"
)

// checkModelName refuses a word that cannot be a model's name or a pattern of
// names: what is left of a list, a mapping, a comment or a regular expression
// in the syntax of another program. Such a word would be taken for a name that
// no client asks for.
func checkModelName(name string) error {
	switch {
	case name == "":
		return errors.New("a model's name is empty")
	case strings.ContainsAny(name, ",;，、；"):
		return fmt.Errorf("model %q: separate models with white space; there is no comma", name)
	case name == "to" || strings.EqualFold(name, "as") || strings.ContainsAny(name, "=→⇒") || strings.Contains(name, "->"):
		return fmt.Errorf("model %q: a channel's own name for a model is given with as: models gpt-4 as gpt-4-0125-preview", name)
	case hasAnyPrefix(name, "//", "--", "#", "/*", "*/", "<!--"):
		return fmt.Errorf("model %q: a comment begins with # and a white space before that", name)
	case isRegexp(name):
		return fmt.Errorf("model %q: names are no regular expressions; * stands for any characters: gpt-4*", name)
	case strings.ContainsAny(name, "{}$%"):
		return fmt.Errorf("model %q: names hold no placeholders; {$NAME} is replaced while the Caddyfile is read", name)
	case strings.ContainsAny(name, "\"'`<>“”‘’"):
		return fmt.Errorf("model %q: write the name without quotation marks and brackets", name)
	case strings.ContainsFunc(name, unicode.IsSpace):
		return fmt.Errorf("model %q: a name has no white space in it; write several names as words of their own, without quotation marks", name)
	}
	for _, r := range name {
		if unfitForName(r) {
			return fmt.Errorf("model %q: the character %q is neither a letter nor a digit, and looks like another one or is invisible; write the name again", name, r)
		}
	}
	return nil
}

// isRegexp reports whether a name is a regular expression. Parentheses alone do
// not make it one, since some programs put options of a model into them, and
// neither does a dot behind a digit: gpt-4.* stands for gpt-4.1.
func isRegexp(name string) bool {
	if strings.ContainsAny(name, `^\|?`) || strings.HasPrefix(name, "~") || strings.HasPrefix(name, ".*") {
		return true
	}
	i := strings.Index(name, ".*")
	return i > 0 && (name[i-1] < '0' || name[i-1] > '9')
}

// unfitForName reports whether a character is in a name by accident. Letters of
// any script are not: names may be aliases.
func unfitForName(r rune) bool {
	switch {
	case r < utf8.RuneSelf:
		return unicode.IsControl(r)
	case r >= '！' && r <= '～': // full-width forms of ASCII
		return true
	}
	return r == utf8.RuneError || !unicode.In(r, unicode.L, unicode.M, unicode.N)
}

// checkModelNames refuses words that are no names, and names that stand twice
// among them and the ones before, of which only the first would count. A
// pattern may be among the ones before: behind `as` it hides the names that the
// channel lists, and without it shows them.
func checkModelNames(names, before []string) error {
	for i, name := range names {
		if err := checkModelName(name); err != nil {
			return err
		}
		if slices.Contains(names[:i], name) || !isPattern(name) && slices.Contains(before, name) {
			return fmt.Errorf("model %q is given twice, and only the first one would count", name)
		}
	}
	return nil
}

// checkNames refuses names of models that cannot be meant, in JSON. Those of a
// Caddyfile were checked while it was read.
func checkNames(clients []*Client, channels []*Channel, fallbacks []*Fallback) error {
	for _, c := range clients {
		if err := checkModelNames(c.Models, nil); err != nil {
			return located(c.Source, fmt.Errorf("client %s: %w", c.Name, err))
		}
	}
	for _, c := range channels {
		var before []string
		for _, route := range c.Models {
			if err := checkRoute(route, before); err != nil {
				return located(c.Source, fmt.Errorf("channel %s: %w", c.Name, err))
			}
			before = append(before, route.Names...)
		}
	}
	for _, f := range fallbacks {
		if err := f.check(); err != nil {
			return fmt.Errorf("fallback: %w", err)
		}
	}
	return nil
}

// checkRoute checks one line of models.
func checkRoute(route *ModelRoute, before []string) error {
	if err := checkModelNames(route.Names, before); err != nil {
		return err
	}
	if err := checkModelNames(route.As, nil); err != nil {
		return err
	}
	return route.checkCapture()
}

// warnOfUnknownModels warns of names that nobody can be asked for: models of a client, or
// models that stand in for others, which neither a channel has nor another fallback leads
// on from. Mostly that is a slip of the pen. It is no error: a client of a file may be
// meant for a channel that is still to come.
func warnOfUnknownModels(h *Handler, logger *zap.Logger) {
	var names []string
	for _, c := range h.Channels {
		for _, route := range c.Models {
			names = append(names, route.Names...)
		}
	}
	for _, f := range h.Fallbacks {
		names = append(names, f.Models...)
	}
	isUnknown := func(model string) bool {
		return !slices.ContainsFunc(names, func(name string) bool { return reqbody.Match(name, model) || reqbody.Match(model, name) })
	}
	for _, c := range h.Clients {
		for _, model := range c.Models {
			if isUnknown(model) {
				logger.Warn("a client may use a model that no channel has; the names of a channel's models are those that clients ask for",
					zap.String("client", c.Name), zap.String("model", model), zap.String("source", c.Source))
			}
		}
	}
	for _, f := range h.Fallbacks {
		for _, model := range f.To {
			if isUnknown(model) {
				logger.Warn("a fallback leads to a model that no channel has; write a name that clients can ask for", zap.String("model", model))
			}
		}
	}
}
