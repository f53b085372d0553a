package doh

import (
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strconv"
	"strings"

	"github.com/miekg/dns"
	"golang.org/x/net/idna"

	"github.com/caddy-freetier/caddy-freetier/internal/dnsclient"
	"github.com/caddy-freetier/caddy-freetier/internal/dnsmsg"
)

// jsonType is the content type of responses in JSON, as Cloudflare sends it. It is not
// registered: application/dns+json (RFC 8427) is another format.
const jsonType = "application/dns-json"

// jsonAnswer is a response in the JSON form of Google and Cloudflare:
//
//	{"Status": 0, "TC": false, "RD": true, "RA": true, "AD": false, "CD": false,
//	 "Question": [{"name": "example.com.", "type": 1}],
//	 "Answer": [{"name": "example.com.", "type": 1, "TTL": 300, "data": "192.0.2.1"}]}
//
// Sources: developers.google.com/speed/public-dns/docs/doh/json and
// developers.cloudflare.com/1.1.1.1/encryption/dns-over-https/make-api-requests/dns-json.
type jsonAnswer struct {
	Status     int
	TC         bool
	RD         bool
	RA         bool
	AD         bool
	CD         bool
	Question   []jsonQuestion
	Answer     []jsonRecord `json:",omitempty"`
	Authority  []jsonRecord `json:",omitempty"`
	Additional []jsonRecord `json:",omitempty"`
	Subnet     string       `json:"edns_client_subnet,omitempty"`
	Comment    []string     `json:",omitempty"` // extended errors (RFC 8914)
}

// jsonQuestion is the question of a response.
type jsonQuestion struct {
	Name string `json:"name"`
	Type uint16 `json:"type"`
}

// jsonRecord is a record, with its data in the presentation format of zone files.
type jsonRecord struct {
	Name string `json:"name"`
	Type uint16 `json:"type"`
	TTL  uint32 `json:"TTL"`
	Data string `json:"data"`
}

// asksJSON reports whether a request has a name instead of a message, which is how
// JSON is requested.
func asksJSON(r *http.Request) bool {
	if r.Method != http.MethodGet && r.Method != http.MethodHead || r.URL.RawQuery == "" {
		return false
	}
	params := r.URL.Query()
	return params.Has("name") && !params.Has("dns")
}

// responseForm is the form of a response: a DNS message or JSON.
type responseForm int

const (
	formMessage responseForm = iota
	formJSON
)

// readJSON makes a query from the parameters `name`, `type`, `do`, `cd` and
// `edns_client_subnet`. With `ct=application/dns-message` the response is a message
// all the same, as Google's API has it.
func readJSON(q *dnsmsg.Query, params url.Values) (responseForm, *refusal) {
	bad := parseJSON(q, params)
	if bad == nil && dnsclient.IsMessage(params.Get("ct")) {
		return formMessage, nil
	}
	return formJSON, bad
}

// parseJSON fills the query, with ID 0 as RFC 8484 recommends.
func parseJSON(q *dnsmsg.Query, params url.Values) *refusal {
	bad := func(text string) *refusal { return &refusal{status: http.StatusBadRequest, text: text, json: true} }
	name, err := asciiName(params.Get("name"))
	if err != nil {
		return bad("the parameter name is not a domain name")
	}
	if _, ok := dns.IsDomainName(name); !ok || name == "" {
		return bad("the parameter name is not a domain name")
	}
	qtype, ok := recordType(params.Get("type"))
	if !ok {
		return bad("the parameter type is neither a record type, such as AAAA, nor a number")
	}
	m := new(dns.Msg).SetQuestion(dns.Fqdn(name), qtype)
	m.Id, m.CheckingDisabled = 0, isTrue(params.Get("cd"))
	m.SetEdns0(dnsmsg.UDPSize, isTrue(params.Get("do")))
	if subnet := params.Get("edns_client_subnet"); subnet != "" {
		option, ok := subnetOf(subnet)
		if !ok {
			return bad("the parameter edns_client_subnet is not a prefix such as 192.0.2.0/24")
		}
		m.IsEdns0().Option = append(m.IsEdns0().Option, option)
	}
	packed, err := m.Pack()
	if err != nil {
		return bad("the parameter name is not a domain name")
	}
	q.Raw = append(q.Raw[:0], packed...)
	if q.Parse() != nil {
		return bad("the parameters are not a valid query")
	}
	return nil
}

// dots replaces the characters that IDNA treats as the dot between labels (RFC
// 3490, section 3.1).
var dots = strings.NewReplacer("\u3002", ".", "\uFF0E", ".", "\uFF61", ".")

