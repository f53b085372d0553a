package history

import (
	"bytes"
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/caddyserver/certmagic"
	"github.com/jonboulle/clockwork"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"github.com/caddy-freetier/caddy-freetier/internal/status"
)

// silentPasses is after how many passes a process is taken for dead.
const silentPasses = int(silentFor / every)

var noon = time.Date(2027, 3, 4, 12, 10, 0, 0, time.UTC)

// process is a process with a history on a storage.
type process struct {
	*Keeper
	clock *clockwork.FakeClock
	logs  *observer.ObservedLogs
}

func newTestProcess(dir string, clock *clockwork.FakeClock) *process {
	core, logs := observer.New(zap.InfoLevel)
	p := &process{&Keeper{History: New(), Storage: &certmagic.FileStorage{Path: dir}, Clock: clock, Logger: zap.New(core)}, clock, logs}
	p.Start()
	return p
}

func (p *process) ping(ok bool) {
	p.History.Record(status.Sample{Kind: status.SampleTarget, Name: "api", At: p.clock.Now(), OK: ok, Latency: 40 * time.Millisecond})
}

// counted returns how many pings are known, and how many of them were good.
func (p *process) counted() (all, good int) {
	p.History.mu.Lock()
	defer p.History.mu.Unlock()
	of := id{status.SampleTarget, "api"}
	var known []*series
	if s := p.History.own.series[of]; s != nil {
		known = append(known, s)
	}
	for _, o := range p.History.others {
		if s := o.series[of]; s != nil && !p.History.taken(o.process) {
			known = append(known, s)
		}
	}
	t := total(known, func(s *series) points { return s.coarse })
	return t.ok + t.failed, t.ok
}

func TestDay(t *testing.T) {
	h := New()
	record := func(ago time.Duration, ok, cold bool, latency time.Duration) {
		h.Record(status.Sample{Kind: status.SampleTarget, Name: "api", At: noon.Add(-ago), OK: ok, Cold: cold, Latency: latency})
	}
	record(25*time.Hour, false, false, 0) // counts for the month only
	record(23*time.Hour, true, false, 100*time.Millisecond)
	record(23*time.Hour-time.Minute, true, false, 300*time.Millisecond)
	record(2*time.Hour, true, true, 9*time.Second)
	record(70*time.Minute, true, false, 0)
	record(69*time.Minute, false, false, 0)
	record(time.Minute, false, false, 0)
	got := h.Of(status.SampleTarget, "api", noon)
	want := strings.Repeat("-", 48)
	for at, mark := range map[int]string{1: ".", 43: "c", 45: "~", 47: "x"} {
		want = want[:at] + mark + want[at+1:]
	}
	if got.Day != want {
		t.Errorf("the day is\n%s, want\n%s", got.Day, want)
	}
	if ms := got.Latencies; len(ms) != 48 || ms[0] != nil || ms[1] == nil || *ms[1] != 200 || ms[43] == nil || *ms[43] != 9000 {
		t.Errorf("the latencies are %v", ms)
	}
	if got.UptimeDay == nil || math.Abs(*got.UptimeDay-4./6) > 1e-9 || got.UptimeMonth == nil || math.Abs(*got.UptimeMonth-4./7) > 1e-9 {
		t.Errorf("uptime %v of the day, %v of the month", *got.UptimeDay, *got.UptimeMonth)
	}
	if other := h.Of(status.SampleUpstream, "api", noon); other.UptimeDay != nil || other.Day != strings.Repeat("-", 48) || other.Latencies == nil {
		t.Errorf("another kind: %+v", other)
	}
}

// However often is pinged, and for how long, a series has as many points as fit
// into a day and a month.
func TestBounds(t *testing.T) {
	h := New()
	at := noon
	for range 40 * 24 * 60 {
		at = at.Add(time.Minute)
		h.Record(status.Sample{Kind: status.SampleTarget, Name: "api", At: at, OK: true})
		if at.Minute() == 0 {
			h.own.prune(at)
		}
	}
	for i := range 2 * maxSeries {
		h.Record(status.Sample{Kind: status.SampleTarget, Name: fmt.Sprint(i), At: at})
		h.AddEvent(status.Event{At: at, Subject: strings.Repeat("é", maxName), Message: strings.Repeat("x", 10_000)})
	}
	s := h.own.series[id{status.SampleTarget, "api"}]
	if fine, coarse := len(s.fine), len(s.coarse); fine < 288 || fine > 306 || coarse < 744 || coarse > 746 {
		t.Errorf("%d points of the day, %d of the month", fine, coarse)
	}
	if n := len(h.own.series); n != maxSeries {
		t.Errorf("%d series", n)
	}
	if n := len(h.own.events); n != status.MaxEvents || len(h.own.events[0].Message) > maxName || strings.ContainsRune(h.own.events[0].Subject, '�') {
		t.Errorf("%d events: %+v", n, h.own.events[0])
	}
	if up := h.Of(status.SampleTarget, "api", at).UptimeMonth; up == nil || *up != 1 {
		t.Errorf("uptime %v", up)
	}
}

