package llmgateway

import (
	"net/http"
	"slices"
	"strings"
)

const (
	corsMethods = "GET, POST, DELETE, OPTIONS"
	corsMaxAge  = "86400" // a day, in seconds
	corsExpose  = "Retry-After, x-request-id, X-Gateway-Channel, X-Gateway-Model, " +
		"x-ratelimit-limit-requests, x-ratelimit-limit-tokens, x-ratelimit-remaining-requests, " +
		"x-ratelimit-remaining-tokens, x-ratelimit-reset-requests, x-ratelimit-reset-tokens"
)

// cors answers for the gateway as the Fetch standard's CORS protocol wants it.
// Web chat clients call from the browser, so it is on by default: what guards
// the gateway is the key, which a foreign page does not have.
type cors struct {
	off     bool
	any     bool
	origins []string
}

// Values that most answers carry; a header map takes them as they are.
var (
	corsAnyValue    = []string{"*"}
	corsExposeValue = []string{corsExpose}
)

func newCORS(origins []string) cors {
	return cors{
		off:     slices.Contains(origins, "off"),
		any:     len(origins) == 0 || slices.Contains(origins, "*"),
		origins: origins,
	}
}

// serve sets the headers that every answer carries, errors included, and
// answers a preflight itself, before any key is asked for: the browser sends
// none with it. It tells whether it has answered.
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
