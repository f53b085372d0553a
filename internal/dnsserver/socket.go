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

// sockets holds the sockets of the process, by their addresses.
var sockets = caddy.NewUsagePool()

// releaseGrace is how long Release waits for queries that are under way. They
// end by themselves before that, with the timeout of the query.
const releaseGrace = 10 * time.Second

// Socket is a listening socket with the services behind it.
type Socket struct {
	address Address
	logger  atomic.Pointer[zap.Logger]
	server  interface{ close() }

	mu       sync.Mutex
	services []*Service // the last one answers
	current  atomic.Pointer[Service]
}

// Open opens the socket of an address, or returns the one that is open. Each
// Open needs a Close.
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

// listen opens the socket. Unlike Caddy's own listeners it shares its port with
// nobody, so that a port in use is an error.
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

// Use lets a service answer from now on.
func (s *Socket) Use(service *Service) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.services = append(s.services, service)
	s.current.Store(service)
}

// Release takes a service away, so that the last of the others answers, and
// waits for the queries that it is answering. When none is left, queries that
// come are not read before the next Use or Close.
func (s *Socket) Release(service *Service) {
	s.mu.Lock()
	s.services = slices.DeleteFunc(s.services, func(other *Service) bool { return other == service })
	var last *Service
	if n := len(s.services); n > 0 {
		last = s.services[n-1]
	}
	s.current.Store(last)
	s.mu.Unlock()
	service.leave()
	service.wait(releaseGrace)
}

// acquire returns the service that answers, which is given back by its method
// done, or nil if there is none.
func (s *Socket) acquire() *Service {
	for {
		service := s.current.Load()
		if service == nil || service.acquire() {
			return service
		}
		// It has been replaced since.
		if s.current.Load() == service {
			return nil
		}
	}
}

// Close gives the socket back. The last Close closes it, and its connections.
func (s *Socket) Close() error {
	_, err := sockets.Delete(s.address)
	return err
}

// Destruct implements caddy.Destructor.
func (s *Socket) Destruct() error {
	s.server.close()
	return nil
}
