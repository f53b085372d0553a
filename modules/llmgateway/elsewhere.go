package llmgateway

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"syscall"
	"time"
)

const (
	elsewhereDialTimeout   = 10 * time.Second
	elsewhereHeaderTimeout = time.Minute
)

var (
	errNotPublic = errors.New("the address is not a public one")
	errProxied   = errors.New("it would be asked past the channel's proxy")
)

// fetchElsewhere makes a request to a host that is not the channel's, but that the
// channel has named.
//
// A channel with a proxy makes no such request: one beside the proxy would show this
// server's address, which the proxy may be there to hide.
func (u *uploads) fetchElsewhere(channel *Channel, out *http.Request) (*http.Response, error) {
	// Through the proxy any address could be reached: it looks up the name.
	if proxyOf := channel.http.Transport.Proxy; proxyOf != nil {
		if proxy, err := proxyOf(out); proxy != nil || err != nil {
			return nil, errProxied
		}
	}
	return u.elsewhere.RoundTrip(out)
}

// newElsewhere returns the transport for requests to hosts that no channel's URL
// names, but a channel's response. It connects to permitted addresses only. They
// are checked when they are dialed, so that no name can lead to another address
// than the one that was checked. It uses no proxy, which would look up names by
// itself, and keeps no connections.
func newElsewhere(permitted func(netip.Addr) bool, tlsConfig *tls.Config) *http.Transport {
	dialer := &net.Dialer{
		Timeout: elsewhereDialTimeout,
		ControlContext: func(_ context.Context, _, address string, _ syscall.RawConn) error {
			to, err := netip.ParseAddrPort(address)
			if err != nil {
				return err
			}
			if !permitted(to.Addr()) {
				return fmt.Errorf("%s: %w", address, errNotPublic)
			}
			return nil
		},
	}
	return &http.Transport{
		DialContext:           dialer.DialContext,
		TLSClientConfig:       tlsConfig,
		TLSHandshakeTimeout:   elsewhereDialTimeout,
		ResponseHeaderTimeout: elsewhereHeaderTimeout,
		ForceAttemptHTTP2:     true,
		DisableKeepAlives:     true,
		DisableCompression:    true,
	}
}
