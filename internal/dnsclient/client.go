package dnsclient

import (
	"context"

	"github.com/caddy-freetier/caddy-freetier/internal/dnsmsg"
)

// Client asks one server.
type Client interface {
	// Exchange sends a query once and returns what comes back, with ID 0, and
	// the seconds that it has spent in caches. The attempt is for the caller to
	// look at meanwhile.
	Exchange(ctx context.Context, q *dnsmsg.Outgoing, a *Attempt) (msg []byte, age uint32, err error)
	// Broken is called when an exchange has failed since a connection broke:
	// the next one must not use what is likely to be as dead.
	Broken()
	// Close closes the connections, those in use after their last response.
	Close()
}

// FinalError is the error of an exchange that makes no sense to repeat, such as a
// response whose body broke off: the server has had the query.
type FinalError struct{ Err error }

func (e *FinalError) Error() string { return e.Err.Error() }

// Unwrap returns the cause.
func (e *FinalError) Unwrap() error { return e.Err }

// StreamClient is DNS over TCP or TLS.
type StreamClient struct {
	Stream *Stream
	// Encrypted says that queries are padded.
	Encrypted bool
}

// Exchange implements Client.
func (c *StreamClient) Exchange(ctx context.Context, q *dnsmsg.Outgoing, a *Attempt) ([]byte, uint32, error) {
	msg := q.Padded
	if !c.Encrypted {
		msg = q.Bare()
	}
	resp, err := c.Stream.exchange(ctx, msg, a)
	return resp, 0, err
}

// Broken implements Client: a stream forgets a connection that broke.
func (c *StreamClient) Broken() {}

// Close implements Client.
func (c *StreamClient) Close() { _ = c.Stream.Close() }

// DatagramClient is DNS over UDP.
type DatagramClient struct{ Datagram *Datagram }

// Exchange implements Client.
func (c *DatagramClient) Exchange(ctx context.Context, q *dnsmsg.Outgoing, _ *Attempt) ([]byte, uint32, error) {
	resp, err := c.Datagram.Exchange(ctx, q.Bare())
	return resp, 0, err
}

// Broken implements Client.
func (c *DatagramClient) Broken() {}

// Close implements Client: each datagram has a socket of its own.
func (c *DatagramClient) Close() {}

// Interface guards
var (
	_ Client = (*HTTPS)(nil)
	_ Client = (*StreamClient)(nil)
	_ Client = (*DatagramClient)(nil)
	_ Client = (*SystemClient)(nil)
)
