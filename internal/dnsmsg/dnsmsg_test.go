package dnsmsg

import (
	"bytes"
	"errors"
	"math"
	"net"
	"slices"
	"strings"
	"testing"

	"github.com/miekg/dns"
)

func newQuery(t testing.TB, name string, qtype uint16, edns ...dns.EDNS0) (*dns.Msg, *Query) {
	t.Helper()
	m := new(dns.Msg).SetQuestion(name, qtype)
	m.Id = 0x1234
	if edns != nil {
		m.SetEdns0(4096, true)
		m.IsEdns0().Option = edns
	}
	packed, err := m.Pack()
	if err != nil {
		t.Fatal(err)
	}
	q, err := ParseQuery(packed)
	if err != nil {
		t.Fatal(err)
	}
	m.Id = 0
	return m, q
}

func pack(t testing.TB, m *dns.Msg) []byte {
	t.Helper()
	packed, err := m.Pack()
	if err != nil {
		t.Fatal(err)
	}
	return packed
}

func unpack(t testing.TB, msg []byte) *dns.Msg {
	t.Helper()
	m := new(dns.Msg)
	if err := m.Unpack(msg); err != nil {
		t.Fatalf("%v in %x", err, msg)
	}
	return m
}

func rr(t testing.TB, s string) dns.RR {
	t.Helper()
	record, err := dns.NewRR(s)
	if err != nil {
		t.Fatal(err)
	}
	return record
}

func TestMaxAge(t *testing.T) {
	const soa = "example. 900 IN SOA ns.example. admin.example. 1 2 3 4 "
	tests := []struct {
		name       string
		rcode      int
		answer, ns []string
		age, want  uint32
	}{
		{"smallest", 0, []string{"www.example. 300 CNAME a.example.", "a.example. 60 A 192.0.2.1"}, nil, 0, 60},
		{"with age", 0, []string{"www.example. 300 CNAME a.example.", "a.example. 60 A 192.0.2.1"}, nil, 20, 40},
		{"older than the TTL", 0, []string{"a.example. 60 A 192.0.2.1"}, nil, 61, 0},
		{"NODATA, SOA minimum", 0, nil, []string{soa + "120"}, 0, 120},
		{"NODATA, SOA TTL", 0, nil, []string{soa + "3600"}, 0, 900},
		{"NODATA behind CNAME", 0, []string{"www.example. 30 CNAME a.example."}, []string{soa + "120"}, 0, 30},
		{"NXDOMAIN with age", dns.RcodeNameError, nil, []string{soa + "120"}, 100, 20},
		{"NODATA without SOA", 0, nil, nil, 0, 0},
		{"SERVFAIL", dns.RcodeServerFailure, nil, []string{soa + "120"}, 0, 0},
		{"TTL beyond 31 bits", 0, []string{"a.example. 4294967295 A 192.0.2.1"}, nil, 0, 0},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			m, q := newQuery(t, "www.example.", dns.TypeA, []dns.EDNS0{}...)
			reply := new(dns.Msg).SetRcode(m, test.rcode)
			for _, s := range test.answer {
				reply.Answer = append(reply.Answer, rr(t, s))
			}
			for _, s := range test.ns {
				reply.Ns = append(reply.Ns, rr(t, s))
			}
			reply.Compress = true
			a, err := ParseResponse(pack(t, reply), q.Question, test.age)
			if err != nil {
				t.Fatal(err)
			}
			if a.TTL() != test.want {
				t.Errorf("max-age %d, want %d", a.TTL(), test.want)
			}
			got := unpack(t, a.Render(q, 0))
			for i, rr := range slices.Concat(got.Answer, got.Ns) {
				was := slices.Concat(reply.Answer, reply.Ns)[i].Header().Ttl
				if was > math.MaxInt32 {
					was = 0 // RFC 2181, section 8
				}
				if want := was - min(was, test.age); rr.Header().Ttl != want {
					t.Errorf("TTL %d, want %d", rr.Header().Ttl, want)
				}
			}
		})
	}
}

