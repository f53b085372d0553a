package llmgateway

import (
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"github.com/caddyserver/caddy/v2/caddyconfig/httpcaddyfile"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/caddy-freetier/caddy-freetier/internal/directive"
	"github.com/caddy-freetier/caddy-freetier/internal/quota"
)

// options are the subdirectives of llm_gateway, as the errors list them.
const (
	options        = "client, anonymous, channel, fallback, default_channel, lb_policy, retries, try_duration, retry_on, cooldown, first_byte_timeout, max_body, cors, allow_path, allow_header"
	clientOptions  = "models and limit"
	channelOptions = "api_key, models, quota, weight, tier, auth, header_up, allow_header, include_usage, transport"
)

func init() {
	httpcaddyfile.RegisterHandlerDirective("llm_gateway", parseCaddyfile)
	httpcaddyfile.RegisterDirectiveOrder("llm_gateway", httpcaddyfile.Before, "reverse_proxy")
}

func parseCaddyfile(h httpcaddyfile.Helper) (caddyhttp.MiddlewareHandler, error) {
	handler := new(Handler)
	if err := handler.UnmarshalCaddyfile(h.Dispenser); err != nil {
		return nil, err
	}
	return handler, nil
}

// UnmarshalCaddyfile sets up the gateway from Caddyfile tokens. Syntax:
//
//	llm_gateway [<matcher>] {
//		client <name> <key>... {
//			models <pattern>...
//			limit  <n> [tokens]/<period>
//		}
//		anonymous
//		channel <name> <url> {
//			api_key   <key>...
//			models    <name or pattern>... [as <model>]
//			quota     <n> [tokens]/<period> [<account>] [<zone>]
//			weight    <n>
//			tier      <n>
//			auth      bearer|x-api-key|x-goog-api-key|api-key|none
//			auth      query <parameter>
//			header_up <name> <value>
//			allow_header <name>...
//			include_usage on|off
//			transport {
//				<options of reverse_proxy's http transport>
//			}
//		}
//		fallback        <pattern>... to <model>
//		default_channel <name>
//		lb_policy       <any policy of reverse_proxy>
//		retries         <n>
//		try_duration    <duration>
//		retry_on        <status>...
//		cooldown        <duration>
//		first_byte_timeout <duration>
//		max_body        <size>
//		cors            <origin>...|*|off
//		allow_path      <pattern>...
//		allow_header    <name>...
//	}
func (h *Handler) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	d.Next() // directive name
	noClients, noChannels := d.WrapErr(errNoClients), d.WrapErr(errNoChannels)
	if d.NextArg() {
		return d.ArgErr()
	}
	var noDefault error // raised at the end: the channel may come later
	for d.NextBlock(0) {
		if d.Val() == "default_channel" {
			noDefault = d.Errf("default_channel: there is no channel of this name")
		}
		if err := h.unmarshalOption(d); err != nil {
			return err
		}
	}
	switch {
	case len(h.Clients) == 0 && !h.Anonymous:
		return noClients
	case len(h.Channels) == 0:
		return noChannels
	case h.DefaultChannel != "" && h.channel(h.DefaultChannel) == nil:
		return noDefault
	}
	return h.checkDemo()
}

func (h *Handler) unmarshalOption(d *caddyfile.Dispenser) (err error) {
	switch d.Val() {
	case "client":
		return h.unmarshalClient(d)
	case "channel":
		return h.unmarshalChannel(d)
	case "fallback":
		return h.unmarshalFallback(d)
	case "anonymous":
		if d.NextArg() {
			return d.ArgErr()
		}
		if len(h.Clients) > 0 {
			return d.WrapErr(errAnonymousAndClients)
		}
		h.Anonymous = true
	case "default_channel":
		if !d.Args(&h.DefaultChannel) {
			return d.ArgErr()
		}
	case "lb_policy":
		h.LBPolicyRaw, err = directive.Policy(d)
	case "retries":
		h.Retries, err = unmarshalNumber(d)
	case "try_duration":
		h.TryDuration, err = unmarshalDuration(d)
	case "retry_on":
		h.RetryOn, err = unmarshalStatuses(d)
	case "cooldown":
		h.Cooldown, err = unmarshalDuration(d)
	case "first_byte_timeout":
		h.FirstByteTimeout, err = unmarshalDuration(d)
	case "max_body":
		h.MaxBody, err = directive.Size(d)
	case "allow_path":
		err = unmarshalPaths(d, &h.AllowPaths)
	case "allow_header":
		err = unmarshalHeaderNames(d, &h.AllowHeaders)
	case "cors":
		h.CORS, err = unmarshalOrigins(d)
	default:
		return d.Errf("unknown option %s of llm_gateway; there are %s", d.Val(), options)
	}
	return err
}

func (h *Handler) unmarshalClient(d *caddyfile.Dispenser) error {
	if h.Anonymous {
		return d.WrapErr(errAnonymousAndClients)
	}
	args := d.RemainingArgs()
	if len(args) < 2 {
		return d.Err("a client wants a name and one or several keys: client <name> <key>... (is an environment variable unset?)")
	}
	c := &Client{Name: args[0], Keys: args[1:], Source: sourceOf(d)}
	if slices.Contains(c.Keys, "") {
		return d.Errf("client %s: a key is empty", c.Name)
	}
	for i, key := range c.Keys {
		err := checkKeyWord(key)
		if slices.Contains(c.Keys[:i], key) {
			err = errSameKey
		}
		if err != nil {
			return d.WrapErr(keyPlace{owner: "client " + c.Name, number: i + 1}.error("", err))
		}
	}
	for _, other := range h.Clients {
		if other.Name == c.Name {
			return d.Errf("there are two clients named %s; give each a name of its own, or one of them both keys", c.Name)
		}
		for _, key := range c.Keys {
			if slices.Contains(other.Keys, key) {
				return d.Errf("clients %s and %s have the same key", other.Name, c.Name)
			}
		}
	}
	for nesting := d.Nesting(); d.NextBlock(nesting); {
		if err := c.unmarshalOption(d); err != nil {
			return err
		}
	}
	h.Clients = append(h.Clients, c)
	return nil
}

