package doh

import (
	"net/http"
	"strings"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"go.uber.org/zap"
)

// placeKind says what is at a path.
type placeKind int

const (
	here      placeKind = iota // queries, or the profile
	elsewhere                  // nothing of ours
	wrongPath                  // nothing, but below a path of ours
)

// place is what is at a path.
type place struct {
	kind    placeKind
	profile bool
	user    *User
	device  string
}

// locate returns what is at an unescaped path.
func (h *Handler) locate(path string) place {
	if len(h.Clients) == 0 {
		return h.locateOpen(path)
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

// locateOpen is locate where there are no clients.
func (h *Handler) locateOpen(path string) place {
	own, profile := strings.CutSuffix(path, profileName)
	if h.Path == "" || strings.EqualFold(own, h.Path) {
		return place{profile: profile}
	}
	// As Caddy's matcher does, take several slashes for one.
	if own = caddyhttp.CleanPath(own, true); strings.EqualFold(own, h.Path) {
		return place{profile: profile}
	}
	return place{kind: wrongPath}
}

// below reports whether a path is another one, which may be empty, or below it,
// in any letter case.
func below(path, parent string) bool {
	if parent == "" || len(path) < len(parent) || !strings.EqualFold(path[:len(parent)], parent) {
		return false
	}
	return len(path) == len(parent) || path[len(parent)] == '/' || parent == "/"
}

// The placeholders that requests of clients have.
const (
	placeholderClient = "http.doh.client"
	placeholderDevice = "http.doh.device"
)

// describe gives a request the placeholders and the fields of the access log
// that say who asks.
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

// requestValues returns what placeholders stand for in a request.
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

// values returns what the placeholders of a client stand for, where there is no
// request over HTTP.
func (a asker) values(names []string) map[string]string {
	if len(names) == 0 || a.user == nil {
		return nil
	}
	return map[string]string{placeholderClient: a.user.Name, placeholderDevice: a.device}
}