// A file has all of a history, and one that was changed is not read.
func TestFiles(t *testing.T) {
	clock := clockwork.NewFakeClockAt(noon)
	p := newTestProcess(t.TempDir(), clock)
	for i := range 100 {
		p.ping(i%3 > 0)
		clock.Advance(7 * time.Minute)
	}
	p.History.AddEvent(status.Event{At: noon, Kind: status.EventDown, Subject: "api", Message: "api is down"})
	body, err := p.History.own.encode(noon, true)
	if err != nil {
		t.Fatal(err)
	}
	raw := kind.Format.Encode(body)
	f, err := kind.Parse(p.History.own.process, raw)
	if err != nil || !f.Ended {
		t.Fatalf("%+v, %v", f, err)
	}
	again, err := f.Content.encode(noon, true)
	if err != nil || !bytes.Equal(body, again) {
		t.Errorf("decoded and encoded again it is another file (%v)", err)
	}
	for i := range raw {
		changed := bytes.Clone(raw)
		changed[i] ^= 1
		if _, err := kind.Parse(p.History.own.process, changed); err == nil {
			t.Fatalf("byte %d is changed, and the file is read", i)
		}
		if _, err := kind.Parse(p.History.own.process, raw[:i]); err == nil {
			t.Fatalf("the first %d bytes are read", i)
		}
	}
}

// Processes that begin, ping, end in order or not, and come and go at any time,
// never count a ping twice, and lose only those that a killed process has not
// written.
func TestProcesses(t *testing.T) {
	for seed := range uint64(8) {
		rng := rand.New(rand.NewPCG(seed, 1))
		dir, clock := t.TempDir(), clockwork.NewFakeClockAt(noon)
		sent, unwritten := 0, make(map[*process]int)
		live := []*process{newTestProcess(dir, clock)}
		for range 120 {
			i := rng.IntN(len(live))
			p := live[i]
			switch n := rng.IntN(20); {
			case n < 10:
				p.ping(true)
				sent++
				unwritten[p]++
			case n < 17:
				clock.Advance(time.Minute)
				p.pass(context.Background(), time.Minute, false)
				unwritten[p] = 0
			case n == 17 && len(live) < 4:
				live = append(live, newTestProcess(dir, clock))
			case n == 18 && len(live) > 1: // in order
				p.Stop(true)
				live = append(live[:i], live[i+1:]...)
			case n == 19 && len(live) > 1: // killed
				sent -= unwritten[p]
				live = append(live[:i], live[i+1:]...)
			}
		}
		for range silentPasses + 3 {
			clock.Advance(every)
			for _, p := range live {
				p.pass(context.Background(), time.Minute, false)
			}
		}
		for i, p := range live {
			if all, _ := p.counted(); all != sent {
				t.Errorf("seed %d: process %d of %d counts %d pings, want %d", seed, i, len(live), all, sent)
			}
		}
		files, err := filepath.Glob(filepath.Join(dir, kind.Folder, "*"+kind.Suffix))
		if err != nil || len(files) > len(live) {
			t.Errorf("seed %d: %d processes have %d files (%v)", seed, len(live), len(files), err)
		}
	}
}

// A process that was taken for dead goes on under another name, and what it had
// written counts once.
func TestTakenForDead(t *testing.T) {
	dir, clock := t.TempDir(), clockwork.NewFakeClockAt(noon)
	sleeper, other := newTestProcess(dir, clock), newTestProcess(dir, clock)
	for range 5 {
		sleeper.ping(true)
	}
	sleeper.pass(t.Context(), time.Minute, false)
	for range silentPasses + 2 {
		clock.Advance(every)
		other.pass(t.Context(), time.Minute, false)
	}
	if all, _ := other.counted(); all != 5 {
		t.Fatalf("the other counts %d pings, want 5", all)
	}
	before := sleeper.History.own.process
	for range 3 {
		sleeper.pass(t.Context(), time.Minute, false)
		sleeper.ping(false)
		other.pass(t.Context(), time.Minute, false)
	}
	sleeper.pass(t.Context(), time.Minute, false)
	other.pass(t.Context(), time.Minute, false)
	if sleeper.History.own.process == before {
		t.Error("it still has its old name")
	}
	for name, p := range map[string]*process{"sleeper": sleeper, "other": other} {
		if all, good := p.counted(); all != 8 || good != 5 {
			t.Errorf("%s counts %d pings, %d of them good; want 8 and 5", name, all, good)
		}
	}
}

