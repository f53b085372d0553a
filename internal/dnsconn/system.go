package dnsconn

import (
	"errors"
	"fmt"
	"net"
	"os"
	"sync"
	"time"

	"github.com/miekg/dns"
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
