package batchedconn

import (
	"bytes"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/caddy-freetier/caddy-freetier/internal/caddytest"
)

// A sink is a connection whose writes wait until the test lets them go on.
type sink struct {
	net.Conn
	begun chan string // what is being written
	goOn  chan error  // how the write ends

	closed atomic.Bool
}

func newSink() *sink { return &sink{begun: make(chan string), goOn: make(chan error)} }

func (s *sink) Write(b []byte) (int, error) {
	s.begun <- string(b)
	if err := <-s.goOn; err != nil {
		return len(b) / 2, err
	}
	return len(b), nil
}

func (s *sink) SetWriteDeadline(time.Time) error { return nil }

func (s *sink) Close() error {
	s.closed.Store(true)
	return nil
}

func (s *sink) expect(t *testing.T, want string, err error) {
	t.Helper()
	if got := <-s.begun; got != want {
		t.Errorf("written: %d bytes %.20q, want %d bytes %.20q", len(got), got, len(want), want)
	}
	s.goOn <- err
}

func write(t *testing.T, c io.Writer, text string) {
	t.Helper()
	if n, err := c.Write([]byte(text)); n != len(text) || err != nil {
		t.Errorf("Write of %d bytes: %d, %v", len(text), n, err)
	}
}

// Each goroutine has ended when a test's bubble ends.

func TestSmallWritesAreJoined(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSink()
		c := New(s)
		c.Start()
		buf := []byte("headers ")
		_, _ = c.Write(buf)
		copy(buf, "XXXXXXXX") // what has been written is the caller's again
		synctest.Wait()       // the first write is under way
		write(t, c, "body ")
		write(t, c, "of another ")
		s.expect(t, "headers ", nil)
		s.expect(t, "body of another ", nil)
		synctest.Wait()
		write(t, c, "later")
		s.expect(t, "later", nil)
	})
}

// A large write takes along what waits, and counts its own bytes only.
func TestLargeWriteTakesPendingAlong(t *testing.T) {
	const headers = "headers "
	large := strings.Repeat("b", maxBatch+1)
	broken := errors.New("broken")
	for _, test := range []struct {
		n   int
		err error
	}{
		{len(large), nil},
		{len(large) / 2, broken},
	} {
		synctest.Test(t, func(t *testing.T) {
			s := newSink()
			c := New(s)
			go func() {
				s.expect(t, headers, nil)
				s.expect(t, large, test.err)
			}()
			c.mu.Lock() // as in a Write that flush has not preceded
			c.pending = append(c.pending, headers...)
			n, err := c.write([]byte(large))
			c.mu.Unlock()
			if n != test.n || !errors.Is(err, test.err) {
				t.Errorf("%d, %v, want %d, %v", n, err, test.n, test.err)
			}
		})
	}
}

func TestWritesBeforeStart(t *testing.T) {
	for name, c := range map[string]func(s *sink) *Conn{
		"not started": func(s *sink) *Conn { return New(s) },
		"deadline": func(s *sink) *Conn {
			c := New(s)
			c.Start()
			_ = c.SetWriteDeadline(time.Now())
			return c
		},
	} {
		synctest.Test(t, func(t *testing.T) {
			s := newSink()
			c := c(s)
			broken := errors.New("broken")
			go s.expect(t, "abcd", broken)
			if n, err := c.Write([]byte("abcd")); n != 2 || !errors.Is(err, broken) {
				t.Errorf("%s: %d, %v", name, n, err)
			}
			go s.expect(t, "efgh", nil)
			write(t, c, "efgh") // whether an error is the last is up to the caller
		})
	}
}

