package llmgateway

import (
	"net/http"
	"strings"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"github.com/caddy-freetier/caddy-freetier/internal/llm/usage"
)

// placeholder implements caddy.ReplacerFunc: the gateway's own placeholders, and
// those of reverse_proxy that people log.
func (as *attempts) placeholder(key string) (any, bool) {
	if name, ok := strings.CutPrefix(key, "http.llm_gateway."); ok {
		return as.gatewayPlaceholder(name)
	}
	if name, ok := strings.CutPrefix(key, "http.reverse_proxy."); ok && as.count > 0 {
		return as.proxyPlaceholder(name)
	}
	return nil, false
}

func (as *attempts) gatewayPlaceholder(name string) (any, bool) {
	switch name {
	case "client":
		return as.client.Name, true
	case "model":
		return as.model, true
	case "tries":
		return as.count, true
	case "input_tokens":
		return as.usage().Input(), true
	case "output_tokens":
		return as.usage().Output(), true
	case "sent_model":
		if as.count > 0 {
			return as.current.candidate.model, true
		}
		return "", true
	case "channel":
		if as.count > 0 {
			return as.current.candidate.channel.Name, true
		}
		return "", true
	}
	return nil, false
}

// proxyPlaceholder describes the current attempt in the words of reverse_proxy.
// Source: https://caddyserver.com/docs/caddyfile/directives/reverse_proxy, as of Caddy 2.11
func (as *attempts) proxyPlaceholder(name string) (any, bool) {
	dial := &as.current.candidate.channel.dialInfo
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
		return int(as.current.candidate.channel.open.Load()), true
	case "upstream.latency":
		return as.current.latency, true
	case "upstream.latency_ms":
		return milliseconds(as.current.latency), true
	case "upstream.duration", "duration":
		return as.duration, true
	case "upstream.duration_ms", "duration_ms":
		return milliseconds(as.duration), true
	case "retries":
		return as.count - 1, true
	case "status_code":
		return as.sentStatus, as.sentStatus != 0
	case "status_text":
		return http.StatusText(as.sentStatus), as.sentStatus != 0
	}
	if field, ok := strings.CutPrefix(name, "header."); ok {
		values, ok := as.sentHeader[http.CanonicalHeaderKey(field)]
		return strings.Join(values, ","), ok
	}
	return nil, false
}

// milliseconds keeps the decimals, as Caddy's own `_ms` placeholders do.
func milliseconds(d time.Duration) float64 { return d.Seconds() * 1e3 }

// usage is what the last response states that it has cost.
func (as *attempts) usage() *usage.Usage {
	if as.count == 0 {
		return new(usage.Usage)
	}
	return as.current.usage()
}

// MarshalLogObject is the field `llm_gateway` of the access log.
func (as *attempts) MarshalLogObject(enc zapcore.ObjectEncoder) error {
	enc.AddString("client", as.client.Name)
	enc.AddString("model", as.model)
	enc.AddInt("tries", as.count)
	if as.count > 0 {
		enc.AddString("channel", as.current.candidate.channel.Name)
		enc.AddString("sent_model", as.current.candidate.model)
		enc.AddInt64("input_tokens", as.usage().Input())
		enc.AddInt64("output_tokens", as.usage().Output())
		if as.estimated > 0 {
			enc.AddInt64("estimated_tokens", as.estimated)
		}
	}
	return nil
}

// describe offers the attempts to placeholders and, if there is one, to the
// access log.
func (as *attempts) describe(r *http.Request) {
	r.Context().Value(caddy.ReplacerCtxKey).(*caddy.Replacer).Map(as.placeholder)
	server, ok := r.Context().Value(caddyhttp.ServerCtxKey).(*caddyhttp.Server)
	if !ok || server.Logs == nil {
		return
	}
	if extra, ok := r.Context().Value(caddyhttp.ExtraLogFieldsCtxKey).(*caddyhttp.ExtraLogFields); ok {
		extra.Add(zap.Object("llm_gateway", as))
	}
}

// Interface guards
var _ zapcore.ObjectMarshaler = (*attempts)(nil)
