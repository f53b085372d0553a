package llmgateway

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/caddy-freetier/caddy-freetier/internal/caddytest"
)

// A reload leaves WebSockets open for stream_close_delay.
func TestStreamCloseDelay(t *testing.T) {
	up := caddytest.NewUpstream(t, func(w http.ResponseWriter, _ *http.Request) {
		conn, rw, err := http.NewResponseController(w).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		defer conn.Close()
		fmt.Fprint(rw, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: x\r\n\r\n")
		rw.Flush()
		_, _ = io.Copy(conn, rw)
	})
	for option, open := range map[string]bool{"": true, "stream_close_delay 1h": true, "stream_close_delay off": false} {
		t.Run(option, func(t *testing.T) {
			addr := caddytest.Addr(t)
			options := "client alice alice-key\n" + option + "\nchannel a " + up.URL + "/v1 {\napi_key k\nmodels m\n}"
			c := caddytest.Start(t, site(addr, options))
			conn, err := net.Dial("tcp", addr)
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			fmt.Fprint(conn, "GET /v1/realtime?model=m HTTP/1.1\r\nHost: "+addr+"\r\nAuthorization: Bearer alice-key\r\n"+
				"Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: x3JJHMbDL1EzLkh9GBhXDw==\r\n\r\n")
			reader := bufio.NewReader(conn)
			if resp, err := http.ReadResponse(reader, nil); err != nil || resp.StatusCode != http.StatusSwitchingProtocols {
				t.Fatalf("no WebSocket: %v, %v", resp, err)
			}
			c.Reload(site(addr, strings.Replace(options, "models m", "models m n", 1)))
			_ = conn.SetDeadline(time.Now().Add(20 * time.Second))
			frame := "\x81\x05hello"
			fmt.Fprint(conn, frame)
			got := make([]byte, len(frame))
			n, err := io.ReadFull(reader, got)
			if isOpen := err == nil && string(got) == frame; isOpen != open {
				t.Errorf("after the reload came %q (%v), want an open connection: %v", got[:n], err, open)
			}
		})
	}
}

// What a stream needs does not grow with its length.
func TestStreamMemory(t *testing.T) {
	const events = 200_000
	sent := make(chan int64, 2)
	up := caddytest.NewUpstream(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		for i := range events {
			if i == events/10 || i == events-1 {
				_ = http.NewResponseController(w).Flush()
				sent <- heap()
			}
			if i%1000 == 500 {
				io.WriteString(w, "data: {\"choices\":[{\"delta\":{\"content\":\""+strings.Repeat("x", 10_000)+"\"}}]}\n\n")
				continue
			}
			io.WriteString(w, chunk)
		}
	})
	g := start(t, "client bob bob-key {\nlimit 1M tokens/month\n}\nclient alice alice-key\nchannel a "+up.URL+" {\napi_key k\nmodels m\n}")
	resp := g.open(t, t.Context(), chatPath, streamBody).begin(t)
	if _, err := io.Copy(io.Discard, resp.Body); err != nil {
		t.Fatal(err)
	}
	if early, late := <-sent, <-sent; late > early+1<<20 {
		t.Errorf("the heap has grown from %d to %d KB", early>>10, late>>10)
	}
}

// Heartbeats reach clients of each version of HTTP.
func TestHeartbeatsOverVersions(t *testing.T) {
	up := newGated(t)
	g, clients := startTLS(t, "heartbeat 50ms\nclient alice alice-key\nchannel a "+up.URL+" {\napi_key k\nmodels m\n}")
	for proto, client := range clients {
		t.Run(proto, func(t *testing.T) {
			g.client = client
			resp := g.open(t, t.Context(), messagesPath, streamBody).begin(t)
			if resp.Proto != proto {
				t.Errorf("the response came over %s, want %s", resp.Proto, proto)
			}
			wantNext(t, resp, anthropicPing+anthropicPing)
			up.release <- caddytest.JSON(400, `{"type":"error","error":{"type":"invalid_request_error","message":"x"}}`)
			rest, err := io.ReadAll(resp.Body)
			if err != nil {
				t.Errorf("the stream ended with %v", err)
			}
			if got := strings.ReplaceAll(string(rest), anthropicPing, ""); !strings.HasPrefix(got, "event: error\n") {
				t.Errorf("the stream ended with %q", got)
			}
		})
	}
}