func TestPadding(t *testing.T) {
	opt := func(options ...dns.EDNS0) *dns.OPT {
		return &dns.OPT{Hdr: dns.RR_Header{Name: ".", Rrtype: dns.TypeOPT, Class: 1400}, Option: options}
	}
	glue := rr(t, "ns.example.net. 60 A 192.0.2.53")
	ede := &dns.EDNS0_EDE{InfoCode: 3, ExtraText: "stale"}
	tests := []struct {
		name    string
		records int
		extra   []dns.RR
		want    int
	}{
		{"no EDNS", 1, nil, 468},
		{"EDNS", 1, []dns.RR{opt()}, 468},
		{"padded otherwise", 1, []dns.RR{opt(&dns.EDNS0_PADDING{Padding: make([]byte, 77)})}, 468},
		{"padded too much", 1, []dns.RR{opt(&dns.EDNS0_PADDING{Padding: make([]byte, 700)})}, 468},
		{"padding before another option", 1, []dns.RR{opt(&dns.EDNS0_PADDING{Padding: make([]byte, 9)}, ede)}, 468},
		{"another option", 1, []dns.RR{opt(ede)}, 468},
		{"EDNS before another record", 1, []dns.RR{opt(ede), glue, glue}, 468},
		{"two blocks", 40, []dns.RR{opt()}, 936},
		{"no room", 3800, nil, 0},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			m, q := newQuery(t, "www.example.", dns.TypeA, &dns.EDNS0_PADDING{Padding: make([]byte, 10)})
			reply := new(dns.Msg).SetReply(m)
			for range test.records {
				reply.Answer = append(reply.Answer, rr(t, "www.example. 60 A 192.0.2.1"))
			}
			reply.Extra, reply.Compress = test.extra, true
			if test.want == 0 {
				for reply.Len() < MaxMessage-30 {
					reply.Answer = append(reply.Answer, reply.Answer[0])
				}
			}
			a, err := ParseResponse(pack(t, reply), q.Question, 0)
			if err != nil {
				t.Fatal(err)
			}
			msg := a.Render(q, 0)
			if test.want > 0 && len(msg) != test.want || len(msg) > MaxMessage {
				t.Errorf("%d bytes, want %d", len(msg), test.want)
			}
			got := unpack(t, msg)
			if got.Id != 0x1234 || len(got.Answer) != len(reply.Answer) || test.want > 0 && got.IsEdns0() == nil {
				t.Errorf("the answer is %v", got)
			}
			for _, wanted := range test.extra {
				if wanted.Header().Rrtype == dns.TypeA && !strings.Contains(got.String(), "ns.example.net.") {
					t.Errorf("a record is lost: %v", got)
				}
				if opt, ok := wanted.(*dns.OPT); ok && slices.Contains(opt.Option, dns.EDNS0(ede)) && !strings.Contains(got.String(), "stale") {
					t.Errorf("the extended error is lost: %v", got)
				}
			}
		})
	}
}

// Without the asker's wish nothing is padded.
func TestNoPadding(t *testing.T) {
	m, q := newQuery(t, "www.example.", dns.TypeA, &dns.EDNS0_COOKIE{Cookie: "0123456789abcdef"})
	sent := pack(t, new(dns.Msg).SetReply(m))
	a, err := ParseResponse(bytes.Clone(sent), q.Question, 0)
	if err != nil {
		t.Fatal(err)
	}
	const emptyOPT = 11
	if got := a.Render(q, 0); len(got) != len(sent)+emptyOPT {
		t.Errorf("%d bytes became %d, want an empty EDNS record behind them", len(sent), len(got))
	}
}

