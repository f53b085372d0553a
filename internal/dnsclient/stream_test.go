package dnsclient

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jonboulle/clockwork"
	"github.com/miekg/dns"

	"github.com/caddy-freetier/caddy-freetier/internal/caddytest"
)

// wait polls until a condition holds that no event tells of.
func wait(t testing.TB, what string, holds func() bool) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); !holds(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("waited in vain until " + what)
		}
	}
}

// current returns the connection in use, or nil.
func (s *Stream) current() *conn {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.conn
}

func (c *conn) reserved() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.pending)
}

// What breaks a connection ends the query, and the next one gets another.
func TestBreaks(t *testing.T) {
	for _, network := range streams {
		for name, behaviour := range caddytest.DNSBreaks() {
			t.Run(network+" "+name, func(t *testing.T) {
				s := caddytest.NewDNSServer(t, network, echo)
				s.Handle(behaviour)
				stream := newStream(t, s, usual)
				if err := lookup(t.Context(), t, stream, "a.example."); !errors.Is(err, ErrClosed) {
					t.Errorf("error %v, want %v", err, ErrClosed)
				}
				s.Handle((*caddytest.DNSExchange).Answer)
				if err := lookup(t.Context(), t, stream, "b.example."); err != nil {
					t.Error(err)
				}
				if n := len(s.Queries()); n != 2 {
					t.Errorf("%d queries arrived, want one for each call", n)
				}
			})
		}
	}
}

// A message that nobody asked for is passed over; what is not said in the
// header is for the caller to see.
func TestStreamStrays(t *testing.T) {
	for _, network := range streams {
		for name, behaviour := range caddytest.DNSStrays() {
			if name == "no header" {
				continue // see TestBreaks
			}
			t.Run(network+" "+name, func(t *testing.T) {
				s := caddytest.NewDNSServer(t, network, echo)
				s.Handle(behaviour)
				stream := newStream(t, s, usual)
				passed := name == "hang" || name == "wrong ID" || name == "junk"
				limit := time.Minute
				if passed {
					limit = 100 * time.Millisecond
				}
				ctx, cancel := context.WithTimeout(t.Context(), limit)
				defer cancel()
				msg := packed(t, "a.example.")
				answer, err := stream.Exchange(ctx, msg)
				if passed {
					if !errors.Is(err, context.DeadlineExceeded) {
						t.Errorf("the answer is %x, %v", answer, err)
					}
				} else if err != nil || !bytes.Equal(answer[:2], msg[:2]) {
					t.Errorf("the answer is %x, %v", answer, err)
				}
				s.Handle((*caddytest.DNSExchange).Answer)
				if err := lookup(t.Context(), t, stream, "b.example."); err != nil || s.Accepted() != 1 {
					t.Errorf("%v over %d connections", err, s.Accepted())
				}
			})
		}
	}
}

// Servers that take one query on a connection cost no more than another one.
func TestClosedAfterEachAnswer(t *testing.T) {
	for _, network := range streams {
		t.Run(network, func(t *testing.T) {
			s := caddytest.NewDNSServer(t, network, echo)
			s.Handle(caddytest.DNSCloseAfter)
			stream := newStream(t, s, usual)
			for i := range 10 {
				if err := lookup(t.Context(), t, stream, fmt.Sprintf("www%d.example.", i)); err != nil {
					t.Fatal(err)
				}
				c := stream.current()
				wait(t, "the connection has ended", c.ended)
			}
			if n := s.Accepted(); n != 10 {
				t.Errorf("%d connections were opened, want 10", n)
			}
		})
	}
}

