package reqbody

import (
	"bytes"
	"errors"
	"io"
	"sync"
	"testing"
	"testing/iotest"
)

// wantUsed checks what of a budget is in use.
func (b *Budget) wantUsed(t testing.TB, wantMemory, wantFiles int64) {
	t.Helper()
	if memory, files := b.Used(); memory != wantMemory || files != wantFiles {
		t.Errorf("%d bytes in memory and %d in files are in use, want %d and %d", memory, files, wantMemory, wantFiles)
	}
}

// All that a body uses is counted while it is read and until its last reader is
// closed, and nothing afterwards, however it ends.
func TestBudgetIsGivenBack(t *testing.T) {
	for _, size := range sizes {
		text := filled(size)
		for _, length := range []int64{-1, int64(size)} {
			b := NewBudget(1<<30, 1<<30)
			body, err := b.Read(bytes.NewReader(text), length, 1<<30, nil)
			if err != nil {
				t.Fatal(err)
			}
			memory, files := b.Used()
			held := memory
			if body.file != nil {
				held = files
				if memory != 0 {
					t.Errorf("a file of %d bytes uses %d bytes of memory too", size, memory)
				}
			}
			if held < int64(size) || held > max(2*int64(size), 4096) && held > int64(size)+chunkSize {
				t.Errorf("a body of %d bytes is counted as %d", size, held)
			}
			r, _ := body.Open()
			body.Release()
			if size > smallBody {
				if memory, files := b.Used(); memory+files != held {
					t.Errorf("%d bytes are counted while a reader is open, want %d", memory+files, held)
				}
			}
			r.Close()
			b.wantUsed(t, 0, 0)

			for _, r := range []io.Reader{
				io.MultiReader(bytes.NewReader(text), iotest.ErrReader(errors.New("broken"))),
				bytes.NewReader(append(text, 'x')), // too large
			} {
				if _, err := b.Read(r, -1, int64(size), nil); err == nil {
					t.Fatal("no error")
				}
				b.wantUsed(t, 0, 0)
			}
		}
	}
}

// While memory is scarce bodies lie in files, and when nothing is left there is
// an error instead of memory.
func TestBudgetIsExhausted(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	b := NewBudget(8*chunkSize, 20*chunkSize)
	text := filled(3 * chunkSize)
	var bodies []*Body
	for {
		body, err := b.Read(bytes.NewReader(text), -1, 1<<30, nil)
		if errors.Is(err, ErrExhausted) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		bodies = append(bodies, body)
		if memory, files := b.Used(); memory > 8*chunkSize || files > 20*chunkSize {
			t.Fatalf("%d bytes in memory and %d in files are in use", memory, files)
		}
	}
	inFiles := 0
	for _, body := range bodies {
		if body.file != nil {
			inFiles++
		}
		r, _ := body.Open()
		if got, err := io.ReadAll(r); err != nil || !bytes.Equal(got, text) {
			t.Errorf("%d bytes, %v", len(got), err)
		}
		r.Close()
	}
	if len(bodies) != 7 || inFiles != 6 {
		t.Errorf("%d bodies had room, %d of them in files, want 7 and 6", len(bodies), inFiles)
	}
	// Small bodies have room when large ones have none.
	for range 7 {
		body, err := b.Read(bytes.NewReader(filled(1000)), -1, 1<<30, nil)
		if err != nil {
			t.Fatal(err)
		}
		bodies = append(bodies, body)
	}
	for _, body := range bodies {
		body.Release()
	}
	b.wantUsed(t, 0, 0)
	if _, err := b.Read(bytes.NewReader(text), -1, 1<<30, nil); err != nil {
		t.Errorf("after all are released: %v", err)
	}
}

// Bodies that have announced much and sent little hold little.
func TestBudgetOfAnnouncedBodies(t *testing.T) {
	b := NewBudget(8*chunkSize, 8*chunkSize)
	r, w := io.Pipe()
	go func() {
		_, _ = b.Read(r, 1<<29, 1<<30, nil)
	}()
	_, _ = w.Write([]byte("x"))
	b.wantUsed(t, smallBody, 0)
	w.Close()
}

// A share leaves something to the others.
func TestBudgetShare(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	whole := NewBudget(8*chunkSize, 8*chunkSize)
	greedy, other := whole.Share(2), whole.Share(2)
	var bodies []*Body
	text := filled(chunkSize)
	read := func(b *Budget) error {
		body, err := b.Read(bytes.NewReader(text), -1, 1<<30, nil)
		if err == nil {
			bodies = append(bodies, body)
		}
		return err
	}
	for read(greedy) == nil {
	}
	memory, files := whole.Used()
	if memory > 4*chunkSize || files > 4*chunkSize || memory+files < 4*chunkSize {
		t.Errorf("one share uses %d bytes of memory and %d of files", memory, files)
	}
	if err := read(other); err != nil {
		t.Errorf("the other share: %v", err)
	}
	for _, body := range bodies {
		body.Release()
	}
	for _, b := range []*Budget{whole, greedy, other} {
		b.wantUsed(t, 0, 0)
	}
}

func TestBudgetConcurrently(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	whole := NewBudget(4*chunkSize, 4*chunkSize)
	var wg sync.WaitGroup
	for g := range 8 {
		share := whole.Share(2)
		wg.Go(func() {
			text := filled((g%3 + 1) * chunkSize)
			for range 20 {
				body, err := share.Read(iotest.HalfReader(bytes.NewReader(text)), -1, 1<<30, nil)
				if errors.Is(err, ErrExhausted) {
					continue
				}
				if err != nil {
					t.Error(err)
					return
				}
				r, _ := body.Open()
				body.Release()
				if got, err := io.ReadAll(r); err != nil || !bytes.Equal(got, text) {
					t.Errorf("%d bytes, %v", len(got), err)
				}
				r.Close()
			}
		})
	}
	wg.Wait()
	whole.wantUsed(t, 0, 0)
}
