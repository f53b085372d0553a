package cooldown

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"
)

var start = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func guess(length time.Duration) Cooldown {
	return Cooldown{Reason: "guessed", Length: length, MaxLength: 8 * length}
}

func wantUntil(t *testing.T, b *Breaker, name string, now, want time.Time) {
	t.Helper()
	if got := b.Until(name, now); !got.Equal(want) {
		t.Errorf("%q at %v: usable from %v, want %v", name, now.Sub(start), got.Sub(start), want.Sub(start))
	}
}

// A cooldown that nobody has given a time doubles with each failed trial, and
// only then.
func TestGuesses(t *testing.T) {
	b, now := New(), start
	for range 2 {
		if !b.Acquire("m", now) {
			t.Fatal("what is not known is not in use")
		}
	}
	if !b.Start("m", guess(time.Second), now) || b.Start("m", guess(time.Second), now) {
		t.Error("the first cooldown is the new one")
	}
	for _, length := range []time.Duration{1, 2, 4, 8, 8} {
		length *= time.Second
		wantUntil(t, b, "m", now, now.Add(length))
		wantUntil(t, b, "other", now, time.Time{})
		now = now.Add(length - 1)
		if b.Acquire("m", now) {
			t.Errorf("used before %v are over", length)
		}
		now = now.Add(1)
		if !b.Acquire("m", now) || b.Acquire("m", now) {
			t.Errorf("after %v not one trial", length)
		}
		b.Release("m")
		if !b.Acquire("m", now) {
			t.Error("no second trial after a released one")
		}
		b.Start("m", guess(time.Second), now)
	}
	if !b.Succeed("m", now) || b.Succeed("m", now) {
		t.Error("there is not one cooldown to end")
	}
	for range 2 {
		if !b.Acquire("m", now) {
			t.Error("not in use after a success")
		}
	}
	b.Start("m", guess(time.Second), now)
	wantUntil(t, b, "m", now, now.Add(time.Second))
}

// A stated time counts as it is. A guess does not shorten it, and requests that
// were under way do not lengthen one another's guess.
func TestStatedTimes(t *testing.T) {
	b := New()
	b.Start("m", Cooldown{Until: start.Add(time.Hour)}, start)
	b.Start("m", guess(time.Minute), start)
	wantUntil(t, b, "m", start, start.Add(time.Hour))
	b.Start("m", Cooldown{Until: start.Add(time.Second)}, start)
	wantUntil(t, b, "m", start, start.Add(time.Second))

	b.Start("n", guess(time.Minute), start)
	b.Start("n", guess(time.Minute), start)
	wantUntil(t, b, "n", start, start.Add(time.Minute))
}

// The cooldown of the whole is that of each name.
func TestAll(t *testing.T) {
	b := New()
	b.Start(All, guess(time.Minute), start)
	b.Start("m", guess(time.Second), start)
	wantUntil(t, b, "m", start, start.Add(time.Minute))
	wantUntil(t, b, "other", start, start.Add(time.Minute))
	now := start.Add(time.Minute)
	if !b.Acquire("m", now) || b.Acquire("other", now) || b.Acquire(All, now) {
		t.Error("a trial with one name is one of the whole")
	}
	if !b.Succeed("m", now) || !b.Acquire("other", now) || len(b.List(now)) != 0 {
		t.Error("a success with one name does not end the cooldown of the whole")
	}
}

func TestFailuresInARow(t *testing.T) {
	b, now := New(), start
	fail := func(want bool) {
		t.Helper()
		if got := b.Fail(3, guess(time.Second), now); got != want {
			t.Errorf("a cooldown begins: %v, want %v", got, want)
		}
	}
	fail(false)
	fail(false)
	b.Succeed(All, now)
	fail(false)
	fail(false)
	fail(true)
	now = now.Add(time.Second)
	b.Acquire(All, now)
	fail(false)
	wantUntil(t, b, All, now, now.Add(2*time.Second))
}

// A fixed cooldown ends when it was to end, however often what is used in spite
// of it fails; after its trial the next one is longer.
func TestFixed(t *testing.T) {
	b, now := New(), start
	c := guess(10 * time.Second)
	c.Fixed = true
	b.Fail(1, c, now)
	for _, length := range []time.Duration{10, 20, 40, 80, 80} {
		end := now.Add(length * time.Second)
		for now.Before(end) {
			if b.Fail(1, c, now) {
				t.Error("a cooldown begins while it is under way")
			}
			wantUntil(t, b, All, now, end)
			now = now.Add(time.Second)
		}
		b.Acquire(All, now)
		b.Fail(1, c, now)
	}
	b.Start(All, Cooldown{Until: now.Add(time.Second), Fixed: true}, now)
	wantUntil(t, b, All, now, now.Add(time.Second))
}