func TestRestart(t *testing.T) {
	for _, network := range streams {
		t.Run(network, func(t *testing.T) {
			s := caddytest.NewDNSServer(t, network, echo)
			stream := newStream(t, s, usual)
			for i := range 3 {
				if err := lookup(t.Context(), t, stream, "www.example."); err != nil {
					t.Fatal(err)
				}
				c := stream.current()
				s.Stop()
				wait(t, "the connection has ended", c.ended)
				var op *net.OpError
				if err := lookup(t.Context(), t, stream, "www.example."); !errors.As(err, &op) || op.Op != "dial" {
					t.Errorf("error %v, want one of dialing", err)
				}
				s.Start(t)
				if n := len(s.Queries()); n != i+1 {
					t.Errorf("%d queries arrived, want %d", n, i+1)
				}
			}
		})
	}
}

// The server is down while queries wait.
func TestServerCloses(t *testing.T) {
	for _, network := range streams {
		t.Run(network, func(t *testing.T) {
			s := caddytest.NewDNSServer(t, network, echo)
			s.Handle(caddytest.DNSHang)
			stream := newStream(t, s, usual)
			var wg sync.WaitGroup
			for i := range 10 {
				wg.Go(func() {
					if err := lookup(t.Context(), t, stream, fmt.Sprintf("www%d.example.", i)); !errors.Is(err, ErrClosed) {
						t.Errorf("error %v, want %v", err, ErrClosed)
					}
				})
			}
			for range 10 {
				s.Next(t)
			}
			s.CloseConnections()
			wg.Wait()
		})
	}
}

func TestIdle(t *testing.T) {
	for _, network := range streams {
		t.Run(network, func(t *testing.T) {
			before := caddytest.Goroutines()
			s := caddytest.NewDNSServer(t, network, echo)
			running := caddytest.Goroutines()
			stream := newStream(t, s, limits{idle: 10 * time.Second, silence: time.Hour})
			clock := clockwork.NewFakeClock()
			stream.clock = clock
			for range 2 {
				if err := lookup(t.Context(), t, stream, "www.example."); err != nil {
					t.Fatal(err)
				}
				c := stream.current()
				wait(t, "the connection has ended", func() bool {
					clock.Advance(5 * time.Second)
					return c.ended()
				})
			}
			if n := s.Accepted(); n != 2 {
				t.Errorf("%d connections were opened, want 2", n)
			}
			caddytest.NoLeak(t, running-3)
			s.Stop()
			caddytest.NoLeak(t, before-3)
		})
	}
}

// A server that stops answering loses the connection, though queries keep
// coming, each abandoned soon, and though it still sends what nobody asked for.
func TestSilence(t *testing.T) {
	for _, network := range streams {
		for name, behaviour := range map[string]caddytest.DNSBehaviour{"hang": caddytest.DNSHang, "wrong ID": caddytest.DNSStrays()["wrong ID"]} {
			t.Run(network+" "+name, func(t *testing.T) {
				s := caddytest.NewDNSServer(t, network, echo)
				stream := newStream(t, s, limits{idle: time.Hour, silence: 5 * time.Second})
				clock := clockwork.NewFakeClock()
				stream.clock = clock
				if err := lookup(t.Context(), t, stream, "www.example."); err != nil {
					t.Fatal(err)
				}
				s.Handle(behaviour)
				c := stream.current()
				wait(t, "the connection has ended", func() bool {
					ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
					defer cancel()
					_ = lookup(ctx, t, stream, "www.example.")
					clock.Advance(time.Second)
					return c.ended()
				})
				s.Handle((*caddytest.DNSExchange).Answer)
				if err := lookup(t.Context(), t, stream, "www.example."); err != nil || s.Accepted() != 2 {
					t.Errorf("%v over %d connections, want 2", err, s.Accepted())
				}
			})
		}
	}
}

