package main

import (
	"math/rand/v2"
	"sync"
	"time"
)

const (
	choiceRate = 4 // requests a second
	choiceWarm = time.Minute
)

// answered is what became of a request.
type answered struct {
	at    time.Duration // since the start, in the time of the script
	took  time.Duration
	place string // who answered; "" if nobody did
	best  bool   // it was the place that was fastest then
	brown bool   // some place had a brown-out
	ok    bool
}

// drive sends requests, at random moments from a fixed seed, and returns what
// became of those after the warm-up. ask sends a request and reports who
// answered, and whether it was the answer that a user wants.
func drive(places []*place, p pace, length time.Duration, ask func() (place string, ok bool)) []answered {
	var (
		random = rand.New(rand.NewPCG(11, 11))
		began  = time.Now()
		next   = began
		wg     sync.WaitGroup
		mu     sync.Mutex
		all    []answered
	)
	for {
		next = next.Add(p.took(time.Duration(random.ExpFloat64() / choiceRate * float64(time.Second))))
		at := time.Duration(float64(next.Sub(began)) * p.course)
		if at > length {
			break
		}
		time.Sleep(time.Until(next))
		wg.Go(func() {
			start, best, brown := time.Now(), fastest(places), browned(places)
			place, ok := ask()
			if at < choiceWarm {
				return
			}
			took := time.Since(start)
			if !ok {
				took = p.took(placeLimit) // a failure is as bad as the longest answer
			}
			mu.Lock()
			defer mu.Unlock()
			all = append(all, answered{at: at, took: took, place: place, best: ok && place == best.name, brown: brown, ok: ok})
		})
	}
	wg.Wait()
	return all
}

func browned(places []*place) bool {
	for _, p := range places {
		if p.now() == browns {
			return true
		}
	}
	return false
}
