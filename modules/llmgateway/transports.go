package llmgateway

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp/reverseproxy"

	"github.com/caddy-freetier/caddy-freetier/internal/runtime"
)

// transports holds one http transport for each distinct set of options, so
// that channels on one host share connections.
//
// It belongs to one configuration and is used in its Provision only, so it needs no
// lock. The transports themselves live as long as the configuration's context.
type transports struct {
	ctx  caddy.Context
	made map[string]*reverseproxy.HTTPTransport
}

func newTransports(ctx caddy.Context) *transports {
	return &transports{ctx: ctx, made: make(map[string]*reverseproxy.HTTPTransport)}
}

// get returns the transport with the given options (nil: the defaults). Caddy
// cleans it up with the configuration.
//
// The key of the map is the marshaled text after resolveTransport, so that two channels
// that name the same proxy through different variables share connections too.
func (t *transports) get(options *reverseproxy.HTTPTransport, https bool) (*reverseproxy.HTTPTransport, error) {
	if options == nil {
		options = new(reverseproxy.HTTPTransport)
	}
	if mistake := checkTransport(options, https); mistake != nil {
		return nil, mistake.err
	}
	raw, err := json.Marshal(options)
	if err != nil {
		return nil, err
	}
	if raw, err = resolveTransport(raw, https); err != nil {
		return nil, err
	}
	if made, ok := t.made[string(raw)]; ok {
		return made, nil
	}
	mod, err := t.ctx.LoadModuleByID("http.reverse_proxy.transport.http", raw)
	if err != nil {
		return nil, fmt.Errorf("transport: %w", err)
	}
	made := mod.(*reverseproxy.HTTPTransport)
	if https {
		joinWrites(made.Transport)
	} else {
		sendDirectly(made.Transport)
	}
	t.made[string(raw)] = made
	return made, nil
}

// resolveTransport replaces the placeholders that Caddy would replace while it
// connects, and turns TLS on for https. It works on the marshaled options,
// since the options themselves are what the configuration shows.
func resolveTransport(raw []byte, https bool) ([]byte, error) {
	options := make(map[string]json.RawMessage)
	if err := json.Unmarshal(raw, &options); err != nil {
		return nil, err
	}
	if https && options["tls"] == nil {
		options["tls"] = json.RawMessage("{}")
	}
	for _, place := range []struct {
		object, field, option string
		later                 bool // whether placeholders of a request may be left
	}{
		{"tls", "server_name", "tls_server_name", false},
		{"network_proxy", "url", "network_proxy", true},
	} {
		if options[place.object] == nil {
			continue
		}
		fields := make(map[string]any)
		if err := json.Unmarshal(options[place.object], &fields); err != nil {
			return nil, err
		}
		value, ok := fields[place.field].(string)
		if !ok {
			continue
		}
		resolved, err := caddy.NewReplacer().ReplaceOrErr(value, true, !place.later)
		if err != nil {
			return nil, fmt.Errorf("transport: %s: %w", place.option, runtime.ExplainUnset(err))
		}
		fields[place.field] = resolved
		if options[place.object], err = json.Marshal(fields); err != nil {
			return nil, err
		}
	}
	return json.Marshal(options)
}

var errTwoProxies = errors.New("proxy is short for the transport's network_proxy; keep one of the two")

// transportOf returns the options of the channel's transport, with its proxy.
func transportOf(c *Channel) (*reverseproxy.HTTPTransport, error) {
	if c.Proxy == "" {
		return c.Transport, nil
	}
	options := c.Transport
	if options == nil {
		options = new(reverseproxy.HTTPTransport)
	}
	if usesProxy(options.NetworkProxyRaw) {
		return nil, errTwoProxies
	}
	raw, err := json.Marshal(map[string]string{"from": "url", "url": c.Proxy})
	if err != nil {
		return nil, err
	}
	options.NetworkProxyRaw = raw
	if mistake := checkTransport(options, c.base.Scheme == "https"); mistake != nil {
		return nil, mistake.err
	}
	return options, nil
}

