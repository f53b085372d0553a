package ledger

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"path"
	"slices"
	"time"

	"go.uber.org/zap"

	"github.com/caddy-freetier/caddy-freetier/internal/safestore"
)

// If each of many processes read the files of all others, the storage would have
// to serve the square of their number. So one of them, the merger, adds all files
// up in the merged file, and the others, the followers, read that one alone.
//
// The merged file is a copy of what the other files say. It can be lost, be late,
// or be written by two processes at once without the loss of a count, because
// whoever cannot use it reads all files instead. Versions of this package that do
// not know it pass over it.
const (
	mergedName = "merged" // without the suffix of ledger files

	// mergeAbove is how many files each process reads by itself. There is a
	// merger until they are fewer than mergeBelow again.
	mergeAbove = 8
	mergeBelow = 7

	// patience is for how many passes the merged file may stay as it is until
	// another process becomes the merger. Processes differ in it by up to
	// patienceSpread, so that they do not all try at once.
	patience       = 6
	patienceSpread = 4

	// maxVersions is how many versions of its own file a process remembers in
	// case that they are merged.
	maxVersions = 16

	// maxUnmerged is for how many passes the merged file may lack the own file.
	maxUnmerged = 4

	// fullEvery is after how many seconds a follower reads all files again, and
	// fullEveryFile how many of them there are at least for each file.
	fullEvery     instant = 3600
	fullEveryFile instant = 60
)

var mergedKey = path.Join(folder, mergedName)

// mergedFormat is that of the merged file. Its content is JSON.
var mergedFormat = safestore.Format{Magic: "freetier-ledger-merged", Version: 1}

// merged is the JSON of the merged file.
type merged struct {
	// By is the merger, and Written when it has written the file, which is its
	// sign of life.
	By      string  `json:"by"`
	Written instant `json:"written"`
	Pass    int64   `json:"pass"`
	// Versions says which version of each process's file is in Counts. A
	// process knows from it how much of them is its own.
	Versions map[string]string `json:"versions"`
	// Compacted are those of the common file: see file.
	Compacted []string `json:"compacted,omitempty"`
	// Counts are those of all files, but of recent periods only.
	Counts counts `json:"counts"`
}

// mergedState is what was found in place of the merged file.
type mergedState int

const (
	mergedAbsent mergedState = iota
	mergedGood
	mergedBroken
	mergedNewer // of a later version, which is not to be overwritten
)

// mergedView is the merged file as last read.
type mergedView struct {
	state     mergedState
	raw       []byte
	file      merged
	unchanged int // passes in a row
}

// version is what the own file has held.
type version struct {
	sum    string
	counts counts
}

func decodeMerged(raw []byte) (m merged, err error) {
	body, err := mergedFormat.Decode(raw)
	if err != nil {
		return merged{}, err
	}
	if err := json.Unmarshal(body, &m); err != nil {
		return merged{}, fmt.Errorf("%w: %w", errCorrupt, err)
	}
	if !m.Counts.possible() {
		return merged{}, errCounts
	}
	return m, nil
}

func (p *pass) loadMerged(ctx context.Context) error {
	raw, err := p.storage.Load(ctx, mergedKey)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		p.merged = mergedView{}
		return nil
	case err != nil:
		return fmt.Errorf("reading the merged ledger: %w", err)
	case p.merged.state != mergedAbsent && bytes.Equal(raw, p.merged.raw):
		p.merged.unchanged++
		return nil
	}
	m, err := decodeMerged(raw)
	p.merged = mergedView{state: mergedGood, raw: raw, file: m}
	if err == nil {
		return nil
	}
	p.merged.state = mergedBroken
	if errors.Is(err, errNewer) {
		p.merged.state = mergedNewer
	}
	if !p.refused[mergedName] {
		p.refused[mergedName] = true
		p.logger.Warn("merged ledger file ignored: all files are read instead",
			zap.String("file", mergedKey), zap.NamedError("reason", err))
	}
	return nil
}

// merging reports whether this process is the merger.
func (p *pass) merging() bool {
	return p.merged.state == mergedGood && p.merged.file.By == p.instance
}

// overdue reports whether the merger has not written for so long that another
// process takes over.
func (p *pass) overdue() bool {
	return p.merged.state != mergedNewer && p.merged.unchanged >= patience+p.turn
}

// follow learns from the merged file what others have counted, and reports
// whether that is enough. Otherwise all files are to be read.
func (p *pass) follow(ctx context.Context) bool {
	// A failure is found again, and reported, when all files are read.
	if !p.mergedThere || p.loadMerged(ctx) != nil || p.merged.state != mergedGood || p.outdated() {
		return false
	}
	m := &p.merged.file
	if p.full == 0 {
		if len(p.versions) == 0 {
			// To begin with, this is better than nothing, even if it is old.
			p.spread(m.Counts.clone(), nil)
		}
		return false
	}
	if p.merging() || p.overdue() || p.fullPassDue(len(m.Versions)) {
		return false
	}
	own, known := p.ownPart(ctx, m)
	if !known {
		return false
	}
	p.pace.Saw(len(m.Versions))
	p.spread(m.Counts.clone(), own)
	return true
}

