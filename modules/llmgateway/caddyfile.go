package llmgateway

import (
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"github.com/caddyserver/caddy/v2/caddyconfig/httpcaddyfile"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp/reverseproxy"

	"github.com/caddy-freetier/caddy-freetier/internal/directive"
	"github.com/caddy-freetier/caddy-freetier/internal/ledger"
	"github.com/caddy-freetier/caddy-freetier/internal/quota"
)

// options are the subdirectives of llm_gateway, as the errors list them.
const (
	options        = "client, anonymous, channel, fallback, default_channel, lb_policy, retries, try_duration, retry_on, cooldown, first_byte_timeout, max_body, cors"
	clientOptions  = "models and limit"
	channelOptions = "api_key, models, quota, weight, tier, auth, header_up, include_usage, transport"
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
	return nil
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
	c := &Client{Name: args[0], Keys: args[1:]}
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
	if slices.Contains(c.Keys, "") {
		return d.Errf("client %s: a key is empty", c.Name)
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
	h.Fallbacks = append(h.Fallbacks, &Fallback{Models: args[:n-2], To: args[n-1]})
	return nil
}

func (h *Handler) unmarshalChannel(d *caddyfile.Dispenser) error {
	args := d.RemainingArgs()
	if len(args) != 2 {
		return d.Err("a channel wants a name and the address of its API: channel <name> https://api.example.com/v1")
	}
	c := &Channel{Name: args[0], URL: args[1]}
	if h.channel(c.Name) != nil {
		return d.Errf("there are two channels named %s; give each a name of its own", c.Name)
	}
	if err := c.parseURL(); err != nil {
		return d.Errf("channel %s: %v", c.Name, err)
	}
	noModels := d.Errf("channel %s: %v", c.Name, errNoModels)
	noKey := d.Errf("channel %s has no api_key; add one, or auth none for an API that wants no key", c.Name)
	for nesting := d.Nesting(); d.NextBlock(nesting); {
		if err := c.unmarshalOption(d); err != nil {
			return err
		}
	}
	if len(c.Models) == 0 {
		return noModels
	}
	if len(c.APIKeys) == 0 && c.Auth.Scheme != "none" {
		return noKey
	}
	h.Channels = append(h.Channels, c)
	return nil
}

func (c *Channel) unmarshalOption(d *caddyfile.Dispenser) (err error) {
	switch d.Val() {
	case "api_key":
		return c.unmarshalKeys(d)
	case "models":
		return c.unmarshalModels(d)
	case "quota":
		q, err := quota.Parse(d.RemainingArgs())
		if err == nil && q.Unit == ledger.Seconds {
			err = errHours
		}
		if err != nil {
			return d.WrapErr(err)
		}
		c.Quotas = append(c.Quotas, q)
	case "weight":
		c.Weight, err = unmarshalNumber(d)
	case "tier":
		c.Tier, err = unmarshalNumber(d)
	case "auth":
		args := d.RemainingArgs()
		if len(args) == 0 || len(args) > 2 {
			return d.Errf("auth is one of %s", authSchemes)
		}
		c.Auth.Scheme = args[0]
		if len(args) == 2 && args[0] == "query" {
			c.Auth.Parameter = args[1]
		} else if len(args) == 2 {
			return d.Errf("auth %s takes no further word; auth is one of %s", args[0], authSchemes)
		}
		if err := c.Auth.check(); err != nil {
			return d.WrapErr(err)
		}
	case "header_up":
		args := d.RemainingArgs()
		if len(args) != 2 {
			return d.Err("header_up wants a name and a value: header_up X-Title \"my gateway\"")
		}
		if c.Headers == nil {
			c.Headers = make(http.Header)
		}
		c.Headers.Add(args[0], args[1])
	case "include_usage":
		var value string
		if !d.AllArgs(&value) || value != "on" && value != "off" {
			return d.Err("include_usage is on or off: whether streams may be asked for their usage (stream_options)")
		}
		c.NoIncludeUsage = value == "off"
	case "transport":
		c.Transport = new(reverseproxy.HTTPTransport)
		if err := c.Transport.UnmarshalCaddyfile(d.NewFromNextSegment()); err != nil {
			return err
		}
		if c.Transport.TLS != nil && c.base.Scheme != "https" {
			return d.Errf("channel %s: the transport has TLS options, but the URL is http://", c.Name)
		}
	default:
		return d.Errf("unknown option %s of a channel; there are %s", d.Val(), channelOptions)
	}
	return err
}

func (c *Channel) unmarshalKeys(d *caddyfile.Dispenser) error {
	keys := d.RemainingArgs()
	if len(keys) == 0 {
		return d.Err("api_key wants one or several keys (is an environment variable unset?)")
	}
	for _, key := range keys {
		if key == "" {
			return d.Errf("channel %s: an api_key is empty", c.Name)
		}
		if slices.Contains(c.APIKeys, key) {
			return d.Errf("channel %s has the same api_key twice", c.Name)
		}
		c.APIKeys = append(c.APIKeys, key)
	}
	return nil
}

func (c *Channel) unmarshalModels(d *caddyfile.Dispenser) error {
	route := &ModelRoute{Names: d.RemainingArgs()}
	if n := len(route.Names); n >= 2 && route.Names[n-2] == "as" {
		route.Names, route.As = route.Names[:n-2], route.Names[n-1]
	}
	if len(route.Names) == 0 || slices.Contains(route.Names, "as") {
		return d.Err("models wants names, and perhaps the channel's own one: models gpt-4 gpt-4-turbo as gpt-4-0125-preview")
	}
	if strings.Contains(route.As, "*") {
		return d.Errf("models ... as %s: the channel's own name must have no wildcard", route.As)
	}
	c.Models = append(c.Models, route)
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

// Interface guards
var _ caddyfile.Unmarshaler = (*Handler)(nil)
