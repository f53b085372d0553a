package caddytest

import (
	"crypto/tls"
	"encoding/binary"
	"net"
	"slices"
	"sync"

	"github.com/miekg/dns"
)

// DNSBehaviour is what a DNSServer does about a query. It must not block: the
// next query on the same connection waits for it.
type DNSBehaviour func(e *DNSExchange)

// DNSExchange is a query and the way to answer it.
type DNSExchange struct {
	Query *dns.Msg

	server *DNSServer
	writer dns.ResponseWriter
	conn   net.Conn // nil over UDP
}

// Right returns the answer that the server was made with.
func (e *DNSExchange) Right() *dns.Msg { return e.server.answer(e.Query.Copy()) }

// Client is the host and port from which the query came.
func (e *DNSExchange) Client() string { return e.writer.RemoteAddr().String() }

// Answer sends the right answer.
func (e *DNSExchange) Answer() { e.Send(e.Right()) }

// Send sends a message.
func (e *DNSExchange) Send(msg *dns.Msg) { _ = e.writer.WriteMsg(msg) }

// SendBytes sends what need not be a message.
func (e *DNSExchange) SendBytes(msg []byte) { _, _ = e.writer.Write(msg) }

// SendRaw sends bytes over a connection without their length before them.
func (e *DNSExchange) SendRaw(raw []byte) {
	if e.conn != nil {
		_, _ = e.conn.Write(raw)
	}
}

// Close closes the connection, if there is one.
func (e *DNSExchange) Close() {
	if e.conn != nil {
		e.conn.Close()
	}
}

// Reset breaks the connection, if there is one, without a farewell.
func (e *DNSExchange) Reset() {
	conn := e.conn
	if secure, ok := conn.(*tls.Conn); ok {
		conn = secure.NetConn()
	}
	if plain, ok := conn.(*net.TCPConn); ok {
		_ = plain.SetLinger(0)
		plain.Close()
	}
}

// frame returns the right answer as it goes over a connection.
func (e *DNSExchange) frame() []byte {
	packed, err := e.Right().Pack()
	if err != nil {
		panic(err)
	}
	return append(binary.BigEndian.AppendUint16(nil, uint16(len(packed))), packed...)
}

// DNSHang never answers.
func DNSHang(*DNSExchange) {}

// DNSCloseAfter closes the connection after each answer.
func DNSCloseAfter(e *DNSExchange) {
	e.Answer()
	e.Close()
}

// DNSTruncated answers that the answer is too large.
func DNSTruncated(e *DNSExchange) {
	reply := e.Right()
	reply.Truncated, reply.Answer = true, nil
	e.Send(reply)
}

// DNSReversed waits for n queries at a time and answers the last one first.
func DNSReversed(n int) DNSBehaviour {
	var (
		mu      sync.Mutex
		waiting []*DNSExchange
	)
	return func(e *DNSExchange) {
		mu.Lock()
		defer mu.Unlock()
		if waiting = append(waiting, e); len(waiting) < n {
			return
		}
		for _, e := range slices.Backward(waiting) {
			e.Answer()
		}
		waiting = nil
	}
}

// DNSStrays are the messages that are no answer to the query and must not be
// taken for one, by name.
func DNSStrays() map[string]DNSBehaviour {
	return map[string]DNSBehaviour{
		"hang":      DNSHang,
		"a query":   func(e *DNSExchange) { e.Send(e.Query) },
		"wrong ID":  func(e *DNSExchange) { reply := e.Right(); reply.Id ^= 0x5555; e.Send(reply) },
		"no header": func(e *DNSExchange) { packed, _ := e.Right().Pack(); e.SendBytes(packed[:2]) },
		"junk":      func(e *DNSExchange) { e.SendBytes([]byte("this is not a DNS message at all")) },
		"wrong question": func(e *DNSExchange) {
			reply := e.Right()
			reply.Question[0].Name = "other." + reply.Question[0].Name
			e.Send(reply)
		},
		"wrong type": func(e *DNSExchange) {
			reply := e.Right()
			reply.Question[0].Qtype ^= 0x00FF
			e.Send(reply)
		},
	}
}

// DNSBreaks are the ways in which a connection ends instead of an answer, by
// name.
func DNSBreaks() map[string]DNSBehaviour {
	return map[string]DNSBehaviour{
		"closed":            (*DNSExchange).Close,
		"reset":             (*DNSExchange).Reset,
		"cut in the answer": func(e *DNSExchange) { e.SendRaw(e.frame()[:20]); e.Close() },
		"cut in the length": func(e *DNSExchange) { e.SendRaw(e.frame()[:1]); e.Close() },
		"an empty message":  func(e *DNSExchange) { e.SendRaw([]byte{0, 0}) },
		"no header":         func(e *DNSExchange) { e.SendRaw([]byte{0, 3, 1, 2, 3}) },
	}
}
