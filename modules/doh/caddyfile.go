package doh

import (
	"errors"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"github.com/caddyserver/caddy/v2/caddyconfig/httpcaddyfile"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/caddy-freetier/caddy-freetier/internal/caddyfileutil"
	"github.com/caddy-freetier/caddy-freetier/internal/quota"
	"github.com/caddy-freetier/caddy-freetier/modules/doh/pool"
)

func init() {
	// RegisterHandlerDirective would take a first argument that looks like a
	// path for a matcher; here it is the path that answers.
	httpcaddyfile.RegisterDirective("doh", parseDirective)
	httpcaddyfile.RegisterDirectiveOrder("doh", httpcaddyfile.Before, "respond")
}

const (
	defaultPath = "/dns-query"

	// leastDuration is the shortest duration of an option. It guards against
	// typos such as 3us.
	leastDuration = time.Millisecond

	// maxEntries is the largest cache. It guards against typos.
	maxEntries = 1_000_000_000
)

// parseDirective sets up the handler and a route for its paths. Syntax:
//
//	doh [<path>] {
//		upstream <url...>|system {
//			name      <name>
//			tier      <number>
//			weight    <number>
//			quota     <n>/<period> [<account>] [<zone>]
//			bootstrap <ip...>
//			header    <name> <value>
//			tls_ca    <file>
//		}
//		policy      quota|random|fastest|round_robin
//		timeout     <duration>
//		hedge       <duration>|off
//		cache       [<entries>|off] {
//			min_ttl <duration>
//			max_ttl <duration>
//			stale   <duration>|off
//			optimistic
//			prefetch
//		}
//		for         <name...> {
//			upstream <url...>|system {
//				name      <name>
//				tier      <number>
//				weight    <number>
//				quota     <n>/<period> [<account>] [<zone>]
//				bootstrap <ip...>
//				header    <name> <value>
//				tls_ca    <file>
//			}
//		}
//		for         file <path>
//		local_names on|off
//		hosts       <ip> <name...>
//		hosts       file <path>
//		listen      <address...> [<default name>]
//		client      <name> <path> [<host name>] {
//			limit <n>/<period>
//		}
//		anonymous
//		per_ip      <n>/<period>
//		ecs         strip|pass|client|<prefix>
//		filter      <type...>
//		rebind_protection [<name...>]
//		json
//		query_log   [names]
//		log_queries
//	}
//
// `upstream`, `header`, `for`, `hosts`, `listen`, `client` and `limit` can be
// repeated. `file <path>` may also be among the names of `for`. With clients, only
// their paths answer, and over TLS their host names.
func parseDirective(h httpcaddyfile.Helper) ([]httpcaddyfile.ConfigValue, error) {
	handler := new(Handler)
	paths, err := handler.parse(h.Dispenser)
	if err != nil {
		return nil, err
	}
	handler.ManagedNames, _ = h.Option("tls_automate_names").([]string)
	name, _ := h.Option("default_sni").(string)
	handler.completeListeners(name)
	matcher := caddy.ModuleMap{"path": h.JSON(paths)}
	return h.NewRoute(matcher, handler), nil
}

// options are the options in the directive's block.
func (h *Handler) options() []caddyfileutil.Option {
	return []caddyfileutil.Option{
		{Name: "upstream", Repeats: true, Block: true, Parse: upstreamParser(&h.Config, upstreamOptions)},
		{Name: "policy", Parse: caddyfileutil.OneOf(&h.Policy, pool.Policies...)},
		{Name: "timeout", Parse: caddyfileutil.Duration(&h.Timeout, leastDuration)},
		{Name: "hedge", Parse: caddyfileutil.DurationOrOff(&h.Hedge, leastDuration)},
		{Name: "cache", Block: true, Parse: h.parseCache},
		{Name: "for", Repeats: true, Block: true, Parse: h.parseFor},
		{Name: "local_names", Parse: caddyfileutil.OneOf(&h.LocalNames, localNamesOn, localNamesOff)},
		{Name: "hosts", Repeats: true, Parse: caddyfileutil.Args("<ip> <name...>", "192.0.2.1 demo.test *.demo.test, or hosts file /etc/hosts", h.addHosts)},
		{Name: "listen", Repeats: true, Parse: caddyfileutil.Args("<address...> [<default name>]", "tls/:853 dns.example.com", h.addListen)},
		{Name: "client", Repeats: true, Block: true, Parse: h.parseClient},
		{Name: "anonymous", Parse: caddyfileutil.Flag(&h.Anonymous)},
		{Name: "per_ip", Parse: caddyfileutil.Args("<n> [requests]/<period>", "50/second", h.setPerIP)},
		{Name: "ecs", Parse: caddyfileutil.One("strip|pass|client|<prefix>", "strip", h.setECS)},
		{Name: "filter", Parse: caddyfileutil.Args("<type...>", "aaaa", h.setFilter)},
		{Name: "rebind_protection", Parse: caddyfileutil.Args("[<name...>]", "plex.direct", h.setRebind)},
		{Name: "json", Parse: caddyfileutil.Flag(&h.JSON)},
		{Name: "query_log", Parse: caddyfileutil.Args("[names]", "names", h.setQueryLog)},
		{Name: "log_queries", Parse: caddyfileutil.Flag(&h.LogQueries)},
	}
}

