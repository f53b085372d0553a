package cooldown

import (
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
)

// visible is what a Breaker says of its names.
func visible(b *Breaker, now time.Time) string {
	var s strings.Builder
	for _, state := range b.List(now) {
		fmt.Fprintf(&s, "%q until %v guessed %v (%s)\n", state.Name, state.Until.Sub(start), state.Guessed, state.Reason)
	}
	return s.String()
}

// decisions returns random decisions of several processes, whose clocks differ
// by less than is believed, with many at the same time.
func decisions(r *rand.Rand, n int) []Decision {
	all := make([]Decision, n)
	for i := range all {
		at := start.Add(time.Duration(r.IntN(20)) * time.Second)
		d := Decision{
			Name: []string{All, "m", "x:free", "*:free"}[r.IntN(4)], DecidedAt: at,
			Until: at.Add(time.Duration(61+r.IntN(5)*600) * time.Second), Guessed: r.IntN(2) == 0,
			Length: time.Duration(r.IntN(3)) * time.Minute, Reason: fmt.Sprint("reason ", r.IntN(3)), Requested: r.IntN(2) == 0,
		}
		switch r.IntN(6) {
		case 0: // a success, or a lift of one name
			d = Decision{Name: d.Name, DecidedAt: at, Until: at, Covers: at.Add(time.Hour)}
		case 1:
			d = Decision{Everything: true, DecidedAt: at, Until: at, Covers: at.Add(time.Hour)}
		}
		all[i] = d
	}
	return all
}

// want computes what counts from the definition: of each name the latest
// decision, and of those at one time that which ends first.
func want(all []Decision, now time.Time) string {
	latest, lifted := make(map[string]Decision), time.Time{}
	for _, d := range all {
		if d.Everything {
			lifted = later(lifted, d.DecidedAt)
			continue
		}
		if known, ok := latest[d.Name]; !ok || d.compare(known) > 0 {
			latest[d.Name] = d
		}
	}
	b := New()
	for name, d := range latest {
		if d.DecidedAt.After(lifted) && !d.lifts() {
			b.Start(name, Cooldown{Until: d.Until, Reason: d.Reason}, now)
			b.entries[name].guessed = d.Guessed
		}
	}
	return visible(b, now)
}

// The latest decision counts, in whatever order and however often they come.
func TestMerge(t *testing.T) {
	now := start.Add(30 * time.Second)
	for seed := range uint64(3000) {
		r := rand.New(rand.NewPCG(seed, 1))
		all := decisions(r, 1+r.IntN(12))
		expected := want(all, now)
		for range 4 {
			r.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
			b := New()
			for _, d := range append(all, all[:r.IntN(len(all))]...) {
				b.Apply(d, r.IntN(2) == 0, now)
			}
			if got := visible(b, now); got != expected {
				t.Fatalf("seed %d: got\n%swant\n%sof %+v", seed, got, expected, all)
			}
		}
	}
}

// Processes that exchange their decisions within each minute, every one keeping
// only its own, agree in the end, and what was lifted does not come back.
func TestExchange(t *testing.T) {
	for seed := range uint64(500) {
		r := rand.New(rand.NewPCG(seed, 2))
		bs := []*Breaker{New(), New(), New()}
		files := make([][]Decision, len(bs))
		now := start
		exchange := func() {
			for _, i := range r.Perm(len(bs)) {
				files[i] = bs[i].Decisions(now)
				for _, file := range files {
					for _, d := range file {
						bs[i].Apply(d, false, now)
					}
				}
			}
		}
		for range 60 {
			for range r.IntN(4) {
				now = now.Add(time.Duration(r.IntN(10)) * time.Second)
				act(r, bs[r.IntN(len(bs))], now)
			}
			exchange()
		}
		now = now.Add(Lasting) // shorter cooldowns are not exchanged
		exchange()
		exchange()
		for i, b := range bs[1:] {
			if got, want := visible(b, now), visible(bs[0], now); got != want {
				t.Fatalf("seed %d: process %d has\n%sthe first has\n%s", seed, i+1, got, want)
			}
		}
	}
}

// act lets a process do something.
func act(r *rand.Rand, b *Breaker, now time.Time) {
	name := []string{All, "m", "n"}[r.IntN(3)]
	switch r.IntN(6) {
	case 0:
		b.Start(name, Cooldown{Until: now.Add(time.Duration(1+r.IntN(3600)) * time.Second)}, now)
	case 1:
		b.Start(name, Cooldown{Length: 10 * time.Minute, MaxLength: time.Hour}, now)
	case 2:
		b.Acquire(name, now)
	case 3:
		b.Succeed(name, now)
	case 4:
		b.Lift(name, now)
	case 5:
		b.LiftEverything(now)
	}
}

