package doh

import (
	"net/http"
	"strings"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"go.uber.org/zap"
)

// placeKind is the relation of a path to the handler's paths.
type placeKind int

const (
	here      placeKind = iota // a path that answers
	elsewhere                  // a path of another handler
	wrongPath                  // below a path that answers: status 404
)

// place is what a path stands for.
type place struct {
	kind    placeKind
	profile bool   // the profile instead of queries
	user    *User  // nil where the handler has no users
	device  string // empty if the path names none
}

// locate returns the place of an unescaped path.
func locate(h *Handler, path string) place {
	if len(h.Clients) == 0 {
		return locateOpen(h, path)
	}
	own, profile := strings.CutSuffix(path, profileName)
	if user, device := h.users.at(own); user != nil {
		return place{profile: profile, user: user, device: device}
	}
	if below(path, h.Path) {
		return place{kind: wrongPath}
	}
	for other := range h.users.byPath {
		if below(path, other) {
			return place{kind: wrongPath}
		}
	}
	return place{kind: elsewhere}
}

// locateOpen is locate for a handler without users.
func locateOpen(h *Handler, path string) place {
	own, profile := strings.CutSuffix(path, profileName)
	if h.Path == "" || strings.EqualFold(own, h.Path) {
		return place{profile: profile}
	}
	// Several slashes count as one, as in Caddy's path matcher.
	if own = caddyhttp.CleanPath(own, true); strings.EqualFold(own, h.Path) {
		return place{profile: profile}
	}
	return place{kind: wrongPath}
}

// below reports whether a path is parent or below it, in any letter case. Nothing
// is below an empty parent.
func below(path, parent string) bool {
	if parent == "" || len(path) < len(parent) || !strings.EqualFold(path[:len(parent)], parent) {
		return false
	}
	return len(path) == len(parent) || path[len(parent)] == '/' || parent == "/"
}

// The placeholders of requests of users.
const (
	placeholderClient = "http.doh.client"
	placeholderDevice = "http.doh.device"
)

// describe sets the placeholders and access log fields of a request that identify
// the user.
func (a asker) describe(r *http.Request) {
	if a.user == nil {
		return
	}
	if repl, ok := r.Context().Value(caddy.ReplacerCtxKey).(*caddy.Replacer); ok {
		repl.Set(placeholderClient, a.user.Name)
		repl.Set(placeholderDevice, a.device)
	}
	if extra, ok := r.Context().Value(caddyhttp.ExtraLogFieldsCtxKey).(*caddyhttp.ExtraLogFields); ok {
		extra.Add(zap.String("doh_client", a.user.Name))
		if a.device != "" {
			extra.Add(zap.String("doh_device", a.device))
		}
	}
}

// requestValues returns the values of placeholders in a request.
func requestValues(r *http.Request, names []string) map[string]string {
	if len(names) == 0 {
		return nil
	}
	repl, ok := r.Context().Value(caddy.ReplacerCtxKey).(*caddy.Replacer)
	if !ok {
		return nil
	}
	values := make(map[string]string, len(names))
	for _, name := range names {
		values[name], _ = repl.GetString(name)
	}
	return values
}

// values returns the values of placeholders for a query of a listener, which has no
// HTTP request. Placeholders of HTTP requests are empty.
func (a asker) values(names []string) map[string]string {
	if len(names) == 0 || a.user == nil {
		return nil
	}
	return map[string]string{placeholderClient: a.user.Name, placeholderDevice: a.device}
}