// fullPassDue reports whether it is time to read all files again: the merged
// file has nothing of what comes late for periods that are over.
func (p *pass) fullPassDue(files int) bool {
	return p.at-p.full >= max(fullEvery, instant(files)*fullEveryFile) || p.good < p.at-forgetAfter/2
}

// ownPart returns what of the merged counts is in the own file, if that is known.
func (p *pass) ownPart(ctx context.Context, m *merged) (own counts, known bool) {
	if slices.Contains(m.Compacted, p.process) {
		if _, err := p.load(ctx, common, p.common); err != nil {
			return nil, false
		}
		_, taken := p.common.file.Compacted[p.process]
		if !taken || !p.compactSelf(ctx) {
			return nil, false
		}
		p.good = p.at
		return nil, true
	}
	sum, there := m.Versions[p.process]
	if !there {
		// Nothing of it is in there yet. If that lasts the file may be missing.
		if p.stored == nil {
			p.good, p.unmerged = p.at, 0
		} else {
			p.unmerged++
		}
		return nil, p.unmerged <= maxUnmerged
	}
	i := slices.IndexFunc(p.versions, func(v version) bool { return v.sum == sum })
	if i < 0 {
		return nil, false
	}
	p.good, p.unmerged = p.at, 0
	p.versions = slices.Delete(p.versions, 0, i)
	return p.versions[0].counts, true
}

// remember notes a version of the own file before it is written: a write that
// fails may have taken effect.
func (p *pass) remember(raw []byte, own counts) {
	if len(p.versions) == maxVersions {
		p.versions = slices.Delete(p.versions, 0, 1)
	}
	p.versions = append(p.versions, version{sumOf(raw), own})
}

// merge writes the merged file if that is up to this process. names are those of
// all processes with a file, as just read.
func (p *pass) merge(ctx context.Context, names map[string]bool) error {
	n := len(names)
	if names[common] {
		n--
	}
	p.pace.Saw(n)
	absent := p.merged.state == mergedAbsent
	switch {
	case p.merged.state == mergedNewer:
		return nil
	case n < mergeBelow:
		if absent || !p.merging() && !p.overdue() {
			return nil
		}
		p.merged = mergedView{}
		return ignoreGone(p.storage.Delete(ctx, mergedKey))
	case absent && n <= mergeAbove:
		p.vacant = 0
		return nil
	case p.merging():
		return p.storeMerged(ctx)
	case absent && p.vacant < p.turn:
		p.vacant++
		return nil
	case absent || p.overdue():
		return p.becomeMerger(ctx)
	}
	return nil
}

// becomeMerger writes the merged file unless another process has come first. The
// lock only keeps most of the others from doing the same.
func (p *pass) becomeMerger(ctx context.Context) error {
	unlock := p.lock(ctx, mergedKey)
	if unlock == nil {
		return nil
	}
	defer unlock()
	before := p.merged.raw
	if err := p.loadMerged(ctx); err != nil {
		return err
	}
	if !bytes.Equal(before, p.merged.raw) {
		return nil
	}
	p.vacant = 0
	return p.storeMerged(ctx)
}

func (p *pass) storeMerged(ctx context.Context) error {
	if p.outdated() {
		return errOutdated
	}
	compacted := p.common.file.Compacted
	m := merged{
		By: p.instance, Written: p.at, Pass: p.merged.file.Pass + 1,
		Versions:  make(map[string]string, len(p.seen)+1),
		Compacted: slices.Sorted(maps.Keys(compacted)),
		Counts:    p.total(),
	}
	add := func(name, sum string) {
		if _, ok := compacted[name]; !ok {
			m.Versions[name] = sum
		}
	}
	for name, s := range p.seen {
		add(name, s.sum)
	}
	if p.stored != nil {
		add(p.process, p.storedSum)
		m.Counts.addBeyond(p.stored, compacted[p.process].Counts)
	}
	m.Counts.drop(func(key string, from instant) bool {
		return from+instant(periodOf(key).recent()/time.Second) < p.at
	})
	body, err := json.Marshal(m)
	if err != nil {
		return err
	}
	raw := mergedFormat.Encode(append(body, '\n'))
	if err := p.storage.Store(ctx, mergedKey, raw); err != nil {
		return fmt.Errorf("writing the merged ledger: %w", err)
	}
	p.merged = mergedView{state: mergedGood, raw: raw, file: m}
	return nil
}

// ignoreGone returns the error of a deletion unless there was nothing to delete,
// which some storages report.
func ignoreGone(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}
