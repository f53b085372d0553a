package statuspage

import (
	"errors"
	"net/http"
	"net/url"
	"strings"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
)

func init() {
	caddy.RegisterModule((*Handler)(nil))
}

// Handler serves a page that shows what the modules of this configuration do: the
// targets of keepalive, the upstreams of fastest-swagger, the channels, keys and
// clients of llm_gateway, and the upstreams of doh. The page follows what happens.
//
// Below the page are `status.json`, the same as JSON, and `badge/<target>.svg`,
// an image for each target. All other paths go on to the next handler.
//
// It shows no keys and no paths of clients, but names, counts and errors: put
// basic_auth in front of it.
type Handler struct {
	// The path of the page, without the slash at its end. Default: the root.
	Path string `json:"path,omitempty"`

	board *board
}

// CaddyModule returns the Caddy module information.
func (*Handler) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{
		ID:  "http.handlers.status_page",
		New: func() caddy.Module { return new(Handler) },
	}
}

// Provision ties the handler to what all pages of its configuration share.
func (h *Handler) Provision(ctx caddy.Context) error {
	app, err := fromContext(ctx)
	if err != nil {
		return err
	}
	h.board = app.board
	return nil
}

// Validate checks the path.
func (h *Handler) Validate() error {
	if h.Path != "" && (!strings.HasPrefix(h.Path, "/") || strings.HasSuffix(h.Path, "/")) {
		return errPath
	}
	return nil
}

var errPath = errors.New("the path of a status page begins with a slash and does not end with one, such as /status")

// ServeHTTP implements caddyhttp.MiddlewareHandler.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request, next caddyhttp.Handler) error {
	serve := h.find(r)
	if serve == nil {
		return next.ServeHTTP(w, r)
	}
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		w.Header().Set("Allow", "GET, HEAD")
		return caddyhttp.Error(http.StatusMethodNotAllowed, nil)
	}
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.Header().Set("Cache-Control", "no-store")
	return serve(w, r)
}

type serveFunc func(w http.ResponseWriter, r *http.Request) error

// find returns what serves a path, nil if that is not one of the page's own. A page
// at the root of a site must leave all other paths to the site.
func (h *Handler) find(r *http.Request) serveFunc {
	path := r.URL.Path
	if h.Path != "" && path == h.Path {
		return redirect
	}
	name, ok := strings.CutPrefix(path, h.Path+"/")
	if !ok {
		return nil
	}
	switch {
	case name == "" && originalPath(r) == "":
		return h.servePage
	case name == "" && !strings.HasSuffix(originalPath(r), "/"):
		return redirect
	case name == "":
		return h.servePage
	case name == "status.json":
		return h.serveJSON
	case name == "events":
		return h.serveEvents
	}
	if target, ok := h.badgeTarget(name); ok {
		return serveBadge(target)
	}
	return nil
}

// originalPath is the path that the client has asked for, before directives such
// as handle_path have changed it.
func originalPath(r *http.Request) string {
	if original, ok := r.Context().Value(caddyhttp.OriginalRequestCtxKey).(http.Request); ok {
		return original.URL.EscapedPath()
	}
	return r.URL.EscapedPath()
}

// redirect adds the slash at the end of the path, without which links of the page
// would lead to what is beside it. The URL is relative, so it holds behind any
// prefix.
func redirect(w http.ResponseWriter, r *http.Request) error {
	original := originalPath(r)
	to := url.URL{RawQuery: r.URL.RawQuery}
	location := "./" + original[strings.LastIndexByte(original, '/')+1:] + "/"
	if to.RawQuery != "" {
		location += to.String()
	}
	w.Header().Set("Location", location)
	w.WriteHeader(http.StatusPermanentRedirect)
	return nil
}

func (h *Handler) serveJSON(w http.ResponseWriter, r *http.Request) error {
	w.Header().Set("Content-Type", "application/json")
	return write(w, r, h.board.status().json)
}

func (h *Handler) servePage(w http.ResponseWriter, r *http.Request) error {
	lang := languageOf(r)
	header := w.Header()
	header.Set("Content-Type", "text/html; charset=utf-8")
	header.Set("Content-Language", string(lang))
	header.Add("Vary", "Accept-Language")
	header.Set("Content-Security-Policy", securityPolicy)
	header.Set("Referrer-Policy", "no-referrer")
	return write(w, r, h.board.page(lang).document())
}

// write writes a response, unless only its header was asked for.
func write(w http.ResponseWriter, r *http.Request, body []byte) error {
	if r.Method == http.MethodHead {
		return nil
	}
	_, err := w.Write(body)
	return err
}

// Interface guards
var (
	_ caddy.Provisioner           = (*Handler)(nil)
	_ caddy.Validator             = (*Handler)(nil)
	_ caddyhttp.MiddlewareHandler = (*Handler)(nil)
)
