package dnsclient

import (
	"context"
	"errors"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/jonboulle/clockwork"
)

// Addresses that swallow everything cost a quarter of a second each, and only
// once.
func TestBootstrapStagger(t *testing.T) {
	clock := clockwork.NewFakeClock()
	dials := make(chan string, 10)
	b := &bootstrapDialer{host: "dns.example", addresses: []string{"2001:db8::1", "192.0.2.1", "192.0.2.2", "192.0.2.3"}, clock: clock}
	b.dial = func(ctx context.Context, _, addr string) (net.Conn, error) {
		dials <- addr
		switch {
		case strings.HasPrefix(addr, "192.0.2.2:"):
			conn, _ := net.Pipe()
			return conn, nil
		case strings.HasPrefix(addr, "192.0.2.1:"):
			return nil, errors.New("refused") // at once: the next one does not wait
		}
		<-ctx.Done()
		return nil, ctx.Err()
	}
	done := make(chan error, 1)
	dial := func() {
		conn, err := b.dialContext(t.Context(), "tcp", "dns.example:443")
		if err == nil {
			conn.Close()
		}
		done <- err
	}
	wantDialed := func(want ...string) {
		t.Helper()
		for _, addr := range want {
			if got := <-dials; got != addr {
				t.Errorf("%s was dialed, want %s", got, addr)
			}
		}
		if err := <-done; err != nil {
			t.Error(err)
		}
		if len(dials) > 0 {
			t.Errorf("%s was dialed as well", <-dials)
		}
	}
	go dial()
	if err := clock.BlockUntilContext(t.Context(), 1); err != nil {
		t.Fatal(err)
	}
	select {
	case err := <-done:
		t.Fatalf("the first address was not waited for: %v", err)
	case <-time.After(20 * time.Millisecond):
	}
	clock.Advance(stagger)
	wantDialed("[2001:db8::1]:443", "192.0.2.1:443", "192.0.2.2:443")
	go dial()
	wantDialed("192.0.2.2:443")
}

func TestBootstrapAllFail(t *testing.T) {
	b := &bootstrapDialer{host: "dns.example", addresses: []string{"192.0.2.1", "192.0.2.2"}, clock: clockwork.NewFakeClock()}
	b.dial = func(_ context.Context, _, addr string) (net.Conn, error) { return nil, errors.New("no way to " + addr) }
	_, err := b.dialContext(t.Context(), "tcp", "DNS.example:443")
	for _, want := range []string{"192.0.2.1:443", "192.0.2.2:443"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("the error is %v, want %s in it", err, want)
		}
	}
}

// Each further address is tried a quarter of a second after the one before.
func TestBootstrapStaggerGoesOn(t *testing.T) {
	clock := clockwork.NewFakeClock()
	dials := make(chan string, 10)
	b := &bootstrapDialer{host: "dns.example", addresses: []string{"192.0.2.1", "192.0.2.2", "192.0.2.3"}, clock: clock}
	b.dial = func(ctx context.Context, _, addr string) (net.Conn, error) {
		dials <- addr
		<-ctx.Done()
		return nil, ctx.Err()
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() {
		_, err := b.dialContext(ctx, "tcp", "dns.example:443")
		done <- err
	}()
	for i, want := range []string{"192.0.2.1:443", "192.0.2.2:443", "192.0.2.3:443"} {
		if i > 0 {
			if err := clock.BlockUntilContext(ctx, 1); err != nil {
				t.Fatal(err)
			}
			clock.Advance(stagger)
		}
		select {
		case got := <-dials:
			if got != want {
				t.Errorf("%s was dialed, want %s", got, want)
			}
		case <-time.After(time.Minute):
			t.Fatalf("%s was not dialed", want)
		}
	}
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Errorf("error %v, want that of the context", err)
	}
}
