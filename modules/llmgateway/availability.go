package llmgateway

import (
	"cmp"
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/caddy-freetier/caddy-freetier/internal/llm/refusal"
)

const defaultWait = 30 * time.Second

// begin claims the first candidate. If none may be used it tries one whose
// cooldown is a guess, waits for a cooldown that ends soon, or says when to come
// again.
//
//	claim ─▶ none ─▶ a guess may be tried ──────────────────────────▶ claimed
//	  ▲               └─▶ only slots are missing: wait for one ─────▶ claimed
//	  │               └─▶ a cooldown ends before as.latest: sleep ─┐
//	  └──────────────────────────────────────────────────────────┘
//	                  └─▶ nothing ends before as.latest ────────────▶ 429 or 503
//
// It runs on the request's goroutine before anything is sent, heartbeats included, so
// that its error has a status and Retry-After of its own.
func (as *attempts) begin(ctx context.Context) *apiError {
	now := as.gateway.clock.Now()
	as.latest = now.Add(as.gateway.wait)
	if as.claim() {
		as.wakeSleeper()
		return nil
	}
	for {
		seen := as.candidates.survey(now)
		if early, ok := as.candidates.claimEarly(seen, now); ok {
			as.claimed = early
			return nil
		}
		until, ok := seen.firstUsable(now)
		if !ok || until.After(as.latest) {
			until = as.latest
		}
		switch busy := as.candidates.busy(seen, now); {
		case len(busy) > 0 && now.Before(as.latest):
			if as.awaitSlot(ctx, busy, until) {
				return nil
			}
		case !ok || until.Equal(as.latest):
			return as.unavailable(now)
		default:
			as.sleep(ctx, until.Sub(now))
		}
		if ctx.Err() != nil {
			return clientLeft
		}
		now = as.gateway.clock.Now()
		as.candidates.restart()
		if as.claim() {
			return nil
		}
	}
}

// wakeSleeper wakes the channel up that would have been asked first if it were
// awake.
func (as *attempts) wakeSleeper() {
	if s := as.candidates.sleeper; s != nil && s != as.claimed.channel {
		as.gateway.awake.Wake(s.dial)
	}
}

// estimatesTokens reports whether the channel that would be asked to count the
// tokens has no such call.
func (as *attempts) estimatesTokens() bool {
	return as.isTokenCount() && as.claimed.channel.translatesFrom(as.countDialect())
}

// unavailable says why no candidate may be used, and when to come again: with 429 and
// Retry-After, which SDKs obey, or with 503 if nothing but dead accounts is left.
func (as *attempts) unavailable(now time.Time) *apiError {
	u := &as.candidates.survey(now).why
	return allUnavailable(as.model, u.text(now), u.broken, u.soonest.Sub(now))
}

// unavailability counts what could not be used, by the reason.
//
// It lives for one response. A key is counted once, by the first reason that was found,
// also if it occurs for several models of the plan.
type unavailability struct {
	kinds   []string // in the order of the text
	counts  map[string]int
	first   map[string]time.Time // when the first of a kind may be used again
	seen    map[any]bool         // keys, and channels without keys
	broken  bool                 // nothing but accounts that do not work
	soonest time.Time
}

const (
	deadKeys = "dead keys"
	busyKeys = "busy"
)

// unavailabilityKinds are words for the reasons of cooldowns.
var unavailabilityKinds = map[refusal.Reason]string{
	refusal.ReasonRateLimit:    "rate limited",
	refusal.ReasonDayQuota:     "out of quota",
	refusal.ReasonMonthQuota:   "out of quota",
	refusal.ReasonUsageLimit:   "out of quota",
	refusal.ReasonDead:         deadKeys,
	refusal.ReasonNoCredit:     "out of credit",
	refusal.ReasonPlan:         "without this model in their plan",
	refusal.ReasonOverloaded:   "overloaded",
	refusal.ReasonUnknownModel: "without this model",
	refusal.ReasonWithdrawn:    "without this model",
	refusal.ReasonNoFreeTier:   "without this model",
	refusal.ReasonDegraded:     "degraded",
}

func newUnavailability() unavailability {
	return unavailability{first: make(map[string]time.Time), counts: make(map[string]int), seen: make(map[any]bool), broken: true}
}

// add counts a candidate.
//
// A key whose slots are taken has no time at which it is free; a second stands for it.
func (u *unavailability) add(c *candidate, now time.Time) {
	block := c.block(now)
	reason, until := refusal.Reason(block.Reason), block.Until
	owner := any(c.channel)
	if c.key != nil {
		owner = c.key
		if exhausted := c.exhaustedMeter(); exhausted != nil && exhausted.Renews().After(until) {
			reason, until = refusal.ReasonDayQuota, exhausted.Renews()
		}
	}
	kind := cmp.Or(unavailabilityKinds[reason], "in cooldown")
	if until.IsZero() {
		kind, until = busyKeys, now.Add(time.Second)
	}
	if u.soonest.IsZero() || until.Before(u.soonest) {
		u.soonest = until
	}
	u.broken = u.broken && (reason == refusal.ReasonDead || reason == refusal.ReasonNoCredit)
	if u.seen[owner] {
		return
	}
	u.seen[owner] = true
	if u.counts[kind]++; u.counts[kind] == 1 {
		u.kinds = append(u.kinds, kind)
	}
	if first := u.first[kind]; first.IsZero() || until.Before(first) {
		u.first[kind] = until
	}
}

// text lists the counts, such as "8 rate limited (first free in 17 s), 2 dead
// keys".
func (u *unavailability) text(now time.Time) string {
	var parts []string
	for _, kind := range u.kinds {
		switch n := u.counts[kind]; {
		case kind == busyKeys:
			parts = append(parts, fmt.Sprintf("%d %s", n, kind))
		case kind != deadKeys:
			parts = append(parts, fmt.Sprintf("%d %s (first free in %s)", n, kind, inWords(u.first[kind].Sub(now))))
		case n == 1:
			parts = append(parts, "1 dead key")
		default:
			parts = append(parts, fmt.Sprintf("%d %s", n, kind))
		}
	}
	return strings.Join(parts, ", ")
}

// inWords returns a time rounded up, such as "17 s" or "3 h".
func inWords(d time.Duration) string {
	unit, name := time.Hour, "h"
	switch {
	case d <= 2*time.Minute:
		unit, name = time.Second, "s"
	case d <= 2*time.Hour:
		unit, name = time.Minute, "min"
	}
	return fmt.Sprintf("%d %s", max(1, (d+unit-1)/unit), name)
}
