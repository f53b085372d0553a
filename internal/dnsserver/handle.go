package dnsserver

import (
	"runtime/debug"

	"github.com/miekg/dns"
	"go.uber.org/zap"
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

const (
	// leastSize is what every client receives over UDP, and mostSize what
	// none is sent more than, whatever it says (RFC 6891, section 6.2.5).
	leastSize = 512
	mostSize  = 4096

	headerLen = 12
	bitTC     = 2 // in the third byte
)

// truncate shortens a response to what a client over UDP can receive: the
// question and the EDNS record stay, and the client asks again over TCP (RFC
// 2181, section 9).
func truncate(response, query []byte) []byte {
	if len(response) <= leastSize {
		return response
	}
	size := leastSize
	var q dns.Msg
	if q.Unpack(query) == nil {
		if opt := q.IsEdns0(); opt != nil {
			size = min(max(int(opt.UDPSize()), leastSize), mostSize)
		}
	}
	if len(response) <= size {
		return response
	}
	var m dns.Msg
	if m.Unpack(response) != nil {
		response = response[:headerLen]
		response[2] |= bitTC
		clear(response[4:])
		return response
	}
	opt := m.IsEdns0()
	m.Answer, m.Ns, m.Extra, m.Truncated = nil, nil, nil, true
	if opt != nil {
		opt.Option = nil
		m.Extra = []dns.RR{opt}
	}
	short, err := m.PackBuffer(response[:cap(response)])
	if err != nil {
		return nil
	}
	return short
}
