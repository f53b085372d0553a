package ledger

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	mathrand "math/rand/v2"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/caddyserver/certmagic"
	"go.uber.org/zap"

	"github.com/caddy-freetier/caddy-freetier/internal/safestore"
)

// Where the ledger lives in the storage. Beside the file of each process is
// the common file, into which those of dead processes are compacted.
const (
	folder = "freetier/ledger"
	suffix = ".ledger"
	common = "common"
)

// files is what a process knows of the storage.
type files struct {
	instance string // the name of this process as the merger
	turn     int    // when it tries to become that, 0 to patienceSpread-1

	process   string    // the name of the own file
	stored    counts    // what the own file holds; nil when there is none
	storedSum string    // of that
	versions  []version // what the own file has held, the oldest first
	untilMove int       // passes until what it holds of past periods may be moved

	seen    map[string]*seen // by the name of a process
	common  *seen
	refused map[string]bool // files quarantined or ignored, to warn once
	ignored map[string]bool // files that are none of a ledger, not read again

	mergedThere bool // whether there is a merged file, as far as is known
	merged      mergedView
	vacant      int // passes in a row in which one was missing
	unmerged    int // passes in a row in which it lacked the own file

	last  instant       // when the last pass was
	full  instant       // when all files were last read
	good  instant       // when the own file was last known to be there
	quiet time.Duration // for how long the clock has not jumped
}

// seen is a file as last read.
type seen struct {
	raw       []byte
	sum       string
	file      *file
	unchanged int // passes in a row
}

func newFiles() files {
	return files{
		instance:    newProcess(),
		turn:        mathrand.IntN(patienceSpread),
		process:     newProcess(),
		untilMove:   mathrand.IntN(movePatience), // not all processes at once
		seen:        make(map[string]*seen),
		common:      &seen{file: new(file)},
		refused:     make(map[string]bool),
		ignored:     make(map[string]bool),
		mergedThere: true,
	}
}

func newProcess() string {
	name := make([]byte, 8)
	rand.Read(name) // never fails
	return hex.EncodeToString(name)
}

func keyOf(name string) string { return path.Join(folder, name+suffix) }

// pass is one going over the storage: what the others have counted is read,
// the own counts are written, and what the dead have left is compacted.
type pass struct {
	*Ledger
	*files
	storage  certmagic.Storage
	logger   *zap.Logger
	interval time.Duration
	at       instant
}

// errOutdated ends a pass that was interrupted for so long, for example because
// the machine was suspended, that what it has read counts no longer: others may
// have compacted this process and forgotten it since, and counts written now would
// be counted again. The pass is made again.
var errOutdated = errors.New("the pass was interrupted for too long")

// outdated reports whether the pass began too long ago to write.
func (p *pass) outdated() bool { return p.now()-p.at > forgetAfter/2 }

// run makes the pass, once more when it was interrupted for too long.
func (p *pass) run(ctx context.Context) error {
	err := p.runOnce(ctx)
	if errors.Is(err, errOutdated) {
		err = p.runOnce(ctx)
	}
	return err
}

// runOnce goes on after a failure: each part is worth something without the others.
func (p *pass) runOnce(ctx context.Context) error {
	p.at = p.now()
	p.watchClock()
	if p.follow(ctx) {
		err := p.write(ctx)
		if err == nil {
			p.moveHistory(ctx)
		}
		return err
	}
	names, err := p.read(ctx)
	if p.outdated() {
		return errOutdated
	}
	if names != nil {
		if !p.settle(ctx, names) {
			return errOutdated
		}
		p.good, p.full, p.unmerged = p.at, p.at, 0
	}
	p.spread(p.total(), p.common.file.Compacted[p.process].Counts)
	if failed := p.write(ctx); failed != nil {
		return errors.Join(err, failed)
	}
	if names != nil {
		err = errors.Join(err, p.compact(ctx, names), p.merge(ctx, names))
		p.moveHistory(ctx)
	}
	return err
}

// watchClock notes for how long the clock has gone evenly. After a jump
// nothing is thrown away for a while, since it may jump back.
func (p *pass) watchClock() {
	gone := time.Duration(p.at-p.last) * time.Second
	if p.last == 0 || gone < 0 || gone > 10*p.interval+time.Second {
		p.quiet = 0
	} else {
		p.quiet += gone
	}
	p.last = p.at
}

