package doh

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"strings"
	"sync/atomic"
	"time"

	"github.com/caddy-freetier/caddy-freetier/internal/awake"
	"github.com/caddy-freetier/caddy-freetier/internal/dnsconn"
)

// link is the way to an upstream.
type link interface {
	// exchange sends a query once and returns what comes back, with ID 0, and
	// the seconds that it has spent in caches.
	exchange(ctx context.Context, q *query) (msg []byte, age uint32, err error)
	// broken is called when an exchange has failed since a connection broke:
	// the next one must not use what is likely to be as dead.
	broken()
	close()
}

const dialTimeout = 3 * time.Second

// connect sets up the links to the upstream. It opens no connection yet.
func (u *upstream) connect(s settings) error {
	address, err := parseURL(s.URL)
	if err != nil {
		return err
	}
	config, err := s.tlsConfig()
	if err != nil {
		return err
	}
	dial := dialer(address.Hostname(), s.Bootstrap)
	switch address.Scheme {
	case schemeHTTPS:
		u.addr = awake.Upstream(address)
		u.link = newHTTPSLink(address, u.addr, dial, config, s.Headers)
		return nil
	case schemeSystem:
		u.link, u.whole = newSystemLinks(dnsconn.NewSystem(dnsconn.ResolvConf), dial)
		return nil
	}
	u.addr = hostPort(address)
	switch address.Scheme {
	case schemeTLS:
		config.ServerName = address.Hostname()
		u.link = &streamLink{dnsconn.NewStream(u.addr, dial, config), true}
	case schemeTCP:
		u.link = &streamLink{dnsconn.NewStream(u.addr, dial, nil), false}
	case schemeUDP:
		u.link, u.whole = &datagramLink{dnsconn.NewDatagram(u.addr, dial)}, &streamLink{dnsconn.NewStream(u.addr, dial, nil), false}
	}
	return nil
}

func (s settings) tlsConfig() (*tls.Config, error) {
	config := &tls.Config{
		MinVersion:         tls.VersionTLS12,
		ClientSessionCache: tls.NewLRUClientSessionCache(4),
	}
	if s.CA != nil {
		config.RootCAs = x509.NewCertPool()
		if !config.RootCAs.AppendCertsFromPEM(s.CA) {
			return nil, errors.New("tls_ca: the file holds no certificate in PEM format")
		}
	}
	return config, nil
}

// dialer connects to the host by its bootstrap addresses, one after the other,
// if there are any.
func dialer(host string, bootstrap []string) dnsconn.Dial {
	d := &net.Dialer{Timeout: dialTimeout}
	if len(bootstrap) == 0 {
		return d.DialContext
	}
	return func(ctx context.Context, network, addr string) (net.Conn, error) {
		name, port, err := net.SplitHostPort(addr)
		if err != nil || !strings.EqualFold(name, host) {
			return d.DialContext(ctx, network, addr) // a proxy
		}
		var errs []error
		for _, ip := range bootstrap {
			conn, err := d.DialContext(ctx, network, net.JoinHostPort(ip, port))
			if err == nil {
				return conn, nil
			}
			errs = append(errs, err)
		}
		return nil, errors.Join(errs...)
	}
}

// streamLink is DNS over TCP or TLS.
type streamLink struct {
	stream    *dnsconn.Stream
	encrypted bool
}

func (l *streamLink) exchange(ctx context.Context, q *query) ([]byte, uint32, error) {
	msg := q.msg
	if !l.encrypted {
		msg = q.bare()
	}
	answer, err := l.stream.Exchange(ctx, msg)
	return answer, 0, err
}

func (l *streamLink) broken() {}

func (l *streamLink) close() { _ = l.stream.Close() }

// datagramLink is DNS over UDP.
type datagramLink struct{ *dnsconn.Datagram }

func (l *datagramLink) exchange(ctx context.Context, q *query) ([]byte, uint32, error) {
	answer, err := l.Exchange(ctx, q.bare())
	return answer, 0, err
}

func (l *datagramLink) broken() {}

func (l *datagramLink) close() {}

// systemLink asks one of the name servers of this machine, and after a failure
// the next.
type systemLink struct {
	system *dnsconn.System
	turn   *atomic.Uint32 // whose it is
	dial   dnsconn.Dial
	tcp    bool
}

// newSystemLinks returns the links over UDP and TCP.
func newSystemLinks(system *dnsconn.System, dial dnsconn.Dial) (datagram, stream *systemLink) {
	turn := new(atomic.Uint32)
	return &systemLink{system, turn, dial, false}, &systemLink{system, turn, dial, true}
}

func (l *systemLink) exchange(ctx context.Context, q *query) ([]byte, uint32, error) {
	servers, err := l.system.Servers()
	if err != nil {
		return nil, 0, err
	}
	turn := l.turn.Load()
	answer, err := l.ask(ctx, servers[int(turn)%len(servers)], q.bare())
	if err != nil && ctx.Err() == nil {
		l.turn.CompareAndSwap(turn, turn+1)
	}
	return answer, 0, err
}

func (l *systemLink) ask(ctx context.Context, server string, msg []byte) ([]byte, error) {
	if !l.tcp {
		return dnsconn.NewDatagram(server, l.dial).Exchange(ctx, msg)
	}
	stream := dnsconn.NewStream(server, l.dial, nil)
	defer stream.Close()
	return stream.Exchange(ctx, msg)
}

func (l *systemLink) broken() {}

func (l *systemLink) close() {}

// Interface guards
var (
	_ link = (*httpsLink)(nil)
	_ link = (*streamLink)(nil)
	_ link = (*datagramLink)(nil)
	_ link = (*systemLink)(nil)
)
