package machines

import (
	"os"
	"sync"
	"testing"
	"time"

	"github.com/caddy-freetier/caddy-freetier/internal/caddytest/redistest"
)

// What twenty machines that count all the time ask of a Redis at the usual interval,
// for the documentation: with FREETIER_MEASURE=1.
func TestTwentyMachines(t *testing.T) {
	if os.Getenv("FREETIER_MEASURE") == "" {
		t.Skip("FREETIER_MEASURE is not set")
	}
	redis := redistest.Start(t)
	f := newFleet(t, redis, redistest.Redis, 0)
	f.interval, f.quota = 5*time.Second, 1_000_000
	f.add(20)
	measure := func(seconds int) (commands, sent float64) {
		began := time.Now()
		before, sentBefore := redis.Load(t)
		for time.Since(began) < time.Duration(seconds)*time.Second {
			var queries sync.WaitGroup
			for _, m := range f.all {
				queries.Go(func() { m.resolve() })
			}
			queries.Wait()
			time.Sleep(500 * time.Millisecond)
		}
		after, sentAfter := redis.Load(t)
		passed := time.Since(began).Seconds()
		return float64(after-before) / passed, float64(sentAfter-sentBefore) / passed
	}
	measure(10) // until there is a merger
	commands, sent := measure(20)
	t.Logf("%.0f commands and %.0f bytes a second", commands, sent)
}
