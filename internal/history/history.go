// Package history remembers the pings of targets and the loads of upstreams: the
// last day in slots of five minutes, the last month by the hour, and the last
// changes. Its memory is bounded, whatever is pinged how often.
//
// It outlives reloads in memory, and restarts in Caddy's storage, in files as package
// processfiles describes: each process adds what is in its own file and in those of
// the others.
//
// Numbers, unlike records of which the latest counts, must not be added twice. So a
// process that absorbs the file of one that has ended names it in its own file; from
// then on the absorbed file does not count, whether it has been removed or not. A
// process that finds itself absorbed, because it was silent for so long that it was
// taken for dead, goes on under another name with what it has recorded since it last
// wrote its file. A lock of the storage keeps two processes from absorbing one file.
// Where locks exclude nobody, samples can count twice.
//
// Invariants, over reloads and crashes:
//
//   - What is in own is in no other file that counts. own grows only by Record, AddEvent
//     and absorb.
//   - fresh is the part of own that no file of this process has. It is emptied when the
//     file is about to be written, and filled again if that fails.
//   - A file is removed only after one that names it in absorbed was written.
//   - A crash loses what was recorded since the last write: five minutes at most.
package history

import (
	"cmp"
	"maps"
	"math"
	"slices"
	"sync"
	"time"

	"github.com/caddy-freetier/caddy-freetier/internal/processfiles"
	"github.com/caddy-freetier/caddy-freetier/internal/safestore"
	"github.com/caddy-freetier/caddy-freetier/internal/status"
)

const (
	// maxSeries bounds the number of targets and upstreams. Dynamic upstreams can
	// be ever new ones. A series has 17 kB at most: see point.
	maxSeries = 1000

	// maxName bounds the names of series and the texts of events, in bytes.
	maxName = 300
)

// id identifies a target or an upstream.
type id struct{ kind, name string }

// History is what a process knows. It belongs to the process: the configurations
// with one storage share it. Pings and requests record in it, so its lock is not held
// while the storage is used or a file is encoded.
type History struct {
	mu     sync.Mutex
	own    contents
	fresh  contents    // the part of own that was recorded since it was last written
	others []*contents // what is in the files of other processes; it is not changed

	guard  *safestore.Guard
	folder *processfiles.Folder[*contents] // touched under the guard only
}

// contents are what a process has recorded, or absorbed from others.
type contents struct {
	process  string
	series   map[id]*series
	events   []status.Event
	absorbed map[string]time.Time // processes, and when that was
}

// New returns an empty history.
func New() *History {
	process := processfiles.NewProcess()
	return &History{own: newContents(process), fresh: newContents(""), guard: safestore.NewGuard(), folder: kind.NewFolder(process)}
}

func newContents(process string) contents {
	return contents{process: process, series: make(map[id]*series), absorbed: make(map[string]time.Time)}
}

// Destruct implements caddy.Destructor.
func (*History) Destruct() error { return nil }

