package ledger

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"time"

	"github.com/caddy-freetier/caddy-freetier/internal/safestore"
)

// format is that of a file. Its content is JSON for people to read.
var format = safestore.Format{Magic: "freetier-ledger", Version: 1}

// file is what a process writes, and also the form of the common file.
type file struct {
	// Process is the random name of the process, and empty in the common file.
	Process string `json:"process,omitempty"`
	// Written is when.
	Written instant `json:"written"`
	// Counts are those of the process, in the common file those of all
	// processes that were compacted into it.
	Counts counts `json:"counts"`
	// Compacted are the processes whose files were compacted in the last hour or
	// so, and what was in them.
	Compacted map[string]compacted `json:"folded,omitempty"`
}

type compacted struct {
	At     instant `json:"at"`
	Counts counts  `json:"counts"`
}

// counts has the numbers by a counter's key and the beginning of the period.
//
//	"3b2f… requests day America/Los_Angeles": {"2026-01-02T08:00:00Z": 17}
//
// The beginning of a period is its identity: 08:00 UTC is midnight in that zone.
type counts map[string]map[instant]int64

// Why a file is ignored.
var (
	errForeign = safestore.ErrForeign
	errOther   = errors.New("it is the file of another process")
	errFolder  = errors.New("it is a folder")
)

// Why a file is quarantined.
var (
	errCorrupt = safestore.ErrCorrupt
	errCounts  = errors.New("it has a count that is impossible")
	errNewer   = safestore.ErrNewer
)

func (f *file) encode() ([]byte, error) {
	body, err := json.MarshalIndent(f, "", "\t")
	if err != nil {
		return nil, err
	}
	return format.Encode(append(body, '\n')), nil
}

// decodeAs decodes the file of a process, or the common file.
func decodeAs(name string, raw []byte) (*file, error) {
	f, err := decode(raw)
	if err == nil && f.Process != name && (name != common || f.Process != "") {
		return nil, errOther
	}
	return f, err
}

func decode(raw []byte) (*file, error) {
	body, err := format.Decode(raw)
	if err != nil {
		return nil, err
	}
	f := new(file)
	if err := json.Unmarshal(body, f); err != nil {
		return nil, fmt.Errorf("%w: %w", errCorrupt, err)
	}
	if !f.possible() {
		return nil, errCounts
	}
	return f, nil
}

// possible reports whether all counts are numbers that a process can have
// counted. The checksum has no key: whoever can write to the storage can write
// any number.
func (f *file) possible() bool {
	for _, past := range f.Compacted {
		if !past.Counts.possible() {
			return false
		}
	}
	return f.Counts.possible()
}

func (c counts) possible() bool {
	for _, periods := range c {
		for _, n := range periods {
			if n < 0 || n > maxCount {
				return false
			}
		}
	}
	return true
}

// sumOf names a version of a file.
func sumOf(raw []byte) string {
	sum := sha256.Sum256(raw)
	return hex.EncodeToString(sum[:8])
}

func (c counts) add(key string, from instant, n int64) {
	if n <= 0 {
		return
	}
	if c[key] == nil {
		c[key] = make(map[instant]int64)
	}
	c[key][from] = saturated(c[key][from], n)
}

// subtract lowers the numbers that are in other, too. They may fall below zero.
func (c counts) subtract(other counts) {
	for key, periods := range other {
		if known := c[key]; known != nil {
			for from, n := range periods {
				known[from] -= n
			}
		}
	}
}

func (c counts) clone() counts {
	clone := make(counts, len(c))
	for key, periods := range c {
		clone[key] = maps.Clone(periods)
	}
	return clone
}

// addBeyond adds what of other lies above the already known part of it.
func (c counts) addBeyond(other, known counts) {
	for key, periods := range other {
		for from, n := range periods {
			c.add(key, from, n-known[key][from])
		}
	}
}

// raise lifts each number to that of other, where that is higher.
func (c counts) raise(other counts) {
	for key, periods := range other {
		for from, n := range periods {
			c.add(key, from, n-c[key][from])
		}
	}
}

// drop removes the periods that are over for good and reports whether there
// were any.
func (c counts) drop(over func(key string, from instant) bool) bool {
	dropped := false
	for key, periods := range c {
		before := len(periods)
		maps.DeleteFunc(periods, func(from instant, _ int64) bool { return over(key, from) })
		dropped = dropped || len(periods) < before
		if len(periods) == 0 {
			delete(c, key)
		}
	}
	return dropped
}

// cover reports whether no number of other is higher.
func (c counts) cover(other counts) bool {
	for key, periods := range other {
		for from, n := range periods {
			if n > c[key][from] {
				return false
			}
		}
	}
	return true
}

func (c counts) equal(other counts) bool {
	return maps.EqualFunc(c, other, maps.Equal[map[instant]int64, map[instant]int64])
}

// instant is a time in seconds since 1970. In files it is RFC 3339 in UTC.
type instant int64

func (i instant) time() time.Time { return time.Unix(int64(i), 0).UTC() }

// MarshalText implements encoding.TextMarshaler.
func (i instant) MarshalText() ([]byte, error) { return i.time().AppendFormat(nil, time.RFC3339), nil }

// UnmarshalText implements encoding.TextUnmarshaler.
func (i *instant) UnmarshalText(text []byte) error {
	t, err := time.Parse(time.RFC3339, string(text))
	*i = instant(t.Unix())
	return err
}
