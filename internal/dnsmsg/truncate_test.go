package dnsmsg

import (
	"fmt"
	"testing"

	"github.com/miekg/dns"
)

// A truncated response has the question, the code and what the client needs to know of
// EDNS, and is made without reading the records.
func TestTruncate(t *testing.T) {
	subnet := &dns.EDNS0_SUBNET{Code: dns.EDNS0SUBNET, Family: 1, SourceNetmask: 8, Address: []byte{10, 0, 0, 0}}
	for name, test := range map[string]struct {
		size uint16 // 0: no EDNS
		do   bool
		want int // the UDP size
	}{
		"no EDNS":      {want: 512},
		"EDNS":         {size: 1232, want: 1232},
		"DNSSEC":       {size: 4096, do: true, want: 4096},
		"too small":    {size: 100, want: 512},
		"largest size": {size: 65535, want: 65535},
	} {
		t.Run(name, func(t *testing.T) {
			m := new(dns.Msg).SetQuestion("wWw.Example.", dns.TypeA)
			if test.size > 0 {
				m.SetEdns0(test.size, test.do)
				m.IsEdns0().Option = append(m.IsEdns0().Option, subnet)
			}
			q, err := ParseQuery(pack(t, m))
			if err != nil {
				t.Fatal(err)
			}
			if q.UDPSize != test.want {
				t.Errorf("the client receives %d bytes, want %d", q.UDPSize, test.want)
			}
			reply := new(dns.Msg).SetRcode(m, dns.RcodeNameError)
			for i := range 4000 {
				reply.Answer = append(reply.Answer, rr(t, fmt.Sprintf("www.example. 60 IN A 192.0.%d.%d", i>>8, i&0xFF)))
			}
			reply.Compress = true
			long := pack(t, reply)
			msg := make([]byte, len(long))
			if n := testing.AllocsPerRun(10, func() { copy(msg, long); Truncate(msg, q) }); n != 0 {
				t.Errorf("it takes %v allocations", n)
			}
			copy(msg, long)
			short := unpack(t, Truncate(msg, q))
			opt := short.IsEdns0()
			if !short.Truncated || short.Id != m.Id || short.Rcode != dns.RcodeNameError || len(short.Question) != 1 || short.Question[0] != m.Question[0] ||
				len(short.Answer) != 0 || (opt != nil) != (test.size > 0) {
				t.Errorf("the response is %v", short)
			}
			if opt != nil && (opt.Do() != test.do || len(opt.Option) != 0) {
				t.Errorf("the OPT record is %v", opt)
			}
		})
	}
}

// What has no question is cut to the header.
func TestTruncateHeader(t *testing.T) {
	for name, msg := range map[string]string{
		"no question":    "\x12\x34\x81\x80\x00\x00\x00\x01\x00\x00\x00\x00\x00\x00\x01\x00\x01",
		"cut":            "\x12\x34\x81\x80\x00\x01\x00\x01\x00\x00\x00\x00\x03www",
		"a pointer":      "\x12\x34\x81\x80\x00\x01\x00\x01\x00\x00\x00\x00\xC0\x0C\x00\x01\x00\x01",
		"many questions": "\x12\x34\x81\x80\x00\x02\x00\x01\x00\x00\x00\x00\x00\x00\x01\x00\x01\x00\x00\x01\x00\x01",
	} {
		if got := string(Truncate([]byte(msg), new(Query))); got != "\x12\x34\x83\x80\x00\x00\x00\x00\x00\x00\x00\x00" {
			t.Errorf("%s: got %q", name, got)
		}
	}
}
