package dnsclient

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"testing"
)

func FuzzFrame(f *testing.F) {
	msg := packed(f, "www.example.")
	f.Add(append(binary.BigEndian.AppendUint16(nil, uint16(len(msg))), msg...))
	f.Add([]byte{0, 12, 1, 2, 3})
	f.Add([]byte{0, 0})
	f.Add([]byte{1})
	f.Fuzz(func(t *testing.T, raw []byte) {
		r := bufio.NewReaderSize(bytes.NewReader(raw), 16)
		for {
			msg, err := readFrame(r)
			if err != nil {
				return
			}
			if len(msg) < headerLen || int(binary.BigEndian.Uint16(raw)) != len(msg) || !bytes.Equal(raw[2:2+len(msg)], msg) {
				t.Fatalf("%x was read as %x", raw, msg)
			}
			raw = raw[2+len(msg):]
		}
	})
}
