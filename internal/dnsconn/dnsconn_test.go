package dnsconn

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/miekg/dns"

	"github.com/caddy-freetier/caddy-freetier/internal/caddytest"
)

var dial = new(net.Dialer).DialContext

func query(t testing.TB, name string) []byte {
	t.Helper()
	m := new(dns.Msg).SetQuestion(name, dns.TypeA)
	m.Id = 0
	packed, err := m.Pack()
	if err != nil {
		t.Fatal(err)
	}
	return packed
}

// reply answers a query with an address that repeats its first label.
func reply(msg []byte) []byte {
	var m dns.Msg
	if err := m.Unpack(msg); err != nil {
		panic(err)
	}
	r := new(dns.Msg).SetReply(&m)
	r.Answer = []dns.RR{&dns.TXT{
		Hdr: dns.RR_Header{Name: m.Question[0].Name, Rrtype: dns.TypeTXT, Class: dns.ClassINET, Ttl: 60},
		Txt: []string{m.Question[0].Name},
	}}
	packed, err := r.Pack()
	if err != nil {
		panic(err)
	}
	return packed
}

// check says what is wrong with an answer.
func check(name string, answer []byte) error {
	var m dns.Msg
	if err := m.Unpack(answer); err != nil {
		return err
	}
	if m.Id != 0 || len(m.Answer) != 1 || m.Answer[0].(*dns.TXT).Txt[0] != name {
		return fmt.Errorf("the answer to %s is %v", name, &m)
	}
	return nil
}

func frame(msg []byte) []byte {
	return append(binary.BigEndian.AppendUint16(nil, uint16(len(msg))), msg...)
}

// server is a TCP server whose connections behave as serve does.
type server struct {
	net.Listener
	accepted atomic.Int64
}

func newServer(t testing.TB, serve func(conn net.Conn)) *server {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &server{Listener: l}
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			s.accepted.Add(1)
			t.Cleanup(func() { conn.Close() })
			go func() {
				defer conn.Close()
				serve(conn)
			}()
		}
	})
	t.Cleanup(func() {
		l.Close()
		wg.Wait()
	})
	return s
}

// sound answers every query at once.
func sound(conn net.Conn) {
	for {
		msg, err := readFrame(conn)
		if err != nil {
			return
		}
		conn.Write(frame(reply(msg)))
	}
}

