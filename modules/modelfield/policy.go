// Package modelfield reads one field of a request, replaces it where it
// stands, and routes by it.
package modelfield

import (
	"net/http"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp/reverseproxy"
)

func init() {
	caddy.RegisterModule((*Policy)(nil))
}

// candidatesVar is the request variable that holds a handler's candidates.
const candidatesVar = "model_field.candidates"

// Candidates hands out the upstreams of one request in the order in which they
// are to be tried.
type Candidates interface {
	// Next returns the next upstream, nil when there is none left.
	Next() *reverseproxy.Upstream
}

// SetCandidates makes the policy take the upstreams of this request from c.
func SetCandidates(r *http.Request, c Candidates) {
	caddyhttp.SetVar(r.Context(), candidatesVar, c)
}

// Policy chooses the upstream by the model that a request names.
type Policy struct{}

// CaddyModule returns the Caddy module information.
func (*Policy) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{
		ID:  "http.reverse_proxy.selection_policies.model-field",
		New: func() caddy.Module { return new(Policy) },
	}
}

// Select returns the next candidate.
func (p *Policy) Select(_ reverseproxy.UpstreamPool, r *http.Request, _ http.ResponseWriter) *reverseproxy.Upstream {
	if c, ok := caddyhttp.GetVar(r.Context(), candidatesVar).(Candidates); ok {
		return c.Next()
	}
	return nil
}

// Match tells whether name fits the pattern, in which `*` stands for any
// characters.
func Match(pattern, name string) bool {
	// After a mismatch the last star takes one character more; an earlier star
	// never has to.
	star, taken, p := -1, 0, 0
	for n := 0; n < len(name); {
		switch {
		case p < len(pattern) && pattern[p] == '*':
			star, taken = p, n
			p++
		case p < len(pattern) && pattern[p] == name[n]:
			p++
			n++
		case star >= 0:
			taken++
			p, n = star+1, taken
		default:
			return false
		}
	}
	for p < len(pattern) && pattern[p] == '*' {
		p++
	}
	return p == len(pattern)
}

// Interface guards
var (
	_ reverseproxy.Selector = (*Policy)(nil)
)
