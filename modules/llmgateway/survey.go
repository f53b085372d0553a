package llmgateway

import (
	"slices"
	"sync/atomic"
	"time"
)

const (
	// surveyedAnew is up to how many candidates each request that finds none usable
	// looks at all of them. Of more, one look serves all requests of surveyInterval.
	surveyedAnew   = 256
	surveyInterval = time.Second
	// mostEarly is how many of the candidates in cooldown a survey keeps, those whose
	// cooldowns end first.
	mostEarly = 64
)

// surveyor keeps the last look at all candidates of a plan.
type surveyor struct{ latest atomic.Pointer[survey] }

// survey is what was seen of all candidates when none could be used.
type survey struct {
	at      time.Time
	soonest []blockedCandidate // those whose cooldowns end first, unless a quota is exhausted
	more    bool               // there are others
	why     unavailability
}

// blockedCandidate is a candidate, and when its cooldown ends.
type blockedCandidate struct {
	candidate candidate
	until     time.Time // of the key; of the model where the key is in none
	usable    time.Time // of both
	early     bool      // it may be tried before that
}

// survey looks at all candidates. That of many is for all requests of the plan, also
// those that fit other models.
func (c *candidates) survey(now time.Time) *survey {
	latest := &c.plan.surveyors[0].latest
	if c.auxiliary {
		latest = &c.plan.surveyors[1].latest
	}
	if seen := latest.Load(); seen != nil {
		if age := now.Sub(seen.at); age >= 0 && age < surveyInterval {
			return seen
		}
	}
	n := 0
	for _, l := range c.plan.legs {
		n += l.keySet().len()
	}
	if n <= surveyedAnew {
		return c.look(now, func(l *leg) bool { return c.fits(l.measures) })
	}
	seen := c.look(now, func(*leg) bool { return true })
	latest.Store(seen)
	return seen
}

// look looks at all candidates of the legs that are wanted.
//
// One may be tried before the end of its cooldown if its key is not in cooldown
// itself, since what one request says about a model must not keep others from it;
// and else if all cooldowns of keys are guesses of ours.
func (c *candidates) look(now time.Time, wanted func(*leg) bool) *survey {
	seen := &survey{at: now, why: newUnavailability()}
	guessed := true
	for _, l := range c.plan.legs {
		if !wanted(l) {
			continue
		}
		set := l.keySet()
		for i := range set.len() {
			next := c.of(l, set.at(i))
			seen.why.add(&next, now)
			if next.exhausted() {
				continue
			}
			key, model := next.blockOfKey(now), next.blockOfModel(now)
			if key.Until.IsZero() {
				seen.add(blockedCandidate{next, model.Until, model.Until, true})
				continue
			}
			guessed = guessed && key.Guessed
			seen.add(blockedCandidate{next, key.Until, next.block(now).Until, false})
		}
	}
	seen.sort()
	for i := range seen.soonest {
		seen.soonest[i].early = seen.soonest[i].early || guessed
	}
	return seen
}

// add adds a candidate, and drops those that come too late now and then.
func (s *survey) add(c blockedCandidate) {
	if s.soonest = append(s.soonest, c); len(s.soonest) >= 2*mostEarly {
		s.sort()
	}
}

// sort sorts the candidates and drops those that come too late.
func (s *survey) sort() {
	slices.SortStableFunc(s.soonest, func(a, b blockedCandidate) int { return a.until.Compare(b.until) })
	if len(s.soonest) > mostEarly {
		s.soonest, s.more = s.soonest[:mostEarly], true
	}
}

// claimEarly claims the candidate whose cooldown ends first, of those that may be
// tried in spite of it and those whose cooldown has ended since.
func (c *candidates) claimEarly(s *survey, now time.Time) (found *candidate, ok bool) {
	for i := range s.soonest {
		next := s.soonest[i]
		switch {
		case !c.fits(next.candidate.measures): // another request has looked
		case next.early && next.candidate.acquireEarly(now), !next.until.After(now) && next.candidate.acquire(now):
			return c.record(next.candidate), true
		}
	}
	return nil, false
}

// firstUsable returns when the first cooldown ends, and false if there is none.
func (s *survey) firstUsable(now time.Time) (at time.Time, ok bool) {
	for _, c := range s.soonest {
		if c.usable.After(now) && (!ok || c.usable.Before(at)) {
			at, ok = c.usable, true
		}
	}
	if !ok && s.more {
		return s.at.Add(surveyInterval), true
	}
	return at, ok
}
