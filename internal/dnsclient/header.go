package dnsclient

import (
	"fmt"
	"maps"
	"net/http"
	"regexp"
	"slices"
	"strings"

	"github.com/caddy-freetier/caddy-freetier/internal/dnsmsg"
)

// requestPlaceholder matches a placeholder of the client's request, such as
// {http.doh.client}.
var requestPlaceholder = regexp.MustCompile(`\{(http\.[^{}]+)\}`)

// Placeholders returns the placeholders of requests in the value of a header field,
// without braces.
func Placeholders(value string) []string {
	matches := requestPlaceholder.FindAllStringSubmatch(value, -1)
	names := make([]string, len(matches))
	for i, match := range matches {
		names[i] = match[1]
	}
	return names
}

// requestHeaders are header fields with placeholders of requests.
type requestHeaders []requestHeader

// requestHeader is a value of a field, with its placeholders.
type requestHeader struct{ field, value string }

// splitHeaders returns the values without and those with placeholders of requests.
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

// apply returns a copy of header with these fields for a query. A value that is empty
// without its placeholders is left out.
func (hs requestHeaders) apply(header http.Header, q *dnsmsg.Outgoing) http.Header {
	header = maps.Clone(header)
	for _, h := range hs {
		value := requestPlaceholder.ReplaceAllStringFunc(h.value, func(placeholder string) string {
			return printable(q.Values[placeholder[1:len(placeholder)-1]])
		})
		if value != "" {
			// maps.Clone is shallow: the slices are still those of header.
			header[h.field] = append(slices.Clip(header[h.field]), value)
		}
	}
	return header
}

// printable returns a text in which bytes that are invalid in a header field are
// percent-encoded.
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