// over reports whether a period of a counter can be thrown away.
func (p *pass) over(key string, from instant) bool {
	return p.quiet >= time.Hour && from+instant(periodOf(key).keep()/time.Second) < p.at
}

// read reads the files of all other processes and then the common file. In
// this order a file that is compacted meanwhile is never missed: it is deleted
// only after the common file has it. It returns the names of all processes
// that have a file, nil if the storage or the common file cannot be read. The
// file of one process that cannot be read does not keep the others from
// anything.
func (p *pass) read(ctx context.Context) (names map[string]bool, err error) {
	if names, err = p.list(ctx); err != nil {
		return nil, fmt.Errorf("listing the ledger: %w", err)
	}
	gone := func(name string) bool { return !names[name] }
	maps.DeleteFunc(p.seen, func(name string, _ *seen) bool { return gone(name) })
	maps.DeleteFunc(p.ignored, func(name string, _ bool) bool { return gone(name) })
	for name := range names {
		if name == p.process || name == common || p.ignored[name] {
			continue
		}
		known := p.seen[name]
		if known == nil {
			known = new(seen)
		}
		switch ok, failed := p.load(ctx, name, known); {
		case failed != nil:
			err = errors.Join(err, failed)
		case ok:
			p.seen[name] = known
		default:
			delete(p.seen, name)
		}
	}
	if _, failed := p.load(ctx, common, p.common); failed != nil {
		return nil, errors.Join(err, failed)
	}
	return names, err
}

// list returns the names of the ledger's files, and passes over what else
// lies in the folder.
func (p *pass) list(ctx context.Context) (map[string]bool, error) {
	files, err := safestore.List(ctx, p.storage, folder)
	if err != nil {
		return nil, err
	}
	p.mergedThere = slices.Contains(files, mergedName)
	names := make(map[string]bool)
	for _, file := range files {
		if name, ok := strings.CutSuffix(file, suffix); ok {
			names[name] = true
		}
	}
	return names, nil
}

// load reads a file and reports whether there is one that counts. Of a file
// that cannot be read what was known before remains.
func (p *pass) load(ctx context.Context, name string, known *seen) (bool, error) {
	raw, err := p.storage.Load(ctx, keyOf(name))
	if errors.Is(err, fs.ErrNotExist) {
		*known = seen{file: new(file)}
		return false, nil
	}
	if errors.Is(err, safestore.ErrFolder) && name != common {
		p.ignore(name, errFolder)
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("reading the ledger: %w", err)
	}
	if known.raw != nil && bytes.Equal(raw, known.raw) {
		known.unchanged++
		return true, nil
	}
	f, err := decodeAs(name, raw)
	if err == nil {
		*known = seen{raw: raw, sum: sumOf(raw), file: f}
		return true, nil
	}
	*known = seen{file: new(file)}
	if errors.Is(err, errForeign) || errors.Is(err, errOther) {
		p.ignore(name, err)
	} else {
		p.quarantine(ctx, name, raw, err)
	}
	return false, nil
}

// ignore leaves what only has the name of a ledger file as it is. It may be a
// link to somebody else's file, which is not to be copied into the storage. In
// the place of the common file it is overwritten when there is something to
// compact.
func (p *pass) ignore(name string, reason error) {
	p.ignored[name] = true
	if p.refused[name] {
		return
	}
	p.refused[name] = true
	p.logger.Warn("not a file of the ledger: it is ignored", zap.String("file", keyOf(name)), zap.NamedError("reason", reason))
}

// quarantine takes a broken file out of the way. That of a newer version is
// copied and stays, for that version goes on with it.
func (p *pass) quarantine(ctx context.Context, name string, raw []byte, reason error) {
	newer, known := errors.Is(reason, errNewer), p.refused[name]
	if newer && known {
		return
	}
	p.refused[name] = true
	bad := keyOf(name) + ".bad"
	err := p.storage.Store(ctx, bad, raw)
	if err == nil && !newer {
		err = p.storage.Delete(ctx, keyOf(name))
	}
	if known {
		return
	}
	p.logger.Warn("ledger file quarantined: its counts are missing",
		zap.String("file", keyOf(name)),
		zap.String("kept_as", bad),
		zap.NamedError("reason", reason),
		zap.Error(err))
}

