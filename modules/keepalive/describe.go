package keepalive

import (
	"time"

	"github.com/caddy-freetier/caddy-freetier/internal/status"
)

// describe adds the targets and their accounts to a status.
func (a *App) describe(now time.Time, s *status.Status) {
	described := make(map[*account]bool)
	for _, t := range a.Targets {
		target := t.pinger.describe()
		if acct := t.pinger.hours.account; acct != nil {
			target.Account = acct.name
			if !described[acct] {
				described[acct] = true
				s.Accounts = append(s.Accounts, acct.describe(now))
			}
		}
		s.Targets = append(s.Targets, target)
	}
}

func stateOf(known *targetStatus) string {
	switch {
	case known.Down:
		return status.StateDown
	case known.Healthy == nil:
		return status.StateUnknown
	case !*known.Healthy:
		return status.StateFailing
	}
	return status.StateUp
}

func (acct *account) describe(now time.Time) status.Account {
	from, until := acct.Window()
	described := status.Account{Name: acct.name, Targets: []string{}, UsedHours: acct.Used(now).Hours(), LimitHours: acct.Limit().Hours(), Renews: until.UTC()}
	described.ExhaustedOn = status.ExhaustedOn(described.UsedHours, described.LimitHours, from, until, now)
	for _, p := range acct.members {
		described.Targets = append(described.Targets, p.target.Name)
		described.ColdStarts += p.hours.member.Met()
		described.Avoided += p.hours.member.Spared()
	}
	return described
}
