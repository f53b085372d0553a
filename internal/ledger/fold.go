package ledger

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"time"
)

const (
	// A process that has not written for this many intervals is taken for
	// dead. A living one that is idle may be, and settles that later.
	silentIntervals = 12
	// By its own clock, a file must be this many intervals old before it is
	// folded unseen. Clocks of two machines differ less.
	oldIntervals = 120

	// forgetAfter is how many seconds the common file remembers whom it has
	// folded, so that a process taken for dead can find out.
	forgetAfter instant = 3600
)

// fold moves the counts of dead processes into the common file. Otherwise each
// restart would leave one more file to read.
func (p *pass) fold(ctx context.Context) error {
	dead := p.dead()
	if len(dead) == 0 {
		return nil
	}
	// Whoever holds the lock does the same work, so there is no need to wait
	// for it; and while this waits, nothing is written.
	wait, cancel := context.WithTimeout(ctx, max(p.interval/4, 50*time.Millisecond))
	defer cancel()
	if p.storage.Lock(wait, folder) != nil {
		return nil
	}
	// Without the cancellation of ctx, which must not leave the lock behind.
	defer p.storage.Unlock(context.WithoutCancel(ctx), folder)
	if err := p.foldLocked(ctx, dead); err != nil {
		return fmt.Errorf("folding the ledger: %w", err)
	}
	return nil
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

// foldLocked reads again what is folded, since another process may have come
// first. A file is deleted only after the common file has its counts.
func (p *pass) foldLocked(ctx context.Context, dead []string) error {
	into, err := p.loadFresh(ctx, common)
	if err != nil {
		return err
	}
	if into == nil {
		into = new(file)
	}
	if into.Counts == nil {
		into.Counts = make(counts)
	}
	if into.Folded == nil {
		into.Folded = make(map[string]folded)
	}
	for name, past := range into.Folded {
		if p.seen[name] == nil && past.At < p.at-forgetAfter {
			delete(into.Folded, name)
		}
	}
	var gone []string
	for _, name := range dead {
		f, err := p.loadFresh(ctx, name)
		if err != nil {
			return err
		}
		if f == nil {
			continue
		}
		into.take(name, f.Counts, p.at)
		gone = append(gone, name)
	}
	if len(gone) == 0 {
		return nil
	}
	into.Written = p.at
	into.Counts.drop(p.over)
	raw, err := into.encode()
	if err != nil {
		return err
	}
	if err := p.storage.Store(ctx, keyOf(common), raw); err != nil {
		return err
	}
	*p.common = seen{raw: raw, file: into}
	for _, name := range gone {
		if err := p.storage.Delete(ctx, keyOf(name)); err != nil {
			return err
		}
		delete(p.seen, name)
	}
	return nil
}

// take adds the counts of a process. Where its file has been taken before, and
// came back, it adds what is new.
func (f *file) take(process string, theirs counts, at instant) {
	past := f.Folded[process]
	if past.Counts == nil {
		past.Counts = make(counts)
	}
	f.Counts.addBeyond(theirs, past.Counts)
	past.Counts.raise(theirs)
	past.At = at
	f.Folded[process] = past
}

// loadFresh returns nil for a file that does not exist.
func (p *pass) loadFresh(ctx context.Context, name string) (*file, error) {
	raw, err := p.storage.Load(ctx, keyOf(name))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return decode(raw)
}
