package dnsclient

import (
	"encoding/binary"
	"errors"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/miekg/dns"

	"github.com/caddy-freetier/caddy-freetier/internal/caddytest"
)

// What is no answer to the query is passed over, whether the answer comes
// behind it or not.
func TestDatagramStrays(t *testing.T) {
	for name, behaviour := range caddytest.DNSStrays() {
		t.Run(name, func(t *testing.T) {
			s := caddytest.NewDNSServer(t, "udp", echo)
			d := NewDatagram(s.Addr(), dial)
			s.Handle(func(e *caddytest.DNSExchange) {
				behaviour(e)
				e.Answer()
			})
			if err := lookup(t.Context(), t, d, "www.example."); err != nil {
				t.Error(err)
			}
			d.attempt = 100 * time.Millisecond
			s.Handle(behaviour)
			if err := lookup(t.Context(), t, d, "www.example."); !errors.Is(err, ErrNoAnswer) {
				t.Errorf("error %v, want %v", err, ErrNoAnswer)
			}
			s.Next(t)
			s.Next(t)
			if n := len(s.Queries()); n != 2 {
				t.Errorf("%d queries arrived, want one for each call", n)
			}
		})
	}
}

func TestTruncated(t *testing.T) {
	s := caddytest.NewDNSServer(t, "udp", echo)
	s.Handle(caddytest.DNSTruncated)
	answer, err := NewDatagram(s.Addr(), dial).Exchange(t.Context(), packed(t, "www.example."))
	var m dns.Msg
	if err := errors.Join(err, m.Unpack(answer)); err != nil || !m.Truncated {
		t.Errorf("the answer is %v, %v", &m, err)
	}
}

// Each query comes from another port.
func TestPorts(t *testing.T) {
	s := caddytest.NewDNSServer(t, "udp", echo)
	var (
		mu    sync.Mutex
		ports = make(map[string]bool)
	)
	s.Handle(func(e *caddytest.DNSExchange) {
		mu.Lock()
		ports[e.Client()] = true
		mu.Unlock()
		e.Answer()
	})
	d := NewDatagram(s.Addr(), dial)
	for range 20 {
		if err := lookup(t.Context(), t, d, "www.example."); err != nil {
			t.Fatal(err)
		}
	}
	mu.Lock()
	defer mu.Unlock()
	if len(ports) < 18 {
		t.Errorf("20 queries came from %d ports", len(ports))
	}
}

// Another host's datagrams are not for us: the socket is connected.
func TestConnected(t *testing.T) {
	s := caddytest.NewDNSServer(t, "udp", echo)
	other, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	s.Handle(func(e *caddytest.DNSExchange) {
		forged := e.Right()
		forged.Answer[0].(*dns.TXT).Txt[0] = "forged"
		msg, _ := forged.Pack()
		to, _ := net.ResolveUDPAddr("udp", e.Client())
		_, _ = other.WriteTo(msg, to)
		e.Answer()
	})
	if err := lookup(t.Context(), t, NewDatagram(s.Addr(), dial), "www.example."); err != nil {
		t.Error(err)
	}
}

func TestAnswers(t *testing.T) {
	const id = 0x1234
	query := func(name string) []byte {
		m := packed(t, name)
		binary.BigEndian.PutUint16(m, id)
		return m
	}
	reply := func(name string, change ...func(msg []byte)) []byte {
		m := query(name)
		m[2] |= 0x80
		for _, c := range change {
			c(m)
		}
		return m
	}
	none := func(m []byte) { m[5] = 0 }
	refused := func(m []byte) { m[3] |= dns.RcodeRefused }
	for name, c := range map[string]struct {
		datagram, query []byte
		want            bool
	}{
		"plain":                        {reply("www.example."), query("www.example."), true},
		"other letter case":            {reply("WwW.eXample."), query("wWw.Example."), true},
		"another name":                 {reply("wwx.example."), query("www.example."), false},
		"a character 32 away":          {reply("w@w.example."), query("w`w.example."), false},
		"a byte beyond ASCII":          {reply(`w\254.example.`), query(`w\255.example.`), false},
		"a letter with the top bit":    {reply(`w\225.example.`), query(`w\193.example.`), false},
		"longer":                       {reply("www.example.com."), query("www.example."), false},
		"shorter":                      {reply("www."), query("www.example."), false},
		"the root":                     {reply("."), query("."), true},
		"no response":                  {query("www.example."), query("www.example."), false},
		"no question, but an error":    {reply("www.example.", none, refused)[:headerLen], query("www.example."), true},
		"no question and no error":     {reply("www.example.", none)[:headerLen], query("www.example."), false},
		"cut before the type":          {reply("www.example.")[:headerLen+13], query("www.example."), false},
		"no header":                    {reply("www.example.")[:headerLen-1], query("www.example."), false},
		"a query without its question": {reply("www.example."), query("www.example.")[:headerLen], false},
		"a query cut in its name":      {reply("www.example."), query("www.example.")[:headerLen+6], false},
	} {
		t.Run(name, func(t *testing.T) {
			if got := answers(c.datagram, c.query, id); got != c.want {
				t.Errorf("it is %t that %x answers %x", got, c.datagram, c.query)
			}
			if answers(c.datagram, c.query, id+1) {
				t.Error("another ID was taken")
			}
		})
	}
}

func FuzzAnswers(f *testing.F) {
	query := packed(f, "www.example.")
	f.Add(query, query)
	f.Add(query[:headerLen], query)
	f.Fuzz(func(t *testing.T, datagram, query []byte) {
		if len(datagram) < headerLen {
			return
		}
		id := binary.BigEndian.Uint16(datagram)
		if answers(datagram, query, id) && datagram[2]&0x80 == 0 {
			t.Errorf("%x was taken for an answer", datagram)
		}
		_ = answers(datagram, datagram, id)
	})
}
