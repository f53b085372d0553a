package dnsmsg

import (
	"slices"

	"github.com/miekg/dns"
)

// Edit returns the response with the changes of edit, which reports whether it has
// changed anything, and the code and text of an extended error for clients, or a code
// of -1 for none. ok is false if the response cannot be unpacked, so that edit has not
// seen it, or not be packed after the change: the records of some types are checked
// here only. Edit is for responses that are not shared yet.
func (r *Response) Edit(edit func(m *dns.Msg) (changed bool, code int, text string)) (edited *Response, ok bool) {
	var m dns.Msg
	if m.Unpack(r.msg) != nil {
		return nil, false
	}
	changed, code, text := edit(&m)
	if !changed {
		return r, true
	}
	m.Compress = true
	packed, err := m.Pack()
	if err != nil || len(packed) > MaxMessage {
		return nil, false
	}
	end := questionEnd(packed)
	if end < 0 {
		return nil, false
	}
	put16(packed, atID, 0)
	edited, err = parseResponse(packed, packed[HeaderLen:end], get16(packed, atFlags)&maskOpcode, 0)
	if err != nil {
		return nil, false
	}
	edited.rcode, edited.ede, edited.extended, edited.scope = r.rcode, r.ede, r.extended, r.scope
	if code >= 0 && edited.ede < 0 {
		edited.ede, edited.extended = code, appendEDE(nil, uint16(code), text)
	}
	return edited, true
}

// Withhold returns SERVFAIL with an extended error in place of the response.
func (r *Response) Withhold(code uint16, text string) *Response {
	msg := slices.Clone(r.msg[:questionEnd(r.msg)])
	put16(msg, atFlags, get16(msg, atFlags)&^(FlagTC|FlagAD|maskRcode)|RcodeServFail)
	clear(msg[atAN:HeaderLen])
	return &Response{msg: msg, rcode: RcodeServFail, ede: int(code), extended: appendEDE(nil, code, text), scope: -1}
}
