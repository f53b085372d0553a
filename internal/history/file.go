package history

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/caddy-freetier/caddy-freetier/internal/processfiles"
	"github.com/caddy-freetier/caddy-freetier/internal/safestore"
	"github.com/caddy-freetier/caddy-freetier/internal/status"
)

// kind is that of the files freetier/history/<process>.history in the storage. They are
// JSON, compressed (see file), behind the header with version and checksum that all our
// files have (see package safestore).
var kind = &processfiles.Kind[*contents]{
	Name:      "the status page's history",
	Folder:    "freetier/history",
	Suffix:    ".history",
	Format:    safestore.Format{Magic: "freetier-history", Version: 1},
	Most:      16 << 20,
	SilentFor: silentFor,
	Decode:    decode,
}

// maxUncompressed bounds the JSON of a file as it is read, in bytes: a small file can
// expand to any size.
const maxUncompressed = 128 << 20

// file is the JSON of a file, here with one ping in a slot of five minutes and its
// hour:
//
//	{"process":"5f1c…","written":"2026-01-02T03:04:05Z",
//	 "absorbed":{"99ab…":"2026-01-02T03:00:00Z"},
//	 "series":[{"kind":"target","name":"api","fine":[[5891076,1,0,0,1,87]],"coarse":[[490923,1,0,0,1,87]]}],
//	 "events":[{"at":"…","kind":"down","subject":"api","message":"status 500"}]}
//
// Later versions may add fields, which this one ignores; a change of what a field means
// needs a new version in kind.Format.
type file struct {
	processfiles.Header
	Absorbed map[string]time.Time `json:"absorbed,omitempty"`
	Series   []fileSeries         `json:"series"`
	Events   []status.Event       `json:"events"`
}

type fileSeries struct {
	Kind   string      `json:"kind"`
	Name   string      `json:"name"`
	Fine   []filePoint `json:"fine"`
	Coarse []filePoint `json:"coarse"`
}

// filePoint has the slot, ok, failed, cold, timed and the sum of latencies in
// milliseconds, as an array: names would be most of a file.
//
// Numbers that no point can have are clamped when they are read: whoever can write to
// the storage can write anything, and the sums must not overflow.
type filePoint [6]float64

func (p point) file() filePoint {
	return filePoint{float64(p.slot), float64(p.ok), float64(p.failed), float64(p.cold), float64(p.timed), float64(int64(p.latency))}
}

func (f filePoint) point() point {
	count := func(v float64) uint16 { return uint16(min(max(v, 0), 65535)) }
	return point{
		slot: uint32(min(max(f[0], 0), 1<<32-1)), ok: count(f[1]), failed: count(f[2]), cold: count(f[3]), timed: count(f[4]),
		latency: float32(max(f[5], 0)),
	}
}

func (ps points) file() []filePoint {
	all := make([]filePoint, len(ps))
	for i, p := range ps {
		all[i] = p.file()
	}
	return all
}

func pointsOf(all []filePoint) (ps points) {
	for _, f := range all {
		ps = ps.add(f.point())
	}
	return ps
}

// encode returns what the file of these contents has.
//
// Series are sorted, so that a person who unpacks two files can compare them.
func (c *contents) encode(now time.Time, ended bool) ([]byte, error) {
	f := file{
		Header:   processfiles.Header{Process: c.process, Written: now.UTC(), Ended: ended},
		Absorbed: c.absorbed, Series: []fileSeries{}, Events: c.events,
	}
	for name, s := range c.series {
		f.Series = append(f.Series, fileSeries{name.kind, name.name, s.fine.file(), s.coarse.file()})
	}
	slices.SortFunc(f.Series, func(a, b fileSeries) int { return strings.Compare(a.Kind+" "+a.Name, b.Kind+" "+b.Name) })
	var body bytes.Buffer
	zip := gzip.NewWriter(&body)
	if err := json.NewEncoder(zip).Encode(f); err != nil {
		return nil, err
	}
	if err := zip.Close(); err != nil {
		return nil, err
	}
	return body.Bytes(), nil
}

func decode(body []byte) (processfiles.Header, *contents, error) {
	f := new(file)
	if err := f.read(body); err != nil {
		return f.Header, nil, err
	}
	c := newContents(f.Process)
	for _, s := range f.Series {
		if mine := c.of(id{s.Kind, shortened(s.Name)}); mine != nil {
			mine.add(&series{fine: pointsOf(s.Fine), coarse: pointsOf(s.Coarse)})
		}
	}
	c.events = newest(f.Events)
	maps.Copy(c.absorbed, f.Absorbed)
	return f.Header, &c, nil
}

func (f *file) read(body []byte) error {
	zip, err := gzip.NewReader(bytes.NewReader(body))
	if err != nil {
		return err
	}
	return json.NewDecoder(io.LimitReader(zip, maxUncompressed)).Decode(f)
}
