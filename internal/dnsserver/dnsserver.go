// Package dnsserver serves DNS over UDP, TCP and TLS (RFC 1035, 7766, 7858) on
// sockets that belong to the process.
//
// A socket stays open over reloads. A Service, which is the handler of one
// configuration, is used by the socket for as long as the configuration runs:
//
//	socket, err := dnsserver.Open(address, logger)
//	…
//	socket.Use(service)      // in Start: from now on it answers
//	…
//	socket.Release(service)  // in Stop: the newest of the others answers
//
// So a reload loses no query, not even one in the queue of a UDP socket, and a
// configuration that fails to start leaves the previous one in place.
//
//	Socket ─┬─ packets (UDP) ───────────────────┐
//	        └─ streams (TCP, TLS) ── conn, conn ┴──▶ current Service ──▶ Handler
//
// The work for clients is bounded everywhere: queries at once per connection, per
// client and per socket, connections per client and per socket, responses that clients
// do not read, and the time of handshakes, writes and idle connections.
//
// The files: socket.go has the sockets and their services; packets.go serves UDP;
// streams.go accepts connections and conn.go serves one; handle.go calls the handler
// and truncates responses for UDP.
package dnsserver

import (
	"crypto/tls"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/jonboulle/clockwork"
)

// The networks of listeners.
const (
	UDP = "udp"
	TCP = "tcp"
	TLS = "tls"
)

// The default ports of listeners (RFC 1035, section 4.2; RFC 7858, section 3.1).
const (
	portDNS = "53"
	portTLS = "853"
)

// maxMessage is the longest message: over TCP its length has 16 bits.
const maxMessage = 65535

// Address is the address of a listener. It is also the key of its socket, so that equal
// addresses must be equal values.
type Address struct {
	Network string // UDP, TCP or TLS
	Host    string // an IP address in its canonical form; empty for all
	Port    string // a number
}

// ParseAddress parses an address such as `tls/:853`, `udp/127.0.0.1:53` or
// `tcp/[::1]`. The port is optional. Host names are an error: they could resolve to
// another address at each load.
func ParseAddress(text string) (Address, error) {
	network, rest, ok := strings.Cut(text, "/")
	if !ok || network != UDP && network != TCP && network != TLS {
		return Address{}, fmt.Errorf("%q does not begin with tls/, udp/ or tcp/; write one such as tls/:853 or udp/127.0.0.1:53", text)
	}
	a := Address{Network: network, Port: portDNS}
	if network == TLS {
		a.Port = portTLS
	}
	host, port, err := net.SplitHostPort(rest)
	if err != nil {
		host = strings.TrimSuffix(strings.TrimPrefix(rest, "["), "]")
	} else {
		a.Port = port
	}
	if n, err := strconv.ParseUint(a.Port, 10, 16); err != nil || n == 0 {
		return Address{}, fmt.Errorf("%q has no port number from 1 to 65535; write one such as tls/:853 or udp/127.0.0.1:53", text)
	}
	if host != "" {
		ip, err := netip.ParseAddr(host)
		if err != nil {
			return Address{}, fmt.Errorf("%q: %q is not an IP address of this machine; write one such as %s/127.0.0.1:%s", text, host, network, a.Port)
		}
		a.Host = ip.String()
	}
	return a, nil
}

// String returns the address in the form of ParseAddress.
func (a Address) String() string { return a.Network + "/" + a.hostPort() }

func (a Address) hostPort() string { return net.JoinHostPort(a.Host, a.Port) }

// Public reports whether the address may be reached from outside this machine and its
// local network. All addresses of the machine together count as public.
func (a Address) Public() bool {
	ip, err := netip.ParseAddr(a.Host)
	return err != nil || !ip.IsLoopback() && !ip.IsPrivate() && !ip.IsLinkLocalUnicast() && !sharedSpace.Contains(ip)
}

// sharedSpace is the address space of carrier-grade NAT (RFC 6598), which overlay
// networks use as well.
var sharedSpace = netip.MustParsePrefix("100.64.0.0/10")

// Request is a query that was received. Message must not be used after the handler
// has returned, since its buffer is reused.
type Request struct {
	Network    string     // UDP, TCP or TLS
	Client     netip.Addr // without a zone; IPv4 addresses are unmapped
	ServerName string     // the server name that a client over TLS has sent (SNI), in lower case
	Message    []byte     // not parsed or checked

	conn *conn // whose turn Ready waits for; nil over UDP
	turn bool  // whether it has come, so that the connection's lock is held
}

// Ready waits until all earlier responses on the connection are sent. The handler calls
// it once the response is known and before it writes it to its buffer: then there is
// one such buffer for each connection, and not one for each query of a client that
// does not read.
func (r *Request) Ready() {
	if r.conn != nil && !r.turn {
		r.conn.writing.Lock()
		r.turn = true
	}
}

// Handler appends the response to a query to buf, which is empty, and returns it. If
// it returns an empty response, none is sent. It is called concurrently. The server
// truncates responses over UDP to the size that the client can receive. Before it
// appends a response that may be long, the handler calls the request's method Ready.
type Handler func(r *Request, buf []byte) []byte

// Service is the handler of one configuration, with a count of the queries that it is
// answering, so that the configuration's resources are released only after them.
//
//	in use ── Release ──▶ released, queries are being answered ── the last one ──▶ ended
type Service struct {
	handler Handler
	tls     *tls.Config // nil, except for TLS
	clock   clockwork.Clock

	mu       sync.Mutex    // guards the fields below
	running  int           // queries that are being answered
	released bool          // no more queries begin
	ended    chan struct{} // closed once released is set and running is 0
}

// NewService returns a service. config is used for new TLS connections; existing ones
// keep the certificate that they were opened with.
func NewService(handler Handler, config *tls.Config, clock clockwork.Clock) *Service {
	return &Service{handler: handler, tls: config, clock: clock, ended: make(chan struct{})}
}

// acquire counts a query, for which the caller must call done. It returns false if the
// service has been released.
func (s *Service) acquire() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.released {
		return false
	}
	s.running++
	return true
}

// done ends a query.
func (s *Service) done() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.running--
	s.endIfIdle()
}

// release keeps more queries from beginning. It may be called more than once.
func (s *Service) release() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.released {
		s.released = true
		s.endIfIdle()
	}
}

// endIfIdle ends a released service after its last query. The caller holds the lock.
func (s *Service) endIfIdle() {
	if s.released && s.running == 0 {
		close(s.ended)
	}
}

// wait waits until all queries are answered, but no longer than most. The time is real
// time: a fake clock that stands still must not block a reload.
func (s *Service) wait(most time.Duration) {
	timer := time.NewTimer(most)
	defer timer.Stop()
	select {
	case <-s.ended:
	case <-timer.C:
	}
}
