package llmgateway

import (
	"fmt"
	"math"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"github.com/caddyserver/caddy/v2/caddyconfig/httpcaddyfile"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/caddy-freetier/caddy-freetier/internal/caddyfileutil"
	"github.com/caddy-freetier/caddy-freetier/internal/llm/refusal"
	"github.com/caddy-freetier/caddy-freetier/internal/quota"
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
//		clients_file <path>
//		anonymous
//		channel <name> [<url>] {
//			provider      <provider> [<region>]
//			api_key       <key>...
//			models        <name or pattern>... [as <model>...] {
//				quota <n> [tokens]/<period> [per model] [<account>] [<zone>]
//				fields {
//					<as in the channel>
//				}
//				context <tokens>
//				output  <tokens>
//				takes   <text|image|audio|video|file>...
//				tools   on|off
//				price   <input> <output>
//			}
//			quota         <n> [tokens]/<period> [per model] [<account>] [<zone>]
//			concurrency   <n> [per model]
//			fields {
//				drop    <field>...
//				rename  <field> <name>
//				default <field> <value>
//				set     <field> <value>
//				at_most <field> <number>
//				role    <role> <role>
//			}
//			key_policy    affinity|quota|round_robin
//			weight        <number>
//			tier          <number>
//			auth          bearer|x-api-key|x-goog-api-key|api-key|none
//			auth          query <parameter>
//			header_up     <name> <value>
//			allow_header  <name>...
//			include_usage on|off
//			refusal       <status|4xx|*> [<text>] client|next_channel|key|key_model|model|capacity|channel [<duration>]
//			speaks        <chat|responses|messages|gemini>... [<base URL>] [auth <style>]
//			proxy         <url>
//			transport {
//				<options of reverse_proxy's http transport>
//			}
//		}
//		fallback           <pattern>... to <model>...
//		default_channel    <name>
//		lb_policy          <policy>
//		key_policy         affinity|quota|round_robin
//		retries            <number>
//		try_duration       <duration>
//		retry_on           <status>...
//		refusal            <status|4xx|*> [<text>] client|next_channel|key|key_model|model|capacity|channel [<duration>]
//		cooldown           <duration>
//		max_cooldown       <duration>
//		wait               <duration>|off
//		first_byte_timeout <duration>
//		response_timeout   <duration>|off
//		heartbeat          <duration>|off
//		stream_close_delay <duration>|off
//		max_body           <size>
//		cors               <origin>...|*|off
//		allow_path         <pattern>...
//		allow_header       <name>...
//	}
//
// `client`, `channel`, `fallback`, `refusal`, `allow_path` and `allow_header` can
// be repeated; so can a client's `models` and `limit`, and a channel's `api_key`,
// `models`, `quota`, `header_up`, `allow_header`, `refusal` and `speaks`, the `quota`
// of its models, and all of `fields`. A policy is any
// of reverse_proxy.
func (h *Handler) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	d.Next() // directive name
	at := *d // where the gateway begins, for errors that its end reveals
	if err := caddyfileutil.NoArguments(d); err != nil {
		return err
	}
	var noDefault error // raised at the end: the channel may come later
	if err := caddyfileutil.ParseBlock(d, "llm_gateway", h.options(&noDefault)); err != nil {
		return err
	}
	switch {
	case len(h.Clients) == 0 && h.ClientsFile == "" && !h.Anonymous:
		return at.WrapErr(errNoClients)
	case len(h.Channels) == 0:
		return at.WrapErr(errNoChannels)
	case h.DefaultChannel != "" && channelNamed(h.Channels, h.DefaultChannel) == nil:
		return noDefault
	}
	return checkDemo(h.Clients, h.Channels)
}

// leastDuration is the shortest time that options take, against typos.
const leastDuration = time.Millisecond

