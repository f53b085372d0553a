package doh

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
)

const messageType = "application/dns-message"

// Header values that all answers share.
var (
	typeHeader  = []string{messageType}
	plainHeader = []string{"text/plain; charset=utf-8"}
)

// refusal is the answer to an HTTP request that holds no query.
type refusal struct {
	status int
	text   string
	allow  []string      // for status 405
	after  time.Duration // for status 429
	json   bool          // the asker reads JSON
}

var (
	errMethod        = &refusal{status: http.StatusMethodNotAllowed, text: "DNS queries come by GET or POST", allow: []string{"GET, HEAD, POST"}}
	errProfileMethod = &refusal{status: http.StatusMethodNotAllowed, text: "the profile is read by GET", allow: []string{"GET, HEAD"}}
	errType          = &refusal{status: http.StatusUnsupportedMediaType, text: "the content type must be " + messageType}
	errTooLarge      = &refusal{status: http.StatusRequestEntityTooLarge, text: "a DNS message has at most 65535 bytes"}
	errMissing       = &refusal{status: http.StatusBadRequest, text: "the query parameter dns is missing"}
	errBase64        = &refusal{status: http.StatusBadRequest, text: "the query parameter dns is not base64url without padding"}
	errBody          = &refusal{status: http.StatusBadRequest, text: "the body could not be read"}
	errEarly         = &refusal{status: http.StatusTooEarly, text: "only queries may come in early data"}
)

// readQuery reads the query of a request (RFC 8484, section 4.1).
func readQuery(r *http.Request, q *query) (bad *refusal) {
	switch r.Method {
	case http.MethodGet, http.MethodHead:
		bad = q.readURL(r.URL.RawQuery)
	case http.MethodPost:
		bad = q.readBody(r)
	default:
		bad = errMethod
	}
	if bad != nil {
		return bad
	}
	if err := q.parse(); err != nil {
		return &refusal{status: http.StatusBadRequest, text: err.Error()}
	}
	if q.opcode != 0 && early(r) {
		return errEarly // it could be a replay (RFC 8470)
	}
	return nil
}

// early tells whether a request came in the early data of TLS, to us or to a
// proxy before us.
func early(r *http.Request) bool {
	return r.Header.Get("Early-Data") == "1" || r.TLS != nil && !r.TLS.HandshakeComplete
}

// readURL decodes the parameter `dns`. Some clients append `?dns=` to a query
// string that is there already.
func (q *query) readURL(raw string) *refusal {
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
		if base64.RawURLEncoding.DecodedLen(len(value)) > maxMessage {
			return errTooLarge
		}
		var err error
		q.out = append(q.out[:0], value...)
		if q.in, err = base64.RawURLEncoding.AppendDecode(q.in[:0], q.out); err != nil {
			return errBase64
		}
		return nil
	}
	return errMissing
}

func (q *query) readBody(r *http.Request) *refusal {
	if !isMessage(r.Header.Get("Content-Type")) {
		return errType
	}
	var err error
	q.in, err = readMessage(r.Body, r.ContentLength, q.in, false)
	if tooLarge := new(http.MaxBytesError); errors.As(err, &tooLarge) || errors.Is(err, errLong) {
		return errTooLarge
	}
	if err != nil {
		return errBody
	}
	return nil
}

// isMessage tells whether a content type is that of DNS messages. Parameters
// and letter case do not matter.
func isMessage(contentType string) bool {
	if contentType == messageType {
		return true
	}
	mediaType, _, _ := strings.Cut(contentType, ";")
	return strings.EqualFold(strings.TrimSpace(mediaType), messageType)
}

var errLong = errors.New("the message is too long")

// readMessage reads a body, into buf if there is room. Its length is -1 if it
// is unknown; else toEnd says whether to read on until the end is met, so that
// a connection can be used again. (For a request the server sees to that, and
// each further read costs it a new deadline.)
func readMessage(body io.Reader, length int64, buf []byte, toEnd bool) ([]byte, error) {
	if body == nil {
		return nil, nil
	}
	if length > maxMessage {
		return nil, errLong
	}
	msg := slices.Grow(buf[:0], int(max(length, 511))+1)
	for toEnd || length < 0 || len(msg) < int(length) {
		n, err := body.Read(msg[len(msg):cap(msg)])
		msg = msg[:len(msg)+n]
		switch {
		case len(msg) > maxMessage:
			return nil, errLong
		case errors.Is(err, io.EOF):
			return msg, nil
		case err != nil:
			return nil, err
		}
		if len(msg) == cap(msg) {
			msg = append(msg, 0)[:len(msg)]
		}
	}
	return msg, nil
}

// write sends the refusal. An error means that the client has left: Caddy
// would log it, with the address that may hold the question.
func (f *refusal) write(w http.ResponseWriter) {
	body := f.body()
	f.setHeader(w.Header(), len(body))
	w.WriteHeader(f.status)
	_, _ = w.Write(body)
}

func (f *refusal) body() []byte {
	if !f.json {
		return []byte(f.text)
	}
	body, _ := json.Marshal(map[string]string{"error": f.text})
	return body
}

func (f *refusal) setHeader(h http.Header, length int) {
	h["Content-Type"] = plainHeader
	h["Content-Length"] = []string{strconv.Itoa(length)}
	if f.json {
		h.Set("Content-Type", "application/json")
		h.Set("Access-Control-Allow-Origin", "*")
	}
	if f.allow != nil {
		h["Allow"] = f.allow
	}
	if f.after > 0 {
		h.Set("Retry-After", strconv.Itoa(int(f.after/time.Second)))
	}
}

// write sends the answer, which was kept for elapsed seconds. After HEAD,
// net/http sends the header only.
func (a *answer) write(w http.ResponseWriter, q *query, elapsed uint32) {
	msg := a.render(q, elapsed)
	a.setHeader(w.Header(), len(msg), elapsed)
	w.WriteHeader(http.StatusOK)
	_, _ = w.Write(msg)
}

func (a *answer) setHeader(h http.Header, length int, elapsed uint32) {
	h["Content-Type"] = typeHeader
	values := make([]string, 2)
	values[0], values[1] = strconv.Itoa(length), "max-age="+strconv.FormatUint(uint64(a.ttl-min(elapsed, a.ttl)), 10)
	h["Content-Length"], h["Cache-Control"] = values[:1:1], values[1:]
}

// skipLog keeps a request out of the access log.
func skipLog(r *http.Request) {
	caddyhttp.SetVar(r.Context(), caddyhttp.LogSkipVar, true)
}
