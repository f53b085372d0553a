package dnsclient

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/miekg/dns"

	"github.com/caddy-freetier/caddy-freetier/internal/dnsmsg"
)

// ResolvConf is the file with the name servers of most systems; see resolv.conf(5).
const ResolvConf = "/etc/resolv.conf"

// checkAfter is how long the file is not checked for a change.
const checkAfter = 5 * time.Second

// System is the name servers of this machine. Their file is read again when it has
// changed.
type System struct {
	file string

	mu      sync.Mutex // guards the fields below
	checked time.Time  // when the file was last checked
	changed time.Time  // the file's modification time when it was last read
	servers []string   // host:port; replaced as a whole
	err     error      // of the last read
}

// NewSystem returns a System that reads a file like ResolvConf.
func NewSystem(file string) *System { return &System{file: file} }

// Servers returns the addresses, as host:port, in the order in which to ask.
func (s *System) Servers() ([]string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if now := time.Now(); now.Sub(s.checked) >= checkAfter {
		s.checked = now
		s.read()
	}
	return s.servers, s.err
}

// read reads the file if its modification time has changed. The caller holds the lock.
func (s *System) read() {
	info, err := os.Stat(s.file)
	if err == nil && info.ModTime().Equal(s.changed) {
		return
	}
	s.servers, s.err, s.changed = nil, err, time.Time{}
	if err != nil {
		return
	}
	s.changed = info.ModTime()
	config, err := dns.ClientConfigFromFile(s.file)
	if err != nil {
		s.err, s.changed = fmt.Errorf("%s: %w", s.file, err), time.Time{}
		return
	}
	for _, server := range config.Servers {
		s.servers = append(s.servers, net.JoinHostPort(server, config.Port))
	}
	if len(s.servers) == 0 {
		s.err = errors.New(s.file + " has no name server")
	}
}

// SystemClient asks the name servers of this machine one after the other, as the
// system's own resolver does. It asks the next one after a timeout, an error, and a
// response other than NOERROR and NXDOMAIN. It begins with the server that answered
// last.
type SystemClient struct {
	system *System
	turn   *atomic.Uint32 // index of the server to begin with, modulo their number
	dial   Dial
	tcp    bool
}

// NewSystemClients returns clients over UDP and TCP. They share the server to begin
// with: the one that gave a truncated response is asked over TCP.
func NewSystemClients(system *System, dial Dial) (datagram, stream *SystemClient) {
	turn := new(atomic.Uint32)
	return &SystemClient{system, turn, dial, false}, &SystemClient{system, turn, dial, true}
}

// Exchange implements Client. The error is a *FinalError.
func (c *SystemClient) Exchange(ctx context.Context, q *dnsmsg.Outgoing, _ *Attempt) ([]byte, uint32, error) {
	servers, err := c.system.Servers()
	if err != nil {
		return nil, 0, err
	}
	var (
		msg    = q.Bare()
		turn   = c.turn.Load()
		second []byte // the first response with another code
		last   error
	)
	// A single server is asked twice, since the datagram may have been lost.
	for i := range uint32(max(len(servers), 2)) {
		resp, err := c.ask(ctx, servers[int(turn+i)%len(servers)], msg)
		if ctx.Err() != nil {
			return nil, 0, ctx.Err()
		}
		switch rcode, ok := dnsmsg.Rcode(resp); {
		case err != nil:
			last = err
		case ok && (rcode == dnsmsg.RcodeNoError || rcode == dnsmsg.RcodeNXDomain):
			c.turn.CompareAndSwap(turn, turn+i)
			return resp, 0, nil
		case second == nil:
			second = resp
		}
		if len(servers) == 1 && err == nil {
			break
		}
	}
	if second != nil {
		return second, 0, nil
	}
	c.turn.CompareAndSwap(turn, turn+1)
	return nil, 0, &FinalError{last}
}

// ask sends a message to one server.
func (c *SystemClient) ask(ctx context.Context, server string, msg []byte) ([]byte, error) {
	if !c.tcp {
		return NewDatagram(server, c.dial).Exchange(ctx, msg)
	}
	stream := NewStream(server, c.dial, nil)
	defer stream.Close()
	return stream.Exchange(ctx, msg)
}

// Broken implements Client.
func (c *SystemClient) Broken() {}

// Close implements Client.
func (c *SystemClient) Close() {}