func (h *Handler) options(noDefault *error) []caddyfileutil.Option {
	return []caddyfileutil.Option{
		{Name: "client", Repeats: true, Block: true, Excludes: "anonymous", Parse: h.parseClient},
		{Name: "clients_file", Excludes: "anonymous", Parse: caddyfileutil.Text(&h.ClientsFile, "<path>", "/etc/caddy/clients.json")},
		{Name: "anonymous", Excludes: "client", Parse: caddyfileutil.Flag(&h.Anonymous)},
		{Name: "channel", Repeats: true, Block: true, Parse: h.parseChannel},
		{Name: "fallback", Repeats: true, Parse: caddyfileutil.Args("<pattern>... to <model>...", "gpt-4* to gpt-4o-mini", h.addFallback)},
		{Name: "default_channel", Parse: func(d *caddyfile.Dispenser) error {
			*noDefault = d.Err("default_channel: there is no channel of this name")
			return caddyfileutil.Text(&h.DefaultChannel, "<name>", "paid")(d)
		}},
		{Name: "lb_policy", Block: true, Parse: caddyfileutil.Policy(&h.LBPolicyRaw)},
		{Name: "key_policy", Parse: parseKeyPolicy(&h.KeyPolicy)},
		{Name: "retries", Parse: caddyfileutil.Number(&h.Retries, 1, math.MaxInt)},
		{Name: "try_duration", Parse: caddyfileutil.Duration(&h.TryDuration, leastDuration)},
		{Name: "retry_on", Parse: caddyfileutil.Statuses(&h.RetryOn, 4, 5, "429 or 5xx")},
		{Name: "refusal", Repeats: true, Parse: parseRefusal(&h.Refusals)},
		{Name: "cooldown", Parse: caddyfileutil.Duration(&h.Cooldown, leastDuration)},
		{Name: "max_cooldown", Parse: caddyfileutil.Duration(&h.MaxCooldown, leastDuration)},
		{Name: "wait", Parse: caddyfileutil.DurationOrOff(&h.Wait, leastDuration)},
		{Name: "first_byte_timeout", Parse: caddyfileutil.Duration(&h.FirstByteTimeout, leastDuration)},
		{Name: "response_timeout", Parse: caddyfileutil.DurationOrOff(&h.ResponseTimeout, leastDuration)},
		{Name: "heartbeat", Parse: caddyfileutil.DurationOrOff(&h.Heartbeat, leastDuration)},
		{Name: "stream_close_delay", Parse: caddyfileutil.DurationOrOff(&h.StreamCloseDelay, leastDuration)},
		{Name: "max_body", Parse: caddyfileutil.Size(&h.MaxBody)},
		{Name: "cors", Parse: caddyfileutil.Args("<origin>...|*|off", "https://chat.example.com, * or off", h.setCORS)},
		{Name: "allow_path", Repeats: true, Parse: caddyfileutil.Args("<pattern>...", "/api/chat /api/tags", h.addPaths)},
		{Name: "allow_header", Repeats: true, Parse: allowHeaders(&h.AllowHeaders)},
	}
}

// parseKeyPolicy parses which of a channel's keys comes first.
func parseKeyPolicy(field *KeyPolicy) caddyfileutil.Parser {
	return caddyfileutil.Args(strings.Join(keyPolicies, "|"), string(KeyPolicyRoundRobin), func(args []string) error {
		if len(args) != 1 {
			return caddyfileutil.ErrUsage
		}
		*field = KeyPolicy(args[0])
		return field.check()
	})
}

// parseRefusal parses a rule that says what a refusal means.
func parseRefusal(rules *[]refusal.UserRule) caddyfileutil.Parser {
	const usage = "<status|4xx|*> [<text>] client|next_channel|key|key_model|model|capacity|channel [<duration>]"
	return caddyfileutil.Args(usage, `429 "daily limit" key 6h`, func(args []string) error {
		rule, err := refusal.ParseRule(args)
		if err == nil {
			*rules = append(*rules, rule)
		}
		return err
	})
}

func (h *Handler) parseClient(d *caddyfile.Dispenser) error {
	args, err := caddyfileutil.Arguments(d, "<name> <key>...", "alice {env.ALICE_KEY} (is an environment variable unset?)")
	if err != nil {
		return err
	}
	c := &Client{Name: args[0], Keys: args[1:], Source: sourceOf(d)}
	if err := c.checkKeys(h.Clients); err != nil {
		return d.WrapErr(err)
	}
	if err := caddyfileutil.ParseBlock(d, "client", c.options()); err != nil {
		return err
	}
	h.Clients = append(h.Clients, c)
	return nil
}

// checkKeys refuses keys that are none, and keys and names that another client
// has.
func (c *Client) checkKeys(others []*Client) error {
	if slices.Contains(c.Keys, "") {
		return fmt.Errorf("client %s: a key is empty", c.Name)
	}
	for i, key := range c.Keys {
		if key == "limit" || key == "models" {
			return fmt.Errorf("client %s: %s stands in a block: write { behind the keys, and %s into the next line", c.Name, key, key)
		}
		err := checkKeyWord(key)
		if slices.Contains(c.Keys[:i], key) {
			err = errSameKey
		}
		if err != nil {
			return keyPlace{owner: "client " + c.Name, number: i + 1}.error("", err)
		}
	}
	for _, other := range others {
		if other.Name == c.Name {
			return fmt.Errorf("there are two clients named %s; give each a name of its own, or one of them both keys", c.Name)
		}
		for _, key := range c.Keys {
			if slices.Contains(other.Keys, key) {
				return fmt.Errorf("clients %s and %s have the same key", other.Name, c.Name)
			}
		}
	}
	return nil
}

