package pool

import (
	"errors"
	"fmt"
	"net"
	"net/url"
	"slices"
	"strings"
)

// The schemes of addresses. SchemeSystem stands for the address `system`, which
// has no scheme when it is written.
const (
	SchemeHTTPS  = "https"
	schemeTLS    = "tls"
	schemeTCP    = "tcp"
	schemeUDP    = "udp"
	SchemeSystem = "system"
)

// defaultPorts are the ports of the schemes that net/url does not know: RFC 7858,
// section 3.1, for TLS, and RFC 1035, section 4.2.
var defaultPorts = map[string]string{schemeTLS: "853", schemeTCP: "53", schemeUDP: "53"}

var errAddress = errors.New("an upstream is an address like https://dns.example/dns-query, tls://dns.example, " +
	"tcp://192.0.2.53 or udp://192.0.2.53, or system")

// ParseURL parses and checks an upstream's address. Its errors show the host but
// not the path, which is a secret at providers that put an account's id there.
func ParseURL(raw string) (*url.URL, error) {
	if raw == SchemeSystem {
		return &url.URL{Scheme: SchemeSystem}, nil
	}
	u, err := url.Parse(raw)
	if err != nil || u.Scheme == "" || u.Host == "" || u.Hostname() == "" {
		return nil, errAddress
	}
	switch {
	case !slices.Contains([]string{SchemeHTTPS, schemeTLS, schemeTCP, schemeUDP}, u.Scheme):
		return nil, fmt.Errorf("an upstream's address begins with https://, tls://, tcp:// or udp://, not %s://", u.Scheme)
	case u.User != nil && u.Scheme == SchemeHTTPS:
		return nil, fmt.Errorf("upstream %s: give a user and password as header Authorization", u.Hostname())
	case u.Fragment != "":
		return nil, fmt.Errorf("upstream %s: the address must not contain #", u.Hostname())
	case u.Scheme != SchemeHTTPS && (strings.Trim(u.Path, "/") != "" || u.RawQuery != "" || u.User != nil):
		return nil, fmt.Errorf("upstream %s: an address with %s:// is a host and an optional port", u.Hostname(), u.Scheme)
	}
	return u, nil
}

// Check returns an error if an option has no meaning for an address.
func (u *Upstream) Check(address *url.URL) error {
	switch scheme := address.Scheme; {
	case len(u.Headers) > 0 && scheme != SchemeHTTPS:
		return errors.New("header is for upstreams with https://")
	case u.CA != "" && scheme != SchemeHTTPS && scheme != schemeTLS:
		return errors.New("tls_ca is for upstreams with https:// or tls://")
	case len(u.Bootstrap) > 0 && scheme == SchemeSystem:
		return errors.New("bootstrap is for upstreams with a host")
	}
	return nil
}

// hostPort returns the host, in lower case, and the port of an address other than
// `system`.
func hostPort(u *url.URL) string {
	port := u.Port()
	if port == "" {
		port = defaultPorts[u.Scheme]
	}
	return net.JoinHostPort(strings.ToLower(u.Hostname()), port)
}