func (c *Client) unmarshalOption(d *caddyfile.Dispenser) error {
	switch d.Val() {
	case "models":
		models := d.RemainingArgs()
		if len(models) == 0 {
			return d.Err("models wants one or several names: models gpt-4o gpt-4* (without the line: all)")
		}
		if err := checkModelNames(models, c.Models); err != nil {
			return d.WrapErr(err)
		}
		c.Models = append(c.Models, models...)
	case "limit":
		limit, err := quota.ParseLimit(d.RemainingArgs())
		if err != nil {
			return d.WrapErr(err)
		}
		c.Limits = append(c.Limits, limit)
	default:
		return d.Errf("unknown option %s of a client; there are %s", d.Val(), clientOptions)
	}
	return nil
}

func (h *Handler) unmarshalFallback(d *caddyfile.Dispenser) error {
	args := d.RemainingArgs()
	n := len(args)
	if n < 3 || args[n-2] != "to" {
		return d.Err("fallback wants models and the one that stands in for them: fallback gpt-4* to gpt-4o-mini")
	}
	if strings.Contains(args[n-1], "*") {
		return d.Errf("fallback to %s: the model that stands in must have no wildcard", args[n-1])
	}
	if err := checkModelNames(append(slices.Clip(args[:n-2]), args[n-1]), nil); err != nil {
		return d.WrapErr(err)
	}
	h.Fallbacks = append(h.Fallbacks, &Fallback{Models: args[:n-2], To: args[n-1]})
	return nil
}

func unmarshalNumber(d *caddyfile.Dispenser) (int, error) {
	name := d.Val()
	var value string
	if !d.AllArgs(&value) {
		return 0, d.Errf("%s wants a whole number from 1", name)
	}
	n, err := strconv.Atoi(value)
	if err != nil || n < 1 {
		return 0, d.Errf("%s %s: wants a whole number from 1", name, value)
	}
	return n, nil
}

func unmarshalDuration(d *caddyfile.Dispenser) (caddy.Duration, error) {
	name := d.Val()
	var value string
	if !d.AllArgs(&value) {
		return 0, d.Errf("%s wants a duration such as 30s or 2m", name)
	}
	duration, err := caddy.ParseDuration(value)
	if err != nil || duration <= 0 {
		return 0, d.Errf("%s %s: wants a duration such as 30s or 2m", name, value)
	}
	return caddy.Duration(duration), nil
}

func unmarshalStatuses(d *caddyfile.Dispenser) (statuses []int, err error) {
	args := d.RemainingArgs()
	if len(args) == 0 {
		return nil, d.Err("retry_on wants statuses such as 429 or 5xx")
	}
	for _, arg := range args {
		n, err := strconv.Atoi(strings.TrimSuffix(strings.ToLower(arg), "xx"))
		class := len(arg) == 3 && strings.HasSuffix(strings.ToLower(arg), "xx") && n >= 4 && n <= 5
		if err != nil || (!class && (n < 400 || n > 599)) {
			return nil, d.Errf("retry_on %s: wants statuses of errors such as 429 or 5xx", arg)
		}
		statuses = append(statuses, n)
	}
	return statuses, nil
}

func unmarshalOrigins(d *caddyfile.Dispenser) ([]string, error) {
	origins := d.RemainingArgs()
	if len(origins) == 0 {
		return nil, d.Err("cors wants *, off, or origins such as https://chat.example.com")
	}
	for _, origin := range origins {
		if len(origins) == 1 && (origin == "*" || origin == "off") {
			continue
		}
		u, err := url.Parse(origin)
		if err != nil || u.Scheme == "" || u.Host == "" || u.Path != "" || u.RawQuery != "" {
			return nil, d.Errf("cors %s: an origin is a scheme and a host, such as https://chat.example.com", origin)
		}
	}
	return origins, nil
}

// unmarshalPaths adds patterns of paths that may pass.
func unmarshalPaths(d *caddyfile.Dispenser, to *[]string) error {
	patterns := d.RemainingArgs()
	if len(patterns) == 0 {
		return d.Err("allow_path needs one or several paths: allow_path /api/chat /api/tags")
	}
	for _, pattern := range patterns {
		if err := checkAllowedPath(pattern); err != nil {
			return d.WrapErr(err)
		}
	}
	*to = append(*to, patterns...)
	return nil
}

// unmarshalHeaderNames adds names of headers that may pass to channels.
func unmarshalHeaderNames(d *caddyfile.Dispenser, to *[]string) error {
	names := d.RemainingArgs()
	if len(names) == 0 {
		return d.Err("allow_header needs one or several names of headers: allow_header HTTP-Referer X-Title")
	}
	for _, name := range names {
		if err := checkAllowedHeader(name); err != nil {
			return d.WrapErr(err)
		}
	}
	*to = append(*to, names...)
	return nil
}

// Interface guards
var _ caddyfile.Unmarshaler = (*Handler)(nil)
