package caddytest

import (
	"encoding/base64"
	"io"
	"net/http"
	"testing"

	"github.com/miekg/dns"
)

const dnsMessage = "application/dns-message"

// NewDoHUpstream starts a DNS-over-HTTPS server (HTTP/2 and TLS, any path)
// that answers with answer, or misbehaves by Handle.
func NewDoHUpstream(t testing.TB, answer func(*dns.Msg) *dns.Msg) *Upstream {
	t.Helper()
	return NewTLSUpstream(t, DoH(answer))
}

// DoH answers DNS queries over HTTPS.
func DoH(answer func(*dns.Msg) *dns.Msg) http.HandlerFunc {
	return dohBytes(func(query *dns.Msg) []byte {
		packed, err := answer(query).Pack()
		if err != nil {
			panic(err)
		}
		return packed
	})
}

func dohBytes(answer func(*dns.Msg) []byte) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		query, err := readDNS(r)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		w.Header().Set("Content-Type", dnsMessage)
		_, _ = w.Write(answer(query))
	}
}

func readDNS(r *http.Request) (*dns.Msg, error) {
	packed, err := base64.RawURLEncoding.DecodeString(r.URL.Query().Get("dns"))
	if r.Method == http.MethodPost {
		packed, err = io.ReadAll(r.Body)
	}
	if err != nil {
		return nil, err
	}
	query := new(dns.Msg)
	return query, query.Unpack(packed)
}

// DNS returns the query of a request that an upstream has received.
func (r Request) DNS(t testing.TB) *dns.Msg {
	t.Helper()
	packed := r.Body
	if r.Method == http.MethodGet {
		req, err := http.NewRequest(r.Method, r.URI, nil)
		if err != nil {
			t.Fatal(err)
		}
		if packed, err = base64.RawURLEncoding.DecodeString(req.URL.Query().Get("dns")); err != nil {
			t.Fatal(err)
		}
	}
	query := new(dns.Msg)
	if err := query.Unpack(packed); err != nil {
		t.Fatalf("the upstream received no DNS query: %v", err)
	}
	return query
}

// Records answers every query with NOERROR and records in zone file format,
// like "www.example. 300 IN A 192.0.2.1". `@` stands for the name asked for.
func Records(t testing.TB, records ...string) func(*dns.Msg) *dns.Msg {
	t.Helper()
	return func(query *dns.Msg) *dns.Msg {
		reply := new(dns.Msg).SetReply(query)
		reply.RecursionAvailable = true
		for _, record := range records {
			if record[0] == '@' {
				record = query.Question[0].Name + record[1:]
			}
			rr, err := dns.NewRR(record)
			if err != nil {
				panic(err)
			}
			reply.Answer = append(reply.Answer, rr)
		}
		if opt := query.IsEdns0(); opt != nil {
			reply.SetEdns0(opt.UDPSize(), opt.Do())
		}
		return reply
	}
}

// Rcode answers every query with a response code, and with an extended error
// (RFC 8914) unless ede is negative.
func Rcode(rcode, ede int) func(*dns.Msg) *dns.Msg {
	return func(query *dns.Msg) *dns.Msg {
		reply := new(dns.Msg).SetRcode(query, rcode)
		if ede >= 0 {
			reply.SetEdns0(1232, false)
			opt := reply.IsEdns0()
			opt.Option = append(opt.Option, &dns.EDNS0_EDE{InfoCode: uint16(ede)})
		}
		return reply
	}
}

// DoHFaults are the ways in which a DoH server fails, by name.
func DoHFaults() map[string]http.HandlerFunc {
	sound := func(query *dns.Msg) *dns.Msg {
		reply := new(dns.Msg).SetReply(query)
		reply.Answer = append(reply.Answer, &dns.A{
			Hdr: dns.RR_Header{Name: query.Question[0].Name, Rrtype: dns.TypeA, Class: dns.ClassINET, Ttl: 300},
			A:   []byte{192, 0, 2, 99},
		})
		return reply
	}
	return map[string]http.HandlerFunc{
		"SERVFAIL":   DoH(Rcode(dns.RcodeServerFailure, -1)),
		"429":        Answer(http.StatusTooManyRequests, "text/plain", "slow down"),
		"500":        Answer(http.StatusInternalServerError, "", ""),
		"HTML":       Answer(http.StatusOK, "text/html", "<p>Please log in to this network."),
		"empty":      Answer(http.StatusOK, dnsMessage, ""),
		"junk":       Answer(http.StatusOK, dnsMessage, "\x00\x00\x81\x80\x00\x01\x00\x09 this is not a DNS message at all"),
		"a query":    dohBytes(func(query *dns.Msg) []byte { packed, _ := query.Pack(); return packed }),
		"wrong type": Answer(http.StatusOK, "application/dns-json", `{"Status":0}`),
		"wrong question": DoH(func(query *dns.Msg) *dns.Msg {
			query.Question[0].Name = "other." + query.Question[0].Name
			return sound(query)
		}),
		"wrong ID": DoH(func(query *dns.Msg) *dns.Msg {
			reply := sound(query)
			reply.Id ^= 0x5555
			return reply
		}),
		"short": dohBytes(func(query *dns.Msg) []byte {
			packed, _ := sound(query).Pack()
			return packed[:len(packed)-3]
		}),
		"cut":   CutOff(dnsMessage, "\x00\x00\x81\x80\x00\x01"),
		"reset": Reset,
		"hang":  Hang,
		"hang in the answer": func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", dnsMessage)
			w.WriteHeader(http.StatusOK)
			http.NewResponseController(w).Flush()
			Hang(w, r)
		},
	}
}
