package pool

import (
	"errors"
	"slices"
	"strings"

	"github.com/caddyserver/caddy/v2"

	"github.com/caddy-freetier/caddy-freetier/internal/dnsclient"
)

// resolveHeader replaces the placeholders of a header field's value, except those
// of requests, which are replaced for each query. A value that is not known is an
// error, so that no upstream gets a field with braces in it.
func resolveHeader(repl *caddy.Replacer, value string) (string, error) {
	if len(dnsclient.Placeholders(value)) == 0 {
		return repl.ReplaceOrErr(value, true, true)
	}
	value = repl.ReplaceKnown(value, "") // leaves those of requests
	other := value
	for _, name := range dnsclient.Placeholders(value) {
		other = strings.ReplaceAll(other, "{"+name+"}", "")
	}
	if strings.ContainsAny(other, "{}") {
		return "", errors.New("the value has an unknown placeholder")
	}
	return value, nil
}

// Placeholders returns the placeholders of requests in the upstreams' header
// fields, sorted, each once, without braces.
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