func (c *Client) options() []caddyfileutil.Option {
	return []caddyfileutil.Option{
		{Name: "models", Repeats: true, Parse: caddyfileutil.Args("<pattern>...", "gpt-4o gpt-4* (without the line: all)", c.addModels)},
		{Name: "limit", Repeats: true, Parse: caddyfileutil.Args("<n> [tokens]/<period>", "1000/day", c.addLimit)},
	}
}

func (c *Client) addModels(models []string) error {
	if err := checkModelNames(models, c.Models); err != nil {
		return err
	}
	c.Models = append(c.Models, models...)
	return nil
}

func (c *Client) addLimit(args []string) error {
	limit, err := quota.ParseLimit(args)
	c.Limits = append(c.Limits, limit)
	return err
}

func (h *Handler) addFallback(args []string) error {
	n := slices.Index(args, "to")
	if n < 1 || n == len(args)-1 {
		return caddyfileutil.ErrUsage
	}
	f := &Fallback{Models: args[:n], To: args[n+1:]}
	h.Fallbacks = append(h.Fallbacks, f)
	return f.check()
}

func (h *Handler) setCORS(origins []string) error {
	h.CORS = origins
	for _, origin := range origins {
		if len(origins) == 1 && (origin == "*" || origin == "off") {
			continue
		}
		u, err := url.Parse(origin)
		if err != nil || u.Scheme == "" || u.Host == "" || u.Path != "" || u.RawQuery != "" {
			return fmt.Errorf("%q is not an origin; write a scheme and a host, such as https://chat.example.com", origin)
		}
	}
	return nil
}

func (h *Handler) addPaths(patterns []string) error {
	for _, pattern := range patterns {
		if err := checkAllowedPath(pattern); err != nil {
			return err
		}
	}
	h.AllowPaths = append(h.AllowPaths, patterns...)
	return nil
}

// allowHeaders parses names of headers that may pass to channels.
func allowHeaders(field *[]string) caddyfileutil.Parser {
	return caddyfileutil.Args("<name>...", "HTTP-Referer X-Title", func(names []string) error {
		for _, name := range names {
			if err := checkAllowedHeader(name); err != nil {
				return err
			}
		}
		*field = append(*field, names...)
		return nil
	})
}

// Interface guards
var _ caddyfile.Unmarshaler = (*Handler)(nil)

func (h *Handler) parseChannel(d *caddyfile.Dispenser) error {
	at := *d // where the channel begins, for errors that its end reveals
	args, err := caddyfileutil.Arguments(d, "<name> [<url>]", "free https://api.example.com/v1")
	if err != nil {
		return err
	}
	c := &Channel{Name: args[0], Source: sourceOf(d)}
	if channelNamed(h.Channels, c.Name) != nil {
		return d.Errf("there are two channels named %s; give each a name of its own", c.Name)
	}
	if c.base = presetScheme; len(args) > 1 {
		c.URL = args[1]
		if err := c.setURL(c.URL); err != nil {
			return d.Errf("channel %s: %w", c.Name, err)
		}
	}
	if err := caddyfileutil.ParseBlock(d, "channel", c.options()); err != nil {
		return err
	}
	if err := c.locate(); err != nil {
		return at.Errf("channel %s: %w", c.Name, err)
	}
	if len(c.Models) == 0 {
		return at.Errf("channel %s: %w", c.Name, errNoModels)
	}
	if len(c.APIKeys) == 0 && c.Auth.Scheme != "none" {
		return at.Errf("channel %s has no api_key; add one, or auth none for an API that needs no key", c.Name)
	}
	if c.Proxy != "" && c.Transport != nil && usesProxy(c.Transport.NetworkProxyRaw) {
		return at.Errf("channel %s: %w", c.Name, errTwoProxies)
	}
	h.Channels = append(h.Channels, c)
	return nil
}

// presetScheme stands for the URL of a preset while the block is read. All of them
// are https.
var presetScheme = &url.URL{Scheme: "https"}
