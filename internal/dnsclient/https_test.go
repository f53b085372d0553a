package dnsclient

import (
	"crypto/tls"
	"crypto/x509"
	"net/http"
	"net/url"
	"testing"

	"github.com/miekg/dns"

	"github.com/caddy-freetier/caddy-freetier/internal/caddytest"
	"github.com/caddy-freetier/caddy-freetier/internal/dnsmsg"
)

func TestAge(t *testing.T) {
	for value, want := range map[string]uint32{"": 0, "17": 17, "-1": 0, "x": 0} {
		if got := age(http.Header{"Age": {value}}); got != want {
			t.Errorf("Age %q is %d, want %d", value, got, want)
		}
	}
}

// newHTTPS returns a client that reaches the server at addr.
func newHTTPS(t *testing.T, server *caddytest.Upstream, addr string) *HTTPS {
	t.Helper()
	config := &tls.Config{RootCAs: x509.NewCertPool()}
	config.RootCAs.AddCert(server.Certificate())
	c := NewHTTPS(&url.URL{Scheme: "https", Host: addr, Path: "/"}, addr, NewDialer("", nil), config, nil)
	t.Cleanup(c.Close)
	return c
}

func outgoing(t testing.TB, name string) *dnsmsg.Outgoing {
	t.Helper()
	packed, err := new(dns.Msg).SetQuestion(name, dns.TypeA).Pack()
	if err != nil {
		t.Fatal(err)
	}
	q, err := dnsmsg.ParseQuery(packed)
	if err != nil {
		t.Fatal(err)
	}
	return q.Outgoing()
}
