package ledger

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"strings"
	"time"
)

// A file is a line with a magic word, the version of the format and the
// SHA-256 of the rest, which is JSON for people to read.
const (
	magic   = "freetier-ledger"
	version = 1
)

// file is what a process writes, and also the form of the common file.
type file struct {
	// Process is the random name of the process, and empty in the common file.
	Process string `json:"process,omitempty"`
	// Written is when.
	Written instant `json:"written"`
	// Counts are those of the process, in the common file those of all
	// processes that were compacted into it.
	Counts counts `json:"counts"`
	// Compacted are the processes whose files the common file has taken over
	// lately, and what was in them.
	Compacted map[string]compacted `json:"folded,omitempty"`
}

type compacted struct {
	At     instant `json:"at"`
	Counts counts  `json:"counts"`
}

// counts holds numbers by a counter's key and the beginning of the period.
type counts map[string]map[instant]int64

// Why a file is ignored.
var (
	errForeign = errors.New("it is not a ledger file")
	errOther   = errors.New("it is the file of another process")
	errFolder  = errors.New("it is a folder")
)

// Why a file is quarantined.
var (
	errCorrupt = errors.New("its content does not match its checksum")
	errCounts  = errors.New("it has a count that is impossible")
	errNewer   = errors.New("it was written by a newer version")
)

func (f *file) encode() ([]byte, error) {
	body, err := json.MarshalIndent(f, "", "\t")
	if err != nil {
		return nil, err
	}
	body = append(body, '\n')
	header := fmt.Appendf(nil, "%s %d %s\n", magic, version, checksum(body))
	return append(header, body...), nil
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
	header, body, _ := bytes.Cut(raw, []byte("\n"))
	words := strings.Fields(string(header[:min(len(header), 200)]))
	if len(words) < 2 || words[0] != magic {
		return nil, errForeign
	}
	var written int
	if _, err := fmt.Sscanf(words[1], "%d", &written); err != nil || written < 1 {
		return nil, errCorrupt
	}
	if written > version {
		return nil, errNewer
	}
	if len(words) != 3 || words[2] != checksum(body) {
		return nil, errCorrupt
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

func checksum(body []byte) string {
	sum := sha256.Sum256(body)
	return hex.EncodeToString(sum[:])
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
