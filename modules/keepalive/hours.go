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
	// The longest and the shortest time between two looks at the traffic.
	watchMost  = time.Minute
	watchLeast = time.Second

	// shareEvery is how often instances exchange what they have seen when no
	// ping does it.
	shareEvery = 5 * time.Minute
)

// account is what gives hours to some targets.
type account struct {
	*hours.Account
	name    string
	members []*pinger
}

// awakeTime is the part of a target in the hours of its account.
type awakeTime struct {
	pinger  *pinger
	limited bool // whether there is an account
	account *account
	member  *hours.Member // of account
	counts  bool          // whether this target counts the hours of member
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
		if err := t.pinger.openQuotas(book, accounts); err != nil {
			return fmt.Errorf("target %s: %w", t.Name, err)
		}
	}
	if len(accounts) == 0 {
		return nil
	}
	watch := watchMost
	for _, acct := range accounts {
		acct.announce(a.logger)
		acct.check(a)
		for _, p := range acct.members {
			watch = min(watch, max(time.Duration(p.target.SleepsAfter)/4, watchLeast))
		}
	}
	return rt.Go("keepalive hours", func(ctx context.Context) { a.watch(ctx, watch) })
}

// openQuotas opens the target's quotas. Accounts are by what is the same for
// all their targets.
func (p *pinger) openQuotas(book *ledger.Ledger, accounts map[string]*account) (err error) {
	name := fmt.Sprintf("keepalive %s %s", p.target.Name, p.upstream)
	if q := p.target.pingsQuota(); q != nil {
		if p.pings, err = q.Open(book, name); err != nil {
			return err
		}
	}
	q := p.target.hoursQuota()
	if q == nil {
		return nil
	}
	key, label := name, p.target.Name
	if q.Account != "" {
		key, label = "account "+q.Account, q.Account
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
	accounts[key].add(p, zone)
	return nil
}

// add makes p one of the account's members. Of several with the same upstream,
// which are one instance, the first counts.
func (acct *account) add(p *pinger, zone *time.Location) {
	p.hours.limited, p.hours.account = true, acct
	for _, other := range acct.members {
		if other.upstream == p.upstream {
			p.hours.member = other.hours.member
			return
		}
	}
	window := p.target.Window
	if window != nil && window.Zone != "" {
		zone = window.zone
	}
	p.state.tracker.Resize(time.Duration(p.target.SleepsAfter))
	p.hours.member = acct.Join(p.state.tracker, zone, window.contains)
	p.hours.counts = true
	acct.members = append(acct.members, p)
}

// announce says which targets share hours although no account was named.
func (acct *account) announce(logger *zap.Logger) {
	var names []string
	for _, p := range acct.members {
		if p.target.sharesByDefault {
			names = append(names, p.target.Name)
		}
	}
	if len(names) > 1 {
		logger.Info("these targets share the hours of one account, since their platform gives them to an account; name the accounts behind quota if there are several",
			zap.String("account", acct.name),
			zap.Strings("targets", names),
			zap.String("quota", inHours(acct.Limit())))
	}
}

// check warns of a plan that the hours are too few for, and says what would
// fit.
func (acct *account) check(a *App) {
	fit := acct.Fit()
	if fit.Wanted <= acct.Limit() {
		return
	}
	names := make([]string, len(acct.members))
	for i, p := range acct.members {
		names[i] = p.target.Name
	}
	a.logger.Warn("the account has too few hours to keep its targets awake all the time; they go to the hours in which traffic comes",
		withSource(acct.members[0].target.Source,
			zap.String("account", acct.name),
			zap.Strings("targets", names),
			zap.String("needed", inHours(fit.Wanted)),
			zap.String("allowed", inHours(acct.Limit())),
			zap.String("short_by", inHours(fit.Wanted-acct.Limit())),
			zap.String("until", fit.Until.Format(time.RFC3339)),
			zap.String("would_fit", adviceOf(fit, len(names))))...)
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
			if t.pinger.hours.counts {
				t.pinger.hours.follow(ctx)
			}
		}
		select {
		case <-ticker.Chan():
		case <-ctx.Done():
			return
		}
	}
}

// follow records traffic that has come, and exchanges what is known with other
// instances from time to time.
func (h *awakeTime) follow(ctx context.Context) {
	s, now := h.pinger.state, h.pinger.app.clock.Now()
	h.recordTraffic()
	s.mu.Lock()
	due := now.Sub(s.shared) >= shareEvery
	s.mu.Unlock()
	if due {
		h.pinger.lease.share(ctx)
	}
	collectors.hours(h.pinger.target.Name, h.account.Used(now), h.account.Limit())
}

// recordTraffic records the requests that have come since the last look.
func (h *awakeTime) recordTraffic() {
	p := h.pinger
	seen, traffic := p.app.awake.LastSeen(p.upstream), p.app.awake.LastTraffic(p.upstream)
	p.state.mu.Lock()
	isNew := traffic.After(p.state.traffic)
	if isNew {
		p.state.traffic = traffic
	}
	p.state.mu.Unlock()
	if isNew && h.member.Traffic(traffic) {
		collectors.met.WithLabelValues(p.target.Name).Inc()
	}
	if seen.After(traffic) { // a probe of another module, or a ping
		h.member.Ping(seen)
	}
}

// ping records a request of ours.
func (h *awakeTime) ping(at time.Time) {
	if h.limited {
		h.member.Ping(at)
	}
}

// sync exchanges with other instances what is known of the awake time. It is
// called with the stored record locked.
func (h *awakeTime) sync(r *record) {
	if !h.counts {
		return
	}
	s, now := h.pinger.state, h.pinger.app.clock.Now()
	h.recordTraffic()
	var stored hours.Memory
	if r.Hours != nil {
		stored = *r.Hours
	}
	stored = h.member.Sync(stored, now)
	r.Hours = &stored
	s.mu.Lock()
	s.shared = now
	s.mu.Unlock()

	if h.account.members[0] != h.pinger {
		return // one reports it for the account
	}
	if fit := h.account.Rest(now); fit.Low && !r.Low.Equal(fit.From) && s.started() {
		r.Low, r.low = fit.From, &fit
	}
}

// verdict says whether the hours of the account allow a ping now.
func (h *awakeTime) verdict(now time.Time) hours.Verdict {
	if !h.limited {
		return hours.Verdict{Keep: true}
	}
	return h.member.Verdict(now)
}

// exhausted reports whether the hours of the account are used up.
func (h *awakeTime) exhausted(now time.Time) bool {
	return h.limited && h.account.Used(now) >= h.account.Limit()
}

// awakeUntil returns until when all instances of Caddy together know the target
// to be awake, the zero time if its hours are not counted.
func (h *awakeTime) awakeUntil() time.Time {
	if !h.limited {
		return time.Time{}
	}
	return h.member.AwakeUntil()
}
