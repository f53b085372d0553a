package main

import (
	"slices"
	"sync"
	"testing"
	"time"
)

// load is one side's traffic.
type load struct {
	process *process
	workers int
	send    func(b *testing.B, worker int)
}

// round sends n requests and returns how long each took.
func (l *load) round(b *testing.B, n int) []time.Duration {
	took := make([]time.Duration, n)
	var wg sync.WaitGroup
	for w := range l.workers {
		wg.Go(func() {
			for i := w; i < n; i += l.workers {
				start := time.Now()
				l.send(b, w)
				took[i] = time.Since(start)
			}
		})
	}
	wg.Wait()
	return took
}

// compare sends rounds of traffic through both sides in turn and reports their
// figures.
func compare(b *testing.B, plain, ours *load, perRound int) {
	sides := []*load{plain, ours}
	for _, l := range sides {
		l.round(b, perRound/2) // warm up
	}
	cpu := make([]time.Duration, 2)
	took := make([][]time.Duration, 2)
	b.ResetTimer()
	for b.Loop() {
		for i, l := range sides {
			before := l.process.cpu(b)
			took[i] = append(took[i], l.round(b, perRound)...)
			cpu[i] += l.process.cpu(b) - before
		}
	}
	requests := float64(len(took[0]))
	b.ReportMetric(0, "ns/op")
	if plain.process.pid != unknown {
		b.ReportMetric(float64(cpu[0].Microseconds())/requests, "plain-µs")
		b.ReportMetric(float64(cpu[1])/float64(cpu[0]), "cpu-ratio")
		b.ReportMetric(plain.process.peak(b), "plain-MB")
	}
	b.ReportMetric(float64(cpu[1].Microseconds())/requests, "ours-µs")
	b.ReportMetric(ours.process.peak(b), "ours-MB")
	b.ReportMetric(float64((median(took[1])-median(took[0])).Nanoseconds())/1000, "added-p50-µs")
}

func median(d []time.Duration) time.Duration {
	slices.Sort(d)
	return d[len(d)/2]
}
