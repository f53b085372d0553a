package history

import (
	"cmp"
	"math"
	"slices"
	"time"
)

const (
	// fine is the length of the slots of the last day, coarse that of the slots of
	// the last month.
	fine   = 5 * time.Minute
	coarse = time.Hour

	keepFine   = 24*time.Hour + 30*time.Minute
	keepCoarse = 31 * 24 * time.Hour
)

// point is the outcome of the pings or loads in a slot. A series has about 300 fine and
// 745 coarse ones, of 16 bytes each. Counts stop at 65,535, which takes 18 pings a
// second for an hour.
type point struct {
	slot             uint32 // number since 1970
	ok, failed, cold uint16 // cold ones are among those that are ok
	timed            uint16 // those with a latency
	latency          float32
}

// add adds what another point of the slot has counted.
func (p *point) add(other point) {
	p.ok = saturated(p.ok, other.ok)
	p.failed = saturated(p.failed, other.failed)
	p.cold = saturated(p.cold, other.cold)
	p.timed = saturated(p.timed, other.timed)
	p.latency += other.latency
}

func saturated(a, b uint16) uint16 {
	return uint16(min(uint32(a)+uint32(b), math.MaxUint16))
}

// points are in the order of their slots, each of which is there once.
type points []point

func slotOf(at time.Time, length time.Duration) uint32 {
	return uint32(max(0, at.Unix()/int64(length/time.Second)))
}

// add adds a point to that of the same slot.
func (ps points) add(p point) points {
	i, found := slices.BinarySearchFunc(ps, p.slot, func(p point, slot uint32) int { return cmp.Compare(p.slot, slot) })
	if found {
		ps[i].add(p)
		return ps
	}
	return slices.Insert(ps, i, p)
}

// between returns the points from slot from up to, but not including, slot to.
func (ps points) between(from, to uint32) points {
	bySlot := func(p point, slot uint32) int { return cmp.Compare(p.slot, slot) }
	first, _ := slices.BinarySearchFunc(ps, from, bySlot)
	after, _ := slices.BinarySearchFunc(ps, to, bySlot)
	return ps[first:max(first, after)]
}

// kept returns the points that are not too old. It drops those in the future, which a
// wrong clock can have left: they would be kept for ever.
func (ps points) kept(now time.Time, length, keep time.Duration) points {
	return slices.Clone(ps.between(slotOf(now.Add(-keep), length), slotOf(now.Add(coarse), length)+1))
}

// series is what is known of one target or upstream.
type series struct{ fine, coarse points }

// record adds a ping or load.
//
// Every sample is in both: the month needs no thinning of the day, which a restart
// could interrupt.
func (s *series) record(at time.Time, p point) {
	p.slot = slotOf(at, fine)
	s.fine = s.fine.add(p)
	p.slot = slotOf(at, coarse)
	s.coarse = s.coarse.add(p)
}

// add adds what another process has recorded.
func (s *series) add(other *series) {
	for _, p := range other.fine {
		s.fine = s.fine.add(p)
	}
	for _, p := range other.coarse {
		s.coarse = s.coarse.add(p)
	}
}

// prune drops what is too old, and reports whether anything is left.
func (s *series) prune(now time.Time) bool {
	s.fine = s.fine.kept(now, fine, keepFine)
	s.coarse = s.coarse.kept(now, coarse, keepCoarse)
	return len(s.fine)+len(s.coarse) > 0
}
