package dnsclient

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/miekg/dns"

	"github.com/caddy-freetier/caddy-freetier/internal/caddytest"
)

var dial = new(net.Dialer).DialContext

// exchanger is what a test asks with.
type exchanger interface {
	Exchange(ctx context.Context, msg []byte) ([]byte, error)
}

// networks are those that a test server speaks.
var networks = []string{"udp", "tcp", "tls"}

// streams are those with connections.
var streams = networks[1:]

// echo answers with a text that repeats the name.
func echo(query *dns.Msg) *dns.Msg {
	reply := new(dns.Msg).SetReply(query)
	reply.Answer = []dns.RR{&dns.TXT{
		Hdr: dns.RR_Header{Name: query.Question[0].Name, Rrtype: dns.TypeTXT, Class: dns.ClassINET, Ttl: 60},
		Txt: []string{query.Question[0].Name},
	}}
	return reply
}

func packed(t testing.TB, name string) []byte {
	t.Helper()
	m := new(dns.Msg).SetQuestion(name, dns.TypeTXT)
	m.Id = 0
	msg, err := m.Pack()
	if err != nil {
		t.Fatal(err)
	}
	return msg
}

// lookup asks for a name and says what is wrong with the answer.
func lookup(ctx context.Context, t testing.TB, e exchanger, name string) error {
	t.Helper()
	msg := packed(t, name)
	answer, err := e.Exchange(ctx, msg)
	if err != nil {
		return err
	}
	if string(msg) != string(packed(t, name)) {
		return errors.New("the query was changed")
	}
	var m dns.Msg
	if err := m.Unpack(answer); err != nil {
		return err
	}
	if m.Id != 0 || len(m.Answer) != 1 || m.Answer[0].(*dns.TXT).Txt[0] != name {
		return fmt.Errorf("the answer to %s is %v", name, &m)
	}
	return nil
}

// newStream asks a server over a connection, with short limits. It ends before
// the server, which would close the connection.
func newStream(t testing.TB, s *caddytest.DNSServer, l limits) *Stream {
	t.Helper()
	stream := NewStream(s.Addr(), dial, s.ClientTLS(t))
	stream.limits = l
	t.Cleanup(func() { stream.Close() })
	return stream
}

// usual are limits that no sound test meets.
var usual = limits{idle: 30 * time.Second, silence: 20 * time.Second}

func newExchanger(t testing.TB, network string, s *caddytest.DNSServer) exchanger {
	t.Helper()
	if network == "udp" {
		d := NewDatagram(s.Addr(), dial)
		d.attempt = 10 * time.Second
		return d
	}
	return newStream(t, s, usual)
}

func TestSound(t *testing.T) {
	for _, network := range networks {
		t.Run(network, func(t *testing.T) {
			before := caddytest.Goroutines()
			s := caddytest.NewDNSServer(t, network, echo)
			e := newExchanger(t, network, s)
			ids := make(map[uint16]bool)
			for i := range 20 {
				if err := lookup(t.Context(), t, e, fmt.Sprintf("www%d.example.", i)); err != nil {
					t.Error(err)
				}
			}
			for _, query := range s.Queries() {
				ids[query.Id] = true
			}
			if len(ids) < 18 {
				t.Errorf("there were %d IDs in 20 queries, want random ones", len(ids))
			}
			if stream, ok := e.(*Stream); ok {
				if n := s.Accepted(); n != 1 {
					t.Errorf("%d connections were opened, want one", n)
				}
				stream.Close()
			}
			s.Stop()
			caddytest.NoLeak(t, before-3) // its slack is of no use here
		})
	}
}

// 64 at once get their own answers, whatever the order.
func TestManyAtOnce(t *testing.T) {
	for _, network := range networks {
		for name, behaviour := range map[string]caddytest.DNSBehaviour{
			"in order": (*caddytest.DNSExchange).Answer,
			"reversed": caddytest.DNSReversed(64),
		} {
			t.Run(network+" "+name, func(t *testing.T) {
				s := caddytest.NewDNSServer(t, network, echo)
				s.Handle(behaviour)
				e := newExchanger(t, network, s)
				// Nobody asks again before all have their answers, as no more than
				// 64 queries are answered at a time.
				for round := range 5 {
					var wg sync.WaitGroup
					for i := range 64 {
						wg.Go(func() {
							if err := lookup(t.Context(), t, e, fmt.Sprintf("www%d-%d.example.", round, i)); err != nil {
								t.Error(err)
							}
						})
					}
					wg.Wait()
				}
				if n := s.Accepted(); network != "udp" && n != 1 {
					t.Errorf("%d connections were opened, want one", n)
				}
			})
		}
	}
}

