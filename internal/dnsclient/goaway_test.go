package dnsclient

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"strings"
	"sync"
	"testing"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// goingAway returns a server that answers so many queries on a connection with the
// query itself. Then it sends GOAWAY and ignores further ones, as nginx does after
// `keepalive_requests` requests.
func goingAway(queries int) func(*http2.Framer) {
	return func(framer *http2.Framer) {
		framer.ReadMetaHeaders = hpack.NewDecoder(4096, nil)
		_ = framer.WriteSettings()
		for answered := 0; ; { // until the client closes the connection
			frame, err := framer.ReadFrame()
			if err != nil {
				return
			}
			request, ok := frame.(*http2.MetaHeadersFrame)
			if !ok || answered == queries {
				continue
			}
			if answered++; answered == queries {
				_ = framer.WriteGoAway(request.StreamID, http2.ErrCodeNo, nil)
			}
			answerFramed(framer, request)
		}
	}
}

// answerFramed answers a query with the query itself.
func answerFramed(framer *http2.Framer, request *http2.MetaHeadersFrame) {
	_, param, _ := strings.Cut(request.PseudoValue("path"), "dns=")
	msg, _ := base64.RawURLEncoding.DecodeString(param)
	var block bytes.Buffer
	encoder := hpack.NewEncoder(&block)
	_ = encoder.WriteField(hpack.HeaderField{Name: ":status", Value: "200"})
	_ = encoder.WriteField(hpack.HeaderField{Name: "content-type", Value: MediaType})
	_ = framer.WriteHeaders(http2.HeadersFrameParam{StreamID: request.StreamID, BlockFragment: block.Bytes(), EndHeaders: true})
	_ = framer.WriteData(request.StreamID, true, msg)
}

// No query is lost when a server closes a connection and says which queries it has not
// processed.
func TestGoAway(t *testing.T) {
	const atOnce, each = 20, 10
	server, addr, _ := framedServer(t, goingAway(5))
	c := newHTTPS(t, server, addr)
	var clients sync.WaitGroup
	for i := range atOnce {
		clients.Go(func() {
			for j := range each {
				q := outgoing(t, fmt.Sprintf("www%d-%d.example.", i, j))
				if got, _, err := c.Exchange(t.Context(), q, new(Attempt)); err != nil || !bytes.Equal(got, q.Padded) {
					t.Errorf("got %d bytes and the error %v", len(got), err)
				}
			}
		})
	}
	clients.Wait()
}
