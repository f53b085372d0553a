package fastestswagger

import (
	"errors"
	"io"
	"math"
	"strings"
	"testing"
	"testing/iotest"
	"time"
)

func TestScore(t *testing.T) {
	p := &score{interval: 30 * time.Second}
	at := time.Now()
	load := func(after, took time.Duration) float64 {
		at = at.Add(after)
		_, r := p.recordPass(at, took)
		return r.mean
	}
	near := func(what string, got, want float64) {
		t.Helper()
		if math.Abs(got-want) > 1e-9 {
			t.Errorf("%s: %v s, want %v s", what, got, want)
		}
	}
	near("the first load", load(0, 100*time.Millisecond), .1)
	// Three intervals later the first counts half: (0.1/2 + 0.4) / 1.5
	near("after a half-life", load(90*time.Second, 400*time.Millisecond), .3)
	near("after a long time", load(100*time.Hour, 50*time.Millisecond), .05)
	for range 100 {
		load(30*time.Second, 200*time.Millisecond)
	}
	near("when nothing changes", load(30*time.Second, 200*time.Millisecond), .2)
	// A clock that is set back must not blow a load up.
	near("after the clock went back", load(-time.Hour, 200*time.Millisecond), .2)

	p.recordFailure(at, errors.New("on purpose"))
	near("the load after a failure", load(0, 30*time.Second), .2)
	if before, after := p.recordPass(at, 200*time.Millisecond); after.samples != before.samples+1 {
		t.Error("the second load after a failure is not in the score")
	}
}

func TestWinner(t *testing.T) {
	s, _ := ranked(t, .15, 100, 200)
	slow, fast := s.board.upstreams[1].score, s.board.upstreams[0].score
	is := func(what string, want *score) {
		t.Helper()
		if s.board.refresh(); s.board.winner != want {
			t.Errorf("%s: the wrong one wins", what)
		}
	}
	setMean := func(p *score, seconds float64) {
		p.sum, p.weight, p.record.mean = seconds, 1, seconds
	}
	is("at first", fast)
	setMean(slow, .09)
	is("faster, but within the margin", fast)
	setMean(slow, .0851)
	is("just within", fast)
	setMean(slow, .0849)
	is("faster by more than the margin", slow)
	setMean(fast, .08)
	is("no way back within the margin", slow)
	slow.recordFailure(s.clock.Now(), errors.New("on purpose"))
	is("the winner fails", fast)
	slow.recordPass(s.clock.Now(), time.Second)
	is("it is back within the margin", fast)
	fast.recordFailure(s.clock.Now(), errors.New("on purpose"))
	slow.recordFailure(s.clock.Now(), errors.New("on purpose"))
	if s.board.refresh(); s.board.standings().winner != nil {
		t.Error("all fail, and yet one wins")
	}

	s.board.margin = 0
	fast.recordPass(s.clock.Now(), time.Second)
	slow.recordPass(s.clock.Now(), time.Second)
	setMean(fast, .1)
	setMean(slow, .0999)
	is("without a margin the fastest is next", slow)
	setMean(fast, .0998)
	is("without a margin the fastest is next, again", fast)
}

// Who wins by no more than the margin still wins after a reload.
func TestWinnerOutlivesReload(t *testing.T) {
	s, pool := ranked(t, .15, 100, 90)
	s.board.upstreams[0].score.recordWin(s.clock.Now().Add(time.Second))
	s.board.winner = nil // as in a new configuration
	s.board.refresh()
	if u := s.Select(pool, request(t), nil); u != pool[0] {
		t.Error("the winner within the margin was replaced")
	}
}

func TestBeginLoad(t *testing.T) {
	p := &score{interval: 30 * time.Second, changed: make(chan struct{}, 1)}
	now := time.Now()
	if wait := p.beginLoad(now); wait != 0 {
		t.Fatalf("the first load is due in %v, want at once", wait)
	}
	if wait := p.beginLoad(now); wait < 27*time.Second || wait > 33*time.Second {
		t.Errorf("another caller waits %v, want an interval", wait)
	}
	now = now.Add(time.Minute)
	if wait := p.beginLoad(now); wait == 0 {
		t.Error("two loads at once")
	}
	p.recordPass(now, time.Second)
	if wait := p.beginLoad(now.Add(34 * time.Second)); wait != 0 {
		t.Errorf("it is due in %v, want now", wait)
	}
	p.abandonLoad()
	if wait := p.beginLoad(now); wait != 0 {
		t.Errorf("after a load was abandoned it is due in %v, want now", wait)
	}
	if len(p.changed) != 1 {
		t.Error("those who wait were not told")
	}
}

func TestReadPage(t *testing.T) {
	const text = "swagger-ui"
	broken := errors.New("broken")
	for name, test := range map[string]struct {
		page io.Reader
		text string
		want error
	}{
		"no text":                {strings.NewReader("abc"), "", nil},
		"nothing":                {strings.NewReader(""), "", nil},
		"text in nothing":        {strings.NewReader(""), text, errNoText},
		"text":                   {strings.NewReader("<title>swagger-ui</title>"), text, nil},
		"text byte by byte":      {iotest.OneByteReader(strings.NewReader("swswagger-ui")), text, nil},
		"text in halves":         {iotest.HalfReader(strings.NewReader(strings.Repeat("-", readBufferSize-3) + text)), text, nil},
		"part of the text":       {iotest.OneByteReader(strings.NewReader("swagger-u swagger-u")), text, errNoText},
		"text after large part":  {strings.NewReader(strings.Repeat("-", 99_990) + text), text, nil},
		"one byte too many":      {strings.NewReader(strings.Repeat("-", 100_001)), "", errTooLarge},
		"error behind the text":  {io.MultiReader(strings.NewReader(text), iotest.ErrReader(broken)), text, broken},
		"end with the last byte": {iotest.DataErrReader(strings.NewReader(text)), text, nil},
		"text as long as a page": {strings.NewReader(strings.Repeat("x", 99_999)), strings.Repeat("x", 99_999), nil},
	} {
		t.Run(name, func(t *testing.T) {
			if err := readPage(test.page, 100_000, test.text); !errors.Is(err, test.want) {
				t.Errorf("got %v, want %v", err, test.want)
			}
		})
	}
}