// parse parses the directive, and returns the paths that its route matches.
func (h *Handler) parse(d *caddyfile.Dispenser) (caddyhttp.MatchPath, error) {
	d.Next() // the directive's name
	h.Source = caddyfileutil.SourceOf(d)
	args, err := caddyfileutil.Arguments(d, "[<path>]", defaultPath+"; for several paths use the option client")
	if err != nil {
		return nil, err
	}
	path := defaultPath
	if len(args) > 0 {
		path = args[0]
	}
	if _, devices, err := parsePath(path); err != nil || devices {
		return nil, d.Errf("%s: a path begins with / and contains none of * ? #, such as %s", path, defaultPath)
	}
	if err := caddyfileutil.ParseBlock(d, "doh", h.options()); err != nil {
		return nil, err
	}
	if len(h.Upstreams) == 0 && len(h.Hosts) == 0 && len(h.For) == 0 {
		return nil, d.Err("doh needs an upstream, such as upstream https://dns.example/dns-query, or hosts")
	}
	if err := h.checkListeners(); err != nil {
		return nil, d.WrapErr(err)
	}
	h.Path = unescaped(path)
	return h.paths(), nil
}

// paths returns the paths that the route matches: those that answer, and all below
// them, for which the handler answers 404. So a client's secret path with a typo
// after it reaches neither another handler of the site nor the access log.
func (h *Handler) paths() caddyhttp.MatchPath {
	all := make([]string, 0, 1+len(h.Clients))
	all = append(all, h.Path)
	for _, u := range h.Clients {
		all = append(all, unescaped(strings.TrimSuffix(u.Path, "/*")))
	}
	match := make(caddyhttp.MatchPath, 0, 2*len(all))
	for _, path := range all {
		match = append(match, path, strings.TrimSuffix(path, "/")+"/*")
	}
	return match
}

// unescaped returns a path without escapes. Caddy's matcher compares escaped paths
// if its pattern contains an escape, and unescaped ones otherwise.
func unescaped(path string) string {
	if plain, err := url.PathUnescape(path); err == nil {
		return plain
	}
	return path
}

// setPerIP sets `per_ip`. The limit is checked here, so that the error has its line.
func (h *Handler) setPerIP(args []string) (err error) {
	if h.PerIP, err = quota.ParseLimit(args); err == nil {
		_, err = newPerIP(h.PerIP, nil)
	}
	return err
}

// setECS sets `ecs`. A prefix is checked here, so that the error has its line.
func (h *Handler) setECS(arg string) error {
	h.ECS = arg
	if arg == "" {
		return errECS
	}
	_, err := newSubnets(arg)
	return err
}

// hostsFile is the word before the path of a file, in place of names.
const hostsFile = "file"

// addHosts adds the names of one line of `hosts`.
func (h *Handler) addHosts(args []string) error {
	host := &Host{IP: args[0], Names: args[1:]}
	if args[0] == hostsFile {
		if len(args) > 2 || args[1] == "" {
			return errors.New("file needs the path of one hosts file")
		}
		host = &Host{File: args[1]}
	}
	h.Hosts = append(h.Hosts, host)
	_, err := newHosts([]*Host{host})
	return err
}

// setFilter sets `filter`. Unknown types are an error here, with its line.
func (h *Handler) setFilter(args []string) error {
	h.Filter = args
	_, err := newFilter(args, nil)
	return err
}

// setRebind sets `rebind_protection`, whose arguments are the names that are exempt.
func (h *Handler) setRebind(args []string) error {
	for _, arg := range args {
		switch arg {
		case "on":
			return errors.New("on would be a name whose private addresses pass; write rebind_protection without a value")
		case "off":
			return errors.New("off would be a name whose private addresses pass; leave the line out, for that is the default")
		}
	}
	h.RebindProtection = &Rebind{Except: args}
	_, err := newFilter(nil, h.RebindProtection)
	return err
}