// A lift or a success here counts for a process whose clock is ahead, too.
func TestClocksThatDiffer(t *testing.T) {
	ahead := start.Add(5 * time.Minute)
	a, b := New(), New()
	a.Start("m", Cooldown{Until: start.Add(time.Hour)}, ahead)
	for _, d := range a.Decisions(ahead) {
		b.Apply(d, false, start)
	}
	if !b.Succeed("m", start) {
		t.Error("the cooldown from elsewhere is not known")
	}
	for _, d := range b.Decisions(start) {
		a.Apply(d, false, ahead)
	}
	if got := visible(a, ahead); got != "" {
		t.Errorf("after the success: %s", got)
	}
	b.Start("m", Cooldown{Until: start.Add(2 * time.Hour)}, start)
	for _, d := range b.Decisions(start) {
		a.Apply(d, false, ahead)
	}
	if got, want := a.Until("m", ahead), start.Add(2*time.Hour); !got.Equal(want) {
		t.Errorf("in cooldown until %v, want %v", got, want)
	}
}

// What is kept: cooldowns that end more than a minute after their decision, and
// what ends such a one early, as long as it could come back.
func TestDecisions(t *testing.T) {
	b, now := New(), start
	names := func() (names []string) {
		for _, d := range b.Decisions(now) {
			names = append(names, d.Name)
		}
		slices.Sort(names)
		return names
	}
	check := func(what string, want ...string) {
		t.Helper()
		if got := names(); !slices.Equal(got, want) {
			t.Errorf("%s: %q are kept, want %q", what, got, want)
		}
	}
	b.Start("short", Cooldown{Until: now.Add(time.Minute)}, now)
	check("a minute")
	b.Start("m", Cooldown{Until: now.Add(time.Hour)}, now)
	b.Start(strings.Repeat("x", MaxNameLength+1), Cooldown{Until: now.Add(time.Hour)}, now)
	check("an hour", "m")
	b.Start("m", Cooldown{Until: now.Add(time.Second)}, now)
	check("a second in the place of an hour", "m")
	b.Succeed("m", now)
	check("a success in its place", "m")
	b.Succeed("short", now)
	check("the success of a short one", "m")
	now = now.Add(time.Hour)
	check("after the hour")
	b.Lift("n", now)
	check("a lift of what is not known", "n")
	now = now.Add(liftCovers)
	check("after its time")
}

// A Breaker says that there is something to keep, and only then.
func TestNotifies(t *testing.T) {
	changed := make(chan struct{}, 1)
	b := NewNotifying(changed)
	check := func(what string, want bool) {
		t.Helper()
		select {
		case <-changed:
			if !want {
				t.Errorf("%s: notified", what)
			}
		default:
			if want {
				t.Errorf("%s: not notified", what)
			}
		}
	}
	b.Start("m", Cooldown{Until: start.Add(time.Second)}, start)
	check("a short cooldown", false)
	b.Succeed("m", start)
	check("its end", false)
	b.Start("m", Cooldown{Until: start.Add(time.Hour)}, start)
	b.Start("n", Cooldown{Until: start.Add(time.Hour)}, start)
	check("long cooldowns", true)
	b.Succeed("m", start)
	check("the end of one", true)
	b.LiftEverything(start)
	check("a lift", true)
	b.Apply(Decision{Name: "m", DecidedAt: start.Add(time.Second), Until: start.Add(time.Hour)}, false, start)
	check("a decision from elsewhere", false)
}

func TestLift(t *testing.T) {
	b := New()
	fill := func() {
		for _, name := range []string{All, "m", "n"} {
			b.Start(name, Cooldown{Until: start.Add(time.Hour)}, start)
		}
		b.Start("short", guess(time.Second), start)
	}
	fill()
	if n := b.Lift("m", start); n != 1 {
		t.Errorf("%d lifted, want 1", n)
	}
	if n := b.Lift("m", start); n != 0 {
		t.Errorf("%d lifted the second time, want 0", n)
	}
	if n := b.LiftEverything(start); n != 3 {
		t.Errorf("%d lifted, want 3", n)
	}
	for _, name := range []string{All, "m", "n", "short"} {
		if until := b.Until(name, time.Time{}); !until.IsZero() {
			t.Errorf("%q is not in use after the lift: %v", name, until)
		}
	}
	fill()
	if got := len(b.List(start)); got != 4 {
		t.Errorf("%d cooldowns after the lift, want 4", got)
	}
	now := start.Add(time.Second)
	if n := b.LiftEverything(now); n != 3 {
		t.Errorf("%d lifted, want 3: the time of the short one is over", n)
	}
}

// The doubling of a guess goes on after a decision from elsewhere.
func TestLengthFromElsewhere(t *testing.T) {
	a, b, now := New(), New(), start
	c := Cooldown{Length: 10 * time.Minute, MaxLength: 24 * time.Hour}
	a.Start(All, c, now)
	for range 2 {
		now = a.Until(All, now)
		a.Acquire(All, now)
		a.Start(All, c, now)
	}
	for _, d := range a.Decisions(now) {
		b.Apply(d, false, now)
	}
	now = b.Until(All, now)
	b.Acquire(All, now)
	b.Start(All, c, now)
	wantUntil(t, b, All, now, now.Add(80*time.Minute))
}

