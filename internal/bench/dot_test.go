package main

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/binary"
	"io"
	"net"
	"testing"
)

// dotClient asks over DNS over TLS, over a connection for each worker.
type dotClient struct {
	conns []net.Conn
	next  []int
}

func newDoTClient(b *testing.B, addr string, roots *x509.CertPool, workers int) *dotClient {
	c := &dotClient{next: make([]int, workers)}
	for range workers {
		conn, err := tls.Dial("tcp", addr, &tls.Config{RootCAs: roots, ServerName: "localhost"})
		if err != nil {
			b.Fatal(err)
		}
		b.Cleanup(func() { conn.Close() })
		c.conns = append(c.conns, conn)
	}
	return c
}

// send asks for one of a hundred names.
func (c *dotClient) send(b *testing.B, worker int) {
	const names = 100
	c.next[worker]++
	query := question(c.next[worker] % names)
	frame := binary.BigEndian.AppendUint16(nil, uint16(len(query)))
	conn := c.conns[worker]
	if _, err := conn.Write(append(frame, query...)); err != nil {
		b.Error(err)
		return
	}
	if _, err := io.ReadFull(conn, frame); err != nil {
		b.Error(err)
		return
	}
	if n, err := io.CopyN(io.Discard, conn, int64(binary.BigEndian.Uint16(frame))); err != nil || n < 40 {
		b.Errorf("%d bytes, %v", n, err)
	}
}
