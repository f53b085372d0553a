package runtime

import (
	"context"
	"slices"
	"strings"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyevents"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"github.com/caddyserver/caddy/v2/modules/caddytls"
	"go.uber.org/zap"
)

// certificateCheck warns of names of listeners for which no certificate is
// ordered: handshakes for them fail.
type certificateCheck struct {
	app *App
	ctx caddy.Context
}

// Handle implements caddyevents.Handler, for Caddy's event `started`: only then
// have all sites been provisioned.
func (c certificateCheck) Handle(context.Context, caddy.Event) error {
	names := c.app.listeners.names()
	slices.Sort(names)
	for _, name := range slices.Compact(names) {
		if hasSite(c.ctx, name) || hasCertificate(name) {
			continue
		}
		c.app.logger.Warn("no site has this name of a DNS listener, so that no certificate is ordered for it; "+
			"give the name to a site, or add the line to the global options",
			zap.String("name", name),
			zap.String("line", "tls_automate_names "+name))
	}
	return nil
}

// hasSite reports whether a site with HTTPS has a name: then Caddy manages its
// certificate.
func hasSite(ctx caddy.Context, name string) bool {
	loaded, err := ctx.AppIfConfigured("http")
	if err != nil {
		return false
	}
	for _, server := range loaded.(*caddyhttp.App).Servers {
		if !managesCertificate(server, name) {
			continue
		}
		for _, route := range server.Routes {
			if routeHas(route, name) {
				return true
			}
		}
	}
	return false
}

// managesCertificate reports whether a server would have a certificate for one
// of its names.
func managesCertificate(server *caddyhttp.Server, name string) bool {
	if len(server.TLSConnPolicies) == 0 {
		return false // it speaks HTTP only
	}
	auto := server.AutoHTTPS
	if auto == nil {
		return true
	}
	return !auto.Disabled && !auto.DisableCerts && !slices.Contains(auto.Skip, name) && !slices.Contains(auto.SkipCerts, name)
}

func routeHas(route caddyhttp.Route, name string) bool {
	for _, matchers := range route.MatcherSets {
		for _, matcher := range matchers {
			if hosts, ok := matcher.(*caddyhttp.MatchHost); ok && anyCovers(*hosts, name) {
				return true
			}
		}
	}
	return false
}

// hasCertificate reports whether there is a certificate for a name or for its
// wildcard already, such as one from a file.
func hasCertificate(name string) bool {
	if len(caddytls.AllMatchingCertificates(name)) > 0 {
		return true
	}
	_, parent, ok := strings.Cut(name, ".")
	return ok && len(caddytls.AllMatchingCertificates("*."+parent)) > 0
}

// anyCovers reports whether one of the patterns is a name, or its wildcard.
func anyCovers(patterns []string, name string) bool {
	_, parent, _ := strings.Cut(name, ".")
	return slices.ContainsFunc(patterns, func(pattern string) bool {
		return strings.EqualFold(pattern, name) || parent != "" && strings.EqualFold(pattern, "*."+parent)
	})
}

// Interface guards
var _ caddyevents.Handler = certificateCheck{}
