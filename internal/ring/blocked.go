package ring

import (
	"math/bits"
	"sync/atomic"
	"time"
)

// recheck is how long a point is left out. What ends a cooldown early is noticed
// after this at the latest, and all points are looked at once in such a time at
// the most.
const recheck = time.Second

// Blocked are the members of a ring that could not be used when they were last
// looked at, and those of their points that were found in vain. It is safe for concurrent use and takes no lock. It is a hint:
// whoever is given a member still asks whether that may be used. The zero value
// has none; it must be used with one ring only.
type Blocked struct {
	bits  atomic.Pointer[[]atomic.Uint64] // one for each point, then one for each member; unset until one is left out
	any   atomic.Bool
	since atomic.Int64 // nanoseconds since 1970, of the first one
}

// block leaves a point of a ring out, and its member.
func (b *Blocked) block(r *Ring, point int, now time.Time) {
	set := b.bits.Load()
	if set == nil {
		fresh := make([]atomic.Uint64, (len(r.points)+r.members+63)/64)
		b.bits.CompareAndSwap(nil, &fresh)
		set = b.bits.Load()
	}
	if !b.any.Load() {
		b.since.Store(now.UnixNano())
		b.any.Store(true)
	}
	for _, i := range [...]int{point, len(r.points) + int(r.points[point].member)} {
		(*set)[i/64].Or(1 << (i % 64))
	}
}

// hasMember reports whether the member of a point is left out.
func (b *Blocked) hasMember(r *Ring, point int) bool {
	if !b.any.Load() {
		return false
	}
	i := len(r.points) + int(r.points[point].member)
	return (*b.bits.Load())[i/64].Load()&(1<<(i%64)) != 0
}

// Clear lets all points be looked at again: a cooldown was lifted.
func (b *Blocked) Clear() {
	if !b.any.Swap(false) {
		return
	}
	set := *b.bits.Load()
	for i := range set {
		set[i].Store(0)
	}
}

// expire clears what is older than recheck.
func (b *Blocked) expire(now time.Time) {
	if !b.any.Load() {
		return
	}
	if age := now.UnixNano() - b.since.Load(); age >= int64(recheck) || age < 0 {
		b.Clear()
	}
}

// next returns the first point in [from, to) that is not blocked, or to.
func (b *Blocked) next(from, to int) int {
	if !b.any.Load() {
		return from
	}
	set := *b.bits.Load()
	for from < to {
		free := ^set[from/64].Load() >> (from % 64)
		if free != 0 {
			return min(to, from+bits.TrailingZeros64(free))
		}
		from += 64 - from%64
	}
	return to
}

// Walk goes through the members in the order of a hash. It belongs to one
// goroutine.
type Walk struct {
	ring    *Ring
	blocked *Blocked
	now     time.Time
	at, end int    // points, counted on beyond the end of the circle
	last    int    // the point of the last member
	seen    uint64 // the members that were returned, where there are few
}

// Walk begins with the member that the hash leads to.
func (r *Ring) Walk(hash uint64, blocked *Blocked, now time.Time) Walk {
	return r.walk(r.first(hash), blocked, now)
}

// WalkFrom begins at a point, which on a ring of NewCircle is the member of that
// index.
func (r *Ring) WalkFrom(point int, blocked *Blocked, now time.Time) Walk {
	return r.walk(point, blocked, now)
}

func (r *Ring) walk(first int, blocked *Blocked, now time.Time) Walk {
	if r.members > few {
		blocked.expire(now)
	}
	return Walk{ring: r, blocked: blocked, now: now, at: first, end: first + len(r.points)}
}

// Next returns the next member, and false when all have been returned. Of many, a
// member with several points is returned for each of them.
func (w *Walk) Next() (member int, ok bool) {
	if w.ring.members <= few {
		return w.nextOfFew()
	}
	n := len(w.ring.points)
	for w.at < w.end {
		// The circle has a seam, where the index begins at 0 again.
		from, to := w.at, min(w.end, n)
		if w.at >= n {
			from, to = w.at-n, w.end-n
		}
		found := w.blocked.next(from, to)
		w.at += found - from
		if found < to {
			w.at++
			if w.blocked.hasMember(w.ring, found) {
				w.blocked.block(w.ring, found, w.now)
				continue
			}
			w.last = found
			return int(w.ring.points[found].member), true
		}
	}
	return 0, false
}

// nextOfFew returns each member once.
func (w *Walk) nextOfFew() (member int, ok bool) {
	n := len(w.ring.points)
	for w.at < w.end {
		at := w.at
		if at >= n {
			at -= n
		}
		w.at++
		if m := w.ring.points[at].member; w.seen&(1<<m) == 0 {
			w.seen |= 1 << m
			if bits.OnesCount64(w.seen) == w.ring.members {
				w.at = w.end
			}
			return int(m), true
		}
	}
	return 0, false
}

// Block leaves the last member out: it may not be used now.
func (w *Walk) Block() {
	if w.ring.members > few {
		w.blocked.block(w.ring, w.last, w.now)
	}
}
