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

// description describes attempts in placeholders and in the access log.
//
// It reads the request's own state, without copying it, when a log line or a
// placeholder asks: usually after the handler has returned, on the same goroutine. A
// heartbeat is the exception: it sends the headers from its timer's goroutine in the
// middle of an attempt, and a header directive may have placeholders in them (isHeld).
type description struct{ *attempts }

// placeholder implements caddy.ReplacerFunc: the gateway's own placeholders, and
// those of reverse_proxy that people log.
//
// The Replacer asks for every placeholder of the request, so that names which are not
// ours must return false at once. Before the first attempt there is no upstream to
// describe.
func (d description) placeholder(key string) (any, bool) {
	if name, ok := strings.CutPrefix(key, "http.llm_gateway."); ok {
		return d.gatewayPlaceholder(name)
	}
	if name, ok := strings.CutPrefix(key, "http.reverse_proxy."); ok && d.count > 0 {
		return d.proxyPlaceholder(name)
	}
	return nil, false
}

// gatewayPlaceholder resolves {http.llm_gateway.*}. Names that are ours are always
// known, so that one without a value is an empty text in a log and not the placeholder
// itself.
func (d description) gatewayPlaceholder(name string) (any, bool) {
	switch name {
	case "client":
		return d.client.Name, true
	case "model":
		return d.model, true
	case "attempts":
		return d.count, true
	case "outcome":
		return string(d.delivery.outcome), true
	case "input_tokens":
		return d.usage().Input(), true
	case "output_tokens":
		return d.usage().Output(), true
	case "sent_model":
		if d.count > 0 {
			return d.current.candidate.model, true
		}
		return "", true
	case "key":
		return d.keyName(), true
	case "channel":
		if d.count > 0 {
			return d.current.candidate.channel.Name, true
		}
		return "", true
	}
	return nil, false
}

// proxyPlaceholder describes the current attempt in the words of reverse_proxy.
// Source: https://caddyserver.com/docs/caddyfile/directives/reverse_proxy, as of Caddy 2.11
func (d description) proxyPlaceholder(name string) (any, bool) {
	dial := &d.current.candidate.channel.dialInfo
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
		return int(d.current.candidate.channel.open.Load()), true
	case "upstream.latency":
		return d.latency(), true
	case "upstream.latency_ms":
		return milliseconds(d.latency()), true
	case "upstream.duration", "duration":
		return d.delivery.duration, true
	case "upstream.duration_ms", "duration_ms":
		return milliseconds(d.delivery.duration), true
	case "retries":
		return d.count - 1, true
	case "status_code":
		return d.delivery.status, d.delivery.status != 0
	case "status_text":
		return http.StatusText(d.delivery.status), d.delivery.status != 0
	}
	if field, ok := strings.CutPrefix(name, "header."); ok {
		values, ok := d.delivery.header[http.CanonicalHeaderKey(field)]
		return strings.Join(values, ","), ok
	}
	return nil, false
}

// milliseconds keeps the decimals, as Caddy's own `_ms` placeholders do.
func milliseconds(d time.Duration) float64 { return d.Seconds() * 1e3 }

// keyName is the end of the last attempt's key, "" for none.
func (d description) keyName() string {
	if d.count == 0 || d.current.candidate.key == nil {
		return ""
	}
	return d.current.candidate.key.name()
}

// latency is the time to the headers of the last response. It is not known while
// a heartbeat may ask for it.
func (d description) latency() time.Duration {
	if d.delivery.out.isHeld() {
		return 0
	}
	return d.current.latency
}

// usage is what the last response states that it has cost.
func (d description) usage() *usage.Usage {
	if d.count == 0 || d.delivery.out.isHeld() {
		return new(usage.Usage)
	}
	return d.current.usage()
}

// MarshalLogObject is the field `llm_gateway` of the access log.
//
// The key is there by its last four characters, the client by its name, and nothing of
// what client or provider have written but the model's name.
func (d description) MarshalLogObject(enc zapcore.ObjectEncoder) error {
	enc.AddString("client", d.client.Name)
	enc.AddString("model", d.model)
	enc.AddInt("attempts", d.count)
	if d.count > 0 {
		enc.AddString("channel", d.current.candidate.channel.Name)
		if name := d.keyName(); name != "" {
			enc.AddString("key", name)
		}
		enc.AddString("sent_model", d.current.candidate.model)
		enc.AddInt64("input_tokens", d.usage().Input())
		enc.AddInt64("output_tokens", d.usage().Output())
		if d.charges.estimated > 0 {
			enc.AddInt64("estimated_tokens", d.charges.estimated)
		}
		enc.AddString("outcome", string(d.delivery.outcome))
	}
	return nil
}

// offer makes the description available to placeholders and, if there is one, to
// the access log.
//
// Without access logs no object is made. Caddy encodes the field when the request has
// ended, so that it shows the final state although it was added at the beginning.
func (d description) offer(r *http.Request) {
	r.Context().Value(caddy.ReplacerCtxKey).(*caddy.Replacer).Map(d.placeholder)
	server, ok := r.Context().Value(caddyhttp.ServerCtxKey).(*caddyhttp.Server)
	if !ok || server.Logs == nil {
		return
	}
	if extra, ok := r.Context().Value(caddyhttp.ExtraLogFieldsCtxKey).(*caddyhttp.ExtraLogFields); ok {
		extra.Add(zap.Object("llm_gateway", d))
	}
}

// Interface guards
var _ zapcore.ObjectMarshaler = description{}
