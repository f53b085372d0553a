package idstore

import (
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/caddy-freetier/caddy-freetier/internal/safestore"
)

// format is that of a file. Its content is JSON.
var format = safestore.Format{Magic: "freetier-ids", Version: 1}

// maxRead bounds a file, in bytes. One with all that may be known has 2 MB.
const maxRead = 8 << 20

var (
	errOther    = errors.New("it is the file of another process")
	errTooLarge = fmt.Errorf("it is larger than %d MB", maxRead>>20)
)

// file is what a process writes.
type file struct {
	// Process is the random name of the process, and the salt of the hashes of
	// owners in its file.
	Process string `json:"process"`
	// Written is when: a file that does not change any more is that of a process
	// that has ended.
	Written time.Time `json:"written"`
	// Ended says that the process has ended in order: whoever reads the file
	// takes over what it has.
	Ended bool `json:"ended,omitempty"`
	// Owners are hashes, to which the records refer by their number.
	Owners []string `json:"owners"`
	// Records are packed: see appendRecord.
	Records []byte `json:"records"`
}

// record is an entry in a file: the id, the number of its owner, when it was made,
// and the hash of the client.
type record struct {
	id id
	entry
}

// recordSize is that of a record in a file, in bytes.
const recordSize = 16 + 4 + 4 + 4

func appendRecord(to []byte, r record) []byte {
	to = append(to, r.id[:]...)
	to = binary.BigEndian.AppendUint32(to, r.owner)
	to = binary.BigEndian.AppendUint32(to, r.minute)
	return binary.BigEndian.AppendUint32(to, uint32(r.client))
}

func readRecord(from []byte) (r record) {
	copy(r.id[:], from)
	r.owner = binary.BigEndian.Uint32(from[16:])
	r.minute = binary.BigEndian.Uint32(from[20:])
	r.client = clientHash(binary.BigEndian.Uint32(from[24:]))
	return r
}

// saltedOwner is what stands for an owner in the file of a process.
func saltedOwner(process string, o Owner) string {
	sum := sha256.Sum256(append([]byte(process), o[:]...))
	return hex.EncodeToString(sum[:16])
}

// encode returns the file of a process, nil if it keeps nothing.
func (b *book) encode(process string, ended bool, now time.Time) []byte {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.expire(now)
	b.changed = false
	records := make([]record, 0, len(b.entries))
	for i, e := range b.entries {
		if e.own {
			records = append(records, record{i, e})
		}
	}
	if len(records) == 0 {
		return nil
	}
	slices.SortFunc(records, func(a, b record) int {
		return cmp.Or(cmp.Compare(a.minute, b.minute), slices.Compare(a.id[:], b.id[:]))
	})
	f := file{Process: process, Written: now.UTC().Round(0), Ended: ended, Records: make([]byte, 0, len(records)*recordSize)}
	numbers := make(map[uint32]uint32)
	for _, r := range records {
		n, known := numbers[r.owner]
		if !known {
			n = uint32(len(numbers))
			numbers[r.owner] = n
			f.Owners = append(f.Owners, saltedOwner(process, b.owners[r.owner]))
		}
		r.owner = n
		f.Records = appendRecord(f.Records, r)
	}
	body, err := json.Marshal(&f)
	if err != nil {
		return nil // it has nothing that JSON cannot have
	}
	return format.Encode(append(body, '\n'))
}

// decode returns the file of a process.
func decode(process string, raw []byte) (*file, error) {
	body, err := format.Decode(raw)
	if err != nil {
		return nil, err
	}
	f := new(file)
	if err := json.Unmarshal(body, f); err != nil || len(f.Records)%recordSize != 0 {
		return nil, safestore.ErrCorrupt
	}
	for r := f.Records; len(r) > 0; r = r[recordSize:] {
		if readRecord(r).owner >= uint32(len(f.Owners)) {
			return nil, safestore.ErrCorrupt
		}
	}
	if f.Process != process {
		return nil, errOther
	}
	return f, nil
}

// merge takes in what a file has that is not known, of the owners that there are.
// own says that this process keeps it from now on. It reports whether there are
// records of unknown owners, for other configurations.
func (b *book) merge(f *file, owners []Owner, own bool, now time.Time) (unknown bool) {
	salted := make(map[string]Owner, len(owners))
	for _, o := range owners {
		salted[saltedOwner(f.Process, o)] = o
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	for packed := f.Records; len(packed) > 0; packed = packed[recordSize:] {
		r := readRecord(packed)
		if r.expired(now) {
			continue
		}
		owner, ok := salted[f.Owners[r.owner]]
		if !ok {
			unknown = true
			continue
		}
		known, there := b.entries[r.id]
		if there && (known.minute > r.minute || known.minute == r.minute && (known.own || !own)) {
			continue
		}
		r.owner, r.own = b.index(owner), own || there && known.own
		b.add(r.id, r.entry)
	}
	return unknown
}
