package doh

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/caddy-freetier/caddy-freetier/internal/dnsclient"
	"github.com/caddy-freetier/caddy-freetier/internal/dnsmsg"
)

// Values of header fields that all responses share, so that a response allocates
// no slices for them. They must not be changed.
var (
	plainHeader = []string{"text/plain; charset=utf-8"}

	// anyOrigin allows scripts of all pages to read responses. Responses do not
	// depend on cookies or logins of the browser.
	anyOrigin = []string{"*"}
)

// preflightAge is how long a browser may cache the response to a preflight, in
// seconds. Chromium caches it for two hours at most.
const preflightAge = "7200"

// writePreflight answers a CORS preflight: which requests scripts of another origin
// may send. Source: fetch.spec.whatwg.org, section "CORS-preflight fetch".
func writePreflight(w http.ResponseWriter) {
	h := w.Header()
	h["Access-Control-Allow-Origin"] = anyOrigin
	h.Set("Access-Control-Allow-Methods", "GET, HEAD, POST")
	h.Set("Access-Control-Allow-Headers", "Accept, Content-Type")
	h.Set("Access-Control-Max-Age", preflightAge)
	h.Set("Allow", "GET, HEAD, POST, OPTIONS")
	w.WriteHeader(http.StatusNoContent)
}

// refusal is the HTTP response to a request without a valid query, or beyond a
// limit. The shared ones below must not be changed.
type refusal struct {
	status int
	text   string        // the body, or its member `error` in JSON
	allow  []string      // the field Allow, for status 405
	after  time.Duration // the field Retry-After, for status 429; 0: none
	json   bool          // whether the client expects JSON
}

var (
	errMethod        = &refusal{status: http.StatusMethodNotAllowed, text: "send DNS queries with GET or POST", allow: []string{"GET, HEAD, POST, OPTIONS"}}
	errProfileMethod = &refusal{status: http.StatusMethodNotAllowed, text: "read the profile with GET", allow: []string{"GET, HEAD"}}
	errType          = &refusal{status: http.StatusUnsupportedMediaType, text: "the content type must be " + dnsclient.MediaType}
	errTooLarge      = &refusal{status: http.StatusRequestEntityTooLarge, text: "a DNS message has at most 65535 bytes"}
	errMissing       = &refusal{status: http.StatusBadRequest, text: "the query parameter dns is missing"}
	errBase64        = &refusal{status: http.StatusBadRequest, text: "the query parameter dns is not base64url without padding"}
	errBody          = &refusal{status: http.StatusBadRequest, text: "the body could not be read"}
	errSlow          = &refusal{status: http.StatusRequestTimeout, text: "the query did not arrive in time"}
	errPathUnknown   = &refusal{status: http.StatusNotFound, text: "DNS queries have another path on this server"}
	errEarly         = &refusal{status: http.StatusTooEarly, text: "only queries may be sent in early data"}
)

// readQuery reads the query of a request (RFC 8484, section 4.1): the parameter
// `dns` of GET, in base64url, or the body of POST.
func readQuery(r *http.Request, q *dnsmsg.Query) (bad *refusal) {
	switch r.Method {
	case http.MethodGet, http.MethodHead:
		bad = readURL(q, r.URL.RawQuery)
	case http.MethodPost:
		bad = readBody(q, r)
	default:
		bad = errMethod
	}
	if bad != nil {
		return bad
	}
	if err := q.Parse(); err != nil {
		return &refusal{status: http.StatusBadRequest, text: err.Error()}
	}
	if q.Opcode != 0 && early(r) {
		// RFC 8470: early data can be a replay, which is harmless for a query
		// but not for NOTIFY or UPDATE.
		return errEarly
	}
	return nil
}

// early reports whether a request was sent in the early data of TLS, to this server
// or to a proxy in front of it.
func early(r *http.Request) bool {
	return r.Header.Get("Early-Data") == "1" || r.TLS != nil && !r.TLS.HandshakeComplete
}

