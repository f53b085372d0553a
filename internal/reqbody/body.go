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

// ErrTooLarge says that a body is larger than the limit that Budget.Read was given. The
// gateway answers 413. A body whose Content-Length already says so is not read at all.
var ErrTooLarge = errors.New("the body is too large")

// errClosed is returned by reads after Close. net/http's transport may go on reading
// the body of a request whose round trip has ended, and must not see the memory of
// another request's body then.
var errClosed = errors.New("the body is closed")

const (
	// smallBody is the largest body, in bytes, that is kept in one piece.
	smallBody = 64 << 10
	// chunkSize is large because the kernel hands over more at a time then:
	// with 64 KB each a body of 5 MB costs a fifth more.
	chunkSize = 512 << 10
)

// chunk is the unit in which large bodies lie in memory. It is an array, not a slice,
// so that a pointer to it goes through the pool without an allocation.
type chunk [chunkSize]byte

var (
	chunks = sync.Pool{New: func() any { return new(chunk) }}
	// pieces are what large bodies begin with, and what files are sent in. They
	// are no chunks, since a slow peer can hold on to one for long.
	pieces = sync.Pool{New: func() any { return new([smallBody]byte) }}
)

// Body is a request body that is kept, so that each attempt can send it anew. A
// small one is one piece, which net/http recognises and sends together with
// the header; a large one lies in chunks that are used again, and a very large
// one in a file.
//
// The owner, which is the request's goroutine, calls all methods; they are not safe for
// concurrent use. The readers that Open returns may be read and closed elsewhere, as
// net/http's transports do, also after Release: chunks and the file are given back with
// the last reference.
type Body struct {
	// budget counts what the body uses; Read has set it, and it never changes.
	budget *Budget
	// Where the bytes lie. Of small and chunks at most one is set; with a file there is
	// one chunk while the body is read, into which the next bytes go, and none
	// afterwards. The piece of a small body never goes back to its pool, since its
	// readers are not counted.
	small  []byte
	chunks []*chunk
	file   *os.File
	// inFile is how many bytes the file has, which is what the budget counts for it.
	inFile int64
	size   int64
	// refs are the owner and all open readers of chunks or of the file. The one that
	// takes it to 0 gives the memory back.
	refs atomic.Int32
	// once makes a second Release harmless.
	once sync.Once

	reserved int64 // bytes of memory that the budget counts

	// What splice keeps of a small body, so that the attempts of a request that ask for
	// the same model share one text.
	spliced []byte // small with the last edits
	edits   []Edit
	undo    *Edit // makes small of spliced, where that took its place
}

// Edit is a replacement in a body, such as of the model's name by the channel's. An
// empty With removes, and equal Start and End insert. The edits of one Open are in
// order and do not overlap; nothing checks that.
type Edit struct {
	Start, End int64 // offsets of what is replaced
	With       []byte
}

// read reads r to its end. A body that has exactly the capacity of its piece is read on
// into a next one before the end is known: an io.Reader may say io.EOF only with the
// read after the last byte. On an error the caller releases the body.
//
// The sink sees the bytes before the limit is checked, so that it may have read some
// that are beyond it; its result is not used then.
func (b *Body) read(r io.Reader, size, limit int64, sink io.Writer) error {
	n := firstSize(size)
	if !b.reserve(n) {
		return ErrExhausted
	}
	if n == smallBody {
		b.small = pieces.Get().(*[smallBody]byte)[:]
	} else {
		b.small = make([]byte, n, n+spare)
	}
	free := b.small // what has not been read into
	for {
		if len(free) == 0 {
			var err error
			if free, err = b.grow(); err != nil {
				return err
			}
		}
		n, err := r.Read(free)
		if sink != nil && n > 0 {
			if _, err := sink.Write(free[:n]); err != nil {
				return err
			}
		}
		free = free[n:]
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
		return b.spillLast()
	case b.chunks == nil:
		b.small = b.small[:b.size]
	}
	return nil
}

// reserve counts memory before it is used, and reports whether there is any. What it
// has counted is given back by unreserve, or by removeReference at the latest.
func (b *Body) reserve(n int64) bool {
	if !b.budget.reserveMemory(n) {
		return false
	}
	b.reserved += n
	return true
}

// unreserve gives memory back that was reserved.
func (b *Body) unreserve(n int64) {
	b.budget.releaseMemory(n)
	b.reserved -= n
}

// grow returns further memory when all is full: a larger piece, or, when the
// body is not small any more, another chunk, or the chunk of which a file has
// taken over the content.
func (b *Body) grow() ([]byte, error) {
	full := len(b.chunks) == memoryChunks || len(b.chunks) > 0 && b.budget.isScarce()
	if b.file != nil || full {
		return b.spill()
	}
	if b.chunks == nil && len(b.small) < smallBody {
		length := min(4*len(b.small), smallBody)
		if !b.reserve(int64(length - len(b.small))) {
			return nil, ErrExhausted
		}
		grown := make([]byte, length)
		free := grown[copy(grown, b.small):]
		b.small = grown
		return free, nil
	}
	return b.addChunk()
}

