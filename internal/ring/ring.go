// Package ring chooses among many members by consistent hashing: the same hash
// leads to the same member, after a restart and in every process, and when that
// member may not be used, to the same next one.
//
// Each member has points on a circle of hashes, in number proportional to its
// weight. A hash lies between two points; the members of the points that follow
// are its order of preference. When a member is added or removed, only the hashes
// just before its points lead to another member.
//
//	      hash
//	        ▼
//	──●─────────●──────○─────●───▶     ● point of a member that may be used
//	  a         b      c     a         ○ point of a member that is skipped
//
// A choice costs a binary search, also when most members may not be used: their
// points are skipped for a second once a walk has come to them (Blocked). On a ring
// with few members each is checked every time.
//
// Source: Karger et al., Consistent Hashing and Random Trees, 1997.
package ring

import (
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"math"
	"slices"
	"sort"
)

// Member is a member of a ring.
type Member struct {
	// Name determines the positions of the member's points. It must be unique,
	// and the same in every process.
	Name string

	// Weight is the member's share, relative to the others. Less than 1 counts
	// as 1.
	Weight int64
}

const (
	// pointsOfFew is the number of points of a member of average weight on a ring
	// with few members, so that their shares are close to their weights.
	pointsOfFew = 160
	// pointsInAll is about the number of points of a ring with many members.
	pointsInAll = 1 << 15
	// leastPoints and mostPoints bound the points of one member.
	leastPoints = 2
	mostPoints  = 1 << 12

	// few is the largest number of members for which a walk returns each of them
	// once and skips none. It is the number of bits of Walk.seen.
	few = 64
)

// Ring is an immutable set of members.
type Ring struct {
	points  []point // sorted by at
	members int
}

// point is a position on the circle that belongs to a member.
type point struct {
	at     uint64
	member int32 // index
}

// New returns the ring of members. Walks return their indexes.
func New(members []Member) *Ring {
	var weights float64
	for _, m := range members {
		weights += float64(max(m.Weight, 1))
	}
	average := float64(min(pointsOfFew, max(leastPoints, pointsInAll/max(len(members), 1))))
	r := &Ring{members: len(members)}
	for i, m := range members {
		share := float64(max(m.Weight, 1)) * float64(len(members)) / weights
		r.add(m.Name, i, min(mostPoints, max(leastPoints, int(average*share+0.5))))
	}
	slices.SortFunc(r.points, func(a, b point) int {
		return cmp.Or(cmp.Compare(a.at, b.at), cmp.Compare(a.member, b.member))
	})
	return r
}

// NewCircle returns a ring of n members with one point each, in the order of their
// index and at equal distances. It is for round-robin.
func NewCircle(n int) *Ring {
	r := &Ring{points: make([]point, n), members: n}
	for i := range r.points {
		r.points[i] = point{uint64(i) * (math.MaxUint64 / uint64(n)), int32(i)}
	}
	return r
}

// add adds n points of a member. A larger n only adds points to those of a smaller
// one, so that a change of a weight moves few hashes.
func (r *Ring) add(name string, member, n int) {
	sum := sha256.Sum256([]byte(name))
	state := binary.BigEndian.Uint64(sum[:])
	for range n {
		state += 0x9e3779b97f4a7c15
		r.points = append(r.points, point{Mix(state), int32(member)})
	}
}

// Mix returns a hash of x: a bijection whose results for similar numbers are not
// similar.
//
// Source: the finalizer of SplitMix64, Steele et al., Fast Splittable Pseudorandom
// Number Generators, 2014.
func Mix(x uint64) uint64 {
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

// first returns the index of the first point at or after a hash.
func (r *Ring) first(hash uint64) int {
	i := sort.Search(len(r.points), func(i int) bool { return r.points[i].at >= hash })
	if i == len(r.points) {
		return 0
	}
	return i
}

// Len returns the number of members.
func (r *Ring) Len() int { return r.members }
