package doh

import (
	"encoding/base64"
	"errors"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
)

const messageType = "application/dns-message"

// Header values that all answers share.
var (
	typeHeader  = []string{messageType}
	plainHeader = []string{"text/plain; charset=utf-8"}
	allowHeader = []string{"GET, HEAD, POST"}
)

// refusal is the answer to an HTTP request that holds no query.
type refusal struct {
	status int
	text   string
}

var (
	errMethod   = &refusal{http.StatusMethodNotAllowed, "DNS queries come by GET or POST"}
	errType     = &refusal{http.StatusUnsupportedMediaType, "the content type must be " + messageType}
	errTooLarge = &refusal{http.StatusRequestEntityTooLarge, "a DNS message has at most 65535 bytes"}
	errMissing  = &refusal{http.StatusBadRequest, "the query parameter dns is missing"}
	errBase64   = &refusal{http.StatusBadRequest, "the query parameter dns is not base64url without padding"}
	errBody     = &refusal{http.StatusBadRequest, "the body could not be read"}
)

// readQuery reads the query of a request (RFC 8484, section 4.1).
func readQuery(r *http.Request) (*query, *refusal) {
	var (
		msg []byte
		bad *refusal
	)
	switch r.Method {
	case http.MethodGet, http.MethodHead:
		msg, bad = queryOfURL(r.URL.RawQuery)
	case http.MethodPost:
		msg, bad = queryOfBody(r)
	default:
		bad = errMethod
	}
	if bad != nil {
		return nil, bad
	}
	q, err := parseQuery(msg)
	if err != nil {
		return nil, &refusal{http.StatusBadRequest, err.Error()}
	}
	q.get = r.Method != http.MethodPost
	return q, nil
}

// queryOfURL decodes the parameter `dns`. Some clients append `?dns=` to a
// query string that is there already.
func queryOfURL(raw string) ([]byte, *refusal) {
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
				return nil, errBase64
			}
		}
		if base64.RawURLEncoding.DecodedLen(len(value)) > maxMessage {
			return nil, errTooLarge
		}
		msg, err := base64.RawURLEncoding.DecodeString(value)
		if err != nil {
			return nil, errBase64
		}
		return msg, nil
	}
	return nil, errMissing
}

func queryOfBody(r *http.Request) ([]byte, *refusal) {
	if !isMessage(r.Header.Get("Content-Type")) {
		return nil, errType
	}
	msg, err := readMessage(r.Body, r.ContentLength)
	if tooLarge := new(http.MaxBytesError); errors.As(err, &tooLarge) || errors.Is(err, errLong) {
		return nil, errTooLarge
	}
	if err != nil {
		return nil, errBody
	}
	return msg, nil
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

// readMessage reads a body to its end. Its length is -1 if it is unknown.
func readMessage(body io.Reader, length int64) ([]byte, error) {
	if body == nil {
		return nil, nil
	}
	if length > maxMessage {
		return nil, errLong
	}
	if length < 0 {
		length = 511
	}
	// One byte more, so that the end is met without another round; then the
	// connection can be used again.
	msg := make([]byte, 0, length+1)
	for {
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
}

// write sends the refusal. An error means that the client has left: Caddy
// would log it, with the address that may hold the question.
func (f *refusal) write(w http.ResponseWriter) {
	f.setHeader(w.Header())
	w.WriteHeader(f.status)
	_, _ = io.WriteString(w, f.text)
}

func (f *refusal) setHeader(h http.Header) {
	h["Content-Type"] = plainHeader
	h["Content-Length"] = []string{strconv.Itoa(len(f.text))}
	if f.status == http.StatusMethodNotAllowed {
		h["Allow"] = allowHeader
	}
}

// write sends the answer. After HEAD, net/http sends the header only.
func (a *answer) write(w http.ResponseWriter, q *query) {
	msg := a.bytes(q)
	a.setHeader(w.Header(), len(msg))
	w.WriteHeader(http.StatusOK)
	_, _ = w.Write(msg)
}

func (a *answer) setHeader(h http.Header, length int) {
	h["Content-Type"] = typeHeader
	h["Content-Length"] = []string{strconv.Itoa(length)}
	h["Cache-Control"] = []string{"max-age=" + strconv.FormatUint(uint64(a.ttl), 10)}
}

// skipLog keeps a request out of the access log.
func skipLog(r *http.Request) {
	caddyhttp.SetVar(r.Context(), caddyhttp.LogSkipVar, true)
}
