package llmgateway

import (
	"fmt"
	"slices"
	"strings"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"github.com/caddyserver/caddy/v2/modules/logging"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
)

// loggedKeys are the fields of the access log in which clients' keys stand.
// Authorization is hidden by Caddy.
var loggedKeys = []string{
	"request>headers>X-Api-Key", "request>headers>Api-Key", "request>headers>X-Goog-Api-Key",
	"request>headers>Sec-Websocket-Protocol", "request>uri",
}

// warnOfAccessLogs warns of access logs that would show clients' keys: Caddy
// copies the request into them before any handler has it.
func warnOfAccessLogs(ctx caddy.Context) {
	for _, module := range ctx.Modules() {
		app, ok := module.(*caddyhttp.App)
		if !ok {
			continue
		}
		for _, server := range app.Servers {
			for name, hosts := range accessLogs(server.Logs) {
				if missing := unfiltered(ctx, name); len(missing) > 0 {
					ctx.Logger().Warn("an access log shows clients' keys, which may come in other headers than Authorization and in ?key=: filter them (see llm_gateway's documentation)",
						zap.String("logger", string(name)), zap.Strings("hosts", hosts), zap.Strings("unfiltered", missing))
				}
			}
		}
	}
}

// accessLog is the name of an access log's logger. As a module it makes Caddy
// give us the logs that write what this logger logs.
type accessLog string

// CaddyModule implements caddy.Module.
func (l accessLog) CaddyModule() caddy.ModuleInfo { return caddy.ModuleInfo{ID: caddy.ModuleID(l)} }

// accessLogs returns the loggers of a server, and the hosts that each is for.
func accessLogs(config *caddyhttp.ServerLogConfig) map[accessLog][]string {
	logs := make(map[accessLog][]string)
	if config == nil {
		return logs
	}
	add := func(name, host string) {
		name = strings.TrimSuffix("http.log.access."+name, ".")
		logs[accessLog(name)] = append(logs[accessLog(name)], host)
	}
	for host, names := range config.LoggerNames {
		for _, name := range names {
			add(name, host)
		}
	}
	// Caddyfiles map the host of each site that logs; others go nowhere.
	if len(logs) == 0 || config.DefaultLoggerName != "" {
		add(config.DefaultLoggerName, "*")
	}
	return logs
}

// unfiltered returns the fields with keys that a logger's logs do not filter.
func unfiltered(ctx caddy.Context, log accessLog) []string {
	look := new(encoderLook)
	// The encoder of each log is shown the field, and nothing is written.
	ctx.Logger(log).Core().With([]zap.Field{zap.Inline(look)})
	return look.missing
}

// encoderLook notes what an encoder does not filter.
type encoderLook struct{ missing []string }

// MarshalLogObject implements zapcore.ObjectMarshaler.
func (l *encoderLook) MarshalLogObject(enc zapcore.ObjectEncoder) error {
	var fields map[string]logging.LogFieldFilter
	switch enc := enc.(type) {
	case logging.FilterEncoder:
		fields = enc.Fields
	case *logging.FilterEncoder:
		fields = enc.Fields
	default:
		// Caddy's formats json and console hand over to zap. Others may write
		// what they like.
		if name := fmt.Sprintf("%T", enc); !strings.Contains(name, "zapcore.") {
			return nil
		}
	}
	for _, key := range loggedKeys {
		if !filters(fields, key) && !slices.Contains(l.missing, key) {
			l.missing = append(l.missing, key)
		}
	}
	return nil
}

// filters reports whether a field, or one that it is in, is filtered.
func filters(fields map[string]logging.LogFieldFilter, key string) bool {
	for name := range fields {
		if strings.EqualFold(name, key) || strings.HasPrefix(key, name+">") {
			return true
		}
	}
	return false
}

// Interface guards
var (
	_ caddy.Module            = accessLog("")
	_ zapcore.ObjectMarshaler = (*encoderLook)(nil)
)