// As long as there is no cooldown nothing waits for a lock, also while failures
// are counted.
func TestNoLock(t *testing.T) {
	b := New()
	b.Fail(3, guess(time.Second), start)
	b.Fail(3, guess(time.Second), start)
	if n := b.Failures(); n != 2 {
		t.Errorf("%d failures in a row, want 2", n)
	}
	b.mu.Lock()
	done := make(chan struct{})
	go func() {
		defer close(done)
		b.Until("m", start)
		b.Acquire("m", start)
		b.Release("m")
	}()
	select {
	case <-done:
	case <-time.After(time.Minute):
		t.Error("a lock is waited for")
	}
	b.mu.Unlock()
	if b.Succeed(All, start) || b.Failures() != 0 {
		t.Error("a success does not end the failures in a row")
	}
}

// A trial whose outcome never comes does not last for ever.
func TestLostTrial(t *testing.T) {
	b := New()
	b.Start("m", guess(time.Second), start)
	now := start.Add(time.Second)
	b.Acquire("m", now)
	if b.Acquire("m", now.Add(trialTimeout-1)) || !b.Acquire("m", now.Add(trialTimeout)) {
		t.Error("the trial does not time out")
	}

	c := guess(time.Second)
	c.TrialTimeout = 10 * time.Second
	b.Start("n", c, start)
	b.Acquire("n", now)
	wantUntil(t, b, "n", now, now.Add(10*time.Second))
	if b.Acquire("n", now.Add(10*time.Second-1)) || !b.Acquire("n", now.Add(10*time.Second)) {
		t.Error("the trial does not time out when it shall")
	}
}

// Names from requests are bounded in number and length. They never displace
// names of the configuration, and what has ended is dropped.
func TestRequestedNames(t *testing.T) {
	b := New()
	requested := func(minutes int) Cooldown {
		return Cooldown{Until: start.Add(time.Duration(minutes) * time.Minute), Requested: true}
	}
	for i := range 100 {
		b.Start(fmt.Sprint("configured", i), Cooldown{Until: start.Add(time.Second)}, start)
	}
	for i := range 1000 {
		b.Start(fmt.Sprint("requested", i), requested(i+1), start)
	}
	if n := len(b.List(start)); n != 100+MaxRequested {
		t.Errorf("%d cooldowns, want %d", n, 100+MaxRequested)
	}
	wantUntil(t, b, "configured7", start, start.Add(time.Second))
	wantUntil(t, b, "requested999", start, start.Add(1000*time.Minute))
	wantUntil(t, b, "requested1", start, time.Time{})

	long := strings.Repeat("x", MaxNameLength+1)
	if b.Start(long, requested(1), start) || !b.Acquire(long, start) || !b.Start(long[1:], requested(1), start) {
		t.Error("the length of a name is not bounded")
	}

	b.List(start.Add(1000*time.Minute + forgetAfter + 1))
	if len(b.entries) != 0 || b.active.Load() {
		t.Errorf("%d entries are kept after all have ended", len(b.entries))
	}
}

// In whatever order the calls come: one trial at a time, no use before a
// cooldown ends, and bounded memory.
func TestRandomCalls(t *testing.T) {
	for seed := range uint64(100) {
		r := rand.New(rand.NewPCG(seed, 1))
		b, now := New(), start
		until, trial := make(map[string]time.Time), make(map[string]time.Time)
		for range 2000 {
			now = now.Add(time.Duration(r.IntN(3000)) * time.Millisecond)
			name := fmt.Sprint(r.IntN(5))
			switch r.IntN(5) {
			case 0:
				c := Cooldown{Until: now.Add(time.Duration(1+r.IntN(60)) * time.Second)}
				b.Start(name, c, now)
				until[name], trial[name] = c.Until, time.Time{}
			case 1:
				b.Release(name)
				trial[name] = time.Time{}
			case 2:
				b.Succeed(name, now)
				delete(until, name)
				trial[name] = time.Time{}
			case 3:
				b.Start(fmt.Sprint("requested", r.IntN(1000)), Cooldown{Until: now.Add(time.Hour), Requested: true}, now)
			default:
				want := !until[name].After(now) && !trial[name].After(now)
				if got := b.Acquire(name, now); got != want {
					t.Fatalf("seed %d: Acquire is %v, want %v", seed, got, want)
				}
				if _, known := until[name]; want && known && now.Sub(until[name]) <= forgetAfter {
					trial[name] = now.Add(trialTimeout)
				}
			}
			if len(b.entries) > 5+MaxRequested {
				t.Fatalf("seed %d: %d entries", seed, len(b.entries))
			}
		}
	}
}

func TestConcurrentTrials(t *testing.T) {
	b := New()
	b.Start("m", guess(time.Second), start)
	now := start.Add(time.Second)
	var wg sync.WaitGroup
	acquired := make(chan bool, 64)
	for range cap(acquired) {
		wg.Go(func() { acquired <- b.Acquire("m", now) })
	}
	wg.Wait()
	close(acquired)
	trials := 0
	for yes := range acquired {
		if yes {
			trials++
		}
	}
	if trials != 1 {
		t.Errorf("%d trials at once", trials)
	}
}

func BenchmarkAcquire(b *testing.B) {
	breaker := New()
	b.ReportAllocs()
	for b.Loop() {
		breaker.Acquire("m", start)
	}
}

