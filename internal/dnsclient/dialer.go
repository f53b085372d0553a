package dnsclient

import (
	"context"
	"errors"
	"net"
	"strings"
	"time"
)

// dialTimeout bounds a connection attempt and a TLS handshake.
const dialTimeout = 3 * time.Second

// NewDialer returns a Dial that reaches the host by its bootstrap addresses, one
// after the other, if there are any.
func NewDialer(host string, bootstrap []string) Dial {
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
