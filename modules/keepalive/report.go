package keepalive

import (
	"fmt"
	"maps"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"github.com/caddy-freetier/caddy-freetier/internal/hours"
)

// The events that are emitted. Each has the data `target`, `upstream` and
// `message`, which is a sentence for people.
const (
	eventDown      = "keepalive.down"
	eventUp        = "keepalive.up"
	eventColdStart = "keepalive.cold_start"
	eventHoursLow  = "keepalive.hours_low"
)

// emit sends an event to Caddy's app `events` and to those who are notified.
func (t *Target) emit(name, message string, more map[string]any) {
	data := map[string]any{"target": t.Name, "upstream": t.upstream, "message": message}
	maps.Copy(data, more)
	t.app.events.Emit(t.app.ctx, name, data)
	t.app.notify(name, data)
}

// logPing logs every ping for those who look closely.
func (t *Target) logPing(r result) {
	if c := t.app.logger.Check(zapcore.DebugLevel, "pinged"); c != nil {
		c.Write(
			zap.String("target", t.Name),
			zap.Int("status", r.status),
			zap.Duration("latency", r.latency),
			zap.Bool("cold_start", r.cold),
			zap.Error(r.err))
	}
}

// reportHealth tells that the health of the target has changed, after so many
// failures in a row.
func (t *Target) reportHealth(r result, failures int) {
	if r.err == nil {
		t.app.logger.Info("target is up again",
			zap.String("target", t.Name),
			zap.Int("status", r.status),
			zap.Duration("latency", r.latency),
			zap.Int("after_failures", failures-1))
		t.emit(eventUp, fmt.Sprintf("%s is up again", t.Name),
			map[string]any{"status": r.status, "error": "", "failures": failures - 1})
		return
	}
	t.app.logger.Info("target is down",
		zap.String("target", t.Name),
		zap.Int("status", r.status),
		zap.NamedError("reason", r.err))
	t.emit(eventDown, fmt.Sprintf("%s is down: %v", t.Name, r.err),
		map[string]any{"status": r.status, "error": r.err.Error(), "failures": failures})
}

// reportColdStart tells that a ping has found the target asleep.
func (t *Target) reportColdStart(r result) {
	took := r.latency.Round(time.Second / 10)
	t.app.logger.Info("target was asleep",
		zap.String("target", t.Name),
		zap.Int("status", r.status),
		zap.Duration("latency", r.latency))
	t.emit(eventColdStart, fmt.Sprintf("%s was asleep; it took %v to answer", t.Name, took),
		map[string]any{"status": r.status, "latency": r.latency.Seconds()})
}

// reportLow tells that the hours of the target's account come to an end.
func (t *Target) reportLow(fit hours.Fit) {
	left, wanted := fit.Left.Hours(), fit.Wanted.Hours()
	t.app.logger.Info("the hours of an account come to an end",
		zap.String("account", t.account.name),
		zap.Float64("hours_left", left),
		zap.Float64("hours_wanted", wanted),
		zap.Time("until", fit.Until))
	t.emit(eventHoursLow,
		fmt.Sprintf("%s has %.0f hours left until %s; to keep all its targets awake takes %.0f",
			t.account.name, left, fit.Until.Format(time.DateOnly), wanted),
		map[string]any{"account": t.account.name, "hours_left": left, "hours_wanted": wanted, "until": fit.Until})
}
