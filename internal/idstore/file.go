package idstore

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"slices"
	"time"

	"github.com/caddy-freetier/caddy-freetier/internal/processfiles"
	"github.com/caddy-freetier/caddy-freetier/internal/safestore"
)

// kind is that of the files freetier/llm_gateway/ids/<process>.ids in the storage. They
// are JSON: see records.
var kind = &processfiles.Kind[*records]{
	Name:      "ids of files and responses",
	Folder:    "freetier/llm_gateway/ids",
	Suffix:    ".ids",
	Format:    safestore.Format{Magic: "freetier-ids", Version: 1},
	Most:      8 << 20, // one with all that may be known has 2 MB
	SilentFor: processfiles.SilentFor,
	Decode:    decode,
}

// encodeAgain is after what time what has expired is left out of the file.
const encodeAgain = time.Hour

var errRecords = errors.New("its records are impossible")

// records are what a file has, beside processfiles.Header:
//
//	{"process":"5f1c…","written":"…","owners":["9e3a…"],"records":"<base64>"}
//
// 50,000 records of 28 bytes are 1.9 MB in base64.
type records struct {
	// Owners are hashes, to which the records refer by their number. The name of
	// the process is their salt.
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

// encoded is what encode has returned.
type encoded struct {
	process string
	version int
	at      time.Time
	records []byte
}

// encode returns the records in the file of a process, nil if it keeps nothing. It
// encodes 50,000 of them only when they have changed.
func (b *book) encode(process string, now time.Time) []byte {
	b.mu.Lock()
	if e := &b.encoded; e.process == process && e.version == b.version && now.Sub(e.at) < encodeAgain {
		b.mu.Unlock()
		return e.records
	}
	b.expire(now)
	own := make([]record, 0, len(b.entries))
	for i, e := range b.entries {
		if e.own {
			own = append(own, record{i, e})
		}
	}
	b.encoded = encoded{process: process, version: b.version, at: now}
	owners := b.owners
	b.mu.Unlock()
	if len(own) > 0 {
		b.encoded.records = pack(process, own, owners)
	}
	return b.encoded.records
}

// pack returns records as they are in the file of a process.
func pack(process string, own []record, owners []Owner) []byte {
	slices.SortFunc(own, func(a, b record) int {
		return cmp.Or(cmp.Compare(a.minute, b.minute), slices.Compare(a.id[:], b.id[:]))
	})
	packed := records{Records: make([]byte, 0, len(own)*recordSize)}
	numbers := make(map[uint32]uint32)
	for _, r := range own {
		n, known := numbers[r.owner]
		if !known {
			n = uint32(len(numbers))
			numbers[r.owner] = n
			packed.Owners = append(packed.Owners, saltedOwner(process, owners[r.owner]))
		}
		r.owner = n
		packed.Records = appendRecord(packed.Records, r)
	}
	object, _ := json.Marshal(&packed) // it has nothing that JSON cannot have
	return object
}

func decode(body []byte) (processfiles.Header, *records, error) {
	var f struct {
		processfiles.Header
		records
	}
	if err := json.Unmarshal(body, &f); err != nil {
		return f.Header, nil, err
	}
	if len(f.Records)%recordSize != 0 {
		return f.Header, nil, errRecords
	}
	for r := f.Records; len(r) > 0; r = r[recordSize:] {
		if readRecord(r).owner >= uint32(len(f.Owners)) {
			return f.Header, nil, errRecords
		}
	}
	return f.Header, &f.records, nil
}

// known is a book and the keys that there are.
type known struct {
	*book
	owners []Owner
}

// Items implements [processfiles.Content].
func (k *known) Items() (all processfiles.Fingerprint) {
	for _, o := range k.owners {
		all.Add(o)
	}
	return all
}

// Own implements [processfiles.Content].
func (k *known) Own(process string, now time.Time) []byte { return k.encode(process, now) }

// Merge implements [processfiles.Content].
//
// A record of a key that this configuration does not have is passed over, and unknown
// is returned: the file is then not taken over, and merged again when the keys have
// changed.
func (k *known) Merge(f *processfiles.File[*records], take bool, now time.Time) (changed int, unknown bool) {
	salted := make(map[string]Owner, len(k.owners))
	for _, o := range k.owners {
		salted[saltedOwner(f.Process, o)] = o
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	for packed := f.Content.Records; len(packed) > 0; packed = packed[recordSize:] {
		r := readRecord(packed)
		if r.expired(now) || r.impossible(now) {
			continue
		}
		owner, ok := salted[f.Content.Owners[r.owner]]
		if !ok {
			unknown = true
			continue
		}
		if k.merge(r, owner, take) {
			changed++
		}
	}
	return changed, unknown
}

// merge adds a record of an owner unless something later is known, and reports whether
// it did. Of two owners in one minute the same one counts in all processes.
//
// take says that the file's process has ended and that this one keeps its records from
// now on. The rule is commutative and idempotent, so that files may be read in any
// order and again.
func (b *book) merge(r record, owner Owner, take bool) bool {
	mine, there := b.entries[r.id]
	if there {
		order := cmp.Or(cmp.Compare(r.minute, mine.minute), bytes.Compare(owner[:], b.owners[mine.owner][:]))
		if order < 0 || order == 0 && (mine.own || !take) {
			return false
		}
	}
	r.owner, r.own = b.index(owner), take || there && mine.own
	b.add(r.id, r.entry)
	return true
}
