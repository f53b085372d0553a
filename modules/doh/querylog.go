package doh

import (
	"net/netip"
	"time"

	"github.com/miekg/dns"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"github.com/caddy-freetier/caddy-freetier/internal/dnsmsg"
)

// queryLogName is the name of the logger below that of the module:
// http.handlers.doh.queries.
const queryLogName = "queries"

// QueryLog is a log of the queries, one entry each.
type QueryLog struct {
	// Whether entries hold the names that were asked for, and whole addresses
	// of clients. Default: false.
	Names bool `json:"names,omitempty"`
}

// asker is who asks, as far as it is known.
type asker struct {
	ip       netip.Addr
	user     *User  // nil if it is nobody that is known
	device   string // empty if it has no name
	protocol string // the HTTP method, or TLS, TCP or UDP
}

// The protocols of listeners, beside the methods of HTTP.
const (
	protocolTLS = "TLS"
	protocolTCP = "TCP"
	protocolUDP = "UDP"
)

// queryLog writes entries; nil writes none.
type queryLog struct {
	logger *zap.Logger
	names  bool
}

func (c *QueryLog) open(logger *zap.Logger) *queryLog {
	if c == nil {
		return nil
	}
	return &queryLog{logger: logger.Named(queryLogName), names: c.Names}
}

// write writes the entry of a query.
func (l *queryLog) write(q *dnsmsg.Query, a asker, out outcome, took time.Duration) {
	if l == nil {
		return
	}
	entry := l.logger.Check(zapcore.InfoLevel, "query")
	if entry == nil {
		return
	}
	fields := make([]zap.Field, 0, 10)
	if a.user != nil {
		fields = append(fields, zap.String("client", a.user.Name))
	}
	if a.device != "" {
		fields = append(fields, zap.String("device", a.device))
	}
	fields = append(fields,
		zap.String("protocol", a.protocol),
		zap.String("type", dns.Type(q.Type()).String()),
		zap.String("rcode", rcodeText(out.response.Rcode())),
		zap.String("source", out.source),
		zap.Duration("duration", took))
	if l.names {
		fields = append(fields, zap.String("name", nameText(q)), zap.String("client_ip", a.ip.String()))
	}
	entry.Write(fields...)
}

func rcodeText(rcode int) string {
	if text, ok := dns.RcodeToString[rcode]; ok {
		return text
	}
	return "other"
}

// nameText returns the name asked for, as zone files have it.
func nameText(q *dnsmsg.Query) string {
	text, _, err := dns.UnpackDomainName(q.Question, 0)
	if err != nil {
		return "?"
	}
	return text
}
