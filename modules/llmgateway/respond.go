package llmgateway

import (
	"io"
	"maps"
	"net/http"
	"net/textproto"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"go.uber.org/zap"
)

// statusClientClosed is what the access log shows for a client that left before
// the response. nginx introduced it, and Caddy's reverse_proxy logs it too.
const statusClientClosed = 499

// copyBufferSize is how much of a response is read at a time.
const copyBufferSize = 32 << 10

// copyBuffers are reused: a buffer is larger than most responses.
var copyBuffers = sync.Pool{New: func() any { return new([copyBufferSize]byte) }}

// delivery is what the client got of a response.
type delivery struct {
	status   int         // 0 before it
	header   http.Header // as the channel sent it
	duration time.Duration
}

// send sends a channel's response to the client. It does what reverse_proxy
// does: hop-by-hop headers end here, trailers are passed on, and what arrives
// bit by bit leaves bit by bit. A response that breaks off breaks off for the
// client too, so that it never looks complete.
//
// It panics with http.ErrAbortHandler when the response breaks off, as
// reverse_proxy does.
func (d *delivery) send(w http.ResponseWriter, res *http.Response, logger func(message string, reason zap.Field)) {
	defer res.Body.Close()
	d.status, d.header = res.StatusCode, res.Header
	header := w.Header()
	copyHeader(header, res)
	announced := len(res.Trailer)
	if announced > 0 {
		header.Add("Trailer", strings.Join(slices.Sorted(maps.Keys(res.Trailer)), ", "))
	}
	w.WriteHeader(res.StatusCode)
	if err := copyBody(w, res); err != nil {
		logger("response broke off", zap.Error(err))
		// What has arrived reaches the client before the connection is cut.
		_ = http.NewResponseController(w).Flush()
		panic(http.ErrAbortHandler)
	}
	res.Body.Close() // fills in res.Trailer
	copyTrailer(w, res, announced)
}

// copyHeader passes the response's headers on, after those that the gateway
// and the handlers around it have set.
func copyHeader(to http.Header, res *http.Response) {
	removeHopHeaders(res.Header)
	delete(to, "Server")
	to["Via"] = append(to["Via"], via(res))
	for name, values := range res.Header {
		to[name] = append(to[name], values...)
	}
}

// via is the value of the header Via for a response (RFC 9110, section 7.6.3).
func via(res *http.Response) string {
	switch res.ProtoMajor {
	case 2:
		return "2.0 Caddy"
	case 3:
		return "3.0 Caddy"
	}
	if res.ProtoMinor == 0 {
		return "1.0 Caddy"
	}
	return "1.1 Caddy"
}

// hopHeaders belong to one connection and are not passed on (RFC 9110, section
// 7.6.1). Content-Length is not among them: net/http checks it.
var hopHeaders = [...]string{
	"Connection", "Proxy-Connection", "Keep-Alive", "Proxy-Authenticate", "Proxy-Authorization",
	"Te", "Trailer", "Transfer-Encoding", "Upgrade", "Alt-Svc",
}

// removeHopHeaders removes the headers of the channel's own connection, and
// those that its header Connection names.
func removeHopHeaders(header http.Header) {
	for _, value := range header["Connection"] {
		for name := range strings.SplitSeq(value, ",") {
			delete(header, textproto.CanonicalMIMEHeaderKey(strings.TrimSpace(name)))
		}
	}
	for _, name := range hopHeaders {
		delete(header, name)
	}
}

// copyBody copies the response's body to the client.
func copyBody(w http.ResponseWriter, res *http.Response) error {
	buffer := copyBuffers.Get().(*[copyBufferSize]byte)
	defer copyBuffers.Put(buffer)
	flush := func() error { return nil }
	if flushesAtOnce(res) {
		flush = http.NewResponseController(w).Flush
		if err := flush(); err != nil { // the headers
			return err
		}
	}
	for {
		n, err := res.Body.Read(buffer[:])
		if n > 0 {
			if _, err := w.Write(buffer[:n]); err != nil {
				return err
			}
			if err := flush(); err != nil {
				return err
			}
		}
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// flushesAtOnce reports whether each piece of the response is sent as it
// arrives: of event streams and of everything whose length is not known.
func flushesAtOnce(res *http.Response) bool {
	return res.ContentLength == -1 || caddyhttp.IsIncremental(res.Header) ||
		strings.HasPrefix(strings.ToLower(res.Header.Get("Content-Type")), "text/event-stream")
}

// copyTrailer passes the response's trailers on, of which some were announced.
func copyTrailer(w http.ResponseWriter, res *http.Response, announced int) {
	if len(res.Trailer) == 0 {
		return
	}
	// A flushed response is chunked, so that trailers have a place.
	_ = http.NewResponseController(w).Flush()
	prefix := ""
	if len(res.Trailer) != announced {
		prefix = http.TrailerPrefix
	}
	for name, values := range res.Trailer {
		w.Header()[prefix+name] = values
	}
}
