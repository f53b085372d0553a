package dnsserver

import (
	"runtime/debug"

	"go.uber.org/zap"

	"github.com/caddy-freetier/caddy-freetier/internal/dnsmsg"
)

// handle calls a service's handler. A panic takes neither the connection nor
// the server down.
func (s *Socket) handle(service *Service, r *Request, buf []byte) (response []byte) {
	defer func() {
		if err := recover(); err != nil {
			s.logger.Load().Error("answering a DNS query panicked",
				zap.String("listener", s.address.String()),
				zap.Any("error", err),
				zap.ByteString("stack", debug.Stack()))
			response = nil
		}
	}()
	return service.handler(r, buf)
}

// mostSize is what no client over UDP is sent more than, in bytes, whatever it says
// (RFC 6891, section 6.2.5).
const mostSize = 4096

// truncate shortens a response to what a client over UDP can receive.
func truncate(response, query []byte) []byte {
	if len(response) <= dnsmsg.MinUDPSize {
		return response
	}
	q, err := dnsmsg.ParseQuery(query)
	if err == nil && len(response) <= min(q.UDPSize, mostSize) {
		return response
	}
	return dnsmsg.Truncate(response, q)
}