func TestRefusedAnswers(t *testing.T) {
	m, q := newQuery(t, "www.example.", dns.TypeA)
	reply := new(dns.Msg).SetReply(m)
	reply.Answer = []dns.RR{rr(t, "www.example. 60 A 192.0.2.1"), rr(t, "www.example. 60 MX 1 mx.example.")}
	sound := pack(t, reply)
	with := func(at int, b ...byte) []byte {
		msg := bytes.Clone(sound)
		copy(msg[at:], b)
		return msg
	}
	answers := HeaderLen + len(q.Question)
	tests := map[string]struct {
		msg  []byte
		want error
	}{
		"sound":               {bytes.Clone(sound), nil},
		"other case":          {with(13, 'W', 'w', 'W'), nil},
		"trailing bytes":      {append(bytes.Clone(sound), 1, 2, 3), nil},
		"empty":               {nil, ErrMalformed},
		"header only":         {sound[:12], ErrMalformed},
		"not a response":      {with(2, 0), ErrNoResponse},
		"another ID":          {with(0, 1), ErrWrongID},
		"another opcode":      {with(2, 0x80|2<<3), ErrWrongQuestion},
		"no question":         {with(4, 0, 0), ErrWrongQuestion},
		"another name":        {with(13, 'v'), ErrWrongQuestion},
		"a longer name":       {with(12, 4), ErrMalformed},
		"another type":        {with(answers-3, 28), ErrWrongQuestion},
		"another class":       {with(answers-1, 3), ErrWrongQuestion},
		"a missing record":    {with(7, 3), ErrMalformed},
		"a cut record":        {sound[:len(sound)-1], ErrMalformed},
		"an address cut":      {with(answers+13+8, 0, 3), ErrMalformed},
		"a pointer forward":   {with(answers, 0xC0, 0xFF), ErrMalformed},
		"a pointer to itself": {with(answers, 0xC0, byte(answers)), ErrMalformed},
		"a bad label":         {with(answers, 0x80), ErrMalformed},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			a, err := ParseResponse(test.msg, q.Question, 0)
			if !errors.Is(err, test.want) {
				t.Fatalf("error %v, want %v", err, test.want)
			}
			if err == nil && (len(a.Render(q, 0)) != len(sound) || !bytes.Equal(a.Render(q, 0)[12:answers], q.Question)) {
				t.Errorf("the answer is %x", a.Render(q, 0))
			}
		})
	}
}

// Our own messages parse, whatever was asked.
func FuzzQuery(f *testing.F) {
	for _, m := range seeds(f) {
		f.Add(m)
	}
	f.Fuzz(func(t *testing.T, msg []byte) {
		asked := bytes.Clone(msg)
		q, err := ParseQuery(msg)
		if err != nil {
			return
		}
		if !bytes.Equal(q.Raw, asked) {
			t.Fatalf("%x became %x", asked, q.Raw)
		}
		o := q.Outgoing()
		for name, msg := range map[string][]byte{"padded": o.Padded, "bare": o.Bare(), "plain": o.Plain().Padded, "bare plain": o.Plain().Bare()} {
			sent, err := ParseQuery(msg)
			if err != nil {
				t.Fatalf("%s: %x became %x: %v", name, asked, msg, err)
			}
			if sent.ID != 0 || sent.Flags != q.Flags&FlagCD|FlagRD|FlagAD || !bytes.Equal(sent.Question, q.Question) {
				t.Errorf("%s: %x became %x", name, asked, msg)
			}
			if edns := !strings.Contains(name, "plain"); sent.EDNS != edns || edns && (sent.DO != q.DO || !bytes.Equal(sent.Subnet, q.Subnet)) {
				t.Errorf("%s: %x became %x", name, asked, msg)
			}
		}
	})
}

// What passes as an answer has the question, and none but the ID, the TTLs and
// the padding change.
func FuzzAnswer(f *testing.F) {
	for _, m := range seeds(f) {
		reply := bytes.Clone(m)
		put16(reply, atID, 0)
		reply[2] |= 0x80
		f.Add(m, reply, uint32(0))
		f.Add(m, append(reply, 7), uint32(60))
		full := new(dns.Msg).SetReply(unpack(f, m))
		full.Id = 0
		f.Add(m, pack(f, full), uint32(1))
	}
	f.Fuzz(func(t *testing.T, msg, reply []byte, age uint32) {
		q, err := ParseQuery(msg)
		if err != nil {
			return
		}
		got, err := ParseResponse(reply, q.Question, age)
		if err != nil {
			return
		}
		sent := got.Render(q, 0)
		if !bytes.Equal(sent[HeaderLen:HeaderLen+len(q.Question)], q.Question) || get16(sent, 0) != q.ID || len(sent) > MaxMessage {
			t.Errorf("the answer to %x is %x", q.Raw, sent)
		}
		again := bytes.Clone(sent)
		put16(again, atID, 0)
		twice, err := ParseResponse(again, q.Question, 0)
		if err != nil {
			t.Fatalf("the answer %x does not parse: %v", sent, err)
		}
		if same := twice.Render(q, 0); !bytes.Equal(same, sent) {
			t.Errorf("the answer %x becomes %x", sent, same)
		}
	})
}

