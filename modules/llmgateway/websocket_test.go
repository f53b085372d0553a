package llmgateway

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"

	"github.com/caddy-freetier/caddy-freetier/internal/caddytest"
)

// A WebSocket goes through in both directions, with the channel's key and its
// own name of the model in the query.
func TestWebSocket(t *testing.T) {
	closed := make(chan struct{})
	up := caddytest.NewUpstream(t, func(w http.ResponseWriter, _ *http.Request) {
		defer close(closed)
		conn, rw, err := http.NewResponseController(w).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		defer conn.Close()
		fmt.Fprint(rw, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: x\r\n\r\n")
		rw.Flush()
		_, _ = io.Copy(conn, rw) // what comes in goes out
	})
	g := start(t, "channel a "+up.URL+"/v1 {\napi_key k\nmodels gpt-realtime as gpt-realtime-2025\n}")
	host := strings.TrimPrefix(g.URL, "http://")
	conn, err := net.Dial("tcp", host)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	fmt.Fprint(conn, "GET /v1/realtime?model=gpt-realtime HTTP/1.1\r\nHost: "+host+"\r\nAuthorization: Bearer alice-key\r\n"+
		"Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: x3JJHMbDL1EzLkh9GBhXDw==\r\n\r\n")
	reader := bufio.NewReader(conn)
	resp, err := http.ReadResponse(reader, nil)
	if err != nil {
		t.Fatal(err)
	}
	if resp.StatusCode != http.StatusSwitchingProtocols || resp.Header.Get("X-Gateway-Channel") != "a" {
		t.Fatalf("status %d, %v", resp.StatusCode, resp.Header)
	}
	for _, frame := range []string{"first frame", "\x00\x01second"} {
		fmt.Fprint(conn, frame)
		got := make([]byte, len(frame))
		if _, err := io.ReadFull(reader, got); err != nil || string(got) != frame {
			t.Fatalf("got %q (%v), want %q", got, err, frame)
		}
	}
	conn.Close()
	<-closed // the end of one side ends the other, and then the request
	g.Logs.Wait(t, "http.log.access", "/v1/realtime")
	if got := up.Next(t); got.URI != "/v1/realtime?model=gpt-realtime-2025" || bearer(got) != "k" {
		t.Errorf("the channel saw %s with %s", got.URI, bearer(got))
	}
}