// Record records a sample.
func (h *History) Record(sample status.Sample) {
	p := point{failed: 1}
	if sample.OK {
		p = point{ok: 1}
		if sample.Cold {
			p.cold = 1
		}
	}
	if sample.Latency > 0 {
		p.timed, p.latency = 1, float32(sample.Latency.Seconds()*1000)
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, c := range []*contents{&h.own, &h.fresh} {
		if s := c.of(id{sample.Kind, shortened(sample.Name)}); s != nil {
			s.record(sample.At, p)
		}
	}
}

// of returns a series, which it adds if need be, nil if there are too many.
func (c *contents) of(name id) *series {
	s := c.series[name]
	if s == nil && len(c.series) < maxSeries {
		s = new(series)
		c.series[name] = s
	}
	return s
}

// AddEvent records a change.
func (h *History) AddEvent(e status.Event) {
	e.At = e.At.UTC()
	e.Subject, e.Message = shortened(e.Subject), shortened(e.Message)
	h.mu.Lock()
	defer h.mu.Unlock()
	h.own.events = newest(append(h.own.events, e))
	h.fresh.events = newest(append(h.fresh.events, e))
}

// Events returns the last changes, the latest first.
func (h *History) Events() []status.Event {
	h.mu.Lock()
	defer h.mu.Unlock()
	all := append([]status.Event{}, h.own.events...)
	for _, o := range h.others {
		if !h.taken(o.process) {
			all = append(all, o.events...)
		}
	}
	return newest(all)
}

// newest returns the latest events, the latest first.
func newest(events []status.Event) []status.Event {
	slices.SortStableFunc(events, func(a, b status.Event) int {
		return cmp.Or(b.At.Compare(a.At), cmp.Compare(a.Subject, b.Subject))
	})
	return events[:min(len(events), status.MaxEvents)]
}

// taken reports whether this process or another one has absorbed a process: then the
// file of that does not count any more. It is called with the lock held.
func (h *History) taken(process string) bool {
	if _, ok := h.own.absorbed[process]; ok {
		return true
	}
	for _, o := range h.others {
		if _, ok := o.absorbed[process]; ok {
			return true
		}
	}
	return false
}

// Of returns what was recorded of a target or upstream, by all processes.
func (h *History) Of(kind, name string, now time.Time) status.History {
	h.mu.Lock()
	defer h.mu.Unlock()
	of := id{kind, shortened(name)}
	var all []*series
	if s := h.own.series[of]; s != nil {
		all = append(all, s)
	}
	for _, o := range h.others {
		if s := o.series[of]; s != nil && !h.taken(o.process) {
			all = append(all, s)
		}
	}
	return describe(all, now)
}

// describe adds up the series that processes have of one target or upstream.
func describe(all []*series, now time.Time) status.History {
	h := status.NoHistory()
	const perSlot = uint32(30 * time.Minute / fine)
	// Slots are those of the clock: the last one is under way.
	after := (slotOf(now, fine)/perSlot + 1) * perSlot
	day, marks := sum{}, []byte(h.Day)
	latencies := make([]*float64, status.Slots)
	any := false
	for i := range marks {
		from := after - uint32(status.Slots-i)*perSlot
		slot := total(all, func(s *series) points { return s.fine.between(from, from+perSlot) })
		day.ok += slot.ok
		day.failed += slot.failed
		marks[i] = slot.mark()
		if slot.timed > 0 {
			mean := math.Round(slot.latency/float64(slot.timed)*10) / 10
			latencies[i], any = &mean, true
		}
	}
	month := total(all, func(s *series) points {
		return s.coarse.between(slotOf(now.Add(-30*24*time.Hour), coarse), slotOf(now, coarse)+1)
	})
	h.Day, h.UptimeDay, h.UptimeMonth = string(marks), day.uptime(), month.uptime()
	if any {
		h.Latencies = latencies
	}
	return h
}

// sum is what several points have counted.
type sum struct {
	ok, failed, cold, timed int
	latency                 float64
}

func total(all []*series, of func(*series) points) (t sum) {
	for _, s := range all {
		for _, p := range of(s) {
			t.ok += int(p.ok)
			t.failed += int(p.failed)
			t.cold += int(p.cold)
			t.timed += int(p.timed)
			t.latency += float64(p.latency)
		}
	}
	return t
}

// mark is the character that status.History.Day has for it.
func (s sum) mark() byte {
	switch {
	case s.ok == 0 && s.failed == 0:
		return '-'
	case s.ok == 0:
		return 'x'
	case s.failed > 0:
		return '~'
	case s.cold > 0:
		return 'c'
	}
	return '.'
}

// uptime is the share of those that were ok, nil for none.
func (s sum) uptime() *float64 {
	if s.ok == 0 && s.failed == 0 {
		return nil
	}
	share := float64(s.ok) / float64(s.ok+s.failed)
	return &share
}

// empty reports whether there is nothing to write.
func (c *contents) empty() bool { return len(c.series)+len(c.events)+len(c.absorbed) == 0 }

// clone returns a copy that later changes do not reach.
func (c *contents) clone() contents {
	copied := contents{process: c.process, series: make(map[id]*series, len(c.series)), events: slices.Clone(c.events), absorbed: maps.Clone(c.absorbed)}
	for name, s := range c.series {
		copied.series[name] = &series{slices.Clone(s.fine), slices.Clone(s.coarse)}
	}
	return copied
}

// prune drops what is too old, and what a wrong clock has left in the future: such
// events would be the newest for ever, and leave no place for others.
func (c *contents) prune(now time.Time) {
	c.events = slices.DeleteFunc(c.events, func(e status.Event) bool { return e.At.After(now.Add(coarse)) })
	for name, s := range c.series {
		if !s.prune(now) {
			delete(c.series, name)
		}
	}
	for process, at := range c.absorbed {
		if now.Sub(at) > keepAbsorbed {
			delete(c.absorbed, process)
		}
	}
}

// absorb adds what another process has recorded.
func (c *contents) absorb(o *contents, now time.Time) {
	c.merge(o)
	c.absorbed[o.process] = now
}

// merge adds other contents. It must not be called twice with the same ones.
func (c *contents) merge(o *contents) {
	for name, s := range o.series {
		if mine := c.of(name); mine != nil {
			mine.add(s)
		}
	}
	c.events = newest(append(c.events, o.events...))
	maps.Copy(c.absorbed, o.absorbed)
}

func shortened(text string) string {
	if len(text) <= maxName {
		return text
	}
	cut := maxName
	for cut > 0 && text[cut]&0xC0 == 0x80 { // within a character
		cut--
	}
	return text[:cut]
}
