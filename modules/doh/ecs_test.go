package doh_test

import (
	"net"
	"net/http"
	"strings"
	"testing"

	"github.com/jonboulle/clockwork"
	"github.com/miekg/dns"

	"github.com/caddy-freetier/caddy-freetier/internal/caddytest"
)

func subnetOf(m *dns.Msg) string {
	if opt := m.IsEdns0(); opt != nil {
		for _, option := range opt.Option {
			if subnet, ok := option.(*dns.EDNS0_SUBNET); ok {
				return subnet.String()
			}
		}
	}
	return ""
}

// What the upstream is told of the asker's network, and what the asker sees
// of it, in the four forms of `ecs`.
func TestECS(t *testing.T) {
	sound := caddytest.Records(t, "@ 60 IN A 192.0.2.1")
	u := caddytest.NewDoHUpstream(t, func(query *dns.Msg) *dns.Msg {
		reply := sound(query)
		if opt := query.IsEdns0(); opt != nil {
			reply.IsEdns0().Option = opt.Option
		}
		return reply
	})
	const asker, optOut = "198.51.100.0/24/0", "0.0.0.0/0/0"
	for name, test := range map[string]struct {
		ecs, from, sent string
		plain           bool // without EDNS
		told, shown     string
	}{
		"strip by default":              {"", "203.0.113.7", asker, false, "", ""},
		"strip":                         {"strip", "203.0.113.7", asker, false, "", ""},
		"pass":                          {"pass", "203.0.113.7", asker, false, asker, asker},
		"pass nothing":                  {"pass", "203.0.113.7", "", false, "", ""},
		"client":                        {"client", "203.0.113.7", asker, false, "203.0.113.0/24/0", ""},
		"client over IPv6":              {"client", "2001:db8:1:2:3::4", "", false, "[2001:db8:1::]/56/0", ""},
		"client without EDNS":           {"client", "203.0.113.7", "", true, "203.0.113.0/24/0", ""},
		"client at home":                {"client", "192.168.1.7", "", false, "", ""},
		"client behind a carrier":       {"client", "100.64.1.7", "", false, "", ""},
		"client who wants none":         {"client", "203.0.113.7", optOut, false, optOut, optOut},
		"a prefix":                      {"192.0.2.77/25", "203.0.113.7", asker, false, "192.0.2.0/25/0", ""},
		"an IPv6 prefix, without EDNS":  {"2001:db8::/32", "203.0.113.7", "", true, "[2001:db8::]/32/0", ""},
		"a prefix for one who wants no": {"192.0.2.0/24", "203.0.113.7", optOut, false, optOut, optOut},
	} {
		t.Run(name, func(t *testing.T) {
			options := []string{up(t, u, "/"), "cache"}
			if test.ecs != "" {
				options = append(options, "ecs "+test.ecs)
			}
			p := startTrusting(t, clockwork.NewFakeClock(), t.TempDir(), options...)
			query := question("www.example.", dns.TypeA)
			if !test.plain {
				query.SetEdns0(1232, false)
			}
			if test.sent != "" {
				ip, network, err := net.ParseCIDR(strings.TrimSuffix(test.sent, "/0"))
				if err != nil {
					t.Fatal(err)
				}
				bits, _ := network.Mask.Size()
				query.IsEdns0().Option = []dns.EDNS0{&dns.EDNS0_SUBNET{Code: dns.EDNS0SUBNET, Family: 1, SourceNetmask: uint8(bits), Address: ip}}
			}
			for range 2 { // the second from the cache
				req, err := http.NewRequest(http.MethodPost, "http://"+p.addr+"/dns-query", strings.NewReader(string(pack(t, query))))
				if err != nil {
					t.Fatal(err)
				}
				req.Header.Set("Content-Type", messageType)
				req.Header.Set("X-Forwarded-For", test.from)
				resp := read(t, p.client, req)
				reply := answer(t, query, resp)
				if got := subnetOf(reply); got != test.shown {
					t.Errorf("the asker sees %q, want %q", got, test.shown)
				}
				if (reply.IsEdns0() == nil) != test.plain {
					t.Errorf("the EDNS record is %v", reply.IsEdns0())
				}
			}
			if got := subnetOf(u.Next(t).DNS(t)); got != test.told {
				t.Errorf("the upstream is told %q, want %q", got, test.told)
			}
		})
	}
}

// The cache does not give one network's answer to another.
func TestCacheBySubnet(t *testing.T) {
	u := caddytest.NewDoHUpstream(t, caddytest.Records(t, "@ 60 IN A 192.0.2.1"))
	p := startTrusting(t, clockwork.NewFakeClock(), t.TempDir(), up(t, u, "/"), "cache", "ecs client")
	for i, from := range []string{"203.0.113.1", "203.0.113.2", "198.51.100.1", "203.0.113.3"} {
		p.asked.Store(0)
		p.statuses("/dns-query", from, 1)
		wantAsked(t, u, []int{1, 1, 2, 2}[i])
	}
}
