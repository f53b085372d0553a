package dnsclient

import (
	"errors"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/caddy-freetier/caddy-freetier/internal/dnsmsg"
)

// MediaType is the content type of DNS messages over HTTPS (RFC 8484, section 6).
const MediaType = "application/dns-message"

// MediaTypeHeader is MediaType as the value of a header field.
var MediaTypeHeader = []string{MediaType}

// ErrTooLong is the error of a message of more than 65535 bytes.
var ErrTooLong = errors.New("the message is too long")

// IsMessage reports whether a content type is that of DNS messages. Parameters
// and letter case do not matter.
func IsMessage(contentType string) bool {
	if contentType == MediaType {
		return true
	}
	mediaType, _, _ := strings.Cut(contentType, ";")
	return strings.EqualFold(strings.TrimSpace(mediaType), MediaType)
}

// ReadMessage reads a body, into buf if that is large enough. length is -1 if it is
// unknown. toEnd makes it read until io.EOF, so that the connection of a response can
// be reused. For a request that is not necessary, and each read makes net/http set a
// new deadline.
func ReadMessage(body io.Reader, length int64, buf []byte, toEnd bool) ([]byte, error) {
	if body == nil {
		return nil, nil
	}
	if length > dnsmsg.MaxMessage {
		return nil, ErrTooLong
	}
	msg := slices.Grow(buf[:0], int(max(length, 511))+1)
	for toEnd || length < 0 || len(msg) < int(length) {
		n, err := body.Read(msg[len(msg):cap(msg)])
		msg = msg[:len(msg)+n]
		switch {
		case len(msg) > dnsmsg.MaxMessage:
			return nil, ErrTooLong
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

// age returns the Age of a response, the seconds that it has spent in HTTP caches (RFC
// 9111, section 5.1).
func age(h http.Header) uint32 {
	values := h["Age"]
	if len(values) == 0 {
		return 0
	}
	n, err := strconv.ParseUint(values[0], 10, 32)
	if err != nil {
		return 0
	}
	return uint32(n)
}