// checkProxy refuses what is no address of a proxy. Placeholders are known later.
func checkProxy(address string) error {
	u, err := url.Parse(address)
	switch {
	case strings.Contains(address, "{"):
		return nil
	case err != nil || u.Hostname() == "":
		return errors.New("a proxy is written like socks5://127.0.0.1:1080 or http://127.0.0.1:3128")
	}
	switch u.Scheme {
	case "http", "https", "socks5", "socks5h":
		return nil
	}
	return fmt.Errorf("proxies are of http, https, socks5 or socks5h, not of %q: write it like socks5://127.0.0.1:1080", u.Scheme)
}

// transportMistake is an option of a transport that cannot work in a channel.
type transportMistake struct {
	option string // as the Caddyfile has it
	err    error
}

// checkTransport refuses options that have no meaning for a channel, or that
// another one would silently undo. What needs the values of placeholders is
// checked by resolveTransport.
//
// What each would do: proxy_protocol sends the client's address, which no provider must
// learn; TLS options beside http:// show that https was meant, while the key would be
// sent in the clear; HTTP/3 is carried by UDP, so its requests would leave beside the
// proxy and from the address that the proxy should hide.
func checkTransport(options *reverseproxy.HTTPTransport, https bool) *transportMistake {
	mistake := func(option, text string) *transportMistake {
		return &transportMistake{option, errors.New(text)}
	}
	if options.ProxyProtocol != "" {
		return mistake("proxy_protocol", "the transport has proxy_protocol, which would tell the channel the address of the client; remove it")
	}
	if options.TLS != nil && !https {
		return mistake("transport", "the transport has TLS options, but the URL is http://")
	}
	if options.TLS != nil {
		if name := unknownPlaceholder(options.TLS.ServerName); name != "" {
			return mistake("tls_server_name", "tls_server_name is replaced when the configuration is loaded, and {"+name+"} is not known then; write the name, or {env.NAME}")
		}
	}
	if !slices.Contains(options.Versions, "3") {
		return nil
	}
	switch {
	case len(options.Versions) > 1:
		return mistake("versions", "versions: HTTP/3 allows no other version beside it; write: versions 3")
	case !https:
		return mistake("versions", "versions 3 needs TLS, but the URL is http://")
	case options.ForwardProxyURL != "" || usesProxy(options.NetworkProxyRaw):
		return mistake("versions", "versions 3 would bypass the proxy, which carries TCP only; remove one of them")
	}
	return nil
}

// usesProxy reports whether the module of a network_proxy is another than none.
//
// A module that cannot be read counts as one: the result is an error at load, and not a
// request beside the proxy.
func usesProxy(raw json.RawMessage) bool {
	var module struct {
		From string `json:"from"`
	}
	return len(raw) > 0 && (json.Unmarshal(raw, &module) != nil || module.From != "none")
}

// unknownPlaceholder returns the first placeholder of a text that is known only
// while a request is served, "" if there is none.
func unknownPlaceholder(text string) string {
	repl := caddy.NewReplacer().WithoutFile()
	for rest := text; ; {
		_, after, found := strings.Cut(rest, "{")
		name, next, closed := strings.Cut(after, "}")
		if !found || !closed {
			return ""
		}
		if _, known := repl.Get(name); !known && !strings.HasPrefix(name, "file.") {
			return name
		}
		rest = next
	}
}

// ownRequests returns a context for requests that no client has asked for, such
// as one for a channel's list of models. Caddy's transports look for the
// replacer and the variables of a request in its context, also in goroutines in
// which a panic would end the process.
func ownRequests(ctx context.Context) context.Context {
	ctx = context.WithValue(ctx, caddy.ReplacerCtxKey, caddy.NewReplacer())
	return context.WithValue(ctx, caddyhttp.VarsCtxKey, make(map[string]any))
}
