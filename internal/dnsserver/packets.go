package dnsserver

import (
	"errors"
	"net"
	"net/netip"
	"sync"
	"time"

	"go.uber.org/zap"
	"golang.org/x/net/ipv4"
	"golang.org/x/net/ipv6"
)

const (
	// maxPackets is how many queries over UDP are answered at once. More of them
	// wait in the socket's receive queue, and the kernel drops those that do not
	// fit.
	maxPackets = 4096

	// maxPacketsClient is how many of them one client has. More are dropped: they
	// must not wait in the queue, which all clients share. A /64 network of IPv6 is
	// one client. A client that takes the address of another each time is
	// restrained by nothing but `per_ip` and the queue.
	maxPacketsClient = 1024

	// maxPacket is the longest query over UDP that is read. A longer one is cut
	// off, and so malformed.
	maxPacket = 4096

	// queueSize is the requested size of the socket's receive queue, in bytes. The
	// queries that arrive during a reload fit into it.
	queueSize = 4 << 20

	// readPause delays the next read after an error, so that one that persists
	// does not use a whole core.
	readPause = 10 * time.Millisecond
)

// packets is the server of a UDP socket.
type packets struct {
	socket *Socket
	conn   *net.UDPConn

	// anyAddress reports whether the socket receives queries to several addresses.
	// A response must be sent from the address that its query was sent to, or the
	// client ignores it (RFC 2181, section 4.1).
	anyAddress bool

	slots   chan struct{} // one element for each query that is being answered
	buffers sync.Pool     // of *packet
	running sync.WaitGroup

	mu      sync.Mutex
	clients map[netip.Prefix]int // queries that are being answered, by clientNetwork; guarded by mu
}

// packet holds the buffers of a query and its response, which are reused.
type packet struct {
	in, out []byte
	control []byte // of the query; see source
	client  netip.AddrPort
	network netip.Prefix // of the client
	request Request
}

func newPackets(s *Socket, conn *net.UDPConn) (*packets, error) {
	p := &packets{
		socket: s, conn: conn, anyAddress: s.address.Host == "",
		slots: make(chan struct{}, maxPackets), clients: make(map[netip.Prefix]int),
	}
	if ip, err := netip.ParseAddr(s.address.Host); err == nil && ip.IsUnspecified() {
		p.anyAddress = true
	}
	p.buffers.New = func() any { return &packet{in: make([]byte, maxPacket), control: make([]byte, 128)} }
	_ = conn.SetReadBuffer(queueSize) // the kernel's maximum may be lower
	if p.anyAddress {
		// One of the two fails where the socket has one family only.
		err4 := ipv4.NewPacketConn(conn).SetControlMessage(ipv4.FlagDst|ipv4.FlagInterface, true)
		err6 := ipv6.NewPacketConn(conn).SetControlMessage(ipv6.FlagDst|ipv6.FlagInterface, true)
		if err4 != nil && err6 != nil {
			return nil, errors.Join(err4, err6)
		}
	}
	p.running.Add(1)
	go p.serve()
	return p, nil
}

// serve reads queries until the socket is closed.
func (p *packets) serve() {
	defer p.running.Done()
	for {
		p.slots <- struct{}{}
		q := p.buffers.Get().(*packet)
		n, nControl, _, client, err := p.conn.ReadMsgUDPAddrPort(q.in[:cap(q.in)], q.control[:cap(q.control)])
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			// For example ECONNREFUSED for an earlier response: ICMP has reported
			// that the client's port is closed.
			p.socket.logger.Load().Debug("reading a UDP query failed", zap.Error(err))
			p.release(q)
			time.Sleep(readPause)
			continue
		}
		q.in, q.control, q.client = q.in[:n], q.control[:nControl], client
		q.network = clientNetwork(client.Addr().Unmap())
		if !p.admit(q.network) {
			p.release(q)
			continue
		}
		p.running.Add(1)
		go p.answer(q)
	}
}

// admit counts a query of a network, and returns false if the network has its share.
func (p *packets) admit(network netip.Prefix) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.clients[network] >= maxPacketsClient {
		return false
	}
	p.clients[network]++
	return true
}

// leave ends the count of a query that admit has counted.
func (p *packets) leave(network netip.Prefix) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.clients[network]--; p.clients[network] == 0 {
		delete(p.clients, network)
	}
}

// release returns the buffers to the pool, and lets another query begin. A large buffer
// is not kept: those of a burst of large responses would stay.
func (p *packets) release(q *packet) {
	q.request = Request{}
	if cap(q.out) > 4*frameStep {
		q.out = nil
	}
	p.buffers.Put(q)
	<-p.slots
}

// answer answers a query.
func (p *packets) answer(q *packet) {
	defer p.running.Done()
	defer p.release(q)
	defer p.leave(q.network)
	service := p.socket.acquire()
	if service == nil {
		return
	}
	defer service.done()
	q.request = Request{Network: UDP, Client: q.client.Addr().Unmap().WithZone(""), Message: q.in}
	q.out = p.socket.handle(service, &q.request, q.out[:0])
	if len(q.out) == 0 {
		return
	}
	q.out = truncate(q.out, q.in)
	var control []byte
	if p.anyAddress {
		control = source(q.control)
	}
	if _, _, err := p.conn.WriteMsgUDPAddrPort(q.out, control, q.client); err != nil {
		p.socket.logger.Load().Debug("sending a UDP response failed", zap.Error(err))
	}
}

// source returns the control message for a response, given that of its query: it makes
// the kernel send the response from the address that the query was sent to. A
// dual-stack socket reports an IPv4 query in either form. See ip(7) and ipv6(7).
func source(control []byte) []byte {
	if m := new(ipv6.ControlMessage); m.Parse(control) == nil && m.Dst != nil && m.Dst.To4() == nil {
		return (&ipv6.ControlMessage{Src: m.Dst, IfIndex: m.IfIndex}).Marshal()
	}
	if m := new(ipv4.ControlMessage); m.Parse(control) == nil && m.Dst != nil {
		return (&ipv4.ControlMessage{Src: m.Dst}).Marshal()
	}
	return nil
}

func (p *packets) close() {
	_ = p.conn.Close()
	p.running.Wait()
}
