package ring

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

var start = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func members(n int) []Member {
	list := make([]Member, n)
	for i := range list {
		list[i] = Member{fmt.Sprintf("https://api.example.com key %d", i), 1}
	}
	return list
}

// order returns the members in the order of a hash, each once.
func order(r *Ring, b *Blocked, hash uint64, now time.Time) (list []int) {
	for w := r.Walk(hash, b, now); ; {
		m, ok := w.Next()
		if !ok {
			return list
		}
		if !slices.Contains(list, m) {
			list = append(list, m)
		}
	}
}

// Each walk meets all members, wherever it begins.
func TestWalkMeetsAll(t *testing.T) {
	for _, n := range []int{0, 1, 2, 3, 64, 65, 100} {
		r := New(members(n))
		b := new(Blocked)
		for _, hash := range []uint64{0, 1, math.MaxUint64, rand.Uint64(), rand.Uint64()} {
			if got := len(order(r, b, hash, start)); got != n {
				t.Errorf("%d members from %d: met %d", n, hash, got)
			}
		}
	}
}

// The shares of the members are those of their weights, about.
func TestShares(t *testing.T) {
	for _, tc := range []struct {
		weights   []int64
		deviation float64 // relative, of each share
	}{{[]int64{1, 1, 1, 1}, 0.25}, {[]int64{1, 3}, 0.25}, {[]int64{250, 50, 1000}, 0.35}} {
		var list []Member
		var sum int64
		for i, weight := range tc.weights {
			list = append(list, Member{fmt.Sprint("member ", i), weight})
			sum += weight
		}
		r := New(list)
		counts := make([]int, len(list))
		const rounds = 100_000
		b := new(Blocked)
		for i := range rounds {
			w := r.Walk(Mix(uint64(i)), b, start)
			m, _ := w.Next()
			counts[m]++
		}
		for i, weight := range tc.weights {
			got, want := float64(counts[i])/rounds, float64(weight)/float64(sum)
			if math.Abs(got-want) > tc.deviation*want {
				t.Errorf("weights %v: member %d has a share of %.3f, want %.3f", tc.weights, i, got, want)
			}
		}
	}
}

// A member that goes away leaves the choice of all others as it was, and a ring
// made anew, in whatever order, is the same.
func TestStable(t *testing.T) {
	list := members(20)
	r, b := New(list), (*Blocked)(nil)
	fewer := New(list[:19])
	b = new(Blocked)
	moved := 0
	for i := range 10_000 {
		hash := Mix(uint64(i))
		w, v := r.Walk(hash, b, start), fewer.Walk(hash, new(Blocked), start)
		before, _ := w.Next()
		after, _ := v.Next()
		if before != after {
			moved++
			if before != 19 {
				t.Fatalf("hash %d leads to %d and, without member 19, to %d", hash, before, after)
			}
		}
	}
	if moved == 0 || moved > 1000 {
		t.Errorf("%d of 10000 hashes lead elsewhere, want about 500", moved)
	}
	reversed := slices.Clone(list)
	slices.Reverse(reversed)
	other := New(reversed)
	for i := range 1000 {
		w, v := r.Walk(Mix(uint64(i)), b, start), other.Walk(Mix(uint64(i)), new(Blocked), start)
		one, _ := w.Next()
		two, _ := v.Next()
		if list[one].Name != reversed[two].Name {
			t.Fatalf("hash %d leads to %s and %s", i, list[one].Name, reversed[two].Name)
		}
	}
}

// What is blocked is left out for a second, wherever its points are.
func TestBlocked(t *testing.T) {
	for _, n := range []int{1, 2, 3, 50, 64, 65, 200, 5000} {
		r := New(members(n))
		b := new(Blocked)
		usable := rand.IntN(n)
		for w := r.Walk(rand.Uint64(), b, start); ; {
			m, ok := w.Next()
			if !ok {
				break
			}
			if m != usable {
				w.Block()
			}
		}
		if got := order(r, b, rand.Uint64(), start.Add(recheck-1)); n > few && (len(got) != 1 || got[0] != usable) {
			t.Errorf("%d members, all but %d blocked: met %v", n, usable, got)
		}
		if got := order(r, b, rand.Uint64(), start.Add(recheck)); len(got) != n {
			t.Errorf("%d members after a second: met %d", n, len(got))
		}
	}
	r := New(members(few + 1))
	b := new(Blocked)
	w := r.Walk(0, b, start)
	first, _ := w.Next()
	w.Block()
	b.Clear()
	w = r.Walk(0, b, start)
	if again, _ := w.Next(); again != first {
		t.Errorf("after Clear the hash leads to %d, want %d", again, first)
	}
}

// On a circle the members are in the order of their index, from anywhere, and a
// hash leads to each of them equally often.
func TestCircle(t *testing.T) {
	for _, n := range []int{1, 2, 7, 64, 65, 200} {
		r, b := NewCircle(n), new(Blocked)
		for from := range n {
			w := r.WalkFrom(from, b, start)
			for i := range n {
				if m, ok := w.Next(); !ok || m != (from+i)%n {
					t.Fatalf("%d members from %d: number %d is %d", n, from, i, m)
				}
			}
			if m, ok := w.Next(); ok {
				t.Errorf("%d members from %d: %d comes twice", n, from, m)
			}
		}
		counts := make([]int, n)
		for i := range 1000 * n {
			w := r.Walk(Mix(uint64(i)), b, start)
			m, _ := w.Next()
			counts[m]++
		}
		for m, count := range counts {
			if count < 800 || count > 1200 {
				t.Errorf("%d members: %d of %d hashes lead to %d", n, count, 1000*n, m)
			}
		}
	}
}

// A choice costs about the same with one key and with ten thousand of which one
// may be used.
func BenchmarkChoice(b *testing.B) {
	for _, n := range []int{1, 100, 10_000} {
		for _, blocked := range []bool{false, true} {
			b.Run(fmt.Sprintf("members=%d,blocked=%v", n, blocked), func(b *testing.B) {
				r := New(members(n))
				out := new(Blocked)
				usable := n / 2
				hash := uint64(1)
				for b.Loop() {
					hash = Mix(hash + 1)
					for w := r.Walk(hash, out, start); ; {
						m, ok := w.Next()
						if !ok || !blocked || m == usable {
							break
						}
						w.Block()
					}
				}
			})
		}
	}
}