// A query that never gets an answer does not shorten the time that later ones
// have for theirs.
func TestSilenceIsMeasuredAnew(t *testing.T) {
	const limit = 5 * time.Second
	s := caddytest.NewDNSServer(t, "tcp", echo)
	stream := newStream(t, s, limits{idle: time.Minute, silence: limit})
	clock := clockwork.NewFakeClock()
	stream.clock = clock
	s.Handle(caddytest.DNSHang)
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		s.Next(t)
		cancel()
	}()
	_ = lookup(ctx, t, stream, "never.example.")
	s.Handle((*caddytest.DNSExchange).Answer)
	if err := lookup(t.Context(), t, stream, "www.example."); err != nil {
		t.Fatal(err)
	}
	s.Next(t)
	clock.Advance(limit * 2 / 3)
	s.Handle(func(e *caddytest.DNSExchange) {
		clock.Advance(limit * 2 / 3)
		e.Answer()
	})
	if err := lookup(t.Context(), t, stream, "slow.example."); err != nil {
		t.Error(err)
	}
	if n := s.Accepted(); n != 1 {
		t.Errorf("%d connections were opened, want 1", n)
	}
}

// The late answer to an abandoned query is nobody's.
func TestLateAnswer(t *testing.T) {
	for _, network := range streams {
		t.Run(network, func(t *testing.T) {
			s := caddytest.NewDNSServer(t, network, echo)
			late := make(chan *caddytest.DNSExchange, 1)
			s.Handle(func(e *caddytest.DNSExchange) { late <- e })
			stream := newStream(t, s, usual)
			ctx, cancel := context.WithCancel(t.Context())
			go func() {
				s.Next(t)
				cancel()
			}()
			if err := lookup(ctx, t, stream, "slow.example."); !errors.Is(err, context.Canceled) {
				t.Errorf("error %v", err)
			}
			c := stream.current()
			if n := c.reserved(); n != 1 {
				t.Errorf("%d IDs are reserved, want one", n)
			}
			first := <-late
			s.Handle(func(e *caddytest.DNSExchange) {
				first.Answer()
				first.Answer() // once more than asked
				e.Answer()
			})
			if err := lookup(t.Context(), t, stream, "next.example."); err != nil || s.Accepted() != 1 {
				t.Errorf("%v over %d connections", err, s.Accepted())
			}
			if n := c.reserved(); n != 0 {
				t.Errorf("%d IDs are still reserved", n)
			}
		})
	}
}

// A server that reads nothing holds up no query that is abandoned, nor the
// next ones.
func TestServerTakesNothing(t *testing.T) {
	before := caddytest.Goroutines()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	stream := NewStream(l.Addr().String(), func(ctx context.Context, network, addr string) (net.Conn, error) {
		c, err := dial(ctx, network, addr)
		if err == nil {
			err = c.(*net.TCPConn).SetWriteBuffer(4096)
		}
		return c, err
	}, nil)
	stream.limits = limits{idle: time.Hour, silence: time.Hour} // which a caller must not wait for
	msg := make([]byte, maxMessage)
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	var wg sync.WaitGroup
	for range 200 { // 13 MB, more than any buffer on the way
		wg.Go(func() {
			if _, err := stream.Exchange(ctx, msg); !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("error %v", err)
			}
		})
	}
	wg.Wait()
	c := stream.current()
	c.mu.Lock()
	if n := len(c.unsent); n > maxUnsent+2+maxMessage {
		t.Errorf("%d bytes wait, want no more than about %d", n, maxUnsent)
	}
	c.mu.Unlock()
	l.Close() // with what it has not accepted: the kernel resets
	caddytest.NoLeak(t, before-3)
}

// A server that takes connections only to close them is not asked in a loop.
func TestClosedAtOnce(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			c.Close()
		}
	}()
	var dialed atomic.Int64
	stream := NewStream(l.Addr().String(), func(ctx context.Context, network, addr string) (net.Conn, error) {
		dialed.Add(1)
		return dial(ctx, network, addr)
	}, nil)
	for range 200 {
		if _, err := stream.Exchange(t.Context(), packed(t, "www.example.")); !errors.Is(err, ErrClosed) {
			t.Fatalf("error %v, want %v", err, ErrClosed)
		}
	}
	if n := dialed.Load(); n > 200 {
		t.Errorf("%d connections were opened for 200 queries", n)
	}
}

