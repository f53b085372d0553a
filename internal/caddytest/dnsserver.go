package caddytest

import (
	"crypto/tls"
	"crypto/x509"
	"net"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/miekg/dns"
)

// DNSServer is a DNS server on loopback that records its queries and answers
// them with a behaviour, which may be bad.
type DNSServer struct {
	network string
	addr    string
	answer  func(*dns.Msg) *dns.Msg
	config  *tls.Config
	caFile  string
	server  *dns.Server
	arrived chan *dns.Msg

	mu        sync.Mutex
	behaviour DNSBehaviour
	queries   []*dns.Msg
	accepted  int
	conns     map[string]net.Conn // by the address of the client
}

// NewDNSServer starts a server that speaks DNS over "udp", "tcp" or "tls" and
// answers with answer, or misbehaves by Handle.
func NewDNSServer(t testing.TB, network string, answer func(*dns.Msg) *dns.Msg) *DNSServer {
	t.Helper()
	s := &DNSServer{
		network:   network,
		addr:      "127.0.0.1:0",
		answer:    answer,
		arrived:   make(chan *dns.Msg, 1<<16),
		behaviour: (*DNSExchange).Answer,
		conns:     make(map[string]net.Conn),
	}
	if network == "tls" {
		certFile, keyFile := Certificate(t)
		cert, err := tls.LoadX509KeyPair(certFile, keyFile)
		if err != nil {
			t.Fatal(err)
		}
		s.caFile, s.config = certFile, &tls.Config{Certificates: []tls.Certificate{cert}}
	}
	s.Start(t)
	t.Cleanup(s.Stop)
	return s
}

// Start lets the server listen again after Stop, at the same address.
func (s *DNSServer) Start(t testing.TB) {
	t.Helper()
	started := make(chan struct{})
	server := &dns.Server{
		Handler:           dns.HandlerFunc(s.serve),
		MaxTCPQueries:     -1,
		UDPSize:           dns.MaxMsgSize,
		IdleTimeout:       func() time.Duration { return time.Minute },
		NotifyStartedFunc: func() { close(started) },
	}
	if s.network == "udp" {
		conn, err := net.ListenPacket("udp", s.addr)
		if err != nil {
			t.Fatal(err)
		}
		s.addr, server.PacketConn = conn.LocalAddr().String(), conn
	} else {
		listener, err := net.Listen("tcp", s.addr)
		if err != nil {
			t.Fatal(err)
		}
		s.addr = listener.Addr().String()
		if s.config != nil {
			listener = tls.NewListener(listener, s.config)
		}
		server.Listener = dnsListener{listener, s}
	}
	s.server = server
	go func() { _ = server.ActivateAndServe() }() // until it is closed
	<-started
}

// Stop ends the server and its connections.
func (s *DNSServer) Stop() {
	s.CloseConnections()
	_ = s.server.Shutdown()
}

// CloseConnections closes those of the clients, as a server does when they are
// idle, and waits for none.
func (s *DNSServer) CloseConnections() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, conn := range s.conns {
		conn.Close()
	}
	clear(s.conns)
}

// Handle changes the behaviour towards the queries to come.
func (s *DNSServer) Handle(behaviour DNSBehaviour) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.behaviour = behaviour
}

// Queries returns what has arrived so far.
func (s *DNSServer) Queries() []*dns.Msg {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]*dns.Msg(nil), s.queries...)
}

// Next waits for the next query that has not been waited for, and fails the
// test when none comes within a minute.
func (s *DNSServer) Next(t testing.TB) *dns.Msg {
	t.Helper()
	select {
	case query := <-s.arrived:
		return query
	case <-time.After(time.Minute):
		t.Fatalf("no query reached the DNS server %s", s.addr)
		return nil
	}
}

// Accepted returns how many connections were opened so far.
func (s *DNSServer) Accepted() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.accepted
}

// Addr is the server's host and port.
func (s *DNSServer) Addr() string { return s.addr }

// CAFile is the PEM file of the certificate that vouches for a server over
// TLS, as localhost and 127.0.0.1.
func (s *DNSServer) CAFile() string { return s.caFile }

// ClientTLS returns a configuration that trusts a server over TLS, and nil for
// the others.
func (s *DNSServer) ClientTLS(t testing.TB) *tls.Config {
	t.Helper()
	if s.config == nil {
		return nil
	}
	pem, err := os.ReadFile(s.caFile)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(pem)
	return &tls.Config{RootCAs: roots, ServerName: "localhost"}
}

func (s *DNSServer) serve(w dns.ResponseWriter, query *dns.Msg) {
	s.mu.Lock()
	s.queries = append(s.queries, query)
	behaviour, conn := s.behaviour, s.conns[w.RemoteAddr().String()]
	s.mu.Unlock()
	s.arrived <- query
	behaviour(&DNSExchange{Query: query, server: s, writer: w, conn: conn})
}

// dnsListener keeps track of a server's connections.
type dnsListener struct {
	net.Listener
	server *DNSServer
}

func (l dnsListener) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	l.server.mu.Lock()
	defer l.server.mu.Unlock()
	l.server.accepted++
	l.server.conns[conn.RemoteAddr().String()] = conn
	return conn, nil
}
