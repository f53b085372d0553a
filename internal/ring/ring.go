// Package ring chooses among many members by consistent hashing: the same hash
// leads to the same member, after a restart and in every process, and when that
// member may not be used, to the same next one.
//
// Each member has points on a circle of hashes, in number proportional to its
// weight. A hash lies between two points; the members of the points that follow
// are its order of preference. When a member comes or goes, only the hashes before
// its points lead elsewhere.
//
//	      hash
//	        ▼
//	──●─────────●──────○─────●───▶     ● point of a member that may be used
//	  a         b      c     a         ○ point of a member that is left out
//
// A choice costs a binary search, and no more when most members may not be used:
// points that were found in vain are left out for a second (Blocked). Where there
// are few members, each is looked at every time.
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

// Member is what a ring chooses among.
type Member struct {
	// Name decides where the member's points are. It must be unique, and the
	// same in every process.
	Name string

	// Weight is the member's share, relative to those of the others. At least 1.
	Weight int64
}

const (
	// pointsOfFew is how many points a member of average weight has where there
	// are few, so that their shares come close to their weights.
	pointsOfFew = 160
	// pointsInAll is about how many points a ring of many members has.
	pointsInAll = 1 << 15
	// leastPoints and mostPoints bound those of one member.
	leastPoints = 2
	mostPoints  = 1 << 12

	// few is up to how many members a walk looks at each of them once, and none
	// is left out: the bits of a Walk's set.
	few = 64
)

// Ring is a snapshot of members. It does not change.
type Ring struct {
	points  []point // by at
	members int
}

type point struct {
	at     uint64
	member int32
}

// New returns the ring of the members, which go by their index.
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

// NewCircle returns a ring on which n members have one point each, in the order of
// their index and at equal distances: for taking turns.
func NewCircle(n int) *Ring {
	r := &Ring{points: make([]point, n), members: n}
	for i := range r.points {
		r.points[i] = point{uint64(i) * (math.MaxUint64 / uint64(n)), int32(i)}
	}
	return r
}

// add adds n points of a member. The first of them are the same whatever n is.
func (r *Ring) add(name string, member, n int) {
	sum := sha256.Sum256([]byte(name))
	state := binary.BigEndian.Uint64(sum[:])
	for range n {
		state += 0x9e3779b97f4a7c15
		r.points = append(r.points, point{Mix(state), int32(member)})
	}
}

// Mix spreads the bits of a number over all 64: equal numbers stay equal, and
// similar ones do not stay similar.
//
// Source: the finalizer of SplitMix64, Steele et al., Fast Splittable Pseudorandom
// Number Generators, 2014.
func Mix(x uint64) uint64 {
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

// first returns the index of the first point at or behind a hash.
func (r *Ring) first(hash uint64) int {
	i := sort.Search(len(r.points), func(i int) bool { return r.points[i].at >= hash })
	if i == len(r.points) {
		return 0
	}
	return i
}

// Len returns the number of members.
func (r *Ring) Len() int { return r.members }
