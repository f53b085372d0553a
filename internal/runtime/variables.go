package runtime

import (
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/caddyserver/caddy/v2"
	"go.uber.org/zap"
)

// Variables are the environment variables that a Caddyfile takes values from,
// as {$NAME} or {$NAME:default}. They are replaced where the Caddyfile is read,
// which for `caddy reload` is not the server but the shell that it was called
// from. Where that lacks the server's variables their defaults would silently
// take the place of what runs.
type Variables struct {
	// The variables that were set where the Caddyfile was read.
	Set []string `json:"set,omitempty"`

	// The variables that were not, so that their defaults count. When one of
	// them is set in the server, the configuration is refused if it would
	// replace another one, and warned of if it is the first.
	Unset []string `json:"unset,omitempty"`

	// Where the option stands, for error messages.
	Source string `json:"source,omitempty"`
}

// newVariables notes which of the variables are set in this process.
func newVariables(names []string, source string) *Variables {
	v := &Variables{Source: source}
	for i, name := range names {
		if slices.Contains(names[:i], name) {
			continue
		}
		if _, ok := os.LookupEnv(name); ok {
			v.Set = append(v.Set, name)
		} else {
			v.Unset = append(v.Unset, name)
		}
	}
	return v
}

// check compares the variables with those of this process.
func (v *Variables) check(logger *zap.Logger) error {
	v.warnMisspelt(logger)
	missed := slices.DeleteFunc(slices.Clone(v.Unset), func(name string) bool {
		_, ok := os.LookupEnv(name)
		return !ok
	})
	replaces := caddy.ActiveContext().Context != nil
	switch {
	case len(missed) > 0 && replaces:
		return fmt.Errorf("%s: the Caddyfile was read without %s, which this server was started with, so that defaults, such as a demo's, "+
			"would take the place of what runs; reload with `systemctl reload caddy`, or in a shell that has the same variables; "+
			"to do without them take them out of the environment and restart Caddy", v.Source, strings.Join(missed, ", "))
	case len(missed) > 0:
		logger.Warn("the Caddyfile was read without variables that this server was started with; their defaults count",
			zap.Strings("variables", missed), zap.String("source", v.Source))
	case len(v.Set) > 0 && len(v.Unset) > 0:
		logger.Info("variables of the Caddyfile are not set; their defaults count", zap.Strings("variables", v.Unset))
	}
	return nil
}

// warnMisspelt warns of variables of this process that look like ones that the
// Caddyfile has and nobody has set: their defaults count then.
func (v *Variables) warnMisspelt(logger *zap.Logger) {
	for _, setting := range os.Environ() {
		name, _, _ := strings.Cut(setting, "=")
		if slices.Contains(v.Set, name) || slices.Contains(v.Unset, name) {
			continue
		}
		for _, wanted := range v.Unset {
			if oneSlip(name, wanted) {
				logger.Warn("a variable that is set may be a misspelt one of the Caddyfile, whose default counts",
					zap.String("set", name), zap.String("unset", wanted), zap.String("source", v.Source))
			}
		}
	}
}

// oneSlip reports whether two names differ by one slip of the keyboard: a
// character that is missing, one too many, another one, or two that have changed
// places. Case does not matter. Numbers are not slips, and short names too many.
func oneSlip(a, b string) bool {
	if min(len(a), len(b)) < 4 {
		return false
	}
	a, b = strings.ToUpper(a), strings.ToUpper(b)
	for len(a) > 0 && len(b) > 0 && a[0] == b[0] {
		a, b = a[1:], b[1:]
	}
	for len(a) > 0 && len(b) > 0 && a[len(a)-1] == b[len(b)-1] {
		a, b = a[:len(a)-1], b[:len(b)-1]
	}
	if len(a) == 2 && len(b) == 2 {
		return a[0] == b[1] && a[1] == b[0]
	}
	return len(a) <= 1 && len(b) <= 1 && !strings.ContainsAny(a+b, "0123456789")
}
