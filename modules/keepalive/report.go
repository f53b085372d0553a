package keepalive

import (
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
)

// The events that are emitted when the health of a target changes.
const (
	eventDown = "keepalive.down"
	eventUp   = "keepalive.up"
)

// logPing logs every ping for those who look closely.
func (t *Target) logPing(r result, cold bool) {
	if c := t.app.logger.Check(zapcore.DebugLevel, "pinged"); c != nil {
		c.Write(
			zap.String("target", t.Name),
			zap.Int("status", r.status),
			zap.Duration("latency", r.latency),
			zap.Bool("cold_start", cold),
			zap.Error(r.err))
	}
}

// report tells that the health of the target has changed, after so many
// failures in a row.
func (t *Target) report(r result, failures int) {
	data := map[string]any{
		"target":   t.Name,
		"upstream": t.upstream,
		"status":   r.status,
		"error":    "",
		"failures": failures,
	}
	if r.err == nil {
		data["failures"] = failures - 1
		t.app.logger.Info("target is up again",
			zap.String("target", t.Name),
			zap.Int("status", r.status),
			zap.Duration("latency", r.latency),
			zap.Int("after_failures", failures-1))
		t.app.events.Emit(t.app.ctx, eventUp, data)
		return
	}
	data["error"] = r.err.Error()
	t.app.logger.Info("target is down",
		zap.String("target", t.Name),
		zap.Int("status", r.status),
		zap.NamedError("reason", r.err))
	t.app.events.Emit(t.app.ctx, eventDown, data)
}
