package peekbody

import (
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"
)

func TestBeginning(t *testing.T) {
	broken := errors.New("broken")
	for _, tc := range []struct {
		name            string
		body            io.Reader
		beginning, text string
		err             error
	}{
		{"longer", strings.NewReader("123456789"), "1234", "123456789", nil},
		{"as long", strings.NewReader("1234"), "1234", "1234", nil},
		{"shorter", strings.NewReader("12"), "12", "12", nil},
		{"empty", strings.NewReader(""), "", "", nil},
		{"broken within", io.MultiReader(strings.NewReader("12"), iotest.ErrReader(broken)), "12", "12", broken},
		{"broken behind", io.MultiReader(strings.NewReader("123456"), iotest.ErrReader(broken)), "1234", "123456", broken},
	} {
		t.Run(tc.name, func(t *testing.T) {
			b := New(io.NopCloser(tc.body), 4)
			if got := string(b.Beginning()); got != tc.beginning {
				t.Errorf("beginning %q, want %q", got, tc.beginning)
			}
			text, err := io.ReadAll(iotest.OneByteReader(b))
			if string(text) != tc.text || !errors.Is(err, tc.err) {
				t.Errorf("body %q with %v, want %q with %v", text, err, tc.text, tc.err)
			}
			if got := string(b.Beginning()); got != tc.beginning {
				t.Errorf("after reading the beginning is %q, want %q", got, tc.beginning)
			}
		})
	}
}

// Close does not wait for a beginning that does not come, and ends its reading.
func TestClose(t *testing.T) {
	body, writer := io.Pipe()
	defer writer.Close()
	b := New(body, 4)
	if err := b.Close(); err != nil {
		t.Error(err)
	}
	<-b.Done()
	if _, err := b.Read(make([]byte, 1)); !errors.Is(err, io.ErrClosedPipe) {
		t.Errorf("read after close: %v", err)
	}
}
