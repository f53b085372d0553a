package caddytest

import (
	"runtime"
	"testing"
	"time"
)

// Goroutines returns the number of goroutines once it has stopped falling:
// those that are about to end get up to two seconds for it.
func Goroutines() int {
	lowest, since := runtime.NumGoroutine(), time.Now()
	for time.Since(since) < 2*time.Second {
		time.Sleep(20 * time.Millisecond)
		if n := runtime.NumGoroutine(); n < lowest {
			lowest, since = n, time.Now()
		}
		if time.Since(since) > 300*time.Millisecond {
			break
		}
	}
	return lowest
}

// NoLeak fails the test when more than a few goroutines above the number
// before are still there, and prints their stacks. It gives them ten seconds.
func NoLeak(t testing.TB, before int) {
	t.Helper()
	const slack = 3 // idle connections of the test's own clients
	deadline := time.Now().Add(10 * time.Second)
	for runtime.NumGoroutine() > before+slack {
		if time.Now().After(deadline) {
			stacks := make([]byte, 1<<20)
			stacks = stacks[:runtime.Stack(stacks, true)]
			t.Fatalf("%d goroutines before, %d after:\n%s", before, runtime.NumGoroutine(), stacks)
		}
		time.Sleep(20 * time.Millisecond)
	}
}
