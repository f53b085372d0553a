package runtime

import (
	"bytes"
	"crypto/tls"
	"errors"
	"fmt"
	"sync"

	"github.com/caddy-freetier/caddy-freetier/internal/dnsserver"
)

// Listener is where a handler answers DNS besides HTTP.
type Listener struct {
	Address dnsserver.Address

	// TLS is the configuration for new connections; nil but for TLS.
	TLS *tls.Config

	// Answer is called with each query.
	Answer dnsserver.Handler

	// Config is what the handler was made of. Handlers of equal configuration
	// share a socket, since one block of a Caddyfile becomes several handlers
	// when its sites need several servers.
	Config []byte

	// Names are those that clients over TLS ask for. A warning says which of
	// them get no certificate.
	Names []string
}

// listeners are those of one configuration.
type listeners struct {
	byAddress map[dnsserver.Address]*Listener
	bound     []binding
}

// binding is a listener with its socket.
type binding struct {
	socket  *dnsserver.Socket
	service *dnsserver.Service
}

// Listen registers a listener, which is opened when the configuration starts:
// if that fails, Caddy refuses the configuration and goes on with the old one.
// Its socket stays open while configurations replace each other. Two listeners
// with one address and different configurations are an error.
func (a *App) Listen(l *Listener) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.started {
		return fmt.Errorf("listen %s: %w", l.Address, errStarted)
	}
	if other := a.listeners.byAddress[l.Address]; other != nil {
		if !bytes.Equal(other.Config, l.Config) {
			return fmt.Errorf("listen %s: another block listens there with other options; give one of them another address", l.Address)
		}
		return nil
	}
	if a.listeners.byAddress == nil {
		a.listeners.byAddress = make(map[dnsserver.Address]*Listener)
	}
	a.listeners.byAddress[l.Address] = l
	return nil
}

// start opens all sockets before the first of the listeners answers.
func (ls *listeners) start(a *App) error {
	for address, l := range ls.byAddress {
		socket, err := dnsserver.Open(address, a.logger)
		if err != nil {
			return errors.Join(err, ls.stop())
		}
		ls.bound = append(ls.bound, binding{socket, dnsserver.NewService(l.Answer, l.TLS, a.clock)})
	}
	for _, b := range ls.bound {
		b.socket.Use(b.service)
	}
	return nil
}

// stop lets the listeners of another configuration answer, if there is one, and
// waits for the queries that are being answered.
func (ls *listeners) stop() error {
	var releasing sync.WaitGroup
	for _, b := range ls.bound {
		releasing.Go(func() { b.socket.Release(b.service) })
	}
	releasing.Wait()
	var errs []error
	for _, b := range ls.bound {
		errs = append(errs, b.socket.Close())
	}
	ls.bound = nil
	return errors.Join(errs...)
}

// names returns the names that need certificates.
func (ls *listeners) names() []string {
	var names []string
	for _, l := range ls.byAddress {
		names = append(names, l.Names...)
	}
	return names
}