// What no process can have decided is ignored, and nothing makes a Breaker grow
// without bounds.
func TestImpossible(t *testing.T) {
	good := Decision{Name: "m", DecidedAt: start, Until: start.Add(time.Hour), Length: time.Hour}
	far := time.Date(9999, 1, 1, 0, 0, 0, 0, time.UTC)
	for name, change := range map[string]func(*Decision){
		"a name that is too long":   func(d *Decision) { d.Name = strings.Repeat("x", MaxNameLength+1) },
		"decided in the future":     func(d *Decision) { d.DecidedAt = start.Add(longestSkew + 1) },
		"no time":                   func(d *Decision) { d.DecidedAt = time.Time{} },
		"an end that is too far":    func(d *Decision) { d.Until = far },
		"covering for too long":     func(d *Decision) { d.Covers = far },
		"expired":                   func(d *Decision) { d.Until = start },
		"everything, in the future": func(d *Decision) { d.Everything, d.DecidedAt = true, far },
	} {
		d, b := good, New()
		change(&d)
		if b.Apply(d, false, start) || visible(b, start) != "" {
			t.Errorf("%s: applied: %s", name, visible(b, start))
		}
	}
	b := New()
	good.Length, good.Reason = -1, strings.Repeat("é", 1000)
	if !b.Apply(good, false, start) {
		t.Fatal("a good decision is not applied")
	}
	e := b.entries["m"]
	if e.length != 0 {
		t.Errorf("a length of %v", e.length)
	}
	if len(e.Reason) > maxReason || !strings.HasPrefix(good.Reason, e.Reason) {
		t.Errorf("a reason of %d bytes", len(e.Reason))
	}
	for i := range 5000 {
		d := good
		d.Name, d.Requested = fmt.Sprint("model ", i), i%2 == 0
		b.Apply(d, i%3 == 0, start)
		d.Name, d.Until, d.Covers = fmt.Sprint("lift ", i), d.DecidedAt, start.Add(time.Hour)
		b.Apply(d, i%3 == 0, start)
	}
	if len(b.entries) > maxNames || len(b.lifts) > MaxRequested {
		t.Errorf("%d cooldowns and %d lifts, want at most %d and %d", len(b.entries), len(b.lifts), maxNames, MaxRequested)
	}
}

// An earlier decision does not come back when a later and shorter one is over,
// whichever came first.
func TestNothingComesBack(t *testing.T) {
	long := Decision{Name: "m", DecidedAt: start, Until: start.Add(2 * time.Hour)}
	at := start.Add(time.Second)
	for name, d := range map[string]Decision{
		"a shorter one": {Name: "m", DecidedAt: at, Until: at.Add(2 * time.Minute)},
		"a lift":        {Name: "m", DecidedAt: at, Until: at, Covers: at.Add(2 * time.Minute)},
		"a lift of all": {Everything: true, DecidedAt: at, Until: at, Covers: at.Add(2 * time.Minute)},
	} {
		for _, order := range [][]Decision{{long, d}, {d, long}} {
			b := New()
			for _, d := range order {
				b.Apply(d, false, at)
			}
			later := start.Add(time.Hour)
			b.List(later) // forgets
			if b.Apply(long, false, later) || visible(b, later) != "" {
				t.Errorf("%s: the earlier one is back (order %v)", name, order)
			}
		}
	}
}

// A process that takes over a decision keeps it; until then the other does.
func TestTakeOver(t *testing.T) {
	d := Decision{Name: "m", DecidedAt: start, Until: start.Add(time.Hour), Reason: "r"}
	lifted := Decision{Name: "n", DecidedAt: start, Until: start, Covers: start.Add(time.Hour)}
	all := Decision{Everything: true, DecidedAt: start.Add(-1), Until: start.Add(-1), Covers: start.Add(time.Hour)}
	b := New()
	for _, own := range []bool{false, true} {
		for _, d := range []Decision{d, lifted, all} {
			b.Apply(d, own, start)
		}
		got := b.Decisions(start)
		if !own && len(got) != 0 {
			t.Errorf("kept while another process keeps them: %+v", got)
		}
		if own && len(got) != 3 {
			t.Errorf("%d kept, want 3: %+v", len(got), got)
		}
	}
	d.Name = "elsewhere"
	b.Apply(d, false, start)
	d.Name = "m"
	for _, got := range b.Decisions(start) {
		if got.Name == "elsewhere" {
			t.Error("kept although another process keeps it")
		}
		if got.Name == "m" && !reflect.DeepEqual(got, d) {
			t.Errorf("kept %+v, want %+v", got, d)
		}
	}
}

func BenchmarkDecisionsNone(b *testing.B) {
	breaker := New()
	for b.Loop() {
		breaker.Decisions(start)
	}
}
