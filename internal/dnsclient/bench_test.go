package dnsclient

import (
	"bufio"
	"encoding/binary"
	"net"
	"testing"
)

// newEcho is a server that costs as little as possible.
func newEcho(b *testing.B) string {
	b.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go echoFrames(c)
		}
	}()
	return l.Addr().String()
}

func echoFrames(c net.Conn) {
	defer c.Close()
	r, w := bufio.NewReader(c), bufio.NewWriter(c)
	for {
		msg, err := readFrame(r)
		if err != nil {
			return
		}
		msg[2] |= 0x80
		_, _ = w.Write(binary.BigEndian.AppendUint16(nil, uint16(len(msg))))
		_, _ = w.Write(msg)
		if r.Buffered() == 0 {
			_ = w.Flush()
		}
	}
}

// BenchmarkStream asks one query after the other, and BenchmarkStreamParallel
// many at once, over one TCP connection.
func BenchmarkStream(b *testing.B) {
	stream := NewStream(newEcho(b), dial, nil)
	defer stream.Close()
	msg := packed(b, "www.example.")
	b.ReportAllocs()
	for b.Loop() {
		if _, err := stream.Exchange(b.Context(), msg); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkStreamParallel(b *testing.B) {
	stream := NewStream(newEcho(b), dial, nil)
	defer stream.Close()
	msg := packed(b, "www.example.")
	b.ReportAllocs()
	b.SetParallelism(32)
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if _, err := stream.Exchange(b.Context(), msg); err != nil {
				b.Error(err)
				return
			}
		}
	})
}

func BenchmarkDatagram(b *testing.B) {
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	defer conn.Close()
	go func() {
		buf := make([]byte, maxMessage)
		for {
			n, from, err := conn.ReadFrom(buf)
			if err != nil {
				return
			}
			buf[2] |= 0x80
			_, _ = conn.WriteTo(buf[:n], from)
		}
	}()
	d := NewDatagram(conn.LocalAddr().String(), dial)
	msg := packed(b, "www.example.")
	b.ReportAllocs()
	for b.Loop() {
		if _, err := d.Exchange(b.Context(), msg); err != nil {
			b.Fatal(err)
		}
	}
}
