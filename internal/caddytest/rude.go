package caddytest

import (
	"io"
	"net"
	"testing"
)

// NewRudeServer starts an HTTP server that cuts each connection in the middle
// of a request's body, and returns its URL.
func NewRudeServer(t testing.TB) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { listener.Close() })
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			_, _ = io.ReadFull(conn, make([]byte, 100_000))
			conn.Close() // with data unread: the kernel resets
		}
	}()
	return "http://" + listener.Addr().String()
}
