package dnsmsg

import (
	"github.com/miekg/dns"
)

// Edit returns the response with the changes of edit, which reports whether it has
// changed anything, and the code and text of an extended error for clients, or a code
// of -1 for none. A response that cannot be unpacked, or is too long after the change,
// is returned as it is. Edit is for responses that are not shared yet.
func (r *Response) Edit(edit func(m *dns.Msg) (changed bool, code int, text string)) *Response {
	var m dns.Msg
	if m.Unpack(r.msg) != nil {
		return r
	}
	changed, code, text := edit(&m)
	if !changed {
		return r
	}
	m.Compress = true
	packed, err := m.Pack()
	if err != nil || len(packed) > MaxMessage {
		return r
	}
	end := questionEnd(packed)
	if end < 0 {
		return r
	}
	put16(packed, atID, 0)
	edited, err := parseResponse(packed, packed[HeaderLen:end], get16(packed, atFlags)&maskOpcode, 0)
	if err != nil {
		return r
	}
	edited.rcode, edited.ede, edited.extended, edited.scope = r.rcode, r.ede, r.extended, r.scope
	if code >= 0 && edited.ede < 0 {
		edited.ede, edited.extended = code, appendEDE(nil, uint16(code), text)
	}
	return edited
}