// What is no history stays as it is; what was one is quarantined. Nothing of it
// keeps the others from being read.
func TestForeignFiles(t *testing.T) {
	dir, clock := t.TempDir(), clockwork.NewFakeClockAt(noon)
	p := newTestProcess(dir, clock)
	p.ping(true)
	p.Stop(false)
	own, err := os.ReadFile(filepath.Join(dir, kind.Key(p.History.own.process)))
	if err != nil {
		t.Fatal(err)
	}
	put := func(name string, content []byte) string {
		path := filepath.Join(dir, kind.Folder, name+kind.Suffix)
		if err := os.WriteFile(path, content, 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	note := put("note", []byte("not a history"))
	newer := put("newer", []byte(kind.Format.Magic+" 99 whatever\n"))
	renamed := put("renamed", own)
	broken := put("broken", own[:len(own)-1])
	if err := os.Mkdir(filepath.Join(dir, kind.Folder, "folder"+kind.Suffix), 0o700); err != nil {
		t.Fatal(err)
	}
	q := newTestProcess(dir, clock)
	for range silentPasses + 2 {
		clock.Advance(every)
		p.pass(t.Context(), time.Minute, false)
		q.pass(t.Context(), time.Minute, false)
	}
	if all, _ := q.counted(); all != 1 {
		t.Errorf("%d pings are known, want 1", all)
	}
	for _, path := range []string{note, newer, renamed, broken + ".bad"} {
		if _, err := os.Stat(path); err != nil {
			t.Error(err)
		}
	}
	if _, err := os.Stat(broken); err == nil {
		t.Error("the broken file is still there")
	}
	if n := q.logs.FilterMessageSnippet("ignored").Len(); n != 4 {
		t.Errorf("%d warnings of ignored files, want 4", n)
	}
	if n := p.logs.FilterMessageSnippet("quarantined").Len() + q.logs.FilterMessageSnippet("quarantined").Len(); n != 1 {
		t.Errorf("%d warnings of quarantined files, want 1", n)
	}
}

// hanging is a storage that does not answer.
type hanging struct{ certmagic.Storage }

func (hanging) List(context.Context, string, bool) ([]string, error) { select {} }

// A storage that hangs costs a moment at start and stop, and one warning.
func TestHangingStorage(t *testing.T) {
	core, logs := observer.New(zap.InfoLevel)
	k := &Keeper{History: New(), Storage: hanging{}, Clock: clockwork.NewRealClock(), Logger: zap.New(core)}
	k.pass(t.Context(), 10*time.Millisecond, false)
	k.pass(t.Context(), 10*time.Millisecond, false)
	if n := logs.FilterMessageSnippet("storage unavailable").Len(); n != 1 || logs.Len() != 1 {
		t.Errorf("%d warnings, want 1: %v", n, logs.All())
	}
}

// While a long history is compressed, pings and changes are recorded: requests wait
// for those. So most of the time the lock is free, however the machine shares its time
// among the two goroutines.
func TestRecordWhileWriting(t *testing.T) {
	p := newTestProcess(t.TempDir(), clockwork.NewFakeClockAt(noon))
	for i := range 300 {
		for hours := range 31 * 24 {
			p.History.Record(status.Sample{
				Kind: status.SampleTarget, Name: fmt.Sprint(i), At: noon.Add(-time.Duration(hours) * time.Hour), OK: true,
				Latency: time.Duration(rand.Uint32()),
			})
		}
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		p.pass(t.Context(), time.Minute, false)
	}()
	free, held := 0, 0
	for writing := true; writing; {
		select {
		case <-done:
			writing = false
		case <-time.After(time.Millisecond):
		}
		if p.History.mu.TryLock() {
			p.History.mu.Unlock()
			free++
		} else {
			held++
		}
	}
	if held > free/2 {
		t.Errorf("the lock was held %d times, and free %d times", held, free)
	}
}

// A file of the first version is read.
func TestFirstVersion(t *testing.T) {
	const name = "1e3620418261d0aa"
	raw, err := os.ReadFile(filepath.Join("testdata", name+kind.Suffix))
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	if err := (&certmagic.FileStorage{Path: dir}).Store(t.Context(), kind.Key(name), raw); err != nil {
		t.Fatal(err)
	}
	p := newTestProcess(dir, clockwork.NewFakeClockAt(noon.Add(time.Hour)))
	if all, good := p.counted(); all != 5 || good != 3 {
		t.Errorf("%d pings are known, %d of them good; want 5 and 3", all, good)
	}
	if events := p.History.Events(); len(events) != 1 || events[0].Subject != "api" {
		t.Errorf("the events are %+v", events)
	}
	if _, ok := p.History.own.absorbed[name]; !ok {
		t.Error("the file of a process that has ended is not absorbed")
	}
}

// An event from the future, which a wrong clock has left, goes with the next write: it
// would be the newest for ever.
func TestEventsFromTheFuture(t *testing.T) {
	dir := t.TempDir()
	p := newTestProcess(dir, clockwork.NewFakeClockAt(noon))
	for message, at := range map[string]time.Time{"now": noon, "a clock that differs": noon.Add(coarse), "far ahead": noon.AddDate(50, 0, 0)} {
		p.History.AddEvent(status.Event{At: at, Kind: status.EventDown, Subject: "api", Message: message})
	}
	p.Stop(true)
	next := newTestProcess(dir, clockwork.NewFakeClockAt(noon))
	next.pass(context.Background(), passLimit, false)
	for _, h := range []*History{p.History, next.History} {
		events := h.Events()
		if len(events) != 2 || events[0].Message != "a clock that differs" || events[1].Message != "now" {
			t.Errorf("the events are %v, want all but the one far ahead", events)
		}
	}
}