// asciiName returns a name with its international labels as A-labels (xn--…). Other
// labels do not go through IDNA: it would change their letter case and refuse
// underscores, which are usual in names such as _dmarc.
func asciiName(name string) (string, error) {
	labels := strings.Split(dots.Replace(name), ".")
	for i, label := range labels {
		if !strings.ContainsFunc(label, func(c rune) bool { return c >= 0x80 }) {
			continue
		}
		ascii, err := idnaLabel(label)
		if err != nil {
			return "", err
		}
		labels[i] = ascii
	}
	return strings.Join(labels, "."), nil
}

// idnaLabel returns the A-label of an international label. One with underscores is
// mapped without the rules for host names.
func idnaLabel(label string) (string, error) {
	ascii, err := idna.Lookup.ToASCII(label)
	if err != nil && strings.Contains(label, "_") {
		ascii, err = idna.New(idna.MapForLookup(), idna.StrictDomainName(false)).ToASCII(label)
	}
	return ascii, err
}

// recordType reads a type: its name, its number, or TYPE and its number (RFC
// 3597).
func recordType(text string) (uint16, bool) {
	if text == "" {
		return dns.TypeA, true
	}
	if qtype, ok := dns.StringToType[strings.ToUpper(text)]; ok {
		return qtype, true
	}
	if len(text) > len("TYPE") && strings.EqualFold(text[:len("TYPE")], "TYPE") {
		text = text[len("TYPE"):]
	}
	n, err := strconv.ParseUint(text, 10, 16)
	return uint16(n), err == nil && n > 0
}

// isTrue reads a boolean parameter as Google and Cloudflare do.
func isTrue(text string) bool { return text == "1" || strings.EqualFold(text, "true") }

// subnetOf reads an address or a prefix. An address is a prefix of its whole length.
func subnetOf(text string) (*dns.EDNS0_SUBNET, bool) {
	if !strings.Contains(text, "/") {
		ip, err := netip.ParseAddr(text)
		if err != nil {
			return nil, false
		}
		text += "/" + strconv.Itoa(ip.BitLen())
	}
	prefix, err := netip.ParsePrefix(text)
	if err != nil {
		return nil, false
	}
	prefix = prefix.Masked()
	family := uint16(2) // IANA's Address Family Numbers
	if prefix.Addr().Is4() {
		family = 1
	}
	return &dns.EDNS0_SUBNET{
		Code: dns.EDNS0SUBNET, Family: family, SourceNetmask: uint8(prefix.Bits()), Address: net.IP(prefix.Addr().AsSlice()),
	}, true
}

// writeJSON sends the response as JSON.
func writeJSON(w http.ResponseWriter, q *dnsmsg.Query, resp *dnsmsg.Response, elapsed uint32, private bool) {
	var m dns.Msg
	if err := m.Unpack(resp.Render(q, elapsed)); err != nil {
		(&refusal{status: http.StatusBadGateway, text: "the response has records that cannot be shown as JSON", json: true}).write(w)
		return
	}
	shown := jsonAnswer{
		Status: resp.Rcode(), TC: m.Truncated, RD: m.RecursionDesired, RA: m.RecursionAvailable, AD: m.AuthenticatedData, CD: m.CheckingDisabled,
		Answer: jsonRecords(m.Answer), Authority: jsonRecords(m.Ns), Additional: jsonRecords(m.Extra),
	}
	for _, question := range m.Question {
		shown.Question = append(shown.Question, jsonQuestion{question.Name, question.Qtype})
	}
	if opt := m.IsEdns0(); opt != nil {
		for _, option := range opt.Option {
			switch option := option.(type) {
			case *dns.EDNS0_SUBNET:
				shown.Subnet = fmt.Sprintf("%s/%d", option.Address, option.SourceScope)
			case *dns.EDNS0_EDE:
				shown.Comment = append(shown.Comment, "EDE "+option.String())
			}
		}
	}
	body, err := json.Marshal(shown)
	if err != nil {
		errBody.write(w)
		return
	}
	setMessageHeader(w.Header(), len(body), resp.TTL()-min(elapsed, resp.TTL()), private)
	w.Header().Set("Content-Type", jsonType)
	w.WriteHeader(http.StatusOK)
	_, _ = w.Write(body)
}

// jsonRecords returns the records of a section, without OPT. Their data is in the
// presentation format of zone files.
func jsonRecords(rrs []dns.RR) (records []jsonRecord) {
	for _, rr := range rrs {
		header := rr.Header()
		if header.Rrtype == dns.TypeOPT {
			continue
		}
		const data = 4 // the field after name, TTL, class and type
		text := strings.SplitN(rr.String(), "\t", data+1)
		records = append(records, jsonRecord{header.Name, header.Rrtype, header.Ttl, text[len(text)-1]})
	}
	return records
}
