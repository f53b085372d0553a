package main

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// verdict is how a policy has done.
type verdict struct {
	requests         int
	best, failed     float64 // shares
	p50, p99         time.Duration
	brown50, brown99 time.Duration // of answers while a place had a brown-out
	changes          float64       // of the favourite, a minute of the script
}

func judge(all []answered) verdict {
	var (
		v           = verdict{requests: len(all)}
		took, brown []time.Duration
	)
	for _, a := range all {
		took = append(took, a.took)
		if a.brown && a.ok {
			brown = append(brown, a.took)
		}
		if a.best {
			v.best++
		}
		if !a.ok {
			v.failed++
		}
	}
	v.best /= float64(len(all))
	v.failed /= float64(len(all))
	v.p50, v.p99 = percentile(took, 50), percentile(took, 99)
	v.brown50, v.brown99 = percentile(brown, 50), percentile(brown, 99)
	v.changes = changes(all)
	return v
}

func percentile(all []time.Duration, percent int) time.Duration {
	if len(all) == 0 {
		return 0
	}
	slices.Sort(all)
	return all[(len(all)-1)*percent/100]
}

// changes counts how often a minute another place becomes the favourite, which
// is who answers most requests between two probes.
func changes(all []answered) float64 {
	var end time.Duration
	turns := make(map[time.Duration]map[string]int)
	for _, a := range all {
		if a.place == "" {
			continue
		}
		turn := a.at / probeEvery
		if turns[turn] == nil {
			turns[turn] = make(map[string]int)
		}
		turns[turn][a.place]++
		end = max(end, a.at)
	}
	n, before := 0, ""
	for turn := time.Duration(0); turn <= end/probeEvery; turn++ {
		favourite, most := before, turns[turn][before]
		for place, count := range turns[turn] {
			if count > most {
				favourite, most = place, count
			}
		}
		if before != "" && favourite != before {
			n++
		}
		before = favourite
	}
	return float64(n) / end.Minutes()
}

// choiceTable prints the verdicts in the order of the policies. A failure counts
// as the longest answer in p50 and p99, and not in those of brown-outs.
func choiceTable(verdicts map[string]verdict) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%-16s %8s %6s %7s %8s %8s %8s %8s %12s\n%60s\n",
		"policy", "requests", "best", "failed", "p50", "p99", "p50", "p99", "changes/min", "in brown-outs")
	for _, policy := range choicePolicies {
		v := verdicts[policy]
		fmt.Fprintf(&b, "%-16s %8d %5.1f%% %6.2f%% %8s %8s %8s %8s %12.2f\n", policy, v.requests, 100*v.best, 100*v.failed,
			ms(v.p50), ms(v.p99), ms(v.brown50), ms(v.brown99), v.changes)
	}
	return b.String()
}

func ms(d time.Duration) string {
	return fmt.Sprintf("%.0fms", float64(d)/float64(time.Millisecond))
}