// A query that gives up while the connection is being opened does not take it
// from the others.
func TestGivingUpTheDial(t *testing.T) {
	s := caddytest.NewDNSServer(t, "tcp", echo)
	dialing, goOn := make(chan struct{}), make(chan struct{})
	stream := NewStream(s.Addr(), func(ctx context.Context, network, addr string) (net.Conn, error) {
		close(dialing)
		<-goOn
		return dial(ctx, network, addr)
	}, nil)
	defer stream.Close()
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	wg.Go(func() {
		if err := lookup(ctx, t, stream, "a.example."); !errors.Is(err, context.Canceled) {
			t.Errorf("error %v", err)
		}
		close(goOn)
	})
	<-dialing
	wg.Go(func() {
		if err := lookup(t.Context(), t, stream, "b.example."); err != nil {
			t.Error(err)
		}
	})
	cancel()
	wg.Wait()
	if n := len(s.Queries()); n != 1 {
		t.Errorf("%d queries arrived, want one", n)
	}
}

// A connection that is full gets company.
func TestFull(t *testing.T) {
	s := caddytest.NewDNSServer(t, "tcp", echo)
	stream := newStream(t, s, usual)
	if err := lookup(t.Context(), t, stream, "a.example."); err != nil {
		t.Fatal(err)
	}
	c := stream.current()
	c.mu.Lock()
	for id := range maxPending {
		c.pending[uint16(id)] = make(chan []byte, 1)
	}
	c.mu.Unlock()
	if err := lookup(t.Context(), t, stream, "b.example."); err != nil || s.Accepted() != 2 {
		t.Errorf("%v over %d connections, want 2", err, s.Accepted())
	}
	c.end(errors.New("the test is over"))
}

// Close waits for the answers that are owed. Requests of an old configuration
// may still come after it.
func TestClose(t *testing.T) {
	for _, network := range streams {
		t.Run(network, func(t *testing.T) {
			s := caddytest.NewDNSServer(t, network, echo)
			running := caddytest.Goroutines()
			stream := newStream(t, s, usual)
			asked := make(chan *caddytest.DNSExchange, 1)
			s.Handle(func(e *caddytest.DNSExchange) { asked <- e })
			done := make(chan error)
			go func() { done <- lookup(t.Context(), t, stream, "a.example.") }()
			e := <-asked
			stream.Close()
			stream.Close()
			s.Handle((*caddytest.DNSExchange).Answer)
			if err := lookup(t.Context(), t, stream, "b.example."); err != nil || s.Accepted() != 2 {
				t.Errorf("%v over %d connections, want 2", err, s.Accepted())
			}
			e.Answer()
			if err := <-done; err != nil {
				t.Error(err)
			}
			stream.Close()
			caddytest.NoLeak(t, running-3)
		})
	}
}

// The largest message there is goes both ways.
func TestLargest(t *testing.T) {
	for _, network := range streams {
		t.Run(network, func(t *testing.T) {
			s := caddytest.NewDNSServer(t, network, echo)
			s.Handle(func(e *caddytest.DNSExchange) {
				packed, _ := e.Query.Pack()
				packed[2] |= 0x80
				e.SendBytes(packed)
			})
			query := new(dns.Msg).SetQuestion("www.example.", dns.TypeTXT)
			query.SetEdns0(dns.MaxMsgSize-1, false)
			query.Id = 0
			option := &dns.EDNS0_LOCAL{Code: dns.EDNS0LOCALSTART}
			query.IsEdns0().Option = []dns.EDNS0{option}
			option.Data = make([]byte, maxMessage-query.Len())
			msg, err := query.Pack()
			if err != nil || len(msg) != maxMessage {
				t.Fatalf("the query has %d bytes, %v", len(msg), err)
			}
			answer, err := newStream(t, s, usual).Exchange(t.Context(), msg)
			if err != nil || len(answer) != maxMessage || !bytes.Equal(answer[3:], msg[3:]) {
				t.Errorf("the answer has %d bytes, %v", len(answer), err)
			}
		})
	}
}