func TestErrorOfADeferredWrite(t *testing.T) {
	broken := errors.New("broken")
	large := strings.Repeat("b", maxBatch+1)
	for _, next := range []string{"small", large} {
		synctest.Test(t, func(t *testing.T) {
			s := newSink()
			c := New(s)
			c.Start()
			write(t, c, "lost")
			s.expect(t, "lost", broken)
			synctest.Wait()
			if !s.closed.Load() {
				t.Error("who waits for a response does not learn of the error")
			}
			for range 2 {
				if n, err := c.Write([]byte(next)); n != 0 || !errors.Is(err, broken) {
					t.Errorf("write of %d bytes after the error: %d, %v", len(next), n, err)
				}
			}
		})
	}
}

// Whatever the sizes, and whenever joining begins and ends, the peer reads the bytes in
// their order.
func TestOrder(t *testing.T) {
	for seed := range uint64(50) {
		r := rand.New(rand.NewPCG(seed, 0))
		client, server := pipe(t)
		c := New(client)
		data := make([]byte, 200_000)
		for i := range data {
			data[i] = byte(r.Uint32())
		}
		var got bytes.Buffer
		var reading sync.WaitGroup
		reading.Go(func() { _, _ = got.ReadFrom(server) })
		for rest := data; len(rest) > 0; {
			switch r.IntN(20) {
			case 0:
				c.Start()
			case 1:
				_ = c.SetWriteDeadline(time.Time{})
				c.Start()
			}
			n := 1 + r.IntN([]int{10, 1000, maxBatch, 20_000}[r.IntN(4)])
			n = min(n, len(rest))
			write(t, c, string(rest[:n]))
			rest = rest[n:]
		}
		_ = c.SetWriteDeadline(time.Now().Add(time.Minute))
		_, _ = c.Write(nil) // waits
		write(t, c, "end")
		_ = c.Close()
		reading.Wait()
		if !bytes.Equal(got.Bytes(), append(data, "end"...)) {
			t.Errorf("seed %d: %d bytes arrived of %d, or not in their order", seed, got.Len(), len(data)+3)
		}
	}
}

// A TLS connection that is closed right after a write has sent all of it, and says that
// it ends.
func TestCloseOfTLS(t *testing.T) {
	certificate, err := tls.LoadX509KeyPair(caddytest.Certificate(t, "a.example"))
	if err != nil {
		t.Fatal(err)
	}
	for i := range 50 {
		client, server := pipe(t)
		below := New(client)
		c := tls.Client(below, &tls.Config{InsecureSkipVerify: true}) //nolint:gosec // the test's own
		s := tls.Server(server, &tls.Config{Certificates: []tls.Certificate{certificate}})
		read := make(chan string)
		go func() {
			b, err := io.ReadAll(s)
			read <- fmt.Sprintf("%s, %v", b, err)
		}()
		if err := c.Handshake(); err != nil {
			t.Fatal(err)
		}
		below.Start()
		write(t, c, "headers ")
		write(t, c, "body")
		_ = c.Close()
		if got := <-read; got != "headers body, <nil>" {
			t.Fatalf("%d: %s", i, got)
		}
	}
}

// A peer that reads nothing holds up neither Close nor a deadline.
func TestPeerThatDoesNotRead(t *testing.T) {
	for name, end := range map[string]func(c *Conn) error{
		"close":    (*Conn).Close,
		"deadline": func(c *Conn) error { return c.SetDeadline(time.Now()) },
	} {
		client, server := net.Pipe()
		t.Cleanup(func() { _ = server.Close() })
		c := New(client)
		c.Start()
		write(t, c, "headers")
		failed := make(chan error)
		go func() {
			_, err := c.Write(make([]byte, maxBatch+1))
			failed <- err
		}()
		if err := end(c); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if err := <-failed; !errors.Is(err, os.ErrDeadlineExceeded) && !errors.Is(err, io.ErrClosedPipe) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// pipe returns the two ends of a TCP connection.
func pipe(t *testing.T) (client, server net.Conn) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if client, err = net.Dial("tcp", l.Addr().String()); err != nil {
		t.Fatal(err)
	}
	if server, err = l.Accept(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _, _ = client.Close(), server.Close() })
	return client, server
}
