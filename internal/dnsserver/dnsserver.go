// Package dnsserver serves DNS over UDP, TCP and TLS (RFC 1035, 7766, 7858) on
// sockets that belong to the process.
//
// A socket stays open while configurations replace each other, and a service,
// which is the handler of one configuration, is put behind it:
//
//	socket, err := dnsserver.Open(address, logger)
//	…
//	socket.Use(service)      // in Start: from now on it answers
//	…
//	socket.Release(service)  // in Stop: the one before or after it answers
//
// So a reload loses no query, not even one that lies in the queue of a UDP
// socket, and a configuration that fails to start leaves the old one in place.
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

// The ports that listeners have by default (RFC 1035, RFC 7858).
const (
	portDNS = "53"
	portTLS = "853"
)

const maxMessage = 65535

// Address is where a listener listens.
type Address struct {
	Network string // UDP, TCP or TLS
	Host    string // an IP address; empty for all
	Port    string
}

// ParseAddress reads an address such as `tls/:853`, `udp/127.0.0.1:53` or
// `tcp/[::1]`. The port can be left out.
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

// String returns the address as ParseAddress reads it.
func (a Address) String() string { return a.Network + "/" + a.hostPort() }

func (a Address) hostPort() string { return net.JoinHostPort(a.Host, a.Port) }

// Public reports whether others than this machine and its local network may
// reach the address.
func (a Address) Public() bool {
	ip, err := netip.ParseAddr(a.Host)
	return err != nil || !ip.IsLoopback() && !ip.IsPrivate() && !ip.IsLinkLocalUnicast() && !sharedSpace.Contains(ip)
}

// sharedSpace is for carriers' translators and overlay networks (RFC 6598).
var sharedSpace = netip.MustParsePrefix("100.64.0.0/10")

// Request is a query as it came. Its message must not be used after the
// handler has returned.
type Request struct {
	Network    string
	Client     netip.Addr
	ServerName string // what a client over TLS has asked for, in lower case
	Message    []byte
}

// Handler appends the response to a query to buf, which is empty, and returns
// it; an empty response is none. It is called by several goroutines at once.
// For UDP the server truncates the response to what the client can receive.
type Handler func(r *Request, buf []byte) []byte

// Service is what answers for one configuration.
type Service struct {
	handler Handler
	tls     *tls.Config // nil but for TLS
	clock   clockwork.Clock

	mu      sync.Mutex
	running int
	ended   chan struct{} // closed when it has been released and no query is under way
	left    bool
}

// NewService returns a service. Over TLS its configuration is used for new
// connections.
func NewService(handler Handler, config *tls.Config, clock clockwork.Clock) *Service {
	return &Service{handler: handler, tls: config, clock: clock, ended: make(chan struct{})}
}

// acquire reports whether the service may be given another query, and counts it.
func (s *Service) acquire() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.left {
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

// leave lets no more queries begin.
func (s *Service) leave() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.left {
		s.left = true
		s.endIfIdle()
	}
}

// endIfIdle is called with the lock held.
func (s *Service) endIfIdle() {
	if s.left && s.running == 0 {
		close(s.ended)
	}
}

// wait waits until no query is under way, or for at most a time.
func (s *Service) wait(most time.Duration) {
	timer := time.NewTimer(most)
	defer timer.Stop()
	select {
	case <-s.ended:
	case <-timer.C:
	}
}
