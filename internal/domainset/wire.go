package domainset

import (
	"errors"
	"fmt"
	"net/netip"
	"strconv"
	"strings"

	"golang.org/x/net/idna"
)

// maxName is the longest name in wire format (RFC 1035, section 2.3.4).
const maxName = 255

var (
	errLabel = errors.New("a name consists of labels of 1 to 63 characters with dots between them")
	errChars = errors.New("a name consists of letters, digits and hyphens, with *. before it or not; several names are separated by white space")
	errLong  = errors.New("the name is too long")
)

// Wire returns a domain name in wire format (RFC 1035, section 3.1) and lower case.
// International labels become A-labels (xn--…). A dot at the end is optional; "." is the
// root.
func Wire(name string) (string, error) {
	var buf [maxName + 1]byte
	wire, err := appendWire(buf[:0], name)
	return string(wire), err
}

// appendWire is Wire without an allocation: it appends the name to buf, which is empty.
func appendWire(buf []byte, name string) ([]byte, error) {
	if name == "." {
		return append(buf, 0), nil
	}
	rest := strings.TrimSuffix(name, ".")
	for more := true; more; {
		var label string
		label, rest, more = strings.Cut(rest, ".")
		ascii, err := asciiLabel(label)
		if err != nil {
			return nil, err
		}
		if len(buf)+len(ascii)+2 > maxName {
			return nil, errLong
		}
		buf = append(buf, byte(len(ascii)))
		for i := range len(ascii) {
			buf = append(buf, lower(ascii[i]))
		}
	}
	return append(buf, 0), nil
}

// asciiLabel returns a label in ASCII. Only labels with other characters go through
// IDNA, which refuses underscores. Characters of the syntax of list files, such as
// those of filter lists, are an error: the line is not a plain domain.
func asciiLabel(label string) (string, error) {
	international := false
	for i := range len(label) {
		switch c := label[i]; {
		case c >= 0x80:
			international = true
		case c <= ' ', c > '~', strings.IndexByte(`*/:\"#|^=,;`, c) >= 0:
			return "", errChars
		}
	}
	if international {
		ascii, err := idna.Lookup.ToASCII(label)
		if err != nil {
			return "", fmt.Errorf("the label %q is not valid in international names", label)
		}
		label = ascii
	}
	if label == "" || len(label) > 63 {
		return "", errLabel
	}
	return label, nil
}

// lower returns an ASCII letter in lower case. Names have no other case (RFC 4343).
func lower(c byte) byte {
	if 'A' <= c && c <= 'Z' {
		return c + 'a' - 'A'
	}
	return c
}

// Reverse returns the reverse zone of a network, which has its PTR records (RFC 1035,
// section 3.5; RFC 3596, section 2.5). The prefix length must be a multiple of 8 bits,
// or of 4 bits for IPv6, since zones end at dots.
func Reverse(prefix netip.Prefix) (string, error) {
	prefix = prefix.Masked()
	addr, bits := prefix.Addr(), prefix.Bits()
	var name strings.Builder
	if addr.Is4() {
		if bits%8 != 0 {
			return "", fmt.Errorf("%s does not end at a dot of its reverse zone; write it as networks of 8, 16, 24 or 32 bits", prefix)
		}
		bytes := addr.As4()
		for i := bits/8 - 1; i >= 0; i-- {
			name.WriteString(strconv.Itoa(int(bytes[i])) + ".")
		}
		return name.String() + "in-addr.arpa", nil
	}
	if bits%4 != 0 {
		return "", fmt.Errorf("%s does not end at a dot of its reverse zone; write it as networks of a multiple of 4 bits", prefix)
	}
	bytes := addr.As16()
	for i := bits/4 - 1; i >= 0; i-- {
		nibble := bytes[i/2] >> (4 * (1 - i%2)) & 0xF
		name.WriteString(strconv.FormatUint(uint64(nibble), 16) + ".")
	}
	return name.String() + "ip6.arpa", nil
}
