package doh

import (
	"bytes"
	"encoding/base64"
	"errors"
	"net"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/miekg/dns"
)

func newQuery(t testing.TB, name string, qtype uint16, edns ...dns.EDNS0) (*dns.Msg, *query) {
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
	q, err := parseQuery(packed)
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
			a, err := parseAnswer(pack(t, reply), q, test.age)
			if err != nil {
				t.Fatal(err)
			}
			if a.ttl != test.want {
				t.Errorf("max-age %d, want %d", a.ttl, test.want)
			}
			got := unpack(t, a.render(q, 0))
			for i, rr := range slices.Concat(got.Answer, got.Ns) {
				was := slices.Concat(reply.Answer, reply.Ns)[i].Header().Ttl
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
				for reply.Len() < maxMessage-30 {
					reply.Answer = append(reply.Answer, reply.Answer[0])
				}
			}
			a, err := parseAnswer(pack(t, reply), q, 0)
			if err != nil {
				t.Fatal(err)
			}
			msg := a.render(q, 0)
			if test.want > 0 && len(msg) != test.want || len(msg) > maxMessage {
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
	a, err := parseAnswer(bytes.Clone(sent), q, 0)
	if err != nil {
		t.Fatal(err)
	}
	if got := a.render(q, 0); len(got) != len(sent) {
		t.Errorf("%d bytes became %d", len(sent), len(got))
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
	answers := headerLen + len(q.question)
	tests := map[string]struct {
		msg  []byte
		want error
	}{
		"sound":               {bytes.Clone(sound), nil},
		"other case":          {with(13, 'W', 'w', 'W'), nil},
		"trailing bytes":      {append(bytes.Clone(sound), 1, 2, 3), nil},
		"empty":               {nil, errMalformed},
		"header only":         {sound[:12], errMalformed},
		"not a response":      {with(2, 0), errNoResponse},
		"another ID":          {with(0, 1), errWrongID},
		"another opcode":      {with(2, 0x80|2<<3), errWrongQuestion},
		"no question":         {with(4, 0, 0), errWrongQuestion},
		"another name":        {with(13, 'v'), errWrongQuestion},
		"a longer name":       {with(12, 4), errMalformed},
		"another type":        {with(answers-3, 28), errWrongQuestion},
		"another class":       {with(answers-1, 3), errWrongQuestion},
		"a missing record":    {with(7, 3), errMalformed},
		"a cut record":        {sound[:len(sound)-1], errMalformed},
		"an address cut":      {with(answers+13+8, 0, 3), errMalformed},
		"a pointer forward":   {with(answers, 0xC0, 0xFF), errMalformed},
		"a pointer to itself": {with(answers, 0xC0, byte(answers)), errMalformed},
		"a bad label":         {with(answers, 0x80), errMalformed},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			a, err := parseAnswer(test.msg, q, 0)
			if !errors.Is(err, test.want) {
				t.Fatalf("error %v, want %v", err, test.want)
			}
			if err == nil && (len(a.render(q, 0)) != len(sound) || !bytes.Equal(a.render(q, 0)[12:answers], q.question)) {
				t.Errorf("the answer is %x", a.render(q, 0))
			}
		})
	}
}

func TestGETTooLarge(t *testing.T) {
	if bad := new(query).readURL("dns=" + strings.Repeat("A", 87382)); bad != errTooLarge {
		t.Errorf("%v, want status 413", bad)
	}
}

func TestAge(t *testing.T) {
	for value, want := range map[string]uint32{"": 0, "17": 17, "-1": 0, "x": 0} {
		if got := age(http.Header{"Age": {value}}); got != want {
			t.Errorf("Age %q is %d, want %d", value, got, want)
		}
	}
}

func TestHostNames(t *testing.T) {
	h, err := newHosts([]*Host{
		{IP: "192.0.2.1", Names: []string{"Demo.Test", "*.demo.test"}},
		{IP: "192.0.2.2", Names: []string{"www.demo.test."}},
		{IP: "2001:db8::1", Names: []string{"*.demo.test"}},
	})
	if err != nil {
		t.Fatal(err)
	}
	tests := map[string]string{
		"demo.test.":       "192.0.2.1",
		"x.DEMO.test.":     "192.0.2.1 2001:db8::1",
		"a.b.demo.test.":   "192.0.2.1 2001:db8::1",
		"www.demo.test.":   "192.0.2.2",
		"a.www.demo.test.": "192.0.2.1 2001:db8::1",
		"xdemo.test.":      "-",
		"test.":            "-",
		".":                "-",
	}
	for name, want := range tests {
		_, q := newQuery(t, name, dns.TypeA)
		var buf [maxName]byte
		ips, ok := h.lookUp(q.name(&buf))
		var got []string
		for _, ip := range ips {
			got = append(got, ip.String())
		}
		if !ok {
			got = []string{"-"}
		}
		if strings.Join(got, " ") != want {
			t.Errorf("%s is %v, want %s", name, got, want)
		}
	}
	for _, bad := range []string{"", ".", "a..b", "*", "a.*.b", "*.", "ä.test", strings.Repeat("a", 64), strings.Repeat("a.", 128), "http://x"} {
		if _, err := newHosts([]*Host{{IP: "192.0.2.1", Names: []string{bad}}}); err == nil {
			t.Errorf("the name %q was accepted", bad)
		}
	}
}

