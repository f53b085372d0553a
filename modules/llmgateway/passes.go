package llmgateway

import (
	"net/http"
	"net/url"
	"strings"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
)

// locateRequest finds the endpoint that a request is for and gives the request the
// endpoint's canonical path, which all that follows goes by.
func locateRequest(r *http.Request, allowed []string) (location, *apiError) {
	l, plain := locate(r.URL, methodOf(r), allowed)
	switch {
	case !plain:
		return l, ambiguousPath
	case l.endpoint == nil:
		return l, noEndpoint(baseURL(r))
	}
	r.URL.Path, r.URL.RawPath = l.path, l.rawPath
	return l, nil
}

// screen answers what never gets to a channel and needs no key: preflights,
// methods that the gateway does not know, requests of web pages that may not use
// it, and the question of Claude Code whether anybody is there. It reports
// whether it has answered.
func (c cors) screen(w http.ResponseWriter, r *http.Request, l location) bool {
	switch {
	case c.serve(w, r):
	case r.Method == http.MethodOptions:
		w.Header().Set("Allow", l.methods(false).String())
		w.WriteHeader(http.StatusNoContent)
	case methodOf(r) == 0:
		methodNotAllowed(l.methods(false)).write(w, r)
	case r.Method == http.MethodHead && isProbe(r.URL):
		w.WriteHeader(http.StatusOK)
	case c.refuses(r):
		foreignPage.write(w, r)
	default:
		return false
	}
	return true
}

// isProbe reports whether somebody asks whether anybody is there, at a base URL
// or at the path that Claude Code has for it, /api/hello.
func isProbe(u *url.URL) bool {
	rest, _ := skipBase(splitPath(u))
	return len(rest) == 0 || len(rest) == 1 && rest[0] == "hello"
}

// methods are what may be done at the location. A restricted client may not do
// what concerns the account as a whole.
func (l location) methods(restricted bool) methods {
	switch {
	case l.endpoint == nil:
		return get | post | put | del
	case restricted:
		return l.endpoint.all
	}
	return l.endpoint.all | l.endpoint.own
}

// mayPass decides by method and path whether the client's request may pass.
func (l location) mayPass(r *http.Request, client *Client) *apiError {
	method, restricted := methodOf(r), client.restricted()
	upgrading, allowed := method == socket, l.methods(restricted)
	switch {
	case upgrading && l.endpoint == responsesEndpoint && (restricted || r.URL.Query().Get("model") == ""):
		return webSocketRefused
	case upgrading && r.Method == http.MethodGet && r.ContentLength != 0:
		return invalidRequest("The handshake of a WebSocket has no body.")
	case method&allowed != 0:
		return nil
	case restricted && (allowed == 0 || method&l.methods(false) != 0):
		return notForRestricted
	case upgrading:
		return invalidRequest("There is no WebSocket at this path.")
	case method == get && allowed&socket != 0:
		return webSocketRequired
	}
	return methodNotAllowed(allowed)
}

// baseURL is the address under which the client reaches the gateway, as it has
// to be configured in clients, without a version.
func baseURL(r *http.Request) string {
	prefix := ""
	if original, ok := r.Context().Value(caddyhttp.OriginalRequestCtxKey).(http.Request); ok && original.URL != nil {
		// What handle_path and its like have cut off.
		if cut, found := strings.CutSuffix(original.URL.Path, r.URL.Path); found {
			prefix = strings.TrimSuffix(cut, "/")
		}
	}
	return origin(r) + prefix
}