func seeds(t testing.TB) [][]byte {
	plain := new(dns.Msg).SetQuestion("WWW.example.", dns.TypeA)
	root := new(dns.Msg).SetQuestion(".", dns.TypeNS)
	arpa := new(dns.Msg).SetQuestion("_dns.resolver.arpa.", dns.TypeSVCB)
	padded := new(dns.Msg).SetQuestion("x.example.", dns.TypeAAAA)
	padded.SetEdns0(1232, true)
	padded.IsEdns0().Option = []dns.EDNS0{
		&dns.EDNS0_SUBNET{Code: dns.EDNS0SUBNET, Family: 1, SourceNetmask: 24, Address: net.IPv4(192, 0, 2, 0)},
		&dns.EDNS0_PADDING{Padding: make([]byte, 20)},
	}
	notify := new(dns.Msg).SetNotify("example.")
	notify.Answer = []dns.RR{rr(t, "example. 60 SOA ns.example. admin.example. 1 2 3 4 5"), rr(t, "example. 60 MX 1 mx.example.")}
	var all [][]byte
	for _, m := range []*dns.Msg{plain, root, arpa, padded, notify} {
		all = append(all, pack(t, m))
	}
	return all
}

// A name follows 126 pointers at most, so that a chain of them is no work.
func TestPointers(t *testing.T) {
	_, q := newQuery(t, "www.example.", dns.TypeNULL)
	for _, test := range []struct {
		pointers int
		want     error
	}{{126, nil}, {127, ErrMalformed}, {8000, ErrMalformed}} {
		msg := append(make([]byte, HeaderLen), q.Question...)
		put16(msg, atFlags, FlagQR)
		put16(msg, atQD, 1)
		put16(msg, atAN, 2)
		record := func(name uint16, data []byte) {
			msg = append16(msg, 0xC000|name)
			msg = append(msg, 0, 10, 0, 1, 0, 0, 0, 60)
			msg = append16(msg, uint16(len(data)))
			msg = append(msg, data...)
		}
		// The first pointer of a name leads into the data, the last to the question.
		var chain []byte
		at := len(msg) + 12
		for i := range test.pointers - 1 {
			target := HeaderLen
			if i > 0 {
				target = at + 2*(i-1)
			}
			chain = append16(chain, 0xC000|uint16(target))
		}
		record(HeaderLen, chain)
		record(uint16(at+len(chain)-2), nil)
		if _, err := ParseResponse(msg, q.Question, 0); !errors.Is(err, test.want) {
			t.Errorf("%d pointers: error %v, want %v", test.pointers, err, test.want)
		}
	}
}

// The costliest response that fits into a message: thousands of CNAMEs, each name
// of which follows as many pointers as are allowed.
func BenchmarkCostliestResponse(b *testing.B) {
	_, q := newQuery(b, "www.example.", dns.TypeA)
	msg := append(make([]byte, HeaderLen), q.Question...)
	put16(msg, atFlags, FlagQR)
	put16(msg, atQD, 1)
	var chain []byte
	at := len(msg) + 12
	for i := range 124 {
		target := HeaderLen
		if i > 0 {
			target = at + 2*(i-1)
		}
		chain = append16(chain, 0xC000|uint16(target))
	}
	last := 0xC000 | uint16(at+len(chain)-2)
	msg = append16(msg, 0xC000|HeaderLen)
	msg = append(msg, 0, 10, 0, 1, 0, 0, 0, 60)
	msg = append16(msg, uint16(len(chain)))
	msg = append(msg, chain...)
	records := 1
	for ; len(msg)+14 <= 1<<16-1; records++ {
		msg = append16(msg, last)
		msg = append(msg, 0, 5, 0, 1, 0, 0, 0, 60, 0, 2)
		msg = append16(msg, last)
	}
	put16(msg, atAN, uint16(records))
	for b.Loop() {
		if _, err := ParseResponse(msg, q.Question, 0); err != nil {
			b.Fatal(err)
		}
	}
}
