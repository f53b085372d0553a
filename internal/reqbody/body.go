package reqbody

import (
	"bytes"
	"errors"
	"io"
	"os"
	"slices"
	"sync"
	"sync/atomic"
)

// ErrTooLarge says that a body is larger than the limit.
var ErrTooLarge = errors.New("the body is too large")

var errClosed = errors.New("the body is closed")

const (
	// smallBody is the largest body, in bytes, that is kept in one piece.
	smallBody = 64 << 10
	// chunkSize is large because the kernel hands over more at a time then:
	// with 64 KB each a body of 5 MB costs a fifth more.
	chunkSize = 512 << 10
)

type chunk [chunkSize]byte

var chunks = sync.Pool{New: func() any { return new(chunk) }}

// Body is a request body that is kept, so that each try can send it anew. A
// small one is one piece, which net/http recognises and sends together with
// the header; a large one lies in chunks that are used again, and a very large
// one in a file.
type Body struct {
	small  []byte
	chunks []*chunk
	file   *os.File
	inFile int64 // how much is in the file while the body is being read
	size   int64
	refs   atomic.Int32 // the owner and all open readers
	once   sync.Once

	spliced []byte // small with the last edits
	edits   []Edit
	undo    *Edit // makes small of spliced, where that took its place
}

// Edit is a replacement in a body.
type Edit struct {
	Start, End int64 // offsets of what is replaced
	With       []byte
}

// Read reads r to its end. size is the length if it is known (the
// Content-Length), else -1. A body of more than limit bytes is ErrTooLarge.
// Each piece goes to sink as it arrives; its error ends the reading and is
// returned. sink may be nil.
func Read(r io.Reader, size, limit int64, sink io.Writer) (*Body, error) {
	if size > limit {
		return nil, ErrTooLarge
	}
	b := new(Body)
	b.refs.Store(1)
	if err := b.read(r, size, limit, sink); err != nil {
		b.Release()
		return nil, err
	}
	return b, nil
}

func (b *Body) read(r io.Reader, size, limit int64, sink io.Writer) error {
	var rest []byte // room for what comes next
	if size < smallBody {
		n := firstSize(size)
		b.small = make([]byte, n, n+spare)
		rest = b.small
	}
	for {
		if len(rest) == 0 {
			var err error
			if rest, err = b.grow(); err != nil {
				return err
			}
		}
		n, err := r.Read(rest)
		if sink != nil && n > 0 {
			if _, err := sink.Write(rest[:n]); err != nil {
				return err
			}
		}
		rest = rest[n:]
		b.size += int64(n)
		if b.size > limit {
			return ErrTooLarge
		}
		if err == io.EOF {
			break
		}
		if err != nil {
			return err
		}
	}
	switch {
	case b.file != nil:
		return b.spillRest()
	case b.chunks == nil:
		b.small = b.small[:b.size]
	}
	return nil
}

// grow makes room when all is full: a larger piece, or, when the body is not
// small any more, another chunk, or the chunks that a file has taken over.
func (b *Body) grow() ([]byte, error) {
	if b.file != nil || len(b.chunks) == memoryChunks {
		return b.spill()
	}
	if b.chunks == nil && b.small != nil && len(b.small) < smallBody {
		grown := make([]byte, min(4*len(b.small), smallBody))
		rest := grown[copy(grown, b.small):]
		b.small = grown
		return rest, nil
	}
	return b.addChunk(), nil
}

func (b *Body) addChunk() []byte {
	c := chunks.Get().(*chunk)
	b.chunks = append(b.chunks, c)
	n := copy(c[:], b.small)
	b.small = nil
	return c[n:]
}

// spare is the room behind a small body for a longer name of its model.
const spare = 64

// firstSize is the room for a small body of the given length, and one byte
// more, so that its end is seen without growing.
func firstSize(size int64) int64 {
	if size < 0 {
		return 2048
	}
	return size + 1
}

// Len returns the length in bytes.
func (b *Body) Len() int64 { return b.size }

// Release says that the owner opens no more readers. The memory is used again
// when the last reader is closed.
func (b *Body) Release() { b.once.Do(b.drop) }

func (b *Body) drop() {
	if b.refs.Add(-1) > 0 {
		return
	}
	b.recycle(0)
	if b.file != nil {
		b.forget()
	}
}

