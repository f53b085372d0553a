package doh

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddytls"

	"github.com/caddy-freetier/caddy-freetier/internal/dnsmsg"
	"github.com/caddy-freetier/caddy-freetier/internal/dnsserver"
	"github.com/caddy-freetier/caddy-freetier/internal/runtime"
)

// Listen is an address that answers DNS over TLS, TCP or UDP. The socket is opened
// when the configuration starts, and stays open over reloads that keep it.
type Listen struct {
	// The address: `tls/` (DNS over TLS, RFC 7858; default port 853), `tcp/` or
	// `udp/` (default port 53), an optional IP address, and an optional port:
	// `tls/:853`, `udp/127.0.0.1:53`.
	Address string `json:"address,omitempty"`

	// The name of the certificate for clients that send no server name (SNI).
	// Default: the handshake of such clients fails, unless there is a certificate
	// for the address.
	DefaultName string `json:"default_name,omitempty"`
}

// alpnDoT is the ALPN protocol ID of DNS over TLS (RFC 7858; IANA's registry).
// Clients that offer none are served as well.
const alpnDoT = "dot"

// checkListeners returns an error for a listener that would be open to abuse or
// could answer nobody.
func (h *Handler) checkListeners() error {
	for _, l := range h.Listen {
		address, err := dnsserver.ParseAddress(l.Address)
		if err != nil {
			return fmt.Errorf("listen: %w", err)
		}
		plain := address.Network != dnsserver.TLS
		switch {
		case plain && l.DefaultName != "":
			return fmt.Errorf("listen %s: only tls/ has a default name", l.Address)
		case plain && address.Public() && h.PerIP == nil:
			return fmt.Errorf("listen %s: plain DNS on a public address is used for amplification attacks; "+
				"add per_ip, such as per_ip 20/second, or use a private address", l.Address)
		case plain && len(h.Clients) > 0 && !h.Anonymous:
			return fmt.Errorf("listen %s: plain DNS does not identify clients; add anonymous to answer everybody there", l.Address)
		}
	}
	return nil
}

// listen registers the listeners with the app, which opens them when the
// configuration starts.
func (h *Handler) listen(ctx caddy.Context, app *runtime.App) error {
	if len(h.Listen) == 0 {
		return nil
	}
	source := h.Source
	h.Source = "" // handlers that differ only in their line share their listeners
	config, err := json.Marshal(h)
	h.Source = source
	if err != nil {
		return err
	}
	for _, l := range h.Listen {
		address, err := dnsserver.ParseAddress(l.Address)
		if err != nil {
			return fmt.Errorf("listen: %w", err)
		}
		listener := &runtime.Listener{Address: address, Answer: h.answer, Config: config}
		if address.Network == dnsserver.TLS {
			policies := caddytls.ConnectionPolicies{{ALPN: []string{alpnDoT}, DefaultSNI: l.DefaultName}}
			if err := policies.Provision(ctx); err != nil {
				return fmt.Errorf("listen %s: %w", address, err)
			}
			listener.TLS = policies.TLSConfig(ctx)
			listener.Names = h.certificateNames(l)
		}
		if err := app.Listen(listener); err != nil {
			return err
		}
	}
	return nil
}

// certificateNames returns the names that need a certificate, for the warning about
// missing ones: the default name and the clients' host names, without those that
// Caddy manages by `tls_automate_names`.
func (h *Handler) certificateNames(l *Listen) []string {
	var names []string
	if l.DefaultName != "" {
		names = append(names, strings.ToLower(l.DefaultName))
	}
	for name := range h.users.byName {
		names = append(names, name)
	}
	return except(names, h.ManagedNames)
}

// answer appends the response to a query of a listener to buf. It returns nil if
// there must be no response.
func (h *Handler) answer(r *dnsserver.Request, buf []byte) []byte {
	const header, bitQR = dnsmsg.HeaderLen, 0x80
	if len(r.Message) < header || r.Message[2]&bitQR != 0 {
		return nil // not a query: two servers could answer each other's responses forever
	}
	if h.perIP != nil && h.perIP.charge(r.Client) != nil {
		return bareError(r.Message, dnsmsg.RcodeRefused, buf)
	}
	q := h.queries.Get().(*dnsmsg.Query)
	defer h.recycle(q)
	q.Raw = append(q.Raw[:0], r.Message...)
	if q.Parse() != nil {
		return bareError(r.Message, dnsmsg.RcodeFormErr, buf)
	}
	if r.Network != dnsserver.TLS {
		q.Padded = false // RFC 7830, section 6: padding is for encrypted transports only
	}
	ask := asker{ip: r.Client, protocol: protocolNames[r.Network]}
	var known bool
	if ask.user, known = h.users.named(r.ServerName); !known && !h.Anonymous {
		return append(buf, prohibited(q, "no client has this name").Render(q, 0)...)
	}
	if ask.user != nil && ask.user.charge(h.pool.Clock().Now()) != nil {
		return append(buf, prohibited(q, "the limit of this client is reached").Render(q, 0)...)
	}
	q.Values = ask.values(h.values)
	out := h.serve(q, ask)
	r.Ready()
	return append(buf, out.response.Render(q, out.elapsed)...)
}

// protocolNames are the names of networks in metrics and the query log.
var protocolNames = map[string]string{dnsserver.TLS: protocolTLS, dnsserver.TCP: protocolTCP, dnsserver.UDP: protocolUDP}

// edeProhibited is the extended error Prohibited (RFC 8914, section 4.19): the
// client is not authorized.
const edeProhibited = 18

// prohibited returns the response to a client that may not ask.
func prohibited(q *dnsmsg.Query, text string) *dnsmsg.Response {
	b := dnsmsg.NewBuilder(q, dnsmsg.RcodeRefused)
	b.Explain(edeProhibited, text)
	return b.Response()
}

// bareError appends a response that consists of a header, for a query that was not
// parsed or is malformed. It copies the ID and the opcode and RD of the flags:
//
//	ID (16 bits) | QR, Opcode, AA, TC, RD, RA, Z, RCODE (16 bits) | four counts of 0
func bareError(query []byte, rcode uint16, buf []byte) []byte {
	const bitQR, maskOpcodeRD = 1 << 15, 0x7900
	flags := binary.BigEndian.Uint16(query[2:])
	buf = append(buf, query[:2]...)
	buf = binary.BigEndian.AppendUint16(buf, flags&maskOpcodeRD|bitQR|rcode)
	return append(buf, bytes.Repeat([]byte{0}, dnsmsg.HeaderLen-4)...)
}
