package llmgateway

import (
	"encoding/json"
	"errors"
	"fmt"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp/reverseproxy"
)

// transports holds one http transport for each distinct set of options, so
// that channels on one host share connections.
type transports struct {
	ctx  caddy.Context
	made map[string]*reverseproxy.HTTPTransport
}

func newTransports(ctx caddy.Context) *transports {
	return &transports{ctx: ctx, made: make(map[string]*reverseproxy.HTTPTransport)}
}

// get returns the transport with the given options (nil: the defaults). Caddy
// cleans it up with the configuration.
func (t *transports) get(options *reverseproxy.HTTPTransport, https bool) (*reverseproxy.HTTPTransport, error) {
	if options == nil {
		options = new(reverseproxy.HTTPTransport)
	}
	raw, err := json.Marshal(options)
	if err != nil {
		return nil, err
	}
	if https && options.TLS == nil {
		// Marshaled apart: options is what the configuration shows.
		withTLS := make(map[string]any)
		if err := json.Unmarshal(raw, &withTLS); err != nil {
			return nil, err
		}
		withTLS["tls"] = struct{}{}
		if raw, err = json.Marshal(withTLS); err != nil {
			return nil, err
		}
	}
	if !https && options.TLS != nil {
		return nil, errors.New("the transport has TLS options, but the URL is http://")
	}
	if made, ok := t.made[string(raw)]; ok {
		return made, nil
	}
	mod, err := t.ctx.LoadModuleByID("http.reverse_proxy.transport.http", raw)
	if err != nil {
		return nil, fmt.Errorf("transport: %w", err)
	}
	made := mod.(*reverseproxy.HTTPTransport)
	sendDirectly(made.Transport)
	t.made[string(raw)] = made
	return made, nil
}
