package main

import "testing"

// demand is what our policy must reach, as factors of what another one does.
type demand struct {
	best   float64 // share on the best place, at least
	failed float64 // share of failures, at most; 0 for anything
	p99    float64 // at most; 0 for anything
	brown  float64 // p99 in brown-outs, at most
}

// demands returns what is demanded in comparison with each policy, best being
// that of Caddy's own. The home-made ones look for the best place as ours does.
// The one that looks at the text of the page finds it about as often, and
// floods it.
func demands(best, failed, p99, brown float64) map[string]demand {
	caddys := demand{best: best, failed: failed, p99: p99, brown: brown}
	return map[string]demand{
		checkedProbe:  {best: 0.4 * best, brown: brown / 2},
		lastProbe:     {best: 0.6 * best, failed: failed, p99: p99, brown: brown / 2},
		"least_conn":  caddys,
		"round_robin": caddys,
		"random":      caddys,
	}
}

// check fails the test where our policy falls short.
func check(t *testing.T, verdicts map[string]verdict, demands map[string]demand) {
	t.Helper()
	ours := verdicts[ourPolicy]
	for policy, d := range demands {
		theirs := verdicts[policy]
		if ours.best < d.best*theirs.best {
			t.Errorf("%.1f%% on the best place, want at least %.2f times the %.1f%% of %s", 100*ours.best, d.best, 100*theirs.best, policy)
		}
		if d.failed > 0 && ours.failed > d.failed*theirs.failed {
			t.Errorf("%.2f%% failed, want at most %.2f times the %.2f%% of %s", 100*ours.failed, d.failed, 100*theirs.failed, policy)
		}
		if d.p99 > 0 && ours.p99.Seconds() > d.p99*theirs.p99.Seconds() {
			t.Errorf("p99 is %v, want at most %.2f times the %v of %s", ours.p99, d.p99, theirs.p99, policy)
		}
		if ours.brown99.Seconds() > d.brown*theirs.brown99.Seconds() {
			t.Errorf("p99 in brown-outs is %v, want at most %.2f times the %v of %s", ours.brown99, d.brown, theirs.brown99, policy)
		}
	}
	if ours.changes > 1 {
		t.Errorf("%.2f changes of the favourite a minute, want at most one", ours.changes)
	}
}
