package pool

import (
	"fmt"
	"slices"
	"strings"

	"github.com/caddyserver/caddy/v2"

	"github.com/caddy-freetier/caddy-freetier/internal/dnsclient"
)

// resolveHeader replaces the placeholders of a header field's value, but for
// those of requests.
func resolveHeader(repl *caddy.Replacer, value string) (string, error) {
	if len(dnsclient.Placeholders(value)) == 0 {
		return repl.ReplaceOrErr(value, true, true)
	}
	// Those of requests are unknown here, and stay.
	value = repl.ReplaceKnown(value, "")
	rest := value
	for _, name := range dnsclient.Placeholders(value) {
		rest = strings.ReplaceAll(rest, "{"+name+"}", "")
	}
	if strings.ContainsAny(rest, "{}") {
		return "", fmt.Errorf("the value has a placeholder that is not known")
	}
	return value, nil
}

// Placeholders returns those of requests that the header fields of the
// upstreams have, each once, without braces.
func (c *Config) Placeholders() []string {
	var names []string
	for _, u := range c.Upstreams {
		for _, values := range u.Headers {
			for _, value := range values {
				names = append(names, dnsclient.Placeholders(value)...)
			}
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}
