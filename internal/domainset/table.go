package domainset

import (
	"encoding/binary"
	"errors"
	"hash/maphash"
	"unsafe"
)

// MaxNames bounds the memory of a table: about 60 bytes a name at most.
const MaxNames = 16_000_000

// ErrFull says that a table has MaxNames names.
var ErrFull = errors.New("there are more than 16 million names")

const (
	// Entries lie in chunks, so that a table grows without being copied.
	chunkBits = 18
	chunkSize = 1 << chunkBits

	// valueLen is what stands before the name of an entry.
	valueLen = 4

	// firstSlots is the size of the first index, a power of two.
	firstSlots = 64
)

// Table maps domain names in wire format and lower case to numbers. A name
// takes its own length, 4 bytes for the number and 5 to 11 bytes of index. The
// zero value is an empty table. Readers need no lock once it is complete.
type Table struct {
	seed  maphash.Seed
	slots []uint32 // where entries lie; 0 is free
	// chunks hold the entries: the number and the name, whose end is known by
	// its last label of length 0. The first byte is not used.
	chunks [][]byte
	count  int
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

// slot returns the slot of a name, or the free one in which it belongs.
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

// entry returns the entry at a place if its name can have the given length, and
// else nil.
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

// grow doubles the index.
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

// Size returns the memory that the table takes, in bytes.
func (t *Table) Size() int {
	size := int(unsafe.Sizeof(*t)) + 4*cap(t.slots)
	for _, chunk := range t.chunks {
		size += cap(chunk) + int(unsafe.Sizeof(chunk))
	}
	return size
}
