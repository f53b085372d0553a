package dnsclient

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/miekg/dns"

	"github.com/caddy-freetier/caddy-freetier/internal/caddytest"
	"github.com/caddy-freetier/caddy-freetier/internal/dnsmsg"
)

// Each name server of the machine is asked until one knows something of the name,
// and the next query begins with that one.
func TestSystemClient(t *testing.T) {
	const good, refuses, fails, noSuchName, closed = "good", "REFUSED", "SERVFAIL", "NXDOMAIN", "closed"
	for _, test := range []struct {
		servers []string
		rcode   int // -1: an error
		asked   []int
	}{
		{[]string{good, fails}, dns.RcodeSuccess, []int{2, 0}},
		{[]string{refuses, good}, dns.RcodeSuccess, []int{1, 2}},
		{[]string{fails, good}, dns.RcodeSuccess, []int{1, 2}},
		{[]string{closed, refuses, fails, good}, dns.RcodeSuccess, []int{0, 1, 1, 2}},
		{[]string{noSuchName, good}, dns.RcodeNameError, []int{2, 0}},
		{[]string{refuses, fails}, dns.RcodeRefused, []int{2, 2}},
		{[]string{closed, fails}, dns.RcodeServerFailure, []int{0, 2}},
		{[]string{fails}, dns.RcodeServerFailure, []int{2}},
		{[]string{closed, closed}, -1, []int{0, 0}},
	} {
		t.Run(strings.Join(test.servers, ", "), func(t *testing.T) {
			var (
				mocks []*caddytest.DNSServer
				lines strings.Builder
			)
			for i, kind := range test.servers {
				answer := caddytest.Records(t, "@ 60 IN A 192.0.2.1")
				if rcode, ok := dns.StringToRcode[kind]; ok {
					answer = caddytest.Rcode(rcode, -1)
				}
				s := caddytest.NewDNSServer(t, "udp", answer)
				if kind == closed {
					s.Stop()
				}
				mocks = append(mocks, s)
				fmt.Fprintf(&lines, "nameserver 192.0.2.%d\n", i)
			}
			file := filepath.Join(t.TempDir(), "resolv.conf")
			if err := os.WriteFile(file, []byte(lines.String()), 0o600); err != nil {
				t.Fatal(err)
			}
			dial := func(ctx context.Context, network, addr string) (net.Conn, error) {
				var i int
				if _, err := fmt.Sscanf(addr, "192.0.2.%d:53", &i); err != nil {
					return nil, err
				}
				return new(net.Dialer).DialContext(ctx, network, mocks[i].Addr())
			}
			client, _ := NewSystemClients(NewSystem(file), dial)
			for range 2 {
				msg, _, err := client.Exchange(t.Context(), outgoing(t, "www.example."), new(Attempt))
				rcode, _ := dnsmsg.Rcode(msg)
				if err != nil {
					rcode = -1
				}
				if rcode != test.rcode {
					t.Errorf("the response code is %d (error %v), want %d", rcode, err, test.rcode)
				}
			}
			for i, s := range mocks {
				if n := len(s.Queries()); n != test.asked[i] {
					t.Errorf("server %d was asked %d times, want %d", i+1, n, test.asked[i])
				}
			}
		})
	}
}
