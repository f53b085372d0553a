package llmgateway

import (
	"net/http"
	"strings"
	"time"
)

// placeholder implements caddy.ReplacerFunc: the gateway's own placeholders, and
// those of reverse_proxy that people log.
func (c *call) placeholder(key string) (any, bool) {
	if name, ok := strings.CutPrefix(key, "http.llm_gateway."); ok {
		return c.gatewayPlaceholder(name)
	}
	if name, ok := strings.CutPrefix(key, "http.reverse_proxy."); ok && c.current != nil {
		return c.proxyPlaceholder(name)
	}
	return nil, false
}

func (c *call) gatewayPlaceholder(name string) (any, bool) {
	switch name {
	case "client":
		return c.client.Name, true
	case "model":
		return c.model, true
	case "tries":
		return c.tries, true
	case "input_tokens":
		return c.usage().Input(), true
	case "output_tokens":
		return c.usage().Output(), true
	case "sent_model":
		if c.current != nil {
			return c.current.model, true
		}
		return "", true
	case "channel":
		if c.current != nil {
			return c.current.channel.Name, true
		}
		return "", true
	}
	return nil, false
}

// proxyPlaceholder describes the current attempt in the words of reverse_proxy.
// Source: https://caddyserver.com/docs/caddyfile/directives/reverse_proxy, as of Caddy 2.11
func (c *call) proxyPlaceholder(name string) (any, bool) {
	dial := &c.current.channel.dialInfo
	switch name {
	case "upstream.address":
		return dial.String(), true
	case "upstream.hostport":
		return dial.Address, true
	case "upstream.host":
		return dial.Host, true
	case "upstream.port":
		return dial.Port, true
	case "upstream.requests":
		return int(c.current.channel.open.Load()), true
	case "upstream.latency":
		return c.latency, true
	case "upstream.latency_ms":
		return milliseconds(c.latency), true
	case "upstream.duration", "duration":
		return c.duration, true
	case "upstream.duration_ms", "duration_ms":
		return milliseconds(c.duration), true
	case "retries":
		return c.tries - 1, true
	case "status_code":
		return c.sentStatus, c.sentStatus != 0
	case "status_text":
		return http.StatusText(c.sentStatus), c.sentStatus != 0
	}
	if field, ok := strings.CutPrefix(name, "header."); ok {
		values, ok := c.sentHeader[http.CanonicalHeaderKey(field)]
		return strings.Join(values, ","), ok
	}
	return nil, false
}

// milliseconds keeps the decimals, as Caddy's own `_ms` placeholders do.
func milliseconds(d time.Duration) float64 { return d.Seconds() * 1e3 }