// A group such as *:free is in cooldown for all of its names, and a success with
// one of them ends that.
func TestGroups(t *testing.T) {
	b := New()
	b.Start("*:free", guess(time.Minute), start)
	for name, want := range map[string]bool{"a:free": false, "b/c:free": false, "a": true, "a:freedom": true, "*:free": false, ":free": true} {
		if got := b.Acquire(name, start); got != want {
			t.Errorf("%q may be used: %v, want %v", name, got, want)
		}
	}
	b.Succeed("a:free", start)
	if !b.Acquire("b/c:free", start) {
		t.Error("a success with one name does not end the cooldown of its group")
	}
}

// Block knows guesses from stated times.
func TestBlock(t *testing.T) {
	b := New()
	check := func(name string, now time.Time, want Block) {
		t.Helper()
		if got := b.Block(name, now); got != want {
			t.Errorf("%q at %v: blocked until %v, guessed %v, %q, want %v, %v, %q", name, now.Sub(start),
				got.Until.Sub(start), got.Guessed, got.Reason, want.Until.Sub(start), want.Guessed, want.Reason)
		}
	}
	check("m", start, Block{Guessed: true})
	b.Start("m", guess(time.Minute), start)
	check("m", start, Block{start.Add(time.Minute), true, "guessed"})
	b.Start("m", Cooldown{Until: start.Add(time.Hour), Reason: "stated"}, start)
	check("m", start, Block{start.Add(time.Hour), false, "stated"})
	b.Start("m", guess(time.Minute), start)
	check("m", start, Block{start.Add(time.Hour), false, "guessed"}) // the guess has not shortened it
	b.Start(All, guess(2*time.Hour), start)
	check("m", start, Block{start.Add(2 * time.Hour), false, "guessed"})
	check("other", start, Block{start.Add(2 * time.Hour), true, "guessed"})
	end := start.Add(2 * time.Hour)
	b.Acquire("other", end)
	check("other", end, Block{end.Add(trialTimeout), true, "guessed"})
}

// The name's own cooldown counts where that of the whole does not matter.
func TestNameWithoutTheWhole(t *testing.T) {
	b := New()
	b.Start(All, guess(time.Hour), start)
	if got := b.BlockOfName("m", start); !got.Until.IsZero() {
		t.Errorf("blocked until %v", got.Until)
	}
	if !b.AcquireName("m", start) {
		t.Error("the cooldown of the whole is one of the name")
	}
	b.Start("m", guess(time.Minute), start)
	if got := b.BlockOfName("m", start); !got.Until.Equal(start.Add(time.Minute)) {
		t.Errorf("blocked until %v", got.Until)
	}
	if b.AcquireName("m", start) || b.AcquireName("m", start.Add(time.Minute-1)) {
		t.Error("used in its cooldown")
	}
	if !b.AcquireName("m", start.Add(time.Minute)) || b.AcquireName("m", start.Add(time.Minute)) {
		t.Error("not one trial after it")
	}
}

// What is in cooldown may be tried early, but not more often than stated, and a
// failure then does not put its end off.
func TestAcquireEarly(t *testing.T) {
	b := New()
	c := guess(time.Hour)
	c.Fixed = true
	b.Start("m", c, start)
	for _, test := range []struct {
		at       time.Duration
		interval time.Duration
		want     bool
	}{{29 * time.Second, 30 * time.Second, false}, {30 * time.Second, 30 * time.Second, true}, {59 * time.Second, 30 * time.Second, false}, {59 * time.Second, 0, true}} {
		now := start.Add(test.at)
		if got := b.AcquireEarly("m", now, test.interval); got != test.want {
			t.Errorf("after %v, at most every %v: %v, want %v", test.at, test.interval, got, test.want)
		}
	}
	b.Start("m", c, start.Add(59*time.Second))
	wantUntil(t, b, "m", start.Add(59*time.Second), start.Add(time.Hour))
}

// The failures of one conversation begin no cooldown, however many they are.
func TestFailuresOfOneConversation(t *testing.T) {
	b := New()
	for i := range 10 {
		if b.FailConversation(7, 3, guess(time.Second), start) {
			t.Errorf("failure %d of one conversation begins a cooldown", i+1)
		}
	}
	if !b.FailConversation(8, 3, guess(time.Second), start) {
		t.Error("the failure of a second conversation begins no cooldown")
	}
	b.Succeed(All, start)
	for i, conversation := range []uint64{7, 8} {
		if b.FailConversation(conversation, 3, guess(time.Second), start) {
			t.Errorf("failure %d begins a cooldown", i+1)
		}
	}
	b.ResetFailures()
	for i, conversation := range []uint64{7, 8} {
		if b.FailConversation(conversation, 3, guess(time.Second), start) {
			t.Errorf("failure %d after a reset begins a cooldown", i+1)
		}
	}
	if !b.FailConversation(7, 3, guess(time.Second), start) {
		t.Error("three failures in a row of two conversations begin no cooldown")
	}
}
