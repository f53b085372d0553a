package main

import (
	"strings"
	"testing"
)

const benchOutput = `goos: linux
goarch: amd64
2026/01/01 00:00:00 a line of a log
BenchmarkChat1KB-2   	       4	      -139.5 added-p50-µs	         0.9000 cpu-ratio	        79.42 ours-MB	        90 ours-µs	        79.04 plain-MB	       100 plain-µs
BenchmarkKeys/,quotas=true-2         	       4	1.5 cpu-ratio
BenchmarkSelect-2   	  13000	        90.0 ns/op	       0 B/op	       0 allocs/op
BenchmarkPeerChat-2   	  2	        12.5 added-p50-µs	  90 ours-µs
BenchmarkFails is no result
PASS
`

func TestResults(t *testing.T) {
	r := make(results)
	for _, ratio := range []string{"0.9000", "0.8000", "0.8400"} {
		if err := r.add(strings.NewReader(strings.Replace(benchOutput, "0.9000", ratio, 1))); err != nil {
			t.Fatal(err)
		}
	}
	var table strings.Builder
	if err := r.write(&table); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"| 1 KB chat | 0.840 | 0.800–0.900 | ≤ 0.85 | met |\n",
		"| 10,000 keys to one, by affinity, with quotas | 1.50 | 1.50–1.50 | ≤ 1.25 | missed |\n",
		"| choice of 8 upstreams, ns | 90.0 | 90.0–90.0 | ≤ 100 | met |\n",
		"| choice of 8 upstreams, allocations | 0.000 | 0.000–0.000 | ≤ 0 | met |\n",
		"| Chat1KB | 0.840 | 100, 90.0 | 79.0, 79.4 | -140 |\n",
		"| PeerChat | – | –, 90.0 | –, – | 12.5 |\n",
	} {
		if !strings.Contains(table.String(), want) {
			t.Errorf("no line %q in\n%s", want, &table)
		}
	}
	if got := strings.Count(table.String(), "Select"); got != 0 {
		t.Errorf("a benchmark of one side is in the table of two: %s", &table)
	}
}

// Bars that want a least figure, and medians of an even number.
func TestBars(t *testing.T) {
	b := bar{limit: 98, atLeast: true}
	for value, want := range map[float64]string{97.9: "missed", 98: "met", 99: "met"} {
		if got := b.verdict(value); got != want {
			t.Errorf("%v %s: got %s, want %s", value, b, got, want)
		}
	}
	if got, want := summarize([]float64{4, 1, 3, 2}), (summary{median: 2.5, lowest: 1, highest: 4}); got != want {
		t.Errorf("got %v, want %v", got, want)
	}
}

func TestNothingMeasured(t *testing.T) {
	r := make(results)
	if err := r.write(new(strings.Builder)); err == nil {
		t.Error("a table of nothing is printed")
	}
	if err := r.add(strings.NewReader("BenchmarkX 1 many ns/op\n")); err == nil || !strings.Contains(err.Error(), "many") {
		t.Errorf("got %v, want an error that names the value", err)
	}
}
