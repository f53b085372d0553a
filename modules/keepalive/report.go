package keepalive

import (
	"fmt"
	"maps"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"github.com/caddy-freetier/caddy-freetier/internal/hours"
	"github.com/caddy-freetier/caddy-freetier/internal/status"
)

// The events that are emitted. Each has the data `target`, `upstream` and
// `message`, which is a sentence for people.
const (
	eventDown      = "keepalive.down"
	eventUp        = "keepalive.up"
	eventColdStart = "keepalive.cold_start"
	eventHoursLow  = "keepalive.hours_low"
)

// reporter logs what happens to a target and emits the events.
type reporter struct {
	app      *App
	target   string
	upstream string
}

// emit sends an event to Caddy's app `events` and to the receivers of `notify`.
func (rep *reporter) emit(name, message string, more map[string]any) {
	data := map[string]any{"target": rep.target, "upstream": rep.upstream, "message": message}
	maps.Copy(data, more)
	rep.app.events.Emit(rep.app.ctx, name, data)
	receivers(rep.app.Notify).notify(name, data, rep.app.clock.Now())
}

// ping records every ping, and logs it for those who look closely.
func (rep *reporter) ping(r result) {
	rep.app.samples.Record(status.Sample{
		Kind: status.SampleTarget, Name: rep.target, At: r.at, OK: r.err == nil, Cold: r.cold, Latency: r.latency,
	})
	if c := rep.app.logger.Check(zapcore.DebugLevel, "pinged"); c != nil {
		c.Write(
			zap.String("target", rep.target),
			zap.Int("status", r.status),
			zap.Duration("latency", r.latency),
			zap.Bool("cold_start", r.cold),
			zap.Error(r.err))
	}
}

// up reports that the target is healthy again, after so many failures in a row
// and as much time.
func (rep *reporter) up(r result, failures int, after time.Duration) {
	rep.app.logger.Info("target is up again",
		zap.String("target", rep.target),
		zap.Int("status", r.status),
		zap.Duration("latency", r.latency),
		zap.Int("after_failures", failures),
		zap.Duration("after", after))
	rep.emit(eventUp, fmt.Sprintf("%s is up again after %v", rep.target, after.Round(time.Second)),
		map[string]any{"status": r.status, "error": "", "failures": failures})
}

// down reports that the target is down, after so many failures in a row.
func (rep *reporter) down(r result, failures int) {
	rep.app.logger.Info("target is down",
		zap.String("target", rep.target),
		zap.Int("status", r.status),
		zap.NamedError("reason", r.err),
		zap.Int("failures", failures))
	rep.emit(eventDown, fmt.Sprintf("%s is down: %v", rep.target, r.err),
		map[string]any{"status": r.status, "error": r.err.Error(), "failures": failures})
}

// coldStart reports that a ping has found the target asleep.
func (rep *reporter) coldStart(r result) {
	took := r.latency.Round(time.Second / 10)
	rep.app.logger.Info("target was asleep",
		zap.String("target", rep.target),
		zap.Int("status", r.status),
		zap.Duration("latency", r.latency))
	rep.emit(eventColdStart, fmt.Sprintf("%s was asleep; it took %v to answer", rep.target, took),
		map[string]any{"status": r.status, "latency": r.latency.Seconds()})
}

// hoursLow reports that the hours of the target's account come to an end.
func (rep *reporter) hoursLow(account string, fit hours.Fit) {
	left, wanted := fit.Left.Hours(), fit.Wanted.Hours()
	rep.app.logger.Info("the hours of an account come to an end",
		zap.String("account", account),
		zap.Float64("hours_left", left),
		zap.Float64("hours_wanted", wanted),
		zap.Time("until", fit.Until))
	rep.emit(eventHoursLow,
		fmt.Sprintf("%s has %.0f hours left until %s; to keep all its targets awake takes %.0f",
			account, left, fit.Until.Format(time.DateOnly), wanted),
		map[string]any{"account": account, "hours_left": left, "hours_wanted": wanted, "until": fit.Until})
}