// addChunk takes a chunk from the pool, moves a small body into the first one, and
// returns what is free in it. Only here the piece of a body goes back to its pool: no
// reader has been opened yet.
func (b *Body) addChunk() ([]byte, error) {
	if !b.reserve(chunkSize) {
		return nil, ErrExhausted
	}
	c := chunks.Get().(*chunk)
	b.chunks = append(b.chunks, c)
	n := copy(c[:], b.small)
	b.unreserve(int64(len(b.small)))
	if len(b.small) == smallBody {
		pieces.Put((*[smallBody]byte)(b.small))
	}
	b.small = nil
	return c[n:], nil
}

// spare is the capacity, in bytes, behind a small body. A replacement of the model's
// name that is longer by at most that much is made in place, without a copy of the
// body.
const spare = 64

// firstSize is the capacity for a body of the given length, and one byte more,
// so that the end of a small one is seen without growing. Nobody gets the
// memory for a large one by announcing it: the chunk comes when this is full.
//
// Without a Content-Length (chunked encoding, HTTP/2 without the field) 2 KB are a
// guess: grow makes four times as much of them each time.
func firstSize(size int64) int64 {
	if size < 0 {
		return 2048
	}
	return min(size+1, smallBody)
}

// Len returns the length in bytes as the body was received; Open returns the length
// with its edits.
func (b *Body) Len() int64 { return b.size }

// Release says that the owner opens no more readers. The memory is given back
// when the last reader is closed.
//
// It may be called more than once. Slice, Peek and Open must not be called after it.
func (b *Body) Release() { b.once.Do(b.removeReference) }

// removeReference drops the owner's or a reader's reference and gives everything back
// with the last one. It runs in whichever goroutine closes last, so it touches nothing
// but the pools, the file and the budget's atomic counters.
func (b *Body) removeReference() {
	if b.refs.Add(-1) > 0 {
		return
	}
	b.recycle(0)
	b.unreserve(b.reserved)
	if b.file != nil {
		b.closeFile()
	}
}

// Slice returns a copy of the bytes from start to end, which the caller keeps. It is
// meant for values of fields: nothing bounds its size but the body's own.
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

// Peek calls f with the bytes from start to end, of which it shows the first 64 KB
// at most. They are valid during the call.
//
// Without a copy where the bytes lie in one piece, which they do not in a file or
// across the border of two chunks. What is beyond the 64 KB is not shown, so f must
// take a text that breaks off.
func (b *Body) Peek(start, end int64, f func(text []byte)) {
	if b.file == nil && b.chunks == nil {
		f(b.original()[start:end])
		return
	}
	end = min(end, start+smallBody)
	if b.file == nil && start/chunkSize == (end-1)/chunkSize {
		f(b.chunks[start/chunkSize][start%chunkSize:][:end-start])
		return
	}
	room := pieces.Get().(*[smallBody]byte)
	defer pieces.Put(room)
	f(room[:b.readAt(room[:end-start], start)])
}

// readAt reads what lies in chunks or in a file, and returns how much that is.
func (b *Body) readAt(p []byte, at int64) (n int) {
	if b.file != nil {
		n, _ = b.file.ReadAt(p, at)
		return n
	}
	for n < len(p) {
		c, from := b.chunks[(at+int64(n))/chunkSize], (at+int64(n))%chunkSize
		n += copy(p[n:], c[from:])
	}
	return n
}

// Open returns a reader of the body with the edits made, which are in order
// and do not overlap, and how long it is.
//
// The length goes into the request's ContentLength: with a wrong one HTTP/1.1 ends the
// connection, and HTTP/2 the stream. A body of one piece comes as an io.NopCloser of a
// *bytes.Reader, by which net/http knows that it need not be sent in a goroutine of its
// own; closing it is not necessary. Every other reader must be closed, or its memory
// stays counted.
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
// first attempt, which mostly is the only one, are made where the text lies.
//
// There are three cases: the same edits as last time share the text; the first ones
// that fit change small where it lies and remember the undo; all others make a copy.
// The text that an earlier call has returned is never written to again, since a reader
// may still have it.
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

// Edited returns a text with edits made, which are in order and do not overlap. It
// is a copy, unless there are none.
func Edited(text []byte, edits []Edit) []byte {
	length := int64(len(text))
	for _, e := range edits {
		length += int64(len(e.With)) - (e.End - e.Start)
	}
	return edited(text, edits, length)
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

// reader reads a body's pieces one after the other: parts of chunks, and between them
// the replacements of the edits. It implements io.WriterTo, so that io.Copy needs no
// buffer.
type reader struct {
	body *Body

	// mu guards the fields below. net/http may close a body while another goroutine
	// reads it: without the lock Close would give a chunk back that a Read is copying
	// from.
	mu     sync.Mutex
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

// Len returns how many bytes are left. It makes the reader look like a *bytes.Reader to
// code that asks for the length of what it is given.
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
		r.body.removeReference()
	}
	return nil
}
