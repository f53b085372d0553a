package llmgateway

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"go.uber.org/zap"
)

// checkRoutes refuses routes by which a gateway is never reached, and warns of
// handlers that a gateway hides and of a prefix that stays in the path. Caddy
// sorts the directives of a site, so none of this shows in the Caddyfile.
//
// It looks at the lists of routes around the gateway that is being provisioned.
//
// Provision calls it while Caddy provisions the routes around the gateway, so that some
// of them are modules already and some only JSON. With several servers it is not known
// which one is meant, and what cannot be judged is accepted: a wrong error would keep a
// correct configuration from loading.
func checkRoutes(ctx caddy.Context, h *Handler, logger *zap.Logger) error {
	var around []caddyhttp.RouteList // from the outermost to the innermost
	for _, module := range ctx.Modules() {
		switch m := module.(type) {
		case *caddyhttp.App:
			for _, server := range m.Servers {
				if err := checkReached(server.Routes); err != nil {
					return err
				}
			}
			if len(m.Servers) == 1 { // of several it does not show which one is provisioned
				for _, server := range m.Servers {
					around = append(around, server.Routes)
				}
			}
		case *caddyhttp.Subroute:
			if err := checkReached(m.Routes); err != nil {
				return err
			}
			around = append(around, m.Routes)
		}
	}
	if len(around) > 0 {
		warnOfHidden(around[len(around)-1], logger)
	}
	warnOfPrefix(h, around, logger)
	return nil
}

// routed is a handler in a list of routes, whether it was provisioned or not.
type routed struct {
	Handler string `json:"handler"`

	// Of a static response.
	StatusCode caddyhttp.WeakString `json:"status_code"`

	// Of a file server.
	PassThru bool `json:"pass_thru"`

	// Of a subroute.
	Routes caddyhttp.RouteList `json:"routes"`

	// Of a gateway.
	Channels []struct {
		Source string `json:"source"`
	} `json:"channels"`
}

// handlersOf returns the handlers of a route. Those that Caddy has not
// provisioned yet, and those that it is provisioning, are there as JSON only.
func handlersOf(route caddyhttp.Route) []routed {
	texts := slices.Clip(route.HandlersRaw)
	for _, handler := range route.Handlers {
		if text, err := json.Marshal(handler); err == nil {
			texts = append(texts, text)
		}
	}
	all := make([]routed, len(texts))
	for i, text := range texts {
		_ = json.Unmarshal(text, &all[i]) // what cannot be read ends nothing
		if n := i - len(route.HandlersRaw); n >= 0 {
			all[i].Handler = caddy.GetModuleName(route.Handlers[n])
			if sub, ok := route.Handlers[n].(*caddyhttp.Subroute); ok {
				all[i].Routes = sub.Routes
			}
		}
	}
	return all
}

// isConditional reports whether requests may pass a route by.
//
// Routes of a group exclude each other: Caddy runs the first one that matches. So a
// group whose first route has no matcher never gets to its others.
func isConditional(route caddyhttp.Route, routes caddyhttp.RouteList) bool {
	if len(route.MatcherSetsRaw) > 0 || len(route.MatcherSets) > 0 {
		return true
	}
	if route.Group == "" {
		return false
	}
	first := slices.IndexFunc(routes, func(r caddyhttp.Route) bool { return r.Group == route.Group })
	return len(routes[first].MatcherSetsRaw) > 0 || len(routes[first].MatcherSets) > 0
}

// ends reports whether a handler responds to all requests that reach it.
//
// Other handlers, of which there may be any number, are taken for ones that call the
// next.
func (r *routed) ends() bool {
	switch r.Handler {
	case "llm_gateway", "reverse_proxy", "error":
		return true
	case "static_response":
		return r.StatusCode.String() != "103" // early hints; the response follows
	case "file_server":
		return !r.PassThru
	case "subroute":
		return slices.ContainsFunc(r.Routes, func(route caddyhttp.Route) bool {
			handlers := handlersOf(route)
			return !isConditional(route, r.Routes) && slices.ContainsFunc(handlers, func(h routed) bool { return h.ends() })
		})
	}
	return false
}

// directive is what a handler is written as in a Caddyfile.
func (r *routed) directive() string {
	switch r.Handler {
	case "static_response":
		return "respond (or redir)"
	case "subroute":
		return "handle (or route)"
	}
	return r.Handler
}

// gateway returns the handler itself or the first gateway in it.
func (r *routed) gateway() (found routed, ok bool) {
	if r.Handler == "llm_gateway" {
		return *r, true
	}
	for _, route := range r.Routes {
		for _, handler := range handlersOf(route) {
			if found, ok = handler.gateway(); ok {
				return found, true
			}
		}
	}
	return routed{}, false
}

// source is where a gateway stands: its first channel.
func (r *routed) source() string {
	if len(r.Channels) == 0 {
		return ""
	}
	return r.Channels[0].Source
}

