package fastestswagger

import (
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp/reverseproxy"
	"go.uber.org/zap"

	"github.com/caddy-freetier/caddy-freetier/internal/awake"
	"github.com/caddy-freetier/caddy-freetier/internal/runtime"
)

// scoreboard has the upstreams of a policy and who of them is winning. It
// publishes a ranking, which requests read without a lock.
type scoreboard struct {
	ranking atomic.Pointer[ranking]
	running atomic.Bool // its prober runs

	settings upstreamSettings
	margin   float64
	dynamic  bool // the proxy has a dynamic source
	awake    *awake.Tracker
	now      func() time.Time
	ctx      caddy.Context
	events   *runtime.Events
	logger   *zap.Logger

	mu        sync.Mutex
	upstreams []*upstream // static ones first, in the order of the configuration
	winner    *score
}

// configure prepares an empty scoreboard for a policy and adds the static
// upstreams of its proxy.
func (b *scoreboard) configure(ctx caddy.Context, app *runtime.App, s *Selection) {
	b.settings = s.upstreamSettings()
	b.margin = *s.Margin
	b.dynamic = s.parent.DynamicUpstreamsRaw != nil || s.parent.DynamicUpstreams != nil
	b.awake, b.now = app.Awake(), app.Clock().Now
	b.ctx, b.events, b.logger = ctx, app.Events(), ctx.Logger()
	for _, u := range s.parent.Upstreams {
		b.add(b.newUpstream(u.Dial, u, nil))
	}
}

func (b *scoreboard) add(u *upstream) {
	b.mu.Lock()
	b.upstreams = append(b.upstreams, u)
	b.mu.Unlock()
}

// newUpstream returns the upstream of a dial address. Its score is that of
// whoever loads or has loaded the same page in the same way.
func (b *scoreboard) newUpstream(dial string, static *reverseproxy.Upstream, host *reverseproxy.Host) *upstream {
	u := &upstream{dial: dial, name: dial, static: static, host: host}
	if err := u.locate(); err != nil {
		b.logger.Warn("upstream cannot be measured and counts as average", zap.String("upstream", dial), zap.Error(err))
		return u
	}
	u.key = b.settings.key(u.info)
	u.score = acquireScore(u.key, b)
	return u
}

// releaseScore undoes what newUpstream has acquired.
func (b *scoreboard) releaseScore(u *upstream) {
	if u.score != nil {
		u.score.release(u.key, b)
	}
}

// close removes all upstreams.
func (b *scoreboard) close() {
	b.mu.Lock()
	upstreams := b.upstreams
	b.upstreams = nil
	b.mu.Unlock()
	for _, u := range upstreams {
		b.releaseScore(u)
	}
}

// measurable returns the upstreams that can be measured, one for each score.
func (b *scoreboard) measurable() []*upstream {
	b.mu.Lock()
	defer b.mu.Unlock()
	var found []*upstream
	for _, u := range b.upstreams {
		if u.score != nil && !slices.ContainsFunc(found, func(f *upstream) bool { return f.score == u.score }) {
			found = append(found, u)
		}
	}
	return found
}

// addDynamic adds a dynamic upstream. It returns nil when it is known already,
// cannot be measured, or is one too many.
func (b *scoreboard) addDynamic(d discovery) *upstream {
	b.mu.Lock()
	known, dynamic := false, 0
	for _, u := range b.upstreams {
		known = known || u.dial == d.dial
		if u.static == nil {
			dynamic++
		}
	}
	b.mu.Unlock()
	if known || dynamic >= maxDynamic {
		return nil
	}
	u := b.newUpstream(d.dial, nil, d.host)
	u.lastSeen = b.now()
	b.add(u)
	b.refresh()
	if u.score == nil {
		return nil
	}
	return u
}

// removeUnused removes the dynamic upstreams that no request has met for
// forgetAfter, and begins a new housekeeping interval for the others.
func (b *scoreboard) removeUnused() {
	now := b.now()
	var removed []*upstream
	b.mu.Lock()
	b.upstreams = slices.DeleteFunc(slices.Clone(b.upstreams), func(u *upstream) bool {
		u.used.Store(false)
		u.wakeRequested.Store(false)
		if u.static != nil {
			return false
		}
		if u.seen.Swap(false) {
			u.lastSeen = now
		}
		if now.Sub(u.lastSeen) < forgetAfter {
			return false
		}
		removed = append(removed, u)
		return true
	})
	b.mu.Unlock()
	for _, u := range removed {
		if u.stop != nil {
			u.stop()
		}
		b.releaseScore(u)
	}
	if len(removed) > 0 {
		b.refresh()
	}
}

// standings returns the pool as it is now.
func (b *scoreboard) standings() standings {
	b.mu.Lock()
	defer b.mu.Unlock()
	return compare(b.upstreams, b.winner, b.margin, b.awake.Sleeps)
}

// refresh ranks the pool anew, and reports another winner in the log and as an
// event.
func (b *scoreboard) refresh() {
	st, before := b.publishRanking()
	if !b.running.Load() {
		return
	}
	b.warnOfMissingPage(&st)
	if st.winner == before || st.winner == nil {
		return
	}
	winner, loser, mean := st.nameOf(st.winner), st.nameOf(before), st.meanOf(st.winner)*1e3
	b.logger.Info("another upstream is the fastest now",
		zap.String("upstream", winner), zap.String("before", loser), zap.Float64("score_ms", mean))
	b.events.Emit(b.ctx, "fastest-swagger.winner", map[string]any{"upstream": winner, "before": loser, "score_ms": mean})
}

// publishRanking replaces the ranking. It returns the pool and who won before.
func (b *scoreboard) publishRanking() (st standings, before *score) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.winner == nil {
		b.winner = lastWinner(b.upstreams)
	}
	before = b.winner
	st = compare(b.upstreams, before, b.margin, b.awake.Sleeps)
	b.ranking.Store(st.ranking(b.margin, b.dynamic))
	if st.winner == nil {
		// Nobody passes. Whoever won last is asked to win again.
		return st, before
	}
	b.winner = st.winner
	st.winner.recordWin(b.now())
	return st, before
}

// warnOfMissingPage warns once when no upstream has the page, since then the
// policy has nothing to go by.
func (b *scoreboard) warnOfMissingPage(st *standings) {
	if !st.noneHasPage() || !st.upstreams[0].score.recordWarning() {
		return
	}
	b.logger.Warn("no upstream has the page, so the fastest cannot be found; "+
		"set `path` of fastest-swagger to a page that every upstream has, such as / or the address of its health check",
		zap.String("page", b.settings.page.Path), // a query may be a secret
		zap.Int("upstreams", len(st.upstreams)),
		zap.Error(st.records[0].lastErr))
}

// lastWinner returns who won before a reload.
func lastWinner(upstreams []*upstream) *score {
	var last *score
	var at time.Time
	for _, u := range upstreams {
		if u.score == nil {
			continue
		}
		if won := u.score.snapshot().wonAt; won.After(at) {
			last, at = u.score, won
		}
	}
	return last
}