// settle makes good that others have taken this process for dead, as they do
// when it has not counted for a while, and have compacted its file. The part they
// have is theirs from now on; the rest goes on under a new name. It reports
// whether the pass may go on.
func (p *pass) settle(ctx context.Context, names map[string]bool) bool {
	_, taken := p.common.file.Compacted[p.process]
	switch {
	case taken && p.compactSelf(ctx), p.stored == nil, names[p.process]:
		return true
	case p.outdated():
		return false
	case !taken && p.good < p.at-forgetAfter/2:
		// The file was compacted in a long absence, and by now that is forgotten.
		p.give(p.stored)
	}
	p.stored = nil // the file has gone and is written again
	return true
}

// give notes that others account for a part of the own counts.
func (p *pass) give(taken counts) {
	for _, c := range p.lasting() {
		c.mu.Lock()
		for from, cell := range c.cells {
			cell.compacted = saturated(cell.compacted, taken[c.key][from])
		}
		c.mu.Unlock()
	}
}

// total adds up what all others have counted, and the own part of the common file.
func (p *pass) total() counts {
	total := make(counts)
	total.addBeyond(p.common.file.Counts, nil)
	for name, s := range p.seen {
		total.addBeyond(s.file.Counts, p.common.file.Compacted[name].Counts)
	}
	return total
}

// spread tells the counters what all others have counted: that is the total without
// the part that this process has under its present name, and without what it has
// given to the common file before. It changes total.
func (p *pass) spread(total, own counts) {
	total.subtract(own)
	lasting := p.lasting()
	for _, c := range lasting {
		c.mu.Lock()
		for from, cell := range c.cells {
			if periods := total[c.key]; periods != nil {
				periods[from] -= cell.compacted
			}
		}
		c.mu.Unlock()
	}

	p.mu.Lock()
	p.others.raise(total)
	p.others.drop(p.over)
	p.mu.Unlock()

	for _, c := range lasting {
		c.mu.Lock()
		for from, cell := range c.cells {
			cell.others.Store(p.othersOf(c.key, from))
		}
		c.mu.Unlock()
	}
}

// write stores the own counts if they have changed.
func (p *pass) write(ctx context.Context) error {
	p.tidy()
	own := p.own()
	if own.equal(p.stored) {
		return nil
	}
	if p.outdated() {
		return errOutdated
	}
	return p.storeOwn(ctx, own)
}

func (p *pass) storeOwn(ctx context.Context, own counts) error {
	raw, err := (&file{Process: p.process, Written: p.at, Counts: own}).encode()
	if err == nil {
		p.remember(raw, own)
		err = p.storage.Store(ctx, keyOf(p.process), raw)
	}
	if err != nil {
		return fmt.Errorf("writing the ledger: %w", err)
	}
	p.stored, p.storedSum = own, sumOf(raw)
	return nil
}

// own returns the part of the own counts that is for the own file.
func (l *Ledger) own() counts {
	own := make(counts)
	for _, c := range l.lasting() {
		c.mu.Lock()
		for from, cell := range c.cells {
			own.add(c.key, from, cell.own.Load()-cell.compacted)
		}
		c.mu.Unlock()
	}
	return own
}

// tidy drops the own counts of periods that are over for good.
func (p *pass) tidy() {
	for _, c := range p.lasting() {
		c.mu.Lock()
		maps.DeleteFunc(c.cells, func(from instant, cell *cell) bool {
			over := p.over(c.key, from)
			if over {
				c.current.CompareAndSwap(cell, nil)
			}
			return over
		})
		c.mu.Unlock()
	}
}

// unwritten reports whether the storage lacks some counts.
func (l *Ledger) unwritten() bool {
	select {
	case l.busy <- struct{}{}:
		defer func() { <-l.busy }()
		return !l.own().equal(l.files.stored)
	default:
		return true // a pass hangs
	}
}
