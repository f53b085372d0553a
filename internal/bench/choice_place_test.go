package main

import (
	"io"
	"math/rand/v2"
	"net/http"
	"sync"
	"time"
)

// trouble is what befalls a place at the end of each of its periods.
type trouble int

const (
	steady  trouble = iota
	slows           // answers take longer
	browns          // answers take longer, and far longer the more are under way
	refuses         // connections are refused
	wakes           // the platform's wake-up page comes at once, with status 200
)

const (
	placePage   = "/swagger/index.html"
	placeHeader = "X-Place"
	placeAnswer = `{"ok":true}`

	// placeLimit is when the platform gives up on an answer.
	placeLimit = 5 * time.Second
	// wakePage is how long a wake-up page takes.
	wakePage = 5 * time.Millisecond
)

// pace says how much faster than in the script things happen.
type pace struct {
	course float64 // of periods and probes
	answer float64 // of answers
}

func (p pace) period(d time.Duration) time.Duration { return time.Duration(float64(d) / p.course) }
func (p pace) took(d time.Duration) time.Duration   { return time.Duration(float64(d) / p.answer) }

// place is an upstream on a platform. Its answers take a fifth longer for each
// other one that is under way, and vary by a quarter.
type place struct {
	name    string
	base    time.Duration // of an answer, in good times
	trouble trouble
	period  time.Duration
	lasts   time.Duration // the trouble, at the end of each period

	pace  pace
	began time.Time

	mu       sync.Mutex
	random   *rand.Rand
	underWay int
}

// newPlaces returns five places. Their periods are odd, so that in the course
// of hours all troubles meet each other, and begin at any time between probes.
func newPlaces(p pace, began time.Time) []*place {
	places := []*place{
		{name: "brown-out", base: 60 * time.Millisecond, trouble: browns, period: 11*time.Minute + 7*time.Second, lasts: 5 * time.Minute},
		{name: "refusing", base: 80 * time.Millisecond, trouble: refuses, period: 13*time.Minute + 11*time.Second, lasts: 4 * time.Minute},
		{name: "shifting", base: 100 * time.Millisecond, trouble: slows, period: 6*time.Minute + 13*time.Second, lasts: 3 * time.Minute},
		{name: "waking", base: 130 * time.Millisecond, trouble: wakes, period: 17*time.Minute + 19*time.Second, lasts: 5 * time.Minute},
		{name: "steady", base: 170 * time.Millisecond, trouble: steady, period: time.Minute},
	}
	for i, at := range places {
		at.pace, at.began = p, began
		at.random = rand.New(rand.NewPCG(uint64(i), 7))
	}
	return places
}

// now returns the place's trouble at the moment, if it has one.
func (p *place) now() trouble {
	period, lasts := p.pace.period(p.period), p.pace.period(p.lasts)
	if time.Since(p.began)%period >= period-lasts {
		return p.trouble
	}
	return steady
}

// takes returns how long an answer takes when others are under way.
func (p *place) takes(now trouble, others int) time.Duration {
	n, took := time.Duration(others), p.base+p.base*time.Duration(others)/5
	switch now {
	case slows:
		took = 5 * (p.base + p.base*n/5)
	case browns:
		took = 90*time.Millisecond + n*250*time.Millisecond
	case wakes:
		return wakePage
	}
	return min(took, placeLimit)
}

// fastest returns the place from which a request would have its answer first,
// with the load that there is.
func fastest(places []*place) *place {
	var best *place
	var least time.Duration
	for _, p := range places {
		now := p.now()
		if now == refuses || now == wakes {
			continue
		}
		p.mu.Lock()
		took := p.takes(now, p.underWay)
		p.mu.Unlock()
		if best == nil || took < least {
			best, least = p, took
		}
	}
	return best
}

// arrive and leave count a request. arrive says how long its answer takes.
func (p *place) arrive(now trouble) time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	took := p.takes(now, p.underWay)
	p.underWay++
	return time.Duration(float64(took) * (0.75 + p.random.Float64()/2))
}

func (p *place) leave() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.underWay--
}

// ServeHTTP answers both requests and loads of the page.
func (p *place) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	now := p.now()
	took := p.arrive(now)
	defer p.leave()
	select {
	case <-time.After(p.pace.took(min(took, placeLimit))):
	case <-r.Context().Done():
		return
	}
	w.Header().Set(placeHeader, p.name)
	switch {
	case took >= placeLimit:
		w.WriteHeader(http.StatusGatewayTimeout)
	case now == wakes:
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		io.WriteString(w, "<title>SERVICE WAKING UP</title>")
	case r.URL.Path == placePage:
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		io.WriteString(w, "<title>swagger-ui</title>")
	default:
		w.Header().Set("Content-Type", "application/json")
		io.WriteString(w, placeAnswer)
	}
}
