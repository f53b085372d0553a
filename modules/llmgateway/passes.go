package llmgateway

import "net/http"

// screen answers what never gets to a channel and needs no key: preflights, and
// requests of web pages that may not use the gateway. It reports whether it has
// answered.
func (h *Handler) screen(w http.ResponseWriter, r *http.Request) bool {
	switch {
	case h.cors.serve(w, r):
	case r.Method == http.MethodOptions:
		w.Header().Set("Allow", corsMethods)
		w.WriteHeader(http.StatusNoContent)
	case h.cors.refuses(r):
		foreignPage.write(w, r)
	default:
		return false
	}
	return true
}
