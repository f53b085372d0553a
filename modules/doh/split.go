package doh

import (
	"cmp"
	"errors"
	"fmt"

	"github.com/caddyserver/caddy/v2"

	"github.com/caddy-freetier/caddy-freetier/internal/domainset"
	"github.com/caddy-freetier/caddy-freetier/modules/doh/pool"
)

// Route is a set of names with upstreams of their own (split DNS). If several
// routes match a name, the one with the longest match is used.
type Route struct {
	// The names: `lan` matches itself and all names below it, `*.corp` those
	// below corp only, and `192.168.0.0/16` the reverse zone of a network.
	Names []string `json:"names,omitempty"`

	// Files with names: one per line, or lines in the form of dnsmasq, such as
	// `server=/example.com/192.0.2.53`. They are read again when they change. A
	// million names need less than 64 MB of memory.
	Files []string `json:"files,omitempty"`

	pool.Config
}

// route is a Route in use. It does not change after Provision, except the content
// of files.
type route struct {
	given domainset.Set
	files []*domainset.File[domainset.Set]
	pool  *pool.Pool // nil if Provision failed
}

// routes are the routes of a handler, in the order of the configuration.
type routes []*route

// open opens the route's files and upstreams. close releases the upstreams, and
// must be called after an error as well. Options that the route lacks are the
// handler's.
func (c *Route) open(ctx caddy.Context, h *Handler, files *files) (r *route, err error) {
	r = new(route)
	if len(c.Upstreams) == 0 {
		return r, errors.New("for: there is no upstream")
	}
	for _, name := range c.Names {
		if err := r.given.Add(name); err != nil {
			return r, fmt.Errorf("for: %w", err)
		}
	}
	for _, path := range c.Files {
		f, err := openFile(files, path, domainset.OpenSet)
		if err != nil {
			return r, fmt.Errorf("for: %w", err)
		}
		r.files = append(r.files, f)
	}
	config := c.Config
	config.Timeout = cmp.Or(config.Timeout, h.Timeout)
	config.Hedge = cmp.Or(config.Hedge, h.Hedge)
	if r.pool, err = config.Open(ctx, h.Policy); err != nil {
		return r, fmt.Errorf("for: %w", err)
	}
	return r, nil
}

// match returns the length of the route's longest match with a name, and 0 if there
// is none; see [domainset.Set.Match].
func (r *route) match(name []byte) int {
	best := r.given.Match(name)
	for _, file := range r.files {
		best = max(best, file.Content().Match(name))
	}
	return best
}

// close releases the upstreams. The handler releases the files.
func (r *route) close() error {
	if r.pool == nil {
		return nil
	}
	return r.pool.Close()
}

// find returns the pool for a name in wire format and lower case, or nil if no route
// matches. Of two matches of the same length the first is used.
func (rs routes) find(name []byte) *pool.Pool {
	var found *pool.Pool
	best := 0
	for _, r := range rs {
		if n := r.match(name); n > best {
			found, best = r.pool, n
		}
	}
	return found
}