// walkHidden calls visit for each handler of a list of routes that no request
// reaches, with the handler that responds before.
func walkHidden(routes caddyhttp.RouteList, visit func(before, hidden *routed) error) error {
	var before *routed
	for _, route := range routes {
		inRoute := before
		for _, handler := range handlersOf(route) {
			if inRoute != nil {
				if err := visit(inRoute, &handler); err != nil {
					return err
				}
			} else if handler.ends() {
				inRoute = &handler
			}
		}
		if before == nil && !isConditional(route, routes) {
			before = inRoute
		}
	}
	return nil
}

// checkReached refuses a gateway that no request reaches.
//
// It is an error since all requests would get another handler's response, such as a 200
// with the text of respond, which clients report as a broken API.
func checkReached(routes caddyhttp.RouteList) error {
	return walkHidden(routes, func(before, hidden *routed) error {
		gateway, ok := hidden.gateway()
		if !ok {
			return nil
		}
		if before.Handler == "llm_gateway" {
			return located(gateway.source(), fmt.Errorf("this llm_gateway is never reached, since another one without a matcher of its own comes first; "+
				"put each into a block with a path of its own, such as handle_path /a/* { llm_gateway { ... } }, "+
				"or put the clients and channels of both into one llm_gateway"))
		}
		return located(gateway.source(), fmt.Errorf("llm_gateway is never reached, since Caddy puts %s without a matcher before it; "+
			"give that one a matcher, such as respond /health, "+
			"or put each into a block of its own: handle /v1/* { llm_gateway { ... } } and handle { ... }", before.directive()))
	})
}

// warnOfHidden warns of a handler behind the gateway, which responds to all
// requests that reach it.
func warnOfHidden(routes caddyhttp.RouteList, logger *zap.Logger) {
	_ = walkHidden(routes, func(before, hidden *routed) error {
		if before.Handler == "llm_gateway" && hidden.ends() {
			logger.Warn("a directive is never reached, since llm_gateway without a matcher comes before it; "+
				"write llm_gateway /v1/* { ... }, or put each into a handle block of its own",
				zap.String("directive", hidden.directive()), zap.String("llm_gateway", before.source()))
		}
		return nil
	})
}

// warnOfPrefix warns of a path matcher with a prefix that is no part of the API,
// such as that of handle /ai/*, if nothing around the gateway rewrites the path.
//
// A warning only: a handler around the gateway that is not known here may rewrite the
// path.
func warnOfPrefix(h *Handler, around []caddyhttp.RouteList, logger *zap.Logger) {
	var prefix string
	for _, routes := range around {
		for _, route := range routes {
			if slices.ContainsFunc(handlersOf(route), func(r routed) bool { return r.Handler == "rewrite" }) {
				return
			}
			if len(route.HandlersRaw) == 0 {
				continue
			}
			for _, pattern := range pathsOf(route) {
				if !isPartOfAPI(pattern, h.AllowPaths) {
					prefix = strings.TrimSuffix(pattern, "/*")
				}
			}
			break // this is the route that is provisioned
		}
	}
	if prefix != "" {
		logger.Warn("requests reach llm_gateway with a prefix in their path that is no part of its API, and get a 404; "+
			"write handle_path in the place of handle, which removes the prefix",
			zap.String("prefix", prefix), zap.String("remedy", "handle_path "+prefix+"/* { llm_gateway { ... } }"),
			zap.String("source", h.Channels[0].Source))
	}
}

// pathsOf returns the patterns of a route's path matchers.
func pathsOf(route caddyhttp.Route) []string {
	var paths []string
	for _, set := range route.MatcherSets {
		for _, matcher := range set {
			if path, ok := matcher.(*caddyhttp.MatchPath); ok {
				paths = append(paths, *path...)
			}
		}
	}
	return paths
}

// isPartOfAPI reports whether what begins as a pattern can be a path of the API.
//
// "/v1/*" and "/openai/*" are, since base URLs with them lead to the API (mend);
// "/ai/*" is not, unless allow_path has it.
func isPartOfAPI(pattern string, allowed []string) bool {
	prefix, isPrefix := strings.CutSuffix(pattern, "/*")
	if !isPrefix || prefix == "" || strings.Contains(prefix, "*") {
		return true // not to be judged
	}
	segments := strings.Split(prefix[1:], "/")
	if isVersion(segments[0]) || mend(append(segments, "v1", "chat", "completions"), post).endpoint != nil {
		return true
	}
	for path := range exactEndpoints {
		if strings.HasPrefix(path, "/v1"+prefix+"/") {
			return true
		}
	}
	return slices.ContainsFunc(allowed, func(path string) bool {
		return path == "*" || strings.HasPrefix(path, prefix+"/") || strings.HasPrefix(path, "/*")
	})
}
