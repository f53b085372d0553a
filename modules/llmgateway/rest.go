package llmgateway

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/caddyserver/caddy/v2"
)

const (
	defaultCooldown = time.Minute

	// A pause doubles each time its trial fails, up to this.
	longestPause = 30 * time.Minute

	// A trial whose outcome is never told is taken for failed after this.
	trialTimeout = 5 * time.Minute

	// So many failures in a row make a channel rest.
	failuresToRest = 3
)

// wholeKey stands for all models of a key.
const wholeKey = ""

// pauses are what rests of one key or one channel, by model, and until when.
// When its time has come, one request may try again (half-open), and what
// becomes of it decides for all. They belong to the process: a reload changes
// nothing about what a provider allows.
type pauses struct {
	// any tells requests without a lock that nothing rests.
	any atomic.Bool

	mu       sync.Mutex
	byModel  map[string]*pause
	failures int // of a channel, in a row
}

type pause struct {
	reason string
	length time.Duration // of the last pause, when no provider gave it
	until  time.Time
	trial  time.Time // until when a trial is under way
}

// Pauses of keys and channels, shared by all configurations.
var pool = caddy.NewUsagePool()

func newPauses() *pauses { return &pauses{byModel: make(map[string]*pause)} }

// rests returns until when the model rests, and the zero time if it may be
// tried.
func (p *pauses) rests(model string, now time.Time) time.Time {
	if !p.any.Load() {
		return time.Time{}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	var until time.Time
	for _, r := range [...]*pause{p.byModel[wholeKey], p.byModel[model]} {
		if r == nil {
			continue
		}
		for _, t := range [...]time.Time{r.until, r.trial} {
			if t.After(now) && t.After(until) {
				until = t
			}
		}
	}
	return until
}

// claim reports whether the model may be tried now. If it has rested, this is
// the trial, and nobody else may try before its outcome is told.
func (p *pauses) claim(model string, now time.Time) bool {
	if !p.any.Load() {
		return true
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	found := [...]*pause{p.byModel[wholeKey], p.byModel[model]}
	for _, r := range found {
		if r != nil && (r.until.After(now) || r.trial.After(now)) {
			return false
		}
	}
	for _, r := range found {
		if r != nil {
			r.trial = now.Add(trialTimeout)
		}
	}
	return true
}

// abandon ends a trial without an outcome.
func (p *pauses) abandon(model string) {
	if !p.any.Load() {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, r := range [...]*pause{p.byModel[wholeKey], p.byModel[model]} {
		if r != nil {
			r.trial = time.Time{}
		}
	}
}

// answered ends the pauses of the key and the model, and reports whether there
// were any.
func (p *pauses) answered(model string) bool {
	if !p.any.Load() {
		return false
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.failures = 0
	_, key := p.byModel[wholeKey]
	_, one := p.byModel[model]
	delete(p.byModel, wholeKey)
	delete(p.byModel, model)
	p.any.Store(len(p.byModel) > 0)
	return key || one
}

// rest makes the model rest until a time that the provider has given, or for
// the cooldown, twice as long after each failed trial. It reports whether the
// pause is a new one.
func (p *pauses) rest(model, reason string, until, now time.Time, cooldown time.Duration) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.put(model, reason, until, now, cooldown)
}

func (p *pauses) put(model, reason string, until, now time.Time, cooldown time.Duration) bool {
	r, known := p.byModel[model]
	if !known {
		r = new(pause)
		p.byModel[model] = r
	}
	r.reason = reason
	switch {
	case !until.IsZero():
		r.until = until
	case r.trial.IsZero(): // another request that was under way already
		r.length = max(r.length, cooldown)
		r.until = now.Add(r.length)
	default:
		r.length = min(max(2*r.length, cooldown), max(longestPause, cooldown))
		r.until = now.Add(r.length)
	}
	r.trial = time.Time{}
	p.any.Store(true)
	return !known
}

// failed counts a failure of a channel and makes it rest after some in a row,
// or at once after a failed trial. It reports whether the channel begins to rest.
func (p *pauses) failed(now time.Time, cooldown time.Duration) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.failures++
	p.any.Store(true) // so that an answer sets failures back
	if _, resting := p.byModel[wholeKey]; p.failures < failuresToRest && !resting {
		return false
	}
	return p.put(wholeKey, "it failed several times in a row", time.Time{}, now, cooldown)
}

// resting is a pause as the admin API shows it.
type resting struct {
	Model  string    `json:"model,omitempty"`
	Until  time.Time `json:"until"`
	Reason string    `json:"reason"`
}

// list returns what rests.
func (p *pauses) list(now time.Time) []resting {
	p.mu.Lock()
	defer p.mu.Unlock()
	list := []resting{}
	for model, r := range p.byModel {
		if r.until.After(now) {
			list = append(list, resting{Model: model, Until: r.until, Reason: r.reason})
		}
	}
	return list
}
