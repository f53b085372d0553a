package statuspage

import (
	"strings"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/httpcaddyfile"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/caddy-freetier/caddy-freetier/internal/caddyfileutil"
)

func init() {
	// Not a handler directive: there a path in its first argument is a matcher
	// only, and here the page is also served below it.
	httpcaddyfile.RegisterDirective("status_page", parseDirective)
	httpcaddyfile.RegisterDirectiveOrder("status_page", httpcaddyfile.Before, "respond")
}

// parseDirective sets up the handler. Syntax:
//
//	status_page [<path>]
//
// A path such as `/status` is where the page is, with all that it loads below it.
// Without one it is at the root of the site, or of the `handle_path` around it.
// In the place of the path there can be a named matcher.
func parseDirective(h httpcaddyfile.Helper) ([]httpcaddyfile.ConfigValue, error) {
	d := h.Dispenser
	d.Next() // the directive's name
	args, err := caddyfileutil.Arguments(d, "[<path>]", "/status")
	if err != nil {
		return nil, err
	}
	if err := caddyfileutil.NoBlock(d, "status_page"); err != nil {
		return nil, err
	}
	handler := new(Handler)
	if len(args) == 0 || args[0] == "*" {
		return h.NewRoute(nil, handler), nil
	}
	if strings.HasPrefix(args[0], "@") {
		d.Reset()
		d.Next()
		matchers, err := h.ExtractMatcherSet()
		if err != nil {
			return nil, d.WrapErr(err)
		}
		return h.NewRoute(matchers, handler), nil
	}
	path := strings.TrimRight(strings.TrimSuffix(args[0], "*"), "/")
	if !strings.HasPrefix(args[0], "/") || strings.ContainsAny(path, "*?#%{") {
		return nil, d.Errf("%s: the path of a status page begins with / and has no placeholder and none of * ? # %%, such as /status", args[0])
	}
	if path == "" {
		return h.NewRoute(nil, handler), nil
	}
	handler.Path = path
	return h.NewRoute(caddy.ModuleMap{"path": h.JSON(caddyhttp.MatchPath{path, path + "/*"})}, handler), nil
}
