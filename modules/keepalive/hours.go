package keepalive

import (
	"context"
	"fmt"
	"slices"
	"time"

	"go.uber.org/zap"

	"github.com/caddy-freetier/caddy-freetier/internal/hours"
	"github.com/caddy-freetier/caddy-freetier/internal/ledger"
	"github.com/caddy-freetier/caddy-freetier/internal/runtime"
)

const (
	// How often it is looked whether traffic has come, at most and at least.
	watchMost  = time.Minute
	watchLeast = time.Second

	// shareEvery is how often instances tell each other what they have seen,
	// if no ping gives occasion to.
	shareEvery = 5 * time.Minute
)

// account is what gives hours to some targets.
type account struct {
	*hours.Account
	name    string
	targets []*Target
}

// openQuotas ties the targets to what their accounts give.
func (a *App) openQuotas(rt *runtime.App) error {
	if !slices.ContainsFunc(a.Targets, func(t *Target) bool { return len(t.Quotas) > 0 }) {
		return nil
	}
	book, err := ledger.FromContext(a.ctx)
	if err != nil {
		return err
	}
	accounts := make(map[string]*account)
	for _, t := range a.Targets {
		if err := t.openQuotas(book, accounts); err != nil {
			return fmt.Errorf("target %s: %w", t.Name, err)
		}
	}
	if len(accounts) == 0 {
		return nil
	}
	watch := watchMost
	for _, acct := range accounts {
		acct.check(a)
		for _, t := range acct.targets {
			watch = min(watch, max(time.Duration(t.SleepsAfter)/4, watchLeast))
		}
	}
	return rt.Go("keepalive hours", func(ctx context.Context) { a.watch(ctx, watch) })
}

// openQuotas opens the target's quotas. Accounts are by what is the same for
// all their targets.
func (t *Target) openQuotas(book *ledger.Ledger, accounts map[string]*account) (err error) {
	name := fmt.Sprintf("keepalive %s %s", t.Name, t.upstream)
	if q := t.pingsQuota(); q != nil {
		if t.pings, err = q.Open(book, name); err != nil {
			return err
		}
	}
	q := t.hoursQuota()
	if q == nil {
		return nil
	}
	key, label := name, t.Name
	if q.Account != "" {
		key, label = q.String(), q.Account
	}
	if accounts[key] == nil {
		meter, err := q.Open(book, name)
		if err != nil {
			return err
		}
		accounts[key] = &account{Account: hours.NewAccount(meter), name: label}
	}
	zone, err := loadZone(q.Zone)
	if err != nil {
		return err
	}
	accounts[key].add(t, zone)
	return nil
}

// add makes t one of the account's targets. Of several with the same upstream,
// which are one instance, the first counts.
func (acct *account) add(t *Target, zone *time.Location) {
	t.account = acct
	for _, other := range acct.targets {
		if other.upstream == t.upstream {
			t.member = other.member
			return
		}
	}
	if t.Window != nil && t.Window.Zone != "" {
		zone = t.Window.zone
	}
	t.state.tracker.Resize(time.Duration(t.SleepsAfter))
	t.member = acct.Join(t.state.tracker, zone, t.Window.contains)
	t.counts = true
	acct.targets = append(acct.targets, t)
}

// check tells of a plan that the hours are too few for, and of what would fit.
func (acct *account) check(a *App) {
	fit := acct.Fit()
	if fit.Wanted <= acct.Limit() {
		return
	}
	names := make([]string, len(acct.targets))
	for i, t := range acct.targets {
		names[i] = t.Name
	}
	a.logger.Warn("the account has too few hours to keep its targets awake all the time; they go to the hours in which traffic comes",
		zap.String("account", acct.name),
		zap.Strings("targets", names),
		zap.String("needed", inHours(fit.Wanted)),
		zap.String("allowed", inHours(acct.Limit())),
		zap.String("short_by", inHours(fit.Wanted-acct.Limit())),
		zap.String("until", fit.Until.Format(time.RFC3339)),
		zap.String("would_fit", adviceOf(fit, len(names))))
}

// adviceOf says what the hours are enough for.
func adviceOf(fit hours.Fit, targets int) string {
	daily := int(fit.Daily.Minutes()) / 5 * 5
	window := fmt.Sprintf("a window of %dh%02dm a day", daily/60, daily%60)
	if targets > 1 {
		window += " for each target"
	}
	if fit.Targets == 0 {
		return window
	}
	return fmt.Sprintf("%d of the %d targets, or %s", fit.Targets, targets, window)
}

func inHours(d time.Duration) string { return fmt.Sprintf("%.0fh", d.Hours()) }

// watch follows the traffic of the targets whose hours count.
func (a *App) watch(ctx context.Context, every time.Duration) {
	ticker := a.clock.NewTicker(every)
	defer ticker.Stop()
	for {
		for _, t := range a.Targets {
			if t.counts {
				t.look(ctx)
			}
		}
		select {
		case <-ticker.Chan():
		case <-ctx.Done():
			return
		}
	}
}

// look notes traffic that has come, and shares what is known from time to
// time.
func (t *Target) look(ctx context.Context) {
	s, now := t.state, t.app.clock.Now()
	t.noteTraffic()
	s.mu.Lock()
	due := now.Sub(s.shared) >= shareEvery
	s.mu.Unlock()
	if due {
		t.share(ctx)
	}
	collectors.hours(t, t.account.Used(now))
}

// noteTraffic tells the tracker of requests that have come since it was last
// looked.
func (t *Target) noteTraffic() {
	s := t.state
	seen, traffic := t.app.awake.LastSeen(t.upstream), t.app.awake.LastTraffic(t.upstream)
	s.mu.Lock()
	isNew := traffic.After(s.traffic)
	if isNew {
		s.traffic = traffic
	}
	s.mu.Unlock()
	if isNew && t.member.Traffic(traffic) {
		collectors.met.WithLabelValues(s.name).Inc()
	}
	if seen.After(traffic) { // a probe of another module, or ours
		t.member.Ping(seen)
	}
}

// sync exchanges with other instances what is known of the awake time. It is
// called with the memo locked.
func (t *Target) sync(m *memo) {
	if !t.counts {
		return
	}
	now := t.app.clock.Now()
	t.noteTraffic()
	var stored hours.Memory
	if m.Hours != nil {
		stored = *m.Hours
	}
	stored = t.member.Sync(stored, now)
	m.Hours = &stored
	t.state.mu.Lock()
	t.state.shared = now
	t.state.mu.Unlock()

	if t.account.targets[0] != t {
		return // one tells it for the account
	}
	if fit := t.account.Rest(now); fit.Low && !m.Low.Equal(fit.From) && t.state.running() {
		m.Low, m.news = fit.From, &fit
	}
}

// verdict says whether the hours of the account allow a ping now.
func (t *Target) verdict(now time.Time) hours.Verdict {
	if t.member == nil {
		return hours.Verdict{Keep: true}
	}
	return t.member.Verdict(now)
}