// setQueryLog sets `query_log`. Names are logged only if they are asked for, since they
// are the history of what people have visited.
func (h *Handler) setQueryLog(args []string) error {
	if len(args) > 0 && args[0] != "names" {
		return caddyfileutil.ErrUsage
	}
	h.QueryLog = &QueryLog{Names: len(args) > 0}
	return nil
}

// parseCache parses `cache` and its block.
func (h *Handler) parseCache(d *caddyfile.Dispenser) error {
	h.Cache = new(pool.Cache)
	args, err := caddyfileutil.Arguments(d, "[<entries>|off]", "10000")
	if err != nil {
		return err
	}
	if len(args) > 0 && args[0] == "off" {
		h.Cache.Entries = caddyfileutil.Off
		return caddyfileutil.NoBlock(d, "cache off")
	}
	if len(args) > 0 {
		h.Cache.Entries, err = strconv.Atoi(args[0])
		if err != nil || h.Cache.Entries < 1 || h.Cache.Entries > maxEntries {
			return d.Errf("cache: %q is neither a number of entries nor off; write a number such as 10000", args[0])
		}
	}
	if err := caddyfileutil.ParseBlock(d, "cache", cacheOptions(h.Cache)); err != nil {
		return err
	}
	if err := h.Cache.Check(); err != nil {
		return d.WrapErr(err)
	}
	return nil
}

// cacheOptions are the options in the block of `cache`.
func cacheOptions(c *pool.Cache) []caddyfileutil.Option {
	return []caddyfileutil.Option{
		{Name: "min_ttl", Parse: caddyfileutil.Duration(&c.MinTTL, 0)},
		{Name: "max_ttl", Parse: caddyfileutil.Duration(&c.MaxTTL, leastDuration)},
		{Name: "stale", Parse: caddyfileutil.DurationOrOff(&c.Stale, leastDuration)},
		{Name: "optimistic", Parse: caddyfileutil.Flag(&c.Optimistic)},
		{Name: "prefetch", Parse: caddyfileutil.Flag(&c.Prefetch)},
	}
}

// parseClient parses `client` and its block. Names, paths and host names must be
// unique; a path that is a placeholder is checked when the configuration is loaded.
func (h *Handler) parseClient(d *caddyfile.Dispenser) error {
	args, err := caddyfileutil.Arguments(d, "<name> <path> [<host name>]", "alice /dns-query/s3cret alice.dns.example.com")
	if err != nil {
		return err
	}
	u := &User{Name: args[0], Path: args[1]}
	if len(args) > 2 {
		u.Host = args[2]
		if err := checkHost(u.Host); err != nil {
			return d.Errf("client %s: %w", u.Name, err)
		}
	}
	if _, _, err := parsePath(u.Path); err != nil && !strings.HasPrefix(u.Path, "{") {
		return d.Errf("client %s: %w", u.Name, err)
	}
	for _, other := range h.Clients {
		switch {
		case other.Name == u.Name:
			return d.Errf("there is already a client %s: give this one another name", u.Name)
		case samePath(other.Path, u.Path):
			return d.Errf("client %s has this path already: give %s another one", other.Name, u.Name)
		case u.Host != "" && strings.EqualFold(other.Host, u.Host):
			return d.Errf("client %s has this host name already: give %s another one", other.Name, u.Name)
		}
	}
	h.Clients = append(h.Clients, u)
	return caddyfileutil.ParseBlock(d, "client", u.options())
}

// samePath reports whether two configured paths of clients are the same path.
func samePath(a, b string) bool {
	return unescaped(strings.TrimSuffix(a, "/*")) == unescaped(strings.TrimSuffix(b, "/*"))
}

// options are the options in the block of `client`.
func (u *User) options() []caddyfileutil.Option {
	return []caddyfileutil.Option{
		{Name: "limit", Repeats: true, Parse: caddyfileutil.Args("<n> [requests]/<period>", "20000/day", u.addLimit)},
	}
}

// addLimit adds a `limit`. All limits of a client apply.
func (u *User) addLimit(args []string) error {
	limit, err := quota.ParseLimit(args)
	if err == nil && limit.Unit != "" {
		err = errors.New("a limit of queries has no unit; write 20000/day, for example")
	}
	u.Limits = append(u.Limits, limit)
	return err
}
