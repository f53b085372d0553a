package status

import (
	"cmp"
	"slices"
	"sync"
	"time"
)

// Registry has the sources of one configuration. Its zero value is one without
// any. It is safe for concurrent use.
type Registry struct {
	mu         sync.RWMutex
	sources    []Source
	annotators []Source
	observers  []Observer
	listeners  []func(Event)
}

// Source adds what a module knows to a Status. It makes no connection and waits
// for nobody.
type Source func(now time.Time, s *Status)

// Observer is given what was measured when it was.
type Observer func(Sample)

// Sample is a ping or a load.
type Sample struct {
	Kind    string // SampleTarget or SampleUpstream
	Name    string // of the target, or of the upstream and its page
	At      time.Time
	OK      bool
	Cold    bool // it was asleep
	Latency time.Duration
}

// The kinds of samples.
const (
	SampleTarget   = "target"
	SampleUpstream = "upstream"
)

// UpstreamSeries is the name of the samples of an upstream: its page matters, too.
func UpstreamSeries(upstream, page string) string { return upstream + " " + page }

// Describe registers a source. It is called in Provision.
func (r *Registry) Describe(source Source) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.sources = append(r.sources, source)
}

// Annotate registers a source that adds to what all others have said. It is called
// in Provision.
func (r *Registry) Annotate(source Source) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.annotators = append(r.annotators, source)
}

// Observe registers an observer. It is called in Provision.
func (r *Registry) Observe(observer Observer) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.observers = append(r.observers, observer)
}

// Record gives a sample to all observers. Without any it costs next to nothing.
func (r *Registry) Record(s Sample) {
	r.mu.RLock()
	observers := slices.Clone(r.observers)
	r.mu.RUnlock()
	for _, observe := range observers {
		observe(s)
	}
}

// Listen registers a function that is called with each event. It is called in
// Provision.
func (r *Registry) Listen(listener func(Event)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.listeners = append(r.listeners, listener)
}

// Report reports a change that Caddy's events do not tell of.
func (r *Registry) Report(e Event) {
	r.mu.RLock()
	listeners := slices.Clone(r.listeners)
	r.mu.RUnlock()
	for _, listen := range listeners {
		listen(e)
	}
}

// Collect asks all sources, in the order in which they were registered.
func (r *Registry) Collect(now time.Time) *Status {
	r.mu.RLock()
	sources := slices.Concat(r.sources, r.annotators)
	r.mu.RUnlock()
	s := New(now)
	for _, source := range sources {
		source(now, s)
	}
	s.bound()
	return s
}

// bound orders the clients, those first who use most, and cuts off lists that are
// too long.
func (s *Status) bound() {
	slices.SortFunc(s.Clients, func(a, b Client) int {
		return cmp.Or(cmp.Compare(b.Requests, a.Requests), cmp.Compare(a.Name, b.Name))
	})
	slices.SortFunc(s.DNS.Clients, func(a, b DNSClient) int {
		return cmp.Or(cmp.Compare(b.Queries, a.Queries), cmp.Compare(a.Name, b.Name))
	})
	s.ClientsTotal = len(s.Clients)
	s.Clients = s.Clients[:min(len(s.Clients), MaxClients)]
	s.DNS.Clients = s.DNS.Clients[:min(len(s.DNS.Clients), MaxClients)]
	s.Events = s.Events[:min(len(s.Events), MaxEvents)]
}
