package llmgateway

import (
	"net/http"
	"slices"
	"strings"

	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp/reverseproxy"

	"github.com/caddy-freetier/caddy-freetier/internal/ledger"
	"github.com/caddy-freetier/caddy-freetier/internal/quota"
)

func (h *Handler) unmarshalChannel(d *caddyfile.Dispenser) error {
	args := d.RemainingArgs()
	if len(args) != 2 {
		return d.Err("a channel wants a name and the address of its API: channel <name> https://api.example.com/v1")
	}
	c := &Channel{Name: args[0], URL: args[1], Source: sourceOf(d)}
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
	case "allow_header":
		err = unmarshalHeaderNames(d, &c.AllowHeaders)
	case "include_usage":
		var value string
		if !d.AllArgs(&value) || value != "on" && value != "off" {
			return d.Err("include_usage is on or off: whether streams may be asked for their usage (stream_options)")
		}
		c.NoIncludeUsage = value == "off"
	case "transport":
		return c.unmarshalTransport(d)
	default:
		return d.Errf("unknown option %s of a channel; there are %s", d.Val(), channelOptions)
	}
	return err
}

func (c *Channel) unmarshalTransport(d *caddyfile.Dispenser) error {
	block := d.NewFromNextSegment()
	c.Transport = new(reverseproxy.HTTPTransport)
	if err := c.Transport.UnmarshalCaddyfile(block); err != nil {
		return err
	}
	mistake := checkTransport(c.Transport, c.base.Scheme == "https")
	if mistake == nil {
		return nil
	}
	// The error points to the option.
	for block.Reset(); block.Next() && block.Val() != mistake.option; {
		continue
	}
	return block.Errf("channel %s: %w", c.Name, mistake.err)
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
		if err := checkKeyWord(key); err != nil {
			return d.WrapErr(keyPlace{owner: "channel " + c.Name, number: len(c.APIKeys) + 1}.error("", err))
		}
		c.APIKeys = append(c.APIKeys, key)
		c.setKeySource(len(c.APIKeys)-1, sourceOf(d))
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
	var before []string
	for _, other := range c.Models {
		before = append(before, other.Names...)
	}
	if err := checkRoute(route, before); err != nil {
		return d.WrapErr(err)
	}
	c.Models = append(c.Models, route)
	return nil
}
