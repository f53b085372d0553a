package dnsserver

import (
	"encoding/binary"
	"io"
	"net"
	"net/netip"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jonboulle/clockwork"
	"go.uber.org/zap"
)

// pipes is a listener whose connections have no buffers: a write waits for a read.
type pipes struct {
	conns  chan net.Conn
	closed chan struct{}
}

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case conn := <-p.conns:
		return conn, nil
	case <-p.closed:
		return nil, net.ErrClosed
	}
}

func (p *pipes) Close() error   { close(p.closed); return nil }
func (p *pipes) Addr() net.Addr { return nil }

// from is a connection of a client with an address.
type from struct {
	net.Conn
	client netip.AddrPort
}

func (f *from) RemoteAddr() net.Addr { return net.TCPAddrFromAddrPort(f.client) }

// serveStreams starts a server. connect opens a connection from an address.
func serveStreams(t *testing.T, handler Handler) (server *streams, connect func(ip string) net.Conn) {
	t.Helper()
	s := &Socket{address: Address{Network: TCP}}
	s.logger.Store(zap.NewNop())
	s.Use(NewService(handler, nil, clockwork.NewFakeClock()))
	listener := &pipes{make(chan net.Conn), make(chan struct{})}
	server = newStreams(s, listener)
	t.Cleanup(server.close)
	return server, func(ip string) net.Conn {
		near, far := net.Pipe()
		t.Cleanup(func() { near.Close() })
		listener.conns <- &from{far, netip.AddrPortFrom(netip.MustParseAddr(ip), 5353)}
		return near
	}
}

// A response to a client that does not read keeps those after it from being written to
// memory.
func TestReady(t *testing.T) {
	const queries, length = 20, 50_000
	var begun, ready atomic.Int64
	_, connect := serveStreams(t, func(r *Request, buf []byte) []byte {
		begun.Add(1)
		r.Ready()
		ready.Add(1)
		return append(buf, make([]byte, length)...)
	})
	conn := connect("192.0.2.1")
	for range queries {
		if _, err := conn.Write(append([]byte{0, headerLength}, make([]byte, headerLength)...)); err != nil {
			t.Fatal(err)
		}
	}
	for begun.Load() < queries {
		time.Sleep(time.Millisecond)
	}
	response := make([]byte, lengthLen+length)
	for i := range int64(queries) {
		if n := ready.Load(); n > i+1 {
			t.Fatalf("%d responses are in memory after %d were read", n, i)
		}
		if _, err := io.ReadFull(conn, response); err != nil || binary.BigEndian.Uint16(response) != length {
			t.Fatalf("response %d has %d bytes (%v)", i, binary.BigEndian.Uint16(response), err)
		}
	}
}

// headerLength is the length of the shortest query.
const headerLength = 12

// When too many bytes wait for clients, those lose their connections that have the
// most of them.
func TestUnsent(t *testing.T) {
	server, connect := serveStreams(t, func(*Request, []byte) []byte { return nil })
	clients := map[string]net.Conn{"192.0.2.1": nil, "192.0.2.2": nil, "192.0.2.3": nil}
	for ip := range clients {
		clients[ip] = connect(ip)
	}
	conns := make(map[string]*conn)
	for len(conns) < len(clients) {
		server.mu.Lock()
		for c := range server.conns {
			conns[c.client.String()] = c
		}
		server.mu.Unlock()
	}
	server.queue(conns["192.0.2.1"], maxUnsent/2)
	server.queue(conns["192.0.2.2"], maxUnsent/4)
	server.queue(conns["192.0.2.3"], maxUnsent/4)
	for ip, c := range conns {
		if c.backlog() == 0 {
			t.Fatalf("the connection of %s was closed at the maximum", ip)
		}
	}
	server.queue(conns["192.0.2.3"], 1)
	if _, err := clients["192.0.2.1"].Read(make([]byte, 1)); err != io.EOF {
		t.Errorf("the connection with the most bytes was not closed: %v", err)
	}
	if n := conns["192.0.2.1"].backlog(); n != 0 {
		t.Errorf("%d bytes of a closed connection wait", n)
	}
	for _, ip := range []string{"192.0.2.2", "192.0.2.3"} {
		if conns[ip].backlog() == 0 {
			t.Errorf("the connection of %s was closed", ip)
		}
	}
	server.dequeue(conns["192.0.2.1"], maxUnsent/2)
	if n := server.unsent.Load(); n != maxUnsent/2+1 {
		t.Errorf("%d bytes are counted", n)
	}
}
