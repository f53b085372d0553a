package llmgateway

import (
	"bytes"
	"io"
	"math"
	"net/http"
	"strings"
	"sync"
)

// decodeResponse undoes the content coding of a response. Attempts ask for none,
// but some servers compress all the same: keys could hide in what they send, the
// usage could not be read, and the client has perhaps not said that it can decode
// it. What a gateway cannot decode passes as it is.
//
// Headers about the encoded bytes are removed: their length and digests no longer
// apply, and ranges would be those of other bytes. The ETag becomes a weak one (RFC
// 9110, 8.8.1).
func decodeResponse(res *http.Response) {
	values := res.Header["Content-Encoding"]
	if values == nil || res.Body == nil || res.Body == http.NoBody || res.Request.Method == http.MethodHead {
		return
	}
	switch res.StatusCode {
	case http.StatusSwitchingProtocols, http.StatusPartialContent: // a part alone cannot be decoded
		return
	}
	codings, err := parseCodings(values)
	switch {
	case err != nil:
		return
	case len(codings) == 0: // identity
		delete(res.Header, "Content-Encoding")
		return
	}
	res.Body = &decodedBody{encoded: res.Body, codings: codings}
	res.ContentLength, res.Uncompressed = -1, true
	for _, name := range [...]string{"Content-Encoding", "Content-Length", "Content-Md5", "Content-Digest", "Digest", "Accept-Ranges"} {
		delete(res.Header, name)
	}
	if tag := res.Header.Get("Etag"); tag != "" && !strings.HasPrefix(tag, "W/") {
		res.Header["Etag"] = []string{"W/" + tag} // of other bytes with the same meaning
	}
}

// decodedBody is the body of a response whose content coding is undone as it
// passes. An encoded event is decoded when it has come: servers flush their
// encoder behind it.
//
// It is read by one goroutine and may be closed by another one, as peekbody does when
// the beginning of a refusal does not come in time. There is no limit, unlike for
// requests: the bytes pass on and are not kept.
type decodedBody struct {
	encoded io.ReadCloser
	codings []coding

	// mu is held while Read is under way. Close gives the decoders to other
	// responses, which they would mix up if a Read still used them.
	mu      sync.Mutex
	decoded decoding // begun with the first read
	err     error    // that ended it
}

// Read implements io.Reader.
func (b *decodedBody) Read(p []byte) (n int, err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.decoded == nil && b.err == nil {
		b.err = b.begin()
	}
	if b.err != nil {
		return 0, b.err
	}
	n, b.err = b.decoded.Read(p)
	return n, b.err
}

// begin waits for the first byte: an encoder makes no empty body.
func (b *decodedBody) begin() (err error) {
	first := make([]byte, 1)
	if _, err := io.ReadFull(b.encoded, first); err != nil {
		return err
	}
	b.decoded, err = newDecoding(b.codings, io.MultiReader(bytes.NewReader(first), b.encoded), math.MaxInt64)
	return err
}

// Close implements io.Closer. The encoded body is closed first, since that ends a Read
// that waits for the channel.
func (b *decodedBody) Close() error {
	err := b.encoded.Close()
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.err == nil || b.err == io.EOF {
		b.err = http.ErrBodyReadAfterClose
	}
	b.decoded.Close()
	b.decoded = nil
	return err
}
