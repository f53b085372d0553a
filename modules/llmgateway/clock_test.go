package llmgateway

import (
	"testing"
	"time"

	"github.com/jonboulle/clockwork"
)

// turnUntil turns the clock on, step by step, until something is so. Which timers
// are set already is not known: each step leaves those that follow a little time.
func turnUntil(t testing.TB, clock *clockwork.FakeClock, step time.Duration, what string, isSo func() bool) {
	t.Helper()
	for range 200 {
		clock.Advance(step)
		for range 10 {
			if isSo() {
				return
			}
			time.Sleep(5 * time.Millisecond)
		}
	}
	t.Fatalf("it never was so that %s", what)
}

// waitFor returns an answer, and turns the clock on, step by step, until it has come.
func waitFor(t testing.TB, clock *clockwork.FakeClock, step time.Duration, answered <-chan answer) answer {
	t.Helper()
	for range 1000 {
		select {
		case a := <-answered:
			return a
		case <-time.After(5 * time.Millisecond):
			clock.Advance(step)
		}
	}
	t.Fatal("there is no answer")
	return answer{}
}
