package dnsserver

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/caddyserver/caddy/v2"
	"go.uber.org/zap"
)

// sockets are the open sockets of the process, by address. A new configuration opens
// its sockets before the previous one closes them, so that those which both have stay
// open.
var sockets = caddy.NewUsagePool()

// releaseGrace is how long Release waits for queries that are being answered. They end
// before that by the timeout of a query, unless the user has set a longer one.
const releaseGrace = 10 * time.Second

// Socket is a listening socket and the services that use it. During a reload these are
// the service of the previous configuration and that of the new one.
type Socket struct {
	address Address
	logger  atomic.Pointer[zap.Logger] // of the newest configuration
	server  interface{ close() }       // *packets or *streams

	mu       sync.Mutex
	services []*Service // in the order of Use; guarded by mu

	// current is the last of services, which answers; nil if there is none. It is
	// read without the lock, for every query.
	current atomic.Pointer[Service]
}

// Open opens the socket of an address, or returns the one that is already open. Each
// call needs a call of Close.
func Open(address Address, logger *zap.Logger) (*Socket, error) {
	pooled, _, err := sockets.LoadOrNew(address, func() (caddy.Destructor, error) {
		s := &Socket{address: address}
		s.logger.Store(logger)
		err := s.listen()
		if err == nil {
			logger.Info("listening for DNS", zap.String("listener", address.String()))
		}
		return s, err
	})
	if err != nil {
		return nil, err
	}
	s := pooled.(*Socket)
	s.logger.Store(logger)
	return s, nil
}

// listen opens the socket. Caddy's own listeners set SO_REUSEPORT, so that two programs
// can share a port without noticing, and each gets a part of the queries. Here a port
// in use is an error.
func (s *Socket) listen() error {
	var config net.ListenConfig
	config.KeepAlive = 2 * time.Minute
	switch s.address.Network {
	case UDP:
		conn, err := config.ListenPacket(context.Background(), UDP, s.address.hostPort())
		if err != nil {
			return s.explain(err)
		}
		server, err := newPackets(s, conn.(*net.UDPConn))
		if err != nil {
			_ = conn.Close()
			return s.explain(err)
		}
		s.server = server
	default:
		listener, err := config.Listen(context.Background(), TCP, s.address.hostPort())
		if err != nil {
			return s.explain(err)
		}
		s.server = newStreams(s, listener)
	}
	return nil
}

// explain adds to an error what the user can do about it.
func (s *Socket) explain(err error) error {
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		return fmt.Errorf("listen %s: another program listens there (or this one, on an address that includes it): %w", s.address, err)
	case errors.Is(err, syscall.EACCES):
		return fmt.Errorf("listen %s: ports below 1024 need the capability cap_net_bind_service: %w", s.address, err)
	case errors.Is(err, syscall.EADDRNOTAVAIL):
		return fmt.Errorf("listen %s: this machine does not have that address: %w", s.address, err)
	}
	return fmt.Errorf("listen %s: %w", s.address, err)
}

// Use makes a service answer all queries from now on.
func (s *Socket) Use(service *Service) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.services = append(s.services, service)
	s.current.Store(service)
}

// Release removes a service, and waits for the queries that it is answering. The
// newest of the other services answers then. If there is none, queries get no response
// and new connections are closed until the next Use.
func (s *Socket) Release(service *Service) {
	s.mu.Lock()
	s.services = slices.DeleteFunc(s.services, func(other *Service) bool { return other == service })
	var last *Service
	if n := len(s.services); n > 0 {
		last = s.services[n-1]
	}
	s.current.Store(last)
	s.mu.Unlock()
	service.release()
	service.wait(releaseGrace)
}

// acquire returns the current service, or nil if there is none. The caller must call
// the service's method done.
func (s *Socket) acquire() *Service {
	for {
		service := s.current.Load()
		if service == nil || service.acquire() {
			return service
		}
		// It was released between Load and acquire, and then current has
		// changed.
		if s.current.Load() == service {
			return nil
		}
	}
}

// Close releases the socket. The last call closes it and its connections.
func (s *Socket) Close() error {
	_, err := sockets.Delete(s.address)
	return err
}

// Destruct implements caddy.Destructor.
func (s *Socket) Destruct() error {
	s.server.close()
	return nil
}
