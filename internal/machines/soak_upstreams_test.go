package machines

import (
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/caddy-freetier/caddy-freetier/internal/caddytest"
	"github.com/coder/websocket"
	"github.com/miekg/dns"
)

// able is when an upstream answers: it dies and returns.
type able struct {
	mu    sync.Mutex
	since time.Time // zero while it does not answer
	asked atomic.Int64
}

func (a *able) set(on bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.since = time.Time{}
	if on {
		a.since = time.Now()
	}
}

// on reports whether a request is to be answered.
func (a *able) on() bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return !a.since.IsZero()
}

// throughout reports whether it was able from a second before start until now.
func (a *able) throughout(start time.Time) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return !a.since.IsZero() && start.Sub(a.since) >= time.Second
}

// provider answers chats, or fails as a provider that is down does.
func (s *soak) provider(a *able) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		isSocket := r.Header.Get("Upgrade") != ""
		on := a.on()
		if !isSocket { // a handshake is repeated when its connection was closed
			a.asked.Add(1)
		}
		switch {
		case !on && s.next.Load()%2 == 0:
			panic(http.ErrAbortHandler)
		case !on:
			w.WriteHeader(http.StatusBadGateway)
		case isSocket:
			echo(w, r)
		case strings.Contains(string(body), `"stream":true`):
			w.Header().Set("Content-Type", "text/event-stream")
			for range 20 {
				_, _ = io.WriteString(w, `data: {"id":"c","object":"chat.completion.chunk","created":1,"model":"m","choices":[{"index":0,"delta":{"content":"hi "},"finish_reason":null}]}`+"\n\n")
				_ = http.NewResponseController(w).Flush()
				time.Sleep(time.Millisecond)
			}
			_, _ = io.WriteString(w, `data: {"id":"c","object":"chat.completion.chunk","created":1,"model":"m","choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}`+"\n\ndata: [DONE]\n\n")
		default:
			w.Header().Set("Content-Type", "application/json")
			_, _ = io.WriteString(w, completion)
		}
	}
}

// echo sends the message of a WebSocket back.
func echo(w http.ResponseWriter, r *http.Request) {
	conn, err := websocket.Accept(w, r, nil)
	if err != nil {
		return
	}
	defer conn.CloseNow()
	kind, message, err := conn.Read(r.Context())
	if err == nil && conn.Write(r.Context(), kind, message) == nil {
		_ = conn.Close(websocket.StatusNormalClosure, "")
	}
}

// nameServer answers queries over UDP, or leaves them unanswered.
func (s *soak) nameServer(a *able) string {
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		s.t.Fatal(err)
	}
	records := caddytest.Records(s.t, "@ 60 IN A 192.0.2.1")
	server := &dns.Server{PacketConn: conn, Handler: dns.HandlerFunc(func(w dns.ResponseWriter, query *dns.Msg) {
		a.asked.Add(1)
		if a.on() {
			_ = w.WriteMsg(records(query.Copy()))
		}
	})}
	go func() { _ = server.ActivateAndServe() }() // until the test ends
	s.t.Cleanup(func() { _ = server.Shutdown() })
	return conn.LocalAddr().String()
}
