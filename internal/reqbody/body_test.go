package reqbody

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"testing/iotest"
)

func filled(n int) []byte {
	text := make([]byte, n)
	_, _ = rand.NewChaCha8([32]byte{}).Read(text)
	return text
}

// unlimited is a budget that is never exhausted.
var unlimited = NewBudget(math.MaxInt64, math.MaxInt64)

var sizes = []int{0, 1, 1000, 2048, 2049, smallBody - 1, smallBody, smallBody + 1, chunkSize - 1, chunkSize, chunkSize + 1, 3*chunkSize + 12345, memoryChunks * chunkSize, memoryChunks*chunkSize + 1, (memoryChunks+1)*chunkSize + 1}

func TestBody(t *testing.T) {
	for _, size := range sizes {
		text := filled(size)
		for _, known := range []bool{true, false} {
			t.Run(fmt.Sprintf("%d bytes, known %v", size, known), func(t *testing.T) {
				length := int64(-1)
				if known {
					length = int64(size)
				}
				var seen bytes.Buffer
				b, err := unlimited.Read(bytes.NewReader(text), length, 1<<30, &seen)
				if err != nil {
					t.Fatal(err)
				}
				defer b.Release()
				if b.Len() != int64(size) || !bytes.Equal(seen.Bytes(), text) {
					t.Fatalf("%d bytes, the sink saw %d", b.Len(), seen.Len())
				}
				cuts := [][2]int{{size / 3, size / 2}, {0, 0}, {0, size}, {size / 2, size / 2}, {size, size}}
				if size >= memoryChunks*chunkSize {
					cuts = cuts[:1]
				}
				for _, cut := range cuts {
					for _, with := range []string{"", "replacement"} {
						want := string(text[:cut[0]]) + with + string(text[cut[1]:])
						for _, wrap := range []func(io.Reader) io.Reader{
							func(r io.Reader) io.Reader { return r },
							iotest.HalfReader,
							func(r io.Reader) io.Reader { return struct{ io.Reader }{r} }, // no WriteTo
						} {
							r, n := b.Open(Edit{int64(cut[0]), int64(cut[1]), []byte(with)})
							var got strings.Builder
							if _, err := io.Copy(&got, wrap(r)); err != nil || got.String() != want || n != int64(len(want)) {
								t.Fatalf("replacing %v: %v, %d of %d bytes, announced %d", cut, err, got.Len(), len(want), n)
							}
							r.Close()
						}
					}
				}
			})
		}
	}
}

func TestBodyErrors(t *testing.T) {
	broken := errors.New("broken")
	for _, size := range sizes {
		text := filled(size)
		for _, length := range []int64{-1, int64(size)} {
			if b, err := unlimited.Read(bytes.NewReader(text), length, int64(size)-1, nil); !errors.Is(err, ErrTooLarge) {
				t.Errorf("%d bytes with a smaller limit: %v, %v", size, b, err)
			}
			r := io.MultiReader(bytes.NewReader(text), iotest.ErrReader(broken))
			if b, err := unlimited.Read(r, length, 1<<30, nil); !errors.Is(err, broken) {
				t.Errorf("%d bytes from a broken reader: %v, %v", size, b, err)
			}
		}
		if size > 0 {
			if b, err := unlimited.Read(bytes.NewReader(text), -1, 1<<30, refusing{broken}); !errors.Is(err, broken) {
				t.Errorf("%d bytes to a refusing sink: %v, %v", size, b, err)
			}
		}
	}
}

type refusing struct{ err error }

func (r refusing) Write([]byte) (int, error) { return 0, r.err }

// Chunks are used again only when the owner and all readers are done, also
// when net/http goes on reading a body that was closed meanwhile.
func TestBodyIsUsedAgainLate(t *testing.T) {
	var wg sync.WaitGroup
	for g := range 8 {
		wg.Go(func() {
			for i := range 20 {
				text := bytes.Repeat([]byte{byte(g<<4 | i)}, chunkSize+1000)
				b, err := unlimited.Read(bytes.NewReader(text), -1, 1<<30, nil)
				if err != nil {
					t.Error(err)
					return
				}
				r, _ := b.Open()
				late, _ := b.Open()
				closing, _ := b.Open()
				var inner sync.WaitGroup
				inner.Go(func() {
					if got, err := io.ReadAll(late); err != nil || !bytes.Equal(got, text) {
						t.Errorf("a reader that is open after Release saw another body (%v)", err)
					}
					late.Close()
				})
				inner.Go(func() { _, _ = io.Copy(io.Discard, closing) })
				closing.Close()
				b.Release()
				b.Release()
				if got, err := io.ReadAll(struct{ io.Reader }{r}); err != nil || !bytes.Equal(got, text) {
					t.Errorf("%d bytes, %v", len(got), err)
				}
				r.Close()
				r.Close()
				inner.Wait()
				if refs := b.refs.Load(); refs != 0 {
					t.Errorf("%d references are left", refs)
				}
				if n, err := r.Read(make([]byte, 1)); n != 0 || err == nil {
					t.Error("a closed body can be read")
				}
			}
		})
	}
	wg.Wait()
}

// Tries ask for different models, and what one try reads the next leaves as it
// is, wherever the edits were made.
func TestBodyEditedAgain(t *testing.T) {
	const text = `{"model":"gpt-4o","messages":[]}`
	for _, order := range [][]string{
		{`"short"`, `"a much longer name of a model"`, `"short"`, ``},
		{`"` + strings.Repeat("x", spare) + `"`, `"short"`},
		{`"` + strings.Repeat("x", 2*spare) + `"`, `"short"`, ``},
		{``, `"short"`, `"other"`},
		{`"gpt-4o"`, `"gpt-5o"`, ``},
	} {
		b, err := unlimited.Read(strings.NewReader(text), int64(len(text)), 1<<20, nil)
		if err != nil {
			t.Fatal(err)
		}
		readers, wants := []io.Reader{}, []string{}
		for _, with := range order {
			edits, want := []Edit{}, text
			if with != "" {
				edits = append(edits, Edit{9, 17, []byte(with)})
				want = text[:9] + with + text[17:]
			}
			r, n := b.Open(edits...)
			if n != int64(len(want)) {
				t.Errorf("%q: %d bytes, want %d", with, n, len(want))
			}
			readers, wants = append(readers, r), append(wants, want)
			if got := string(b.Slice(1, 20)); got != text[1:20] {
				t.Errorf("after %q: the original is %s", with, got)
			}
		}
		for i, r := range readers {
			if got, _ := io.ReadAll(r); string(got) != wants[i] {
				t.Errorf("order %q, reader %d: %s, want %s", order, i, got, wants[i])
			}
		}
	}
}