func TestStream(t *testing.T) {
	before := caddytest.Goroutines()
	s := newServer(t, sound)
	stream := NewStream(s.Addr().String(), dial, nil)
	var wg sync.WaitGroup
	for i := range 64 {
		wg.Go(func() {
			for j := range 20 {
				name := fmt.Sprintf("www%d-%d.example.", i, j)
				answer, err := stream.Exchange(t.Context(), query(t, name))
				if err != nil {
					t.Error(err)
				} else if err := check(name, answer); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	if n := s.accepted.Load(); n != 1 {
		t.Errorf("%d connections were opened, want one", n)
	}
	stream.Close()
	s.Close()
	caddytest.NoLeak(t, before)
}

// Requests of an old configuration may still come after Close.
func TestAfterClose(t *testing.T) {
	s := newServer(t, sound)
	stream := NewStream(s.Addr().String(), dial, nil)
	for range 2 {
		stream.Close()
		answer, err := stream.Exchange(t.Context(), query(t, "www.example."))
		if err == nil {
			err = check("www.example.", answer)
		}
		if err != nil {
			t.Error(err)
		}
	}
}

// Answers come in any order.
func TestOutOfOrder(t *testing.T) {
	const queries = 50
	s := newServer(t, func(conn net.Conn) {
		var answers [][]byte
		for range queries {
			msg, err := readFrame(conn)
			if err != nil {
				return
			}
			answers = append(answers, frame(reply(msg)))
		}
		slices.Reverse(answers)
		conn.Write(slices.Concat(answers...))
		io.Copy(io.Discard, conn)
	})
	stream := NewStream(s.Addr().String(), dial, nil)
	defer stream.Close()
	var wg sync.WaitGroup
	for i := range queries {
		wg.Go(func() {
			name := fmt.Sprintf("www%d.example.", i)
			answer, err := stream.Exchange(t.Context(), query(t, name))
			if err == nil {
				err = check(name, answer)
			}
			if err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
}

// What breaks a connection ends the query, and the next one gets another.
func TestBrokenStream(t *testing.T) {
	for name, serve := range map[string]func(conn net.Conn, msg []byte){
		"closed":              func(net.Conn, []byte) {},
		"cut in the answer":   func(conn net.Conn, msg []byte) { conn.Write(frame(reply(msg))[:20]) },
		"cut in the length":   func(conn net.Conn, _ []byte) { conn.Write([]byte{1}) },
		"an empty message":    func(conn net.Conn, _ []byte) { conn.Write([]byte{0, 0}); io.Copy(io.Discard, conn) },
		"a message too short": func(conn net.Conn, _ []byte) { conn.Write([]byte{0, 3, 1, 2, 3}); io.Copy(io.Discard, conn) },
		"reset":               func(conn net.Conn, _ []byte) { conn.(*net.TCPConn).SetLinger(0) },
	} {
		t.Run(name, func(t *testing.T) {
			var broken atomic.Bool
			s := newServer(t, func(conn net.Conn) {
				if broken.Swap(true) {
					sound(conn)
					return
				}
				if msg, err := readFrame(conn); err == nil {
					serve(conn, msg)
				}
			})
			stream := NewStream(s.Addr().String(), dial, nil)
			defer stream.Close()
			if _, err := stream.Exchange(t.Context(), query(t, "a.example.")); !errors.Is(err, ErrClosed) {
				t.Errorf("error %v, want %v", err, ErrClosed)
			}
			answer, err := stream.Exchange(t.Context(), query(t, "b.example."))
			if err == nil {
				err = check("b.example.", answer)
			}
			if err != nil {
				t.Error(err)
			}
		})
	}
}

// Servers that take one query on a connection, or close it when it is idle, cost
// no more than another connection.
func TestClosedAfterEachAnswer(t *testing.T) {
	s := newServer(t, func(conn net.Conn) {
		if msg, err := readFrame(conn); err == nil {
			conn.Write(frame(reply(msg)))
		}
	})
	stream := NewStream(s.Addr().String(), dial, nil)
	defer stream.Close()
	for i := range 20 {
		name := fmt.Sprintf("www%d.example.", i)
		answer, err := stream.Exchange(t.Context(), query(t, name))
		for errors.Is(err, ErrClosed) { // the server was faster than we noticed
			answer, err = stream.Exchange(t.Context(), query(t, name))
		}
		if err == nil {
			err = check(name, answer)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

// An abandoned query breaks nothing, and its late answer is nobody's.
func TestAbandoned(t *testing.T) {
	got, release := make(chan struct{}), make(chan struct{})
	s := newServer(t, func(conn net.Conn) {
		first, _ := readFrame(conn)
		close(got)
		<-release
		conn.Write(frame(reply(first)))
		sound(conn)
	})
	stream := NewStream(s.Addr().String(), dial, nil)
	defer stream.Close()
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		<-got
		cancel()
	}()
	if _, err := stream.Exchange(ctx, query(t, "slow.example.")); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v", err)
	}
	close(release)
	answer, err := stream.Exchange(t.Context(), query(t, "next.example."))
	if err == nil {
		err = check("next.example.", answer)
	}
	if err != nil || s.accepted.Load() != 1 {
		t.Errorf("%v over %d connections", err, s.accepted.Load())
	}
}

func TestNobodyListens(t *testing.T) {
	addr := caddytest.Addr(t)
	var op *net.OpError
	if _, err := NewStream(addr, dial, nil).Exchange(t.Context(), query(t, "a.example.")); !errors.As(err, &op) || op.Op != "dial" {
		t.Errorf("error %v, want one of dialing", err)
	}
	if _, err := NewDatagram(addr, dial).Exchange(t.Context(), query(t, "a.example.")); !errors.As(err, &op) {
		t.Errorf("error %v over UDP", err)
	}
	for _, exchange := range []func(context.Context, []byte) ([]byte, error){NewStream(addr, dial, nil).Exchange, NewDatagram(addr, dial).Exchange} {
		if _, err := exchange(t.Context(), []byte("short")); !errors.Is(err, errShort) {
			t.Errorf("error %v", err)
		}
	}
}

// Answers that are forged or to another question are passed over.
func TestDatagram(t *testing.T) {
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	go func() {
		buf := make([]byte, maxMessage)
		for {
			n, from, err := conn.ReadFrom(buf)
			if err != nil {
				return
			}
			msg := bytes.Clone(buf[:n])
			right := reply(msg)
			wrongID := bytes.Clone(right)
			wrongID[0] ^= 1
			wrongName := bytes.Clone(right)
			wrongName[headerLen+1] ^= 1
			for _, answer := range [][]byte{{}, right[:5], wrongID, wrongName} {
				conn.WriteTo(answer, from)
			}
			if !bytes.Contains(msg, []byte("lost")) {
				conn.WriteTo(right, from)
			}
		}
	}()
	d := NewDatagram(conn.LocalAddr().String(), dial)
	answer, err := d.Exchange(t.Context(), query(t, "www.example."))
	if err == nil {
		err = check("www.example.", answer)
	}
	if err != nil {
		t.Error(err)
	}
	if _, err := d.Exchange(t.Context(), query(t, "lost.example.")); !errors.Is(err, ErrNoAnswer) {
		t.Errorf("error %v, want %v", err, ErrNoAnswer)
	}
	ctx, cancel := context.WithCancel(t.Context())
	time.AfterFunc(20*time.Millisecond, cancel)
	if _, err := d.Exchange(ctx, query(t, "lost.example.")); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v, want %v", err, context.Canceled)
	}
}

// The name servers of the machine are read again when their file changes.
func TestSystem(t *testing.T) {
	file := filepath.Join(t.TempDir(), "resolv.conf")
	s := NewSystem(file)
	write := func(text string, at time.Time) {
		t.Helper()
		if err := errors.Join(os.WriteFile(file, []byte(text), 0o600), os.Chtimes(file, at, at)); err != nil {
			t.Fatal(err)
		}
		s.checked = time.Time{}
	}
	want := func(servers string) {
		t.Helper()
		got, err := s.Servers()
		if strings.Join(got, " ") != servers || (err == nil) != (servers != "") {
			t.Errorf("the servers are %v, %v, want %s", got, err, servers)
		}
	}
	want("")
	now := time.Now()
	write("nameserver 192.0.2.1\nnameserver 2001:db8::1\nsearch example\n", now)
	want("192.0.2.1:53 [2001:db8::1]:53")
	write("nameserver 192.0.2.2\n", now.Add(time.Second))
	want("192.0.2.2:53")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	want("192.0.2.2:53") // not read again so soon
	write("# none\n", now.Add(2*time.Second))
	want("")
}

func FuzzFrame(f *testing.F) {
	f.Add(frame(query(f, "www.example.")))
	f.Add([]byte{0, 12, 1, 2, 3})
	f.Fuzz(func(t *testing.T, raw []byte) {
		msg, err := readFrame(bytes.NewReader(raw))
		if err == nil && (len(msg) < headerLen || !bytes.Equal(raw[2:2+len(msg)], msg)) {
			t.Errorf("%x was read as %x", raw, msg)
		}
		if len(raw) >= 2*headerLen {
			sameQuestion(raw[:headerLen], raw[headerLen:]) // must not panic
			sameQuestion(raw, raw)
		}
	})
}

func BenchmarkStream(b *testing.B) {
	s := newServer(b, func(conn net.Conn) {
		for {
			msg, err := readFrame(conn)
			if err != nil {
				return
			}
			msg[2] |= 0x80
			conn.Write(frame(msg))
		}
	})
	stream := NewStream(s.Addr().String(), dial, nil)
	defer stream.Close()
	msg := query(b, "www.example.")
	b.ReportAllocs()
	for b.Loop() {
		if _, err := stream.Exchange(b.Context(), msg); err != nil {
			b.Fatal(err)
		}
	}
}
