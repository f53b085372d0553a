package doh_test

import (
	"bytes"
	"encoding/binary"
	"net/http"
	"strings"
	"testing"

	"github.com/miekg/dns"

	"github.com/caddy-freetier/caddy-freetier/internal/caddytest"
)

// Records of the question's name, without TTL and data, to which a pointer leads.
const (
	nameAndA    = "\xC0\x0C\x00\x01\x00\x01"
	nameAndTXT  = "\xC0\x0C\x00\x10\x00\x01"
	nameAndSRV  = "\xC0\x0C\x00\x21\x00\x01"
	nameAndHTTP = "\xC0\x0C\x00\x41\x00\x01"
	minute      = "\x00\x00\x00\x3C"
)

// withRecords answers with records in wire format, which may be malformed.
func withRecords(t *testing.T, records ...string) http.HandlerFunc {
	t.Helper()
	return func(w http.ResponseWriter, r *http.Request) {
		query := caddytest.Request{Method: r.Method, URI: r.RequestURI}.DNS(t)
		reply := new(dns.Msg).SetReply(query)
		reply.Extra = nil
		packed := pack(t, reply)
		binary.BigEndian.PutUint16(packed[6:], uint16(len(records)))
		w.Header().Set("Content-Type", messageType)
		_, _ = w.Write(append(packed, strings.Join(records, "")...))
	}
}

// A private address stays hidden behind records that cannot be read, or not be sent
// again, too. Stub resolvers take it for the answer all the same.
func TestRebindingBesideMalformedRecords(t *testing.T) {
	private := nameAndA + minute + "\x00\x04\xC0\xA8\x01\x01"
	unpacked := make([]string, 3000) // of more than 64 KB once they are
	for i := range unpacked {
		unpacked[i] = nameAndSRV + minute + "\x00\x08\x00\x00\x00\x00\x00\x00\xC0\x0C"
	}
	long := strings.Repeat("l", 60) + "."
	for name, records := range map[string][]string{
		"TXT beyond its end":   {private, nameAndTXT + minute + "\x00\x02\x09a"},
		"HTTPS beyond its end": {private, nameAndHTTP + minute + "\x00\x07\x00\x01\x00\x00\x04\x00\x09"},
		"too long unpacked":    append([]string{private}, unpacked...),
	} {
		t.Run(name, func(t *testing.T) {
			u := caddytest.NewTLSUpstream(t, withRecords(t, records...))
			addr := caddytest.Addr(t)
			c := caddytest.Start(t, site(addr, up(t, u, "/"), "rebind_protection plex.direct", "filter aaaa"))
			raw := func(name string) (*dns.Msg, []byte) {
				query := question(name, dns.TypeA)
				query.SetEdns0(1232, false)
				return query, post(t, c.Client(), "http://"+addr+"/dns-query", pack(t, query)).body
			}
			query, got := raw(long + "evil.example.")
			reply := new(dns.Msg)
			if err := reply.Unpack(got); err != nil || reply.Rcode != dns.RcodeServerFailure || len(reply.Answer) != 0 || reply.Question[0] != query.Question[0] {
				t.Fatalf("the response is %v (%v)", reply, err)
			}
			if got := reply.IsEdns0().String(); !strings.Contains(got, "rebind_protection") {
				t.Errorf("the reason is missing: %s", got)
			}
			if _, got := raw(long + "x.plex.direct."); !bytes.Contains(got, []byte{192, 168, 1, 1}) {
				t.Errorf("an exempt name is answered with %q", got)
			}
		})
	}
}