func TestCancelled(t *testing.T) {
	for _, network := range networks {
		t.Run(network, func(t *testing.T) {
			s := caddytest.NewDNSServer(t, network, echo)
			s.Handle(caddytest.DNSHang)
			e := newExchanger(t, network, s)
			ctx, cancel := context.WithCancel(t.Context())
			go func() {
				s.Next(t)
				cancel()
			}()
			if err := lookup(ctx, t, e, "slow.example."); !errors.Is(err, context.Canceled) {
				t.Errorf("error %v, want %v", err, context.Canceled)
			}
			short, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			if err := lookup(short, t, e, "slow.example."); !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("error %v, want %v", err, context.DeadlineExceeded)
			}
			s.Next(t)
			sent := len(s.Queries())
			if err := lookup(short, t, e, "late.example."); !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("error %v, want %v", err, context.DeadlineExceeded)
			}
			s.Handle((*caddytest.DNSExchange).Answer)
			if err := lookup(t.Context(), t, e, "next.example."); err != nil {
				t.Error(err)
			}
			if n := len(s.Queries()); n != sent+1 {
				t.Errorf("%d queries arrived, want one after %d: none of a context that was over", n, sent)
			}
		})
	}
}

func TestNobodyListens(t *testing.T) {
	addr := caddytest.Addr(t)
	for network, e := range map[string]exchanger{
		"udp": NewDatagram(addr, dial),
		"tcp": NewStream(addr, dial, nil),
		"tls": NewStream(addr, dial, &tls.Config{ServerName: "localhost"}),
	} {
		t.Run(network, func(t *testing.T) {
			var op *net.OpError
			if err := lookup(t.Context(), t, e, "a.example."); !errors.As(err, &op) || network != "udp" && op.Op != "dial" {
				t.Errorf("error %v, want one of dialing", err)
			}
			if _, err := e.Exchange(t.Context(), []byte("short")); !errors.Is(err, errShort) {
				t.Errorf("error %v, want %v", err, errShort)
			}
			if _, err := e.Exchange(t.Context(), make([]byte, maxMessage+1)); !errors.Is(err, errLong) {
				t.Errorf("error %v, want %v", err, errLong)
			}
		})
	}
}

// A handshake that fails is no broken connection: nothing was asked.
func TestHandshake(t *testing.T) {
	s := caddytest.NewDNSServer(t, "tls", echo)
	plain := caddytest.NewDNSServer(t, "tcp", echo)
	failing := func(addr string, config *tls.Config) error {
		t.Helper()
		err := lookup(t.Context(), t, NewStream(addr, dial, config), "www.example.")
		var op *net.OpError
		if !errors.As(err, &op) || op.Op != "dial" || errors.Is(err, ErrClosed) {
			t.Errorf("error %v, want one of dialing", err)
		}
		return err
	}
	var untrusted *tls.CertificateVerificationError
	if err := failing(s.Addr(), &tls.Config{ServerName: "localhost", RootCAs: x509.NewCertPool()}); !errors.As(err, &untrusted) {
		t.Errorf("error %v, want one of trust", err)
	}
	other := s.ClientTLS(t)
	other.ServerName = "dns.example"
	if err := failing(s.Addr(), other); !errors.As(err, &untrusted) {
		t.Errorf("error %v, want one of trust", err)
	}
	if err := failing(plain.Addr(), s.ClientTLS(t)); errors.As(err, &untrusted) {
		t.Errorf("error %v, want none of trust", err)
	}
	if n := len(s.Queries()) + len(plain.Queries()); n > 0 {
		t.Errorf("%d queries arrived", n)
	}
}