// Slice returns a copy of the bytes from start to end.
func (b *Body) Slice(start, end int64) []byte {
	if b.file != nil {
		p := make([]byte, end-start)
		n, _ := b.file.ReadAt(p, start)
		return p[:n]
	}
	if b.chunks == nil {
		return bytes.Clone(b.original()[start:end])
	}
	r := &reader{body: b}
	r.add(start, end)
	return bytes.Join(r.pieces, nil)
}

// Open returns a reader of the body with the edits made, which are in order
// and do not overlap, and how long it is.
func (b *Body) Open(edits ...Edit) (io.ReadCloser, int64) {
	length := b.size
	for _, e := range edits {
		length += int64(len(e.With)) - (e.End - e.Start)
	}
	if b.file != nil {
		return b.openFile(edits, length), length
	}
	if b.chunks == nil {
		text := b.splice(edits, length)
		return io.NopCloser(bytes.NewReader(text)), length
	}
	b.refs.Add(1)
	r := &reader{body: b}
	at := int64(0)
	for _, e := range edits {
		r.add(at, e.Start)
		if len(e.With) > 0 {
			r.pieces = append(r.pieces, e.With)
		}
		at = e.End
	}
	r.add(at, b.size)
	return r, length
}

// splice returns the text of a small body with the edits made. Those of the
// first try, which mostly is the only one, are made where the text lies.
func (b *Body) splice(edits []Edit, length int64) []byte {
	first := b.spliced == nil
	if !first && slices.EqualFunc(b.edits, edits, Edit.equal) {
		return b.spliced
	}
	b.edits = append(b.edits[:0], edits...)
	if first && len(edits) == 1 && length <= int64(cap(b.small)) {
		e := edits[0]
		b.undo = &Edit{e.Start, e.Start + int64(len(e.With)), bytes.Clone(b.small[e.Start:e.End])}
		b.spliced = slices.Replace(b.small, int(e.Start), int(e.End), e.With...)
		b.small = nil
		return b.spliced
	}
	b.spliced = edited(b.original(), edits, length)
	return b.spliced
}

// original returns the text of a small body without edits. A reader of the
// edited one may still be at work, which is left as it is.
func (b *Body) original() []byte {
	if b.undo != nil {
		b.small = edited(b.spliced, []Edit{*b.undo}, b.size)
		b.undo = nil
	}
	return b.small
}

// edited returns a copy of a text with edits made.
func edited(text []byte, edits []Edit, length int64) []byte {
	if len(edits) == 0 {
		return text
	}
	result, at := make([]byte, 0, length), int64(0)
	for _, e := range edits {
		result = append(append(result, text[at:e.Start]...), e.With...)
		at = e.End
	}
	return append(result, text[at:]...)
}

func (e Edit) equal(other Edit) bool {
	return e.Start == other.Start && e.End == other.End && bytes.Equal(e.With, other.With)
}

// reader reads a body's pieces one after the other.
type reader struct {
	body *Body

	mu     sync.Mutex // net/http may close a body while it reads it
	pieces [][]byte
	closed bool
}

// add adds the body's bytes from start to end.
func (r *reader) add(start, end int64) {
	for start < end {
		c, at := r.body.chunks[start/chunkSize], start%chunkSize
		n := min(chunkSize-at, end-start)
		r.pieces = append(r.pieces, c[at:at+n])
		start += n
	}
}

// Len returns how many bytes are left.
func (r *reader) Len() (n int64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, piece := range r.pieces {
		n += int64(len(piece))
	}
	return n
}

// Read implements io.Reader.
func (r *reader) Read(p []byte) (n int, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return 0, errClosed
	}
	for n < len(p) && len(r.pieces) > 0 {
		m := copy(p[n:], r.pieces[0])
		n += m
		if r.pieces[0] = r.pieces[0][m:]; len(r.pieces[0]) == 0 {
			r.pieces = r.pieces[1:]
		}
	}
	if n == 0 && len(p) > 0 {
		return 0, io.EOF
	}
	return n, nil
}

// WriteTo implements io.WriterTo, without a copy.
func (r *reader) WriteTo(w io.Writer) (n int64, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return 0, errClosed
	}
	for len(r.pieces) > 0 {
		m, err := w.Write(r.pieces[0])
		n += int64(m)
		if err != nil {
			return n, err
		}
		r.pieces = r.pieces[1:]
	}
	return n, nil
}

// Close gives the memory back. It waits for a Read or WriteTo under way.
func (r *reader) Close() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.closed {
		r.closed, r.pieces = true, nil
		r.body.drop()
	}
	return nil
}
