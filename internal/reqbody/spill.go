package reqbody

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
)

// memoryChunks is how many chunks a body may have in memory (8 MB) as long as
// that is not scarce. One that grows beyond that lies in a file as a whole.
//
// The threshold is a trade: a write to the page cache and a read from it are far
// cheaper than a request that is refused for memory, yet chats with images stay below
// it and touch no disk.
const memoryChunks = 16

// ErrNotKept says that a large body could not be written to a temporary file, such as
// when the disk is full. The operating system's error is wrapped beside it and must not
// reach a client: it names a path of the server.
var ErrNotKept = errors.New("the body could not be kept")

// spill moves the chunks to a file, which has no name from the beginning, and
// returns one of them to read on with. Where there can be no file the body stays
// in memory.
//
// The file is created in os.TempDir and removed at once where the system allows it (all
// but Windows), so that a crash leaves none behind and no other process can open it.
// From then on the body uses one chunk of memory, whatever its size.
func (b *Body) spill() ([]byte, error) {
	if b.file == nil {
		file, err := os.CreateTemp("", "caddy-body-*")
		if err != nil {
			return b.addChunk()
		}
		b.file = file
		_ = os.Remove(file.Name()) // where that fails it is done at the end
	}
	for _, c := range b.chunks {
		if err := b.writeFile(c[:]); err != nil {
			return nil, err
		}
	}
	b.recycle(1)
	return b.chunks[0][:], nil
}

// spillLast moves the last chunk, of which the body has only the beginning.
//
// After it the body uses no memory at all: readers read from the file.
func (b *Body) spillLast() error {
	if err := b.writeFile(b.chunks[0][:b.size-b.inFile]); err != nil {
		return err
	}
	b.recycle(0)
	return nil
}

// writeFile appends to the file. inFile grows with the reservation and not with the
// write, so that closeFile gives back what was counted also after a failed write.
func (b *Body) writeFile(p []byte) error {
	if !b.budget.reserveFile(int64(len(p))) {
		return ErrExhausted
	}
	b.inFile += int64(len(p))
	if _, err := b.file.Write(p); err != nil {
		return fmt.Errorf("%w: %w", ErrNotKept, err)
	}
	return nil
}

// recycle keeps the first n chunks and gives the others back.
//
// The pool may hand a chunk to another request at once, with this body's bytes still in
// it.
func (b *Body) recycle(n int) {
	for _, c := range b.chunks[n:] {
		chunks.Put(c)
		b.unreserve(chunkSize)
	}
	b.chunks = b.chunks[:n]
}

// closeFile runs with the last reference. Errors are of no use to anybody by then.
func (b *Body) closeFile() {
	b.file.Close()
	_ = os.Remove(b.file.Name()) // on systems that do not remove an open file
	b.budget.releaseFile(b.inFile)
}

// openFile is Open for a body in a file.
//
// Each section reads with ReadAt and a position of its own, so any number of readers
// share the one open file.
func (b *Body) openFile(edits []Edit, length int64) io.ReadCloser {
	b.refs.Add(1)
	r := &fileReader{body: b, left: length}
	at := int64(0)
	for _, e := range edits {
		r.pieces = append(r.pieces, io.NewSectionReader(b.file, at, e.Start-at), bytes.NewReader(e.With))
		at = e.End
	}
	r.pieces = append(r.pieces, io.NewSectionReader(b.file, at, b.size-at))
	return r
}

// fileReader reads a body from its file, with the replacements of the edits in between.
// It is to a file what reader is to chunks.
type fileReader struct {
	body *Body

	// mu guards the fields below, as in reader.
	mu     sync.Mutex
	pieces []io.Reader
	left   int64
	closed bool
}

// Len returns how many bytes are left.
func (r *fileReader) Len() int64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.left
}

// Read implements io.Reader.
func (r *fileReader) Read(p []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.read(p)
}

func (r *fileReader) read(p []byte) (int, error) {
	if r.closed {
		return 0, errClosed
	}
	for len(r.pieces) > 0 {
		n, err := r.pieces[0].Read(p)
		r.left -= int64(n)
		if err == io.EOF {
			r.pieces = r.pieces[1:]
			err = nil
		}
		if n > 0 || err != nil {
			return n, err
		}
	}
	return 0, io.EOF
}

// WriteTo implements io.WriterTo. It is there because io.Copy would allocate 32 KB for
// each attempt otherwise. It does not hold the lock while w writes: Close need not wait
// for a slow peer, and the next Read returns errClosed.
func (r *fileReader) WriteTo(w io.Writer) (written int64, err error) {
	step := pieces.Get().(*[smallBody]byte)
	defer pieces.Put(step)
	for {
		n, err := r.Read(step[:])
		if n > 0 {
			m, err := w.Write(step[:n])
			written += int64(m)
			if err != nil {
				return written, err
			}
		}
		if err == io.EOF {
			return written, nil
		}
		if err != nil {
			return written, err
		}
	}
}

// Close lets the file go.
func (r *fileReader) Close() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.closed {
		r.closed, r.pieces = true, nil
		r.body.removeReference()
	}
	return nil
}
