package keepalive

import (
	"encoding/json"
	"net/http"
	"time"

	"go.uber.org/zap"

	"github.com/caddy-freetier/caddy-freetier/internal/ledger"
)

const (
	day   = 24 * time.Hour
	month = 30 * day

	// manyPings is from how many a month on a ping that asks a model is told
	// of where no quota is known: more than free keys give for anything else.
	manyPings = 1000
)

// warnSpending tells of pings that spend more than they save: each asks a
// model, and more than half of what the account gives goes to them.
func (t *Target) warnSpending() {
	if q := t.pingsQuota(); q != nil {
		length := map[ledger.Period]time.Duration{
			ledger.Second: time.Second, ledger.Minute: time.Minute, ledger.Hour: time.Hour, ledger.Day: day, ledger.Month: month,
		}[q.Period]
		if pings := t.pingsIn(length); pings > q.Amount/2 {
			t.app.logger.Warn("the pings spend most of the account's requests; give the target a longer interval, or ping a page that costs nothing",
				zap.String("target", t.Name),
				zap.Int64("pings", pings),
				zap.String("quota", q.String()))
		}
		return
	}
	if pings := t.pingsIn(month); t.asksModel() && pings >= manyPings {
		t.app.logger.Warn("each ping asks a model, which spends its quota; a GET of a page that costs nothing keeps the instance awake as well",
			zap.String("target", t.Name),
			zap.Int64("pings_a_month", pings))
	}
}

// asksModel tells whether a ping is a request to an API of language models.
func (t *Target) asksModel() bool {
	var body struct {
		Model string `json:"model"`
	}
	return t.Method == http.MethodPost && json.Unmarshal([]byte(t.Body), &body) == nil && body.Model != ""
}

// pingsIn returns about how many pings are sent in a time.
func (t *Target) pingsIn(length time.Duration) int64 {
	s := t.schedule
	if s.cron == nil {
		return int64(float64(length) / float64(s.every) * s.window.share())
	}
	const sample = 1000
	first := s.next(time.Time{}, t.app.clock.Now())
	at := first
	for range sample {
		next := s.next(at, at)
		if next.IsZero() {
			return 0
		}
		at = next
	}
	return int64(sample * float64(length) / float64(at.Sub(first)))
}

// share returns for which part of a day the window is open.
func (w *Window) share() float64 {
	if w == nil {
		return 1
	}
	open := w.to - w.from
	if open < 0 {
		open += 24 * 60
	}
	return float64(open) / (24 * 60)
}
