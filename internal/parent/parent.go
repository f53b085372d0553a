// Package parent finds the modules that contain the one that is being provisioned.
package parent

import (
	"slices"

	"github.com/caddyserver/caddy/v2"
)

// Nearest returns the innermost module of type T that contains the module being
// provisioned, or is that module, and whether there is one.
//
// The innermost one matters because modules of a type can be nested: the routes of
// `handle_response` are inside a reverse_proxy and may contain another one.
func Nearest[T caddy.Module](ctx caddy.Context) (module T, ok bool) {
	for _, m := range slices.Backward(ctx.Modules()) {
		if module, ok = m.(T); ok {
			return module, true
		}
	}
	return module, false
}