// readURL decodes the parameter `dns` of a query string. Some clients append "?dns="
// to a URL that has a query string already, so "?" separates parameters as well.
// The string is scanned and not parsed: url.ParseQuery would allocate a map for
// every query.
func readURL(q *dnsmsg.Query, raw string) *refusal {
	for raw != "" {
		param := raw
		if i := strings.IndexAny(raw, "&?"); i >= 0 {
			param, raw = raw[:i], raw[i+1:]
		} else {
			raw = ""
		}
		value, ok := strings.CutPrefix(param, "dns=")
		if !ok {
			continue
		}
		if strings.Contains(value, "%") {
			var err error
			if value, err = url.QueryUnescape(value); err != nil {
				return errBase64
			}
		}
		if base64.RawURLEncoding.DecodedLen(len(value)) > dnsmsg.MaxMessage {
			return errTooLarge
		}
		if err := q.Decode(value); err != nil {
			return errBase64
		}
		return nil
	}
	return errMissing
}

// readBody reads the message in the body of POST.
func readBody(q *dnsmsg.Query, r *http.Request) *refusal {
	if !dnsclient.IsMessage(r.Header.Get("Content-Type")) {
		return errType
	}
	var err error
	q.Raw, err = dnsclient.ReadMessage(r.Body, r.ContentLength, q.Raw, false)
	if tooLarge := new(http.MaxBytesError); errors.As(err, &tooLarge) || errors.Is(err, dnsclient.ErrTooLong) {
		return errTooLarge
	}
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return errSlow
	}
	if err != nil {
		return errBody
	}
	return nil
}

// write sends the refusal. An error of the connection is dropped: it means that the
// client has left, and Caddy would log it with the URL, which contains the query.
func (f *refusal) write(w http.ResponseWriter) {
	body := f.body()
	f.setHeader(w.Header(), len(body))
	w.WriteHeader(f.status)
	_, _ = w.Write(body)
}

// body returns the body of the response, in the form that the client reads.
func (f *refusal) body() []byte {
	if !f.json {
		return []byte(f.text)
	}
	body, _ := json.Marshal(map[string]string{"error": f.text})
	return body
}

// setHeader sets the header of the response, of which the body has a length.
func (f *refusal) setHeader(h http.Header, length int) {
	h["Content-Type"] = plainHeader
	h["Content-Length"] = []string{strconv.Itoa(length)}
	if f.json {
		h.Set("Content-Type", "application/json")
	}
	h["Access-Control-Allow-Origin"] = anyOrigin
	if f.allow != nil {
		h["Allow"] = f.allow
	}
	if f.after > 0 {
		h.Set("Retry-After", strconv.Itoa(int(f.after/time.Second)))
	}
}

// writeMessage sends a response that was stored elapsed seconds ago. For HEAD,
// net/http sends the header only. private keeps shared caches from storing it.
func writeMessage(w http.ResponseWriter, q *dnsmsg.Query, resp *dnsmsg.Response, elapsed uint32, private bool) {
	msg := resp.Render(q, elapsed)
	setMessageHeader(w.Header(), len(msg), resp.TTL()-min(elapsed, resp.TTL()), private)
	w.WriteHeader(http.StatusOK)
	_, _ = w.Write(msg)
}

// setMessageHeader sets the header of a response with a TTL, in seconds. RFC 8484,
// section 5.1, requires max-age to be at most the smallest TTL of the answer.
//
// Content-Length and Cache-Control get parts of one slice, which saves an
// allocation over http.Header.Set; a full slice expression keeps them apart.
func setMessageHeader(h http.Header, length int, ttl uint32, private bool) {
	h["Content-Type"] = dnsclient.MediaTypeHeader
	h["Access-Control-Allow-Origin"] = anyOrigin
	cacheControl := "max-age="
	if private {
		cacheControl = "private, max-age="
	}
	values := make([]string, 2)
	values[0], values[1] = strconv.Itoa(length), cacheControl+strconv.FormatUint(uint64(ttl), 10)
	h["Content-Length"], h["Cache-Control"] = values[:1:1], values[1:]
}

// skipLog keeps a request from being written to the access log.
func skipLog(r *http.Request) {
	caddyhttp.SetVar(r.Context(), caddyhttp.LogSkipVar, true)
}
