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

// ResolvConf is where most systems say which name servers they use.
const ResolvConf = "/etc/resolv.conf"

// checkAfter is how long the file is taken to be as it was.
const checkAfter = 5 * time.Second

// System knows the name servers of this machine. Their file is read again
// when it has changed.
type System struct {
	file string

	mu      sync.Mutex
	checked time.Time
	changed time.Time // when the file was, as far as is known
	servers []string  // host:port
	err     error
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
		s.err = errors.New(s.file + " names no name server")
	}
}

// SystemClient asks the name servers of this machine, one after the other, as its
// own resolver does: after silence and errors, and after a response that says
// neither what a name has nor that it does not exist. It begins with the one that
// answered last.
type SystemClient struct {
	system *System
	turn   *atomic.Uint32 // whose it is
	dial   Dial
	tcp    bool
}

// NewSystemClients returns clients over UDP and TCP, which share the turn.
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
		second []byte // the first response that says nothing of the name
		last   error
	)
	// A server that is alone is asked twice: the datagram may have been lost.
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
