package ring

import (
	"math/bits"
	"sync/atomic"
	"time"
)

// recheck is how long a point is skipped. A cooldown that ends early is noticed
// after this time at the latest, and every point is checked at most once in it.
const recheck = time.Second

// Blocked is the set of members of a ring that could not be used when they were last
// checked, with the points of theirs that a walk has come to. It is safe for
// concurrent use and takes no lock. It is a hint: the caller of a walk still checks
// whether a member may be used. The zero value is empty; it must be used with one
// ring only.
type Blocked struct {
	// bits has a bit for each point, and after these one for each member. It is
	// nil until the first one is set.
	bits  atomic.Pointer[[]atomic.Uint64]
	any   atomic.Bool  // whether any bit may be set
	since atomic.Int64 // when the first one was set, in Unix nanoseconds
}

// block adds a point of a ring, and its member.
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

// hasMember reports whether the member of a point is in the set.
func (b *Blocked) hasMember(r *Ring, point int) bool {
	if !b.any.Load() {
		return false
	}
	i := len(r.points) + int(r.points[point].member)
	return (*b.bits.Load())[i/64].Load()&(1<<(i%64)) != 0
}

// Clear empties the set, for example because a cooldown was lifted.
func (b *Blocked) Clear() {
	if !b.any.Swap(false) {
		return
	}
	set := *b.bits.Load()
	for i := range set {
		set[i].Store(0)
	}
}

// expire empties the set if it is older than recheck.
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

// UsesBlocked reports whether walks keep hints in a Blocked. Those over few members
// check each of them.
func (r *Ring) UsesBlocked() bool { return r.members > few }

// Walk iterates over the members in the order of a hash. It must not be used
// concurrently.
type Walk struct {
	ring    *Ring
	blocked *Blocked
	now     time.Time
	at, end int    // indexes of points; beyond len(points) they start over
	last    int    // the point of the member returned last
	seen    uint64 // bits of the members that were returned, on a ring with few
}

// Walk returns a walk that begins with the member that the hash leads to.
func (r *Ring) Walk(hash uint64, blocked *Blocked, now time.Time) Walk {
	return r.walk(r.first(hash), blocked, now)
}

// WalkFrom returns a walk that begins at a point. On a ring of NewCircle the point
// is the index of a member.
func (r *Ring) WalkFrom(point int, blocked *Blocked, now time.Time) Walk {
	return r.walk(point, blocked, now)
}

func (r *Ring) walk(first int, blocked *Blocked, now time.Time) Walk {
	if r.UsesBlocked() {
		blocked.expire(now)
	}
	return Walk{ring: r, blocked: blocked, now: now, at: first, end: first + len(r.points)}
}

// Next returns the next member, and false when all have been returned. On a ring of
// more than few members, a member is returned once for each of its points.
func (w *Walk) Next() (member int, ok bool) {
	if !w.ring.UsesBlocked() {
		return w.nextOfFew()
	}
	n := len(w.ring.points)
	for w.at < w.end {
		// The range ends at the last point at most; the circle goes on at 0.
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

// Block adds the member returned last to the set: it may not be used now.
func (w *Walk) Block() {
	if w.ring.UsesBlocked() {
		w.blocked.block(w.ring, w.last, w.now)
	}
}
