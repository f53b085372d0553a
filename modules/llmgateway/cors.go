package llmgateway

import (
	"net/http"
	"slices"
	"strings"
)

const (
	corsMethods = "GET, POST, PUT, DELETE, OPTIONS"
	corsMaxAge  = "86400" // a day, in seconds
	corsExpose  = "Retry-After, x-request-id, X-Gateway-Channel, X-Gateway-Model, " +
		"x-ratelimit-limit-requests, x-ratelimit-limit-tokens, x-ratelimit-remaining-requests, " +
		"x-ratelimit-remaining-tokens, x-ratelimit-reset-requests, x-ratelimit-reset-tokens, " +
		"x-goog-upload-url, x-goog-upload-status, x-goog-upload-size-received"
)

// cors answers for the gateway as the Fetch standard's CORS protocol asks.
// Web chat clients call from the browser, so it is on by default: what guards
// the gateway is the key, which a foreign page does not have. An anonymous
// gateway has no such guard, so there it is off by default.
type cors struct {
	off     bool
	any     bool
	origins []string
	// guards says that pages of other origins may not even send requests whose
	// response they could not read: there is no key that they would need.
	guards bool
}

// Values that most responses carry; a header map takes them as they are.
var (
	corsAnyValue    = []string{"*"}
	corsExposeValue = []string{corsExpose}
)

func newCORS(origins []string, anonymous bool) cors {
	if len(origins) == 0 && anonymous {
		origins = []string{"off"}
	}
	return cors{
		off:     slices.Contains(origins, "off"),
		any:     len(origins) == 0 || slices.Contains(origins, "*"),
		origins: origins,
		guards:  anonymous,
	}
}

// passesOn reports whether a channel's own CORS headers go to the client: where
// CORS is off they do, unless they would open a gateway that has no keys.
func (c cors) passesOn() bool { return c.off && !c.guards }

// refuses reports whether a request comes from a web page that may not use the
// gateway, although the browser sends it: a form, a script that does not look at
// the response, a WebSocket.
func (c cors) refuses(r *http.Request) bool {
	if !c.guards || r.Method == http.MethodGet && !isUpgrade(r) || r.Method == http.MethodHead {
		return false
	}
	return isForeign(r) && (c.off || c.allowed(r) == nil)
}

// isForeign reports whether a browser sends the request for a page of another
// origin. Programs send neither of the two headers.
func isForeign(r *http.Request) bool {
	switch r.Header.Get("Sec-Fetch-Site") {
	case "same-origin", "none":
		return false
	case "":
	default:
		return true
	}
	origin := r.Header["Origin"]
	if len(origin) == 0 {
		return false
	}
	_, host, _ := strings.Cut(origin[0], "://")
	return !strings.EqualFold(host, r.Host)
}

// serve sets the headers that every response carries, errors included, and
// answers a preflight itself, before any key is asked for: the browser sends
// none with it. It reports whether it has answered.
func (c cors) serve(w http.ResponseWriter, r *http.Request) bool {
	if c.off {
		return false
	}
	header := w.Header()
	if !c.any {
		header.Add("Vary", "Origin")
	}
	if origin := c.allowed(r); origin != nil {
		header["Access-Control-Allow-Origin"] = origin
		header["Access-Control-Expose-Headers"] = corsExposeValue
	}
	if r.Method != http.MethodOptions {
		return false
	}
	header.Set("Access-Control-Allow-Methods", corsMethods)
	header.Set("Access-Control-Max-Age", corsMaxAge)
	if asked := r.Header.Values("Access-Control-Request-Headers"); len(asked) > 0 {
		header.Set("Access-Control-Allow-Headers", strings.Join(asked, ", "))
		header.Add("Vary", "Access-Control-Request-Headers")
	}
	if r.Header.Get("Access-Control-Request-Private-Network") == "true" {
		header.Set("Access-Control-Allow-Private-Network", "true")
	}
	w.WriteHeader(http.StatusNoContent)
	return true
}

// allowed returns what may call the gateway of the origins that r names, nil
// for none.
func (c cors) allowed(r *http.Request) []string {
	if c.any {
		return corsAnyValue
	}
	if origin := r.Header.Get("Origin"); slices.Contains(c.origins, origin) {
		return []string{origin}
	}
	return nil
}
