package doh

import (
	"github.com/caddy-freetier/caddy-freetier/internal/dnsmsg"
)

// resolverArpa is the zone in which clients look for the encrypted addresses
// of their resolver: an upstream would name its own. RFC 9462, section 6.4.
var resolverArpa = []byte("\x08resolver\x04arpa\x00")

// local answers what no upstream may be asked, and else returns nil.
func local(q *dnsmsg.Query) *dnsmsg.Response {
	if q.Opcode != 0 {
		return dnsmsg.NewBuilder(q, dnsmsg.RcodeNotImp).Response()
	}
	if q.Version != 0 {
		return dnsmsg.NewBuilder(q, dnsmsg.RcodeBadVers).Response() // RFC 6891, section 6.1.3
	}
	var buf [dnsmsg.MaxName]byte
	zone := dnsmsg.Within(q.Name(&buf), resolverArpa)
	if zone < 0 {
		return nil
	}
	reply := dnsmsg.NewBuilder(q, dnsmsg.RcodeNoError)
	reply.AddSOA(zone)
	return reply.Response()
}
