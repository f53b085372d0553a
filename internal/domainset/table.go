package domainset

import (
	"encoding/binary"
	"errors"
	"hash/maphash"
	"unsafe"
)

// MaxNames bounds the memory of a table, which is about 60 bytes per name at most.
const MaxNames = 16_000_000

// ErrFull is the error of a name that is added to a table with MaxNames names.
var ErrFull = errors.New("there are more than 16 million names")

const (
	// Entries are stored in chunks, so that a table grows without a copy of its
	// entries. The upper bits of a place are the chunk, the lower ones the offset.
	chunkBits = 18
	chunkSize = 1 << chunkBits

	// valueLen is the length of the number before the name of an entry.
	valueLen = 4

	// firstSlots is the size of the first index, a power of two.
	firstSlots = 64
)

// Table is a hash table from domain names, in wire format and lower case, to numbers.
// Collisions are resolved by linear probing. A name needs its own length, 4 bytes for
// the number and 5 to 11 bytes of index. The table has no pointers except to its few
// chunks, so that the garbage collector does not scan it. The zero value is an empty
// table. It may be read concurrently once it is complete.
//
//	slots   [place | 0 | place | …]          by the hash of the name
//	            │
//	            ▼
//	chunks  [number (4), name | number (4), name | …]
type Table struct {
	// seed is random, so that nobody can choose names which all have one hash.
	seed maphash.Seed

	// slots are the places of entries; 0 is free. Their number is a power of two.
	slots []uint32

	// chunks have the entries: the number and the name, which ends with a label
	// of length 0. The first byte is not used, so that no entry has the place 0.
	chunks [][]byte

	count int // of names
}

// Len returns the number of names.
func (t *Table) Len() int { return t.count }

// Get returns the number of a name, and reports whether there is one.
func (t *Table) Get(name []byte) (uint32, bool) {
	if t.count == 0 {
		return 0, false
	}
	entry := t.entry(t.slots[t.slot(name)], len(name))
	if entry == nil {
		return 0, false
	}
	return binary.LittleEndian.Uint32(entry), true
}

// Set sets the number of a name, which is a valid one.
func (t *Table) Set(name []byte, value uint32) error {
	if t.count == 0 {
		t.seed, t.slots, t.chunks = maphash.MakeSeed(), make([]uint32, firstSlots), [][]byte{append(make([]byte, 0, 256), 0)}
	}
	slot := t.slot(name)
	if entry := t.entry(t.slots[slot], len(name)); entry != nil {
		binary.LittleEndian.PutUint32(entry, value)
		return nil
	}
	if t.count >= MaxNames {
		return ErrFull
	}
	if (t.count+1)*4 > len(t.slots)*3 {
		t.grow()
		slot = t.slot(name)
	}
	t.slots[slot] = t.append(name, value)
	t.count++
	return nil
}

// append stores an entry and returns where it lies.
func (t *Table) append(name []byte, value uint32) uint32 {
	size := valueLen + len(name)
	last := len(t.chunks) - 1
	if len(t.chunks[last])+size > chunkSize {
		t.chunks = append(t.chunks, make([]byte, 0, chunkSize))
		last++
	}
	at := last<<chunkBits | len(t.chunks[last])
	chunk := binary.LittleEndian.AppendUint32(t.chunks[last], value)
	t.chunks[last] = append(chunk, name...)
	return uint32(at)
}

// slot returns the index of a name's slot, or of the free slot in which it belongs. There
// is always a free one, since the index grows before it is full.
func (t *Table) slot(name []byte) int {
	mask := len(t.slots) - 1
	for i := int(maphash.Bytes(t.seed, name)) & mask; ; i = (i + 1) & mask {
		at := t.slots[i]
		if at == 0 {
			return i
		}
		if entry := t.entry(at, len(name)); entry != nil && string(entry[valueLen:]) == string(name) {
			return i
		}
	}
}

// entry returns the entry at a place, as far as a name of the given length would extend,
// and nil if the chunk ends before that. The caller compares the name.
func (t *Table) entry(at uint32, length int) []byte {
	if at == 0 {
		return nil
	}
	chunk, off := t.chunks[at>>chunkBits], int(at&(chunkSize-1))
	if off+valueLen+length > len(chunk) {
		return nil
	}
	return chunk[off : off+valueLen+length]
}

// grow doubles the index. Entries stay where they are.
func (t *Table) grow() {
	old := t.slots
	t.slots = make([]uint32, 2*len(old))
	for _, at := range old {
		if at != 0 {
			t.slots[t.slot(t.name(at))] = at
		}
	}
}

// name returns the name of the entry at a place.
func (t *Table) name(at uint32) []byte {
	name := t.chunks[at>>chunkBits][at&(chunkSize-1)+valueLen:]
	end := 0
	for name[end] != 0 {
		end += 1 + int(name[end])
	}
	return name[:end+1]
}

// Size returns the memory that the table needs, in bytes.
func (t *Table) Size() int {
	size := int(unsafe.Sizeof(*t)) + 4*cap(t.slots)
	for _, chunk := range t.chunks {
		size += cap(chunk) + int(unsafe.Sizeof(chunk))
	}
	return size
}
