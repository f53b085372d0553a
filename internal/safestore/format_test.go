package safestore

import (
	"bytes"
	"errors"
	"slices"
	"testing"
)

func TestFormat(t *testing.T) {
	format := Format{Magic: "test-file", Version: 2}
	good := format.Encode([]byte("{}\n"))
	if body, err := format.Decode(good); err != nil || string(body) != "{}\n" {
		t.Errorf("got %q, %v back", body, err)
	}
	if body, err := format.Decode(Format{Magic: "test-file", Version: 1}.Encode(nil)); err != nil || len(body) != 0 {
		t.Errorf("an older version: got %q, %v", body, err)
	}
	for name, test := range map[string]struct {
		raw  []byte
		want error
	}{
		"nothing":           {nil, ErrForeign},
		"zeros":             {make([]byte, 1<<16), ErrForeign},
		"another kind":      {Format{Magic: "test-files", Version: 1}.Encode([]byte("{}\n")), ErrForeign},
		"magic word only":   {[]byte("test-file"), ErrForeign},
		"no number":         {[]byte("test-file x y\n"), ErrCorrupt},
		"version 0":         {[]byte("test-file 0 x\n"), ErrCorrupt},
		"no checksum":       {[]byte("test-file 2\n{}\n"), ErrCorrupt},
		"header cut off":    {good[:40], ErrCorrupt},
		"content cut off":   {good[:len(good)-1], ErrCorrupt},
		"content longer":    {append(slices.Clone(good), 0), ErrCorrupt},
		"a word too many":   {bytes.Replace(good, []byte("\n"), []byte(" x\n"), 1), ErrCorrupt},
		"a newer version":   {Format{Magic: "test-file", Version: 3}.Encode(nil), ErrNewer},
		"what is to come":   {[]byte("test-file 99 with another header\n"), ErrNewer},
		"a very long line":  {append([]byte("test-file 2 "), bytes.Repeat([]byte("x"), 1<<20)...), ErrCorrupt},
		"too large version": {[]byte("test-file 99999999999999999999 x\n"), ErrCorrupt},
	} {
		if _, err := format.Decode(test.raw); !errors.Is(err, test.want) {
			t.Errorf("%s: got %v, want %v", name, err, test.want)
		}
	}
	for i := range good {
		raw := slices.Clone(good)
		raw[i] ^= 1
		if _, err := format.Decode(raw); err == nil {
			t.Errorf("byte %d has changed, and nobody notices", i)
		}
	}
}

func FuzzFormat(f *testing.F) {
	format := Format{Magic: "test-file", Version: 2}
	f.Add(format.Encode([]byte("{}\n")))
	f.Add([]byte("test-file 1 \xff"))
	f.Fuzz(func(t *testing.T, raw []byte) {
		if body, err := format.Decode(raw); err == nil && !bytes.HasSuffix(raw, body) {
			t.Errorf("%q is read from %q", body, raw)
		}
		if body, err := format.Decode(format.Encode(raw)); err != nil || !bytes.Equal(body, raw) {
			t.Errorf("%q comes back as %q, %v", raw, body, err)
		}
	})
}
