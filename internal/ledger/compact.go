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

	// removeAfter is for how many seconds the counts of a dead process must have
	// been in the common file until its own file is removed. Should two processes
	// write the common file at once, because the storage's lock is none or has
	// expired, one of them is undone, and what it has compacted is still there.
	removeAfter instant = 120

	// maxEdit is how many seconds a process may have known the common file when
	// it writes it. It must be well below removeAfter.
	maxEdit instant = 60

	// movePatience is how many passes a process lets what it has counted in periods
	// that are over stay in its own file, at most.
	movePatience = 200

	// maxCompacted is how many of them it remembers. Only a crash loop has more.
	maxCompacted = 200
)

// errMissing is the trouble of a storage that lists the common file but does not
// find it. Some report any failure in this way.
var errMissing = errors.New("the common file is listed, but cannot be found")

// compact moves the counts of dead processes into the common file. Otherwise each
// restart would leave one more file to read.
func (p *pass) compact(ctx context.Context, names map[string]bool) error {
	err := p.removeCompacted(ctx)
	dead := p.dead()
	if len(dead) == 0 && !p.remembersTooMuch() {
		return err
	}
	unlock := p.lock(ctx, folder)
	if unlock == nil {
		return err // whoever holds the lock does the same work
	}
	defer unlock()
	if failed := p.compactLocked(ctx, dead, names[common]); failed != nil {
		err = errors.Join(err, fmt.Errorf("compacting the ledger: %w", failed))
	}
	return err
}

// removeCompacted removes files of which the common file has had all counts for a
// while. Should the process live after all, it finds that out.
func (p *pass) removeCompacted(ctx context.Context) error {
	for name, s := range p.seen {
		past, ok := p.common.file.Compacted[name]
		if !ok || p.at-past.At < removeAfter || !past.Counts.cover(s.file.Counts) {
			continue
		}
		if err := ignoreGone(p.storage.Delete(ctx, keyOf(name))); err != nil {
			return fmt.Errorf("removing a compacted file: %w", err)
		}
		delete(p.seen, name)
	}
	return nil
}

// lock takes a lock. It does not wait for long, because meanwhile nothing is written;
// then it returns nil. The storage may give it to another process as well.
func (p *pass) lock(ctx context.Context, name string) (unlock func()) {
	wait, cancel := context.WithTimeout(ctx, max(p.interval/4, 50*time.Millisecond))
	defer cancel()
	if p.storage.Lock(wait, name) != nil {
		return nil
	}
	// Without the cancellation of ctx, which must not leave the lock behind.
	return func() { p.storage.Unlock(context.WithoutCancel(ctx), name) }
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
		if past, ok := p.common.file.Compacted[name]; ok && past.Counts.cover(s.file.Counts) {
			continue // it is removed in time
		}
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
	unlock := p.lock(ctx, folder)
	if unlock == nil {
		return false
	}
	defer unlock()
	began := p.now()
	into, err := p.loadFresh(ctx, common)
	if err != nil {
		return false
	}
	if _, known := into.Compacted[p.process]; !known || p.outdated() {
		return false // forgotten since this pass has read it: all counts would be added again
	}
	return p.moveOwn(ctx, into, began)
}

// moveOwn adds the own counts to the common file and goes on under a new name.
func (p *pass) moveOwn(ctx context.Context, into *file, began instant) bool {
	// The file has everything that is compacted, in case that the common file is
	// overwritten by another process. Somebody removes it later.
	own := p.own()
	if p.storeOwn(ctx, own) != nil {
		return false
	}
	into.take(p.process, own, p.at)
	if p.storeCommon(ctx, into, began) != nil {
		return false
	}
	p.give(into.Compacted[p.process].Counts)
	p.process, p.stored, p.versions = newProcess(), nil, nil
	return true
}

// moveHistory moves the own counts to the common file once most of them are of
// periods that are over: the own file is written all the time, and should be small.
func (p *pass) moveHistory(ctx context.Context) {
	if p.stored == nil || p.good != p.at || !p.mostlyOld(p.stored) {
		return
	}
	if p.untilMove > 0 {
		p.untilMove--
		return
	}
	p.untilMove = movePatience
	p.move(ctx)
}

// mostlyOld reports whether more periods are old than recent.
func (p *pass) mostlyOld(c counts) bool {
	old, all := 0, 0
	for key, periods := range c {
		recent := instant(periodOf(key).recent() / time.Second)
		for from := range periods {
			if all++; from+recent < p.at {
				old++
			}
		}
	}
	return 2*old > all
}

// move moves the own counts to the common file if the own file is as it was written:
// else it may have been compacted.
func (p *pass) move(ctx context.Context) {
	unlock := p.lock(ctx, folder)
	if unlock == nil {
		return
	}
	defer unlock()
	began := p.now()
	into, err := p.loadFresh(ctx, common)
	if err != nil {
		return
	}
	if into.Written == 0 {
		names, err := p.list(ctx)
		if err != nil || names[common] {
			return
		}
	}
	if _, taken := into.Compacted[p.process]; taken {
		return
	}
	raw, err := p.storage.Load(ctx, keyOf(p.process))
	if err == nil && sumOf(raw) == p.storedSum && !p.outdated() {
		p.moveOwn(ctx, into, began)
	}
}

// compactLocked reads again what is compacted, since another process may have come
// first. listed says that there is a common file.
func (p *pass) compactLocked(ctx context.Context, dead []string, listed bool) error {
	began := p.now()
	into, err := p.loadFresh(ctx, common)
	if err != nil {
		return err
	}
	if listed && into.Written == 0 && !p.refused[common] {
		return errMissing
	}
	changed := len(into.Compacted)
	maps.DeleteFunc(into.Compacted, p.forgettable)
	changed -= len(into.Compacted)
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
		changed++
	}
	if changed == 0 {
		return err
	}
	p.forgetMost(into)
	return errors.Join(err, p.storeCommon(ctx, into, began))
}

// storeCommon writes the common file as it was read when the edit began, and changed
// since.
func (p *pass) storeCommon(ctx context.Context, f *file, began instant) error {
	f.Written = p.at
	f.Counts.drop(p.over)
	raw, err := f.encode()
	if err != nil {
		return err
	}
	if now := p.now(); now < began || now-began > maxEdit {
		return errOutdated
	}
	if err := p.storage.Store(ctx, keyOf(common), raw); err != nil {
		return err
	}
	*p.common = seen{raw: raw, sum: sumOf(raw), file: f}
	return nil
}

// forgetMost forgets the processes that were compacted first, if there are too
// many. Those whose files are still there must be remembered.
func (p *pass) forgetMost(f *file) {
	tooMany := len(f.Compacted) - maxCompacted
	if tooMany <= 0 {
		return
	}
	gone := slices.DeleteFunc(slices.Collect(maps.Keys(f.Compacted)), func(name string) bool {
		return name == p.process || p.seen[name] != nil
	})
	slices.SortFunc(gone, func(a, b string) int { return cmp.Compare(f.Compacted[a].At, f.Compacted[b].At) })
	for _, name := range gone[:min(tooMany, len(gone))] {
		delete(f.Compacted, name)
	}
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
