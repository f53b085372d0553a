package fastestswagger

import (
	"context"
	"slices"
	"sync"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
)

const (
	// maxLearned bounds how many dynamic upstreams are measured.
	maxLearned = 256
	// lap is how exactly the package awake knows of requests, and how often
	// dynamic upstreams are looked through.
	lap = time.Minute
	// forgetAfter is when a dynamic upstream that no request has met is
	// forgotten; Caddy itself remembers one as long.
	forgetAfter = time.Hour
)

// run measures the pool until the configuration ends. Each upstream has a
// watcher of its own, so one that hangs delays no other.
func (s *Selection) run(ctx context.Context) {
	s.transport = s.parent.Transport
	s.running.Store(true)
	defer s.running.Store(false)

	var watchers sync.WaitGroup
	defer watchers.Wait()
	for _, m := range s.staticMembers() {
		watchers.Go(func() { s.watch(ctx, m) })
	}
	laps := s.clock.NewTicker(lap)
	defer laps.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case u := <-s.unseen:
			if m := s.welcome(u); m != nil {
				own, stop := context.WithCancel(ctx)
				m.stop = stop
				watchers.Go(func() { s.watch(own, m) })
			}
		case m := <-s.wishes:
			watchers.Go(func() { s.rouse(ctx, m) })
		case <-laps.Chan():
			s.forget()
		}
	}
}

// staticMembers returns the static members that can be measured, one for each page.
func (s *Selection) staticMembers() []*member {
	s.mu.Lock()
	defer s.mu.Unlock()
	var watched []*member
	for _, m := range s.members {
		if m.page != nil && !slices.ContainsFunc(watched, func(w *member) bool { return w.page == m.page }) {
			watched = append(watched, m)
		}
	}
	return watched
}

// welcome makes a member of a dynamic upstream. It returns nil when there is
// nothing to watch.
func (s *Selection) welcome(u stranger) *member {
	s.mu.Lock()
	known := slices.ContainsFunc(s.members, func(m *member) bool { return m.dial == u.dial })
	full := len(s.members) >= len(s.parent.Upstreams)+maxLearned
	s.mu.Unlock()
	if known || full {
		return nil
	}
	m := s.newMember(u.dial, nil, u.host)
	m.lastSeen = s.clock.Now()
	s.mu.Lock()
	s.members = append(s.members, m)
	s.mu.Unlock()
	s.refresh()
	if m.page == nil {
		return nil
	}
	return m
}

// forget begins a new lap and drops the dynamic upstreams that no request has
// met for long.
func (s *Selection) forget() {
	now := s.clock.Now()
	var gone []*member
	s.mu.Lock()
	s.members = slices.DeleteFunc(slices.Clone(s.members), func(m *member) bool {
		m.used.Store(false)
		m.wished.Store(false)
		if m.upstream != nil {
			return false
		}
		if m.seen.Swap(false) {
			m.lastSeen = now
		}
		if now.Sub(m.lastSeen) < forgetAfter {
			return false
		}
		gone = append(gone, m)
		return true
	})
	s.mu.Unlock()
	for _, m := range gone {
		if m.stop != nil {
			m.stop()
		}
		s.dropPage(m)
	}
	if len(gone) > 0 {
		s.refresh()
	}
}

// watch loads a member's page whenever it is due.
func (s *Selection) watch(ctx context.Context, m *member) {
	s.restore(ctx, m)
	defer s.save(ctx, m, true)
	for ctx.Err() == nil {
		if wait := m.page.claim(s.clock.Now()); wait > 0 {
			timer := s.clock.NewTimer(wait)
			select {
			case <-ctx.Done():
			case <-timer.Chan():
			case <-m.page.released:
			}
			timer.Stop()
			continue
		}
		if s.awake.Spare(m.name) {
			m.page.spare()
			m.page.tell()
			s.logger.Debug("upstream is not loaded, so that it can sleep", zap.String("upstream", m.name))
			continue
		}
		s.wakeUp(ctx, m.name) // by one long ping, and not by loads that give up
		s.measure(ctx, m)
		s.save(ctx, m, false)
	}
}

// measure loads a member's page once and notes what came of it.
func (s *Selection) measure(ctx context.Context, m *member) {
	took, err := s.load(ctx, m)
	if ctx.Err() != nil {
		m.page.release() // the server stops or reloads: this says nothing
		return
	}
	var before, after record
	if err != nil {
		before, after = m.page.failed(s.clock.Now(), err)
	} else {
		before, after = m.page.passed(s.clock.Now(), took)
	}
	collectors.count(m.label(), &before, &after)
	m.page.tell()
	s.log(m, &before, &after)
}

// log says what a load has found, and says it aloud when the upstream has
// gone down or come back.
func (s *Selection) log(m *member, before, after *record) {
	level, message := zapcore.DebugLevel, "upstream loaded"
	switch {
	case after.failing() && !before.failing() && after.waking():
		level, message = zapcore.InfoLevel, "upstream is waking up"
	case after.failing() && !before.failing():
		level, message = zapcore.InfoLevel, "upstream is down: its page does not load"
	case after.failing():
		message = "upstream is still down"
	case before.failing():
		level, message = zapcore.InfoLevel, "upstream is up again"
	}
	c := s.logger.Check(level, message)
	if c == nil {
		return
	}
	if after.failing() {
		c.Write(zap.String("upstream", m.name), zap.Int("failures", after.inARow), zap.String("error", after.lastErr))
		return
	}
	c.Write(zap.String("upstream", m.name), zap.Duration("took", after.lastLoad), zap.Float64("score_ms", after.score*1e3))
}
