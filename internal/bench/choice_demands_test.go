package bench

import "testing"

// demands are what our policy must keep, as factors of what the others reach.
type demands struct {
	// Against the policies that do not look at the page's text.
	best   float64 // at least
	failed float64 // at most
	p99    float64 // at most
	// Against least_conn, the one of Caddy's own that does not herd.
	brown float64 // p99 in brown-outs, at most
	// Against the home-made policy that does look at the text: it finds the
	// best place about as often, and floods it.
	checkedBest  float64 // at least
	checkedBrown float64 // p99 in brown-outs, at most
}

// check fails the test where our policy falls short.
func (d demands) check(t *testing.T, verdicts map[string]verdict) {
	t.Helper()
	ours := verdicts[ourPolicy]
	atLeast := func(what, policy string, got, factor, other float64) {
		if got < factor*other {
			t.Errorf("%s: %.4g, want at least %.3g times the %.4g of %s", what, got, factor, other, policy)
		}
	}
	atMost := func(what, policy string, got, factor, other float64) {
		if got > factor*other {
			t.Errorf("%s: %.4g, want at most %.3g times the %.4g of %s", what, got, factor, other, policy)
		}
	}
	for _, policy := range []string{lastProbe, "least_conn", "round_robin", "random"} {
		theirs := verdicts[policy]
		atLeast("share on the best place", policy, ours.best, d.best, theirs.best)
		atMost("share of failures", policy, ours.failed, d.failed, theirs.failed)
		atMost("p99 in seconds", policy, ours.p99.Seconds(), d.p99, theirs.p99.Seconds())
	}
	atMost("p99 in brown-outs in seconds", "least_conn", ours.brown99.Seconds(), d.brown, verdicts["least_conn"].brown99.Seconds())
	checked := verdicts[checkedProbe]
	atLeast("share on the best place", checkedProbe, ours.best, d.checkedBest, checked.best)
	atMost("p99 in brown-outs in seconds", checkedProbe, ours.brown99.Seconds(), d.checkedBrown, checked.brown99.Seconds())
	if ours.changes > 1 {
		t.Errorf("%.2f changes of the favourite a minute, want at most one", ours.changes)
	}
}
