package statuspage

import (
	"fmt"

	"github.com/caddyserver/caddy/v2"

	"github.com/caddy-freetier/caddy-freetier/internal/runtime"
	"github.com/caddy-freetier/caddy-freetier/internal/status"
)

// kinds are the kinds of changes, by the names of the events that modules emit. Events
// are used where there are some, since people hang their own handlers on these; what
// is no event of Caddy's comes through Registry.Report.
var kinds = map[string]string{
	"keepalive.down":         status.EventDown,
	"keepalive.up":           status.EventUp,
	"keepalive.cold_start":   status.EventColdStart,
	"keepalive.hours_low":    status.EventHoursLow,
	"fastest-swagger.winner": status.EventWinner,
}

// followEvents records the changes that modules report.
func (a *App) followEvents(rt *runtime.App) error {
	for name, kind := range kinds {
		record := func(event caddy.Event) { a.record(changeOf(kind, event, rt)) }
		if err := rt.Events().On(name, record); err != nil {
			return fmt.Errorf("following the event %s: %w", name, err)
		}
	}
	return nil
}

// record adds a change to the history, and shows it to those who look.
func (a *App) record(change status.Event) {
	a.keeper.History.AddEvent(change)
	a.board.report()
}

// changeOf returns what an event says.
func changeOf(kind string, event caddy.Event, rt *runtime.App) status.Event {
	text := func(name string) string {
		value, _ := event.Data[name].(string)
		return value
	}
	change := status.Event{At: rt.Clock().Now(), Kind: kind, Subject: text("target"), Message: text("message")}
	if kind != status.EventWinner {
		return change
	}
	change.Subject = text("upstream")
	change.Message = change.Subject + " is the fastest upstream"
	if before := text("before"); before != "" && before != change.Subject {
		change.Message += ", before " + before
	}
	return change
}
