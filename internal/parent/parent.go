// Package parent finds the modules around the one that is being provisioned.
package parent

import (
	"slices"

	"github.com/caddyserver/caddy/v2"
)

// Nearest returns the innermost module of type T around the module that is
// being provisioned, and whether there is one. The search begins with the
// module itself.
//
// Modules of a type can be nested: the routes of `handle_response` stand in a
// reverse_proxy and may hold another one.
func Nearest[T caddy.Module](ctx caddy.Context) (module T, ok bool) {
	for _, m := range slices.Backward(ctx.Modules()) {
		if module, ok = m.(T); ok {
			return module, true
		}
	}
	return module, false
}
