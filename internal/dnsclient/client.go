package dnsclient

import (
	"context"

	"github.com/caddy-freetier/caddy-freetier/internal/dnsmsg"
)

// Client sends queries to one server.
type Client interface {
	// Exchange sends a query once, and returns the response with ID 0 and its age
	// in HTTP caches, in seconds. The caller may use a concurrently.
	Exchange(ctx context.Context, q *dnsmsg.Outgoing, a *Attempt) (msg []byte, age uint32, err error)

	// Broken is called after an exchange failed because its connection broke. The
	// next one must not use a connection that is likely to be broken as well.
	Broken()

	// Close closes the connections. Those in use end after their last response.
	Close()
}

// FinalError is the error of an exchange that must not be repeated, for example
// because the body of a response broke off: the server has counted the query.
type FinalError struct{ Err error }

func (e *FinalError) Error() string { return e.Err.Error() }

// Unwrap returns the cause.
func (e *FinalError) Unwrap() error { return e.Err }

// StreamClient is DNS over TCP or TLS.
type StreamClient struct {
	Stream *Stream

	// Encrypted reports whether queries are padded.
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

// Broken implements Client. A Stream drops a broken connection by itself.
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

// Close implements Client. Each datagram has a socket of its own.
func (c *DatagramClient) Close() {}

// Interface guards
var (
	_ Client = (*HTTPS)(nil)
	_ Client = (*StreamClient)(nil)
	_ Client = (*DatagramClient)(nil)
	_ Client = (*SystemClient)(nil)
)