func TestResolverArpa(t *testing.T) {
	for name, want := range map[string]int{
		"resolver.arpa.":      0,
		"_dns.Resolver.ARPA.": 5,
		"xresolver.arpa.":     -1,
		"arpa.":               -1,
		".":                   -1,
		// A label that ends like the zone in wire format.
		`a\008resolver.arpa.`: -1,
	} {
		_, q := newQuery(t, name, dns.TypeA)
		var buf [maxName]byte
		if got := within(q.name(&buf), resolverArpa); got != want {
			t.Errorf("%s: %d, want %d", name, got, want)
		}
	}
}

// Our own replies unpack, whatever was asked.
func FuzzQuery(f *testing.F) {
	for _, m := range seeds(f) {
		f.Add(m)
	}
	h, err := newHosts([]*Host{{IP: "192.0.2.1", Names: []string{"*.example"}}, {IP: "2001:db8::1", Names: []string{"*.example"}}})
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, msg []byte) {
		asked := bytes.Clone(msg)
		q, err := parseQuery(msg)
		if err != nil {
			return
		}
		if !bytes.Equal(q.in, asked) {
			t.Fatalf("%x became %x", asked, q.in)
		}
		q.compose()
		sent, err := parseQuery(q.msg)
		if err != nil || sent.id != 0 || sent.flags != q.flags || sent.do != q.do || !bytes.Equal(sent.question, q.question) ||
			!bytes.Equal(sent.options, q.options) || !bytes.Equal(sent.subnet, q.subnet) || len(sent.options) == 0 && len(q.bare()) > len(asked) && q.edns {
			t.Fatalf("%x became %x: %v", asked, q.msg, err)
		}
		for _, a := range []*answer{local(q), h.answer(q), unanswered(q, errNoUpstreams)} {
			if a == nil {
				continue
			}
			got := a.render(q, 0)
			if !bytes.Equal(got[:2], asked[:2]) || !bytes.Equal(got[headerLen:headerLen+len(q.question)], q.question) {
				t.Errorf("%x is answered with %x", asked, got)
			}
			if q.padded && len(got)%padResponse != 0 {
				t.Errorf("%d bytes are not padded", len(got))
			}
			if err := new(dns.Msg).Unpack(got); err != nil {
				t.Errorf("%v in %x", err, got)
			}
		}
	})
}

// What passes as an answer has the question, and none but the ID, the TTLs and
// the padding change.
func FuzzAnswer(f *testing.F) {
	for _, m := range seeds(f) {
		reply := bytes.Clone(m)
		reply[2] |= 0x80
		f.Add(m, reply, uint32(0))
		f.Add(m, append(reply, 7), uint32(60))
		reply = pack(f, new(dns.Msg).SetReply(unpack(f, m)))
		f.Add(m, reply, uint32(1))
	}
	f.Fuzz(func(t *testing.T, msg, reply []byte, age uint32) {
		q, err := parseQuery(msg)
		if err != nil {
			return
		}
		got, err := parseAnswer(reply, q, age)
		if err != nil {
			return
		}
		sent := got.render(q, 0)
		if !bytes.Equal(sent[headerLen:headerLen+len(q.question)], q.question) || get16(sent, 0) != q.id || len(sent) > maxMessage {
			t.Errorf("the answer to %x is %x", q.in, sent)
		}
		again := bytes.Clone(sent)
		put16(again, 0, 0)
		if twice, err := parseAnswer(again, q, 0); err != nil || len(twice.msg) != len(sent) {
			t.Errorf("the answer %x does not parse: %v", sent, err)
		}
	})
}

func FuzzURL(f *testing.F) {
	for _, m := range seeds(f) {
		f.Add("dns=" + base64.RawURLEncoding.EncodeToString(m))
		f.Add("a=b?dns=" + base64.URLEncoding.EncodeToString(m))
	}
	f.Add("dns=%41%zz&dns=")
	f.Fuzz(func(t *testing.T, raw string) {
		var q query
		if bad := q.readURL(raw); bad == nil && len(q.in) > maxMessage {
			t.Errorf("%d bytes", len(q.in))
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
