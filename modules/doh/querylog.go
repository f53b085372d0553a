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

// QueryLog configures a log with one entry for each query.
type QueryLog struct {
	// Whether entries contain the names that are looked up, and the addresses of
	// clients. Default: false.
	Names bool `json:"names,omitempty"`
}

// asker is what is known about the sender of a query.
type asker struct {
	ip       netip.Addr
	user     *User  // nil if unknown
	device   string // empty if unknown
	protocol string // the HTTP method, or TLS, TCP or UDP
}

// The protocols of listeners, in addition to the methods of HTTP.
const (
	protocolTLS = "TLS"
	protocolTCP = "TCP"
	protocolUDP = "UDP"
)

// queryLog writes the entries. A nil one writes none.
type queryLog struct {
	logger *zap.Logger
	names  bool
}

// open returns the log, and nil if c is nil.
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

// rcodeText returns the name of a response code, such as NXDOMAIN.
func rcodeText(rcode int) string {
	if text, ok := dns.RcodeToString[rcode]; ok {
		return text
	}
	return "other"
}

// nameText returns the name of a query in the presentation format of zone files,
// which escapes control characters.
func nameText(q *dnsmsg.Query) string {
	text, _, err := dns.UnpackDomainName(q.Question, 0)
	if err != nil {
		return "?"
	}
	return text
}
