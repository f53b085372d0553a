package dnsserver

import (
	"cmp"
	"crypto/tls"
	"errors"
	"net"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"go.uber.org/zap"
)

const (
	// maxConns is how many connections a listener has at once, and maxConnsClient
	// how many of them one client has. A /64 network of IPv6 is one client. With
	// more, the one that has been idle longest is closed.
	maxConns       = 8192
	maxConnsClient = 128

	// maxQueries is how many queries of all connections of a listener are
	// answered at once, and maxQueriesClient how many of them one client has. A
	// query counts until its response is sent: clients that do not read, or ask
	// for names of servers that do not answer, hold up no others.
	maxQueries       = 8192
	maxQueriesClient = 1024

	// maxUnsent is how many bytes of responses wait for clients to read them, in all
	// connections of a listener. With more, the connections with the most of them are
	// closed: whoever asks for large responses and does not read them must not take
	// the memory. That is enough for 500 of the longest responses, and for tens of
	// thousands of usual ones.
	maxUnsent = 32 << 20

	// acceptPause delays the next accept after an error.
	acceptPause = 50 * time.Millisecond
)

// streams is the server of a TCP socket, with TLS or without.
type streams struct {
	socket   *Socket
	listener net.Listener
	slots    chan struct{}  // one element for each query that is being answered
	running  sync.WaitGroup // serve, and one for each connection
	unsent   atomic.Int64   // bytes of responses that are being sent

	mu      sync.Mutex // guards the fields below
	conns   map[*conn]struct{}
	clients map[netip.Prefix]*client // by clientNetwork; only those with a connection
	closed  bool
}

// client is who has connections, of which there is at least one.
type client struct {
	conns int           // guarded by streams.mu
	slots chan struct{} // for its queries that are answered at once
}

func newStreams(s *Socket, listener net.Listener) *streams {
	t := &streams{
		socket:   s,
		listener: listener,
		slots:    make(chan struct{}, maxQueries),
		conns:    make(map[*conn]struct{}),
		clients:  make(map[netip.Prefix]*client),
	}
	t.running.Add(1)
	go t.serve()
	return t
}

// serve accepts connections until the socket is closed.
func (t *streams) serve() {
	defer t.running.Done()
	for {
		raw, err := t.listener.Accept()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			// For example too many open files, which is temporary.
			t.socket.logger.Load().Warn("accepting a DNS connection failed", zap.String("listener", t.socket.address.String()), zap.Error(err))
			time.Sleep(acceptPause)
			continue
		}
		if c := t.admit(raw); c != nil {
			go c.serve()
		} else {
			_ = raw.Close()
		}
	}
}

// admit adds a connection. If there are too many, it closes an idle one, and returns nil
// if none is idle, if the socket is closed or if no service answers.
func (t *streams) admit(raw net.Conn) *conn {
	service := t.socket.current.Load()
	if service == nil {
		return nil
	}
	c := newConn(t, raw, service)
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.closed {
		return nil
	}
	if known := t.clients[c.network]; known != nil && known.conns >= maxConnsClient && !t.evict(func(other *conn) bool { return other.network == c.network }) {
		return nil
	}
	if len(t.conns) >= maxConns && !t.evict(func(*conn) bool { return true }) {
		return nil
	}
	t.conns[c] = struct{}{}
	if t.clients[c.network] == nil {
		t.clients[c.network] = &client{slots: make(chan struct{}, maxQueriesClient)}
	}
	c.asker = t.clients[c.network]
	c.asker.conns++
	t.running.Add(1)
	return c
}

// evict closes the connection that has been idle longest of those that match, and
// reports whether there was one. The caller holds the lock.
func (t *streams) evict(match func(*conn) bool) bool {
	var oldest *conn
	var since time.Time
	for c := range t.conns {
		if at, idle := c.idleSince(); idle && match(c) && (oldest == nil || at.Before(since)) {
			oldest, since = c, at
		}
	}
	if oldest == nil {
		return false
	}
	t.removeLocked(oldest)
	// In a goroutine, since over TLS it may have to wait for the client.
	go oldest.close()
	return true
}

// queue counts a response of n bytes that a connection is about to send. If there are
// too many bytes, it closes connections until a quarter of the maximum is free again.
// Those that have the most unsent are closed, so that clients that read are not
// affected.
func (t *streams) queue(c *conn, n int) {
	c.unsent.Add(int64(n))
	if t.unsent.Add(int64(n)) <= maxUnsent {
		return
	}
	type backlog struct {
		conn  *conn
		bytes int64
	}
	var all []backlog
	var total int64
	t.mu.Lock()
	for c := range t.conns {
		if n := c.backlog(); n > 0 {
			all = append(all, backlog{c, n})
			total += n
		}
	}
	t.mu.Unlock()
	if total <= maxUnsent {
		return // connections are being closed
	}
	slices.SortFunc(all, func(a, b backlog) int { return cmp.Compare(b.bytes, a.bytes) })
	for _, b := range all {
		if total <= maxUnsent/4*3 {
			return
		}
		total -= b.bytes
		// In a goroutine, since over TLS it may have to wait for the client.
		go b.conn.close()
	}
}

// dequeue ends the count of a response that was sent, or could not be.
func (t *streams) dequeue(c *conn, n int) {
	c.unsent.Add(-int64(n))
	t.unsent.Add(-int64(n))
}

// remove removes a connection that has ended.
func (t *streams) remove(c *conn) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.removeLocked(c)
}

func (t *streams) removeLocked(c *conn) {
	if _, ok := t.conns[c]; !ok {
		return
	}
	delete(t.conns, c)
	if c.asker.conns--; c.asker.conns == 0 {
		delete(t.clients, c.network)
	}
}

// close closes the socket and its connections.
func (t *streams) close() {
	_ = t.listener.Close()
	t.mu.Lock()
	t.closed = true
	for c := range t.conns {
		go c.close()
	}
	t.mu.Unlock()
	t.running.Wait()
}

// config returns the TLS configuration for new connections, which is that of
// the service that answers now.
func (t *streams) config(service *Service) *tls.Config {
	if t.socket.address.Network != TLS {
		return nil
	}
	return service.tls
}

// clientNetwork returns the network that counts as one client: an IPv4 address, or a /64
// network of IPv6, in which one machine has as many addresses as it wants.
func clientNetwork(ip netip.Addr) netip.Prefix {
	bits := 32
	if ip.Is6() {
		bits = 64
	}
	network, _ := ip.Prefix(bits)
	return network
}
