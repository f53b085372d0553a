package dnsclient

import (
	"fmt"
	"maps"
	"net/http"
	"regexp"
	"strings"

	"github.com/caddy-freetier/caddy-freetier/internal/dnsmsg"
)

// requestPlaceholder matches a placeholder that stands for something of the
// client's request.
var requestPlaceholder = regexp.MustCompile(`\{(http\.[^{}]+)\}`)

// Placeholders returns those of requests in the value of a header field,
// without braces.
func Placeholders(value string) []string {
	var names []string
	for _, match := range requestPlaceholder.FindAllStringSubmatch(value, -1) {
		names = append(names, match[1])
	}
	return names
}

// requestHeaders are header fields that differ from request to request.
type requestHeaders []requestHeader

type requestHeader struct{ field, value string }

// splitHeaders takes the fields with placeholders of requests out of headers.
func splitHeaders(headers http.Header) (fixed http.Header, varying requestHeaders) {
	fixed = make(http.Header, len(headers))
	for field, values := range headers {
		for _, value := range values {
			if len(Placeholders(value)) > 0 {
				varying = append(varying, requestHeader{field, value})
			} else {
				fixed.Add(field, value)
			}
		}
	}
	return fixed, varying
}

// apply returns the header with these fields for a query.
func (hs requestHeaders) apply(header http.Header, q *dnsmsg.Outgoing) http.Header {
	header = maps.Clone(header)
	for _, h := range hs {
		value := requestPlaceholder.ReplaceAllStringFunc(h.value, func(placeholder string) string {
			return printable(q.Values[placeholder[1:len(placeholder)-1]])
		})
		if value != "" {
			header[h.field] = append(header[h.field][:len(header[h.field]):len(header[h.field])], value)
		}
	}
	return header
}

// printable returns a text with percent signs for what a header field cannot
// hold.
func printable(text string) string {
	var out strings.Builder
	for _, c := range []byte(text) {
		if c < ' ' || c > '~' {
			fmt.Fprintf(&out, "%%%02X", c)
		} else {
			out.WriteByte(c)
		}
	}
	return out.String()
}
