package ledger

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"time"
)

const (
	// A process that has not written for this many intervals is taken for
	// dead. A living one that is idle may be, and settles that later.
	silentIntervals = 12
	// By its own clock, a file must be this many intervals old before it is
	// compacted unseen. Clocks of two machines differ less.
	oldIntervals = 120

	// forgetAfter is how many seconds the common file remembers whom it has
	// compacted, so that a process taken for dead can find out. They must have
	// gone by evenly: a machine that slept gets them again.
	forgetAfter instant = 3600

	// maxCompacted is how many of them it remembers. Only a crash loop has more.
	maxCompacted = 200
)

// compact moves the counts of dead processes into the common file. Otherwise each
// restart would leave one more file to read.
func (p *pass) compact(ctx context.Context) error {
	dead := p.dead()
	if len(dead) == 0 && !p.remembersTooMuch() {
		return nil
	}
	unlock := p.lock(ctx)
	if unlock == nil {
		return nil // whoever holds the lock does the same work
	}
	defer unlock()
	if err := p.compactLocked(ctx, dead); err != nil {
		return fmt.Errorf("compacting the ledger: %w", err)
	}
	return nil
}

// lock takes the lock under which files are compacted. It does not wait for long,
// because meanwhile nothing is written; then it returns nil.
func (p *pass) lock(ctx context.Context) (unlock func()) {
	wait, cancel := context.WithTimeout(ctx, max(p.interval/4, 50*time.Millisecond))
	defer cancel()
	if p.storage.Lock(wait, folder) != nil {
		return nil
	}
	// Without the cancellation of ctx, which must not leave the lock behind.
	return func() { p.storage.Unlock(context.WithoutCancel(ctx), folder) }
}

func (p *pass) remembersTooMuch() bool {
	for name, past := range p.common.file.Compacted {
		if p.forgettable(name, past) {
			return true
		}
	}
	return false
}

// forgettable reports whether the common file need not remember any longer
// that it has compacted a process.
func (p *pass) forgettable(name string, past compacted) bool {
	return p.quiet >= time.Hour && p.seen[name] == nil && past.At < p.at-forgetAfter
}

func (p *pass) dead() []string {
	var dead []string
	for name, s := range p.seen {
		age := time.Duration(p.at-s.file.Written) * time.Second
		// A pass is made twice an interval.
		if s.unchanged >= 2*silentIntervals || age > oldIntervals*p.interval {
			dead = append(dead, name)
		}
	}
	slices.Sort(dead)
	return dead
}

// compactSelf is for a process that finds itself compacted. It adds what it has
// counted since and goes on under a new name; it reports whether it could.
// Otherwise everything is right as it is until the next pass.
func (p *pass) compactSelf(ctx context.Context) bool {
	unlock := p.lock(ctx)
	if unlock == nil {
		return false
	}
	defer unlock()
	into, err := p.loadFresh(ctx, common)
	if err != nil {
		return false
	}
	if _, known := into.Compacted[p.process]; !known {
		return false // forgotten since this pass has read it: all counts would be added again
	}
	into.take(p.process, p.own(), p.at)
	if p.storeCommon(ctx, into) != nil {
		return false
	}
	// If a write of ours has crossed with the compacting there is a file again.
	// When it cannot be deleted it does no harm: all that is in it is compacted.
	_ = p.storage.Delete(ctx, keyOf(p.process))
	p.give(into.Compacted[p.process].Counts)
	p.process, p.stored = newProcess(), nil
	return true
}

// compactLocked reads again what is compacted, since another process may have come
// first. A file is deleted only after the common file has its counts.
func (p *pass) compactLocked(ctx context.Context, dead []string) error {
	into, err := p.loadFresh(ctx, common)
	if err != nil {
		return err
	}
	before := len(into.Compacted)
	maps.DeleteFunc(into.Compacted, p.forgettable)
	var gone []string
	for _, name := range dead {
		f, failed := p.loadFresh(ctx, name)
		if failed != nil {
			err = errors.Join(err, failed)
			continue // the others' files can be read
		}
		if f.Process == "" {
			continue // gone
		}
		into.take(name, f.Counts, p.at)
		gone = append(gone, name)
	}
	if len(gone) == 0 && len(into.Compacted) == before {
		return err
	}
	if err := p.storeCommon(ctx, into); err != nil {
		return err
	}
	for _, name := range gone {
		if err := p.storage.Delete(ctx, keyOf(name)); err != nil {
			return err
		}
		delete(p.seen, name)
	}
	return err
}

func (p *pass) storeCommon(ctx context.Context, f *file) error {
	for len(f.Compacted) > maxCompacted {
		delete(f.Compacted, slices.MinFunc(slices.Collect(maps.Keys(f.Compacted)), func(a, b string) int {
			return cmp.Compare(f.Compacted[a].At, f.Compacted[b].At)
		}))
	}
	f.Written = p.at
	f.Counts.drop(p.over)
	raw, err := f.encode()
	if err != nil {
		return err
	}
	if err := p.storage.Store(ctx, keyOf(common), raw); err != nil {
		return err
	}
	*p.common = seen{raw: raw, file: f}
	return nil
}

// take adds the counts of a process. Where its file has been taken before, and
// came back, it adds what is new.
func (f *file) take(process string, theirs counts, at instant) {
	past := f.Compacted[process]
	if past.Counts == nil {
		past.Counts = make(counts)
	}
	if f.Counts == nil {
		f.Counts = make(counts)
	}
	if f.Compacted == nil {
		f.Compacted = make(map[string]compacted)
	}
	f.Counts.addBeyond(theirs, past.Counts)
	past.Counts.raise(theirs)
	past.At = at
	f.Compacted[process] = past
}

// loadFresh returns an empty file where there is none, or something else has
// its name.
func (p *pass) loadFresh(ctx context.Context, name string) (*file, error) {
	raw, err := p.storage.Load(ctx, keyOf(name))
	if errors.Is(err, fs.ErrNotExist) {
		return new(file), nil
	}
	if err != nil {
		return nil, err
	}
	f, err := decodeAs(name, raw)
	if errors.Is(err, errForeign) || errors.Is(err, errOther) {
		return new(file), nil
	}
	return f, err
}
