package llmgateway

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"runtime/debug"
	"strings"
	"testing"
	"time"

	"github.com/caddy-freetier/caddy-freetier/internal/caddytest"
)

// Uploads that stall get a bounded share of the process's memory, after which
// further ones are told to come again; other clients and small requests go on,
// and all memory is given back.
func TestStalledUploads(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	defer debug.SetMemoryLimit(debug.SetMemoryLimit(256 << 20)) // 64 MB for bodies, 32 for a client
	up := caddytest.NewUpstream(t, caddytest.JSON(200, completion))
	g := start(t, "client alice alice-key\nclient bob bob-key\nchannel a "+up.URL+" {\napi_key k\nmodels m\n}")
	const size, sent, uploads = 7_000_000, 1_200_000, 60
	var conns []net.Conn
	defer func() {
		for _, conn := range conns {
			conn.Close()
		}
	}()
	refused := 0
	text := `{"model":"m","a":"` + strings.Repeat("x", sent)
	for range uploads {
		conn, err := net.Dial("tcp", strings.TrimPrefix(g.URL, "http://"))
		if err != nil {
			t.Fatal(err)
		}
		conns = append(conns, conn)
		_, _ = fmt.Fprintf(conn, "POST %s HTTP/1.1\r\nHost: %s\r\nAuthorization: Bearer alice-key\r\nContent-Length: %d\r\n\r\n%s",
			chat, strings.TrimPrefix(g.URL, "http://"), size, text)
		head := make([]byte, 4<<10)
		_ = conn.SetReadDeadline(time.Now().Add(50 * time.Millisecond))
		n, _ := io.ReadAtLeast(conn, head, 12)
		if n == 0 {
			continue // it waits for more of the body
		}
		if refused++; !strings.HasPrefix(string(head[:n]), "HTTP/1.1 503 ") || !strings.Contains(string(head[:n]), "\r\nRetry-After: 2\r\n") {
			t.Fatalf("refused with %s", head[:n])
		}
	}
	if refused == 0 || refused == uploads {
		t.Errorf("%d of %d uploads were refused", refused, uploads)
	}
	large := `{"model":"m","a":"` + strings.Repeat("x", 2_000_000) + `"}`
	g.do(t, http.MethodPost, chat, large).wantError(t, http.StatusServiceUnavailable, "request_memory_exhausted")
	g.chat(t, "m").wantStatus(t, 200)
	g.do(t, http.MethodPost, chat, large, "Authorization", "Bearer bob-key").wantStatus(t, 200)
	for _, conn := range conns {
		conn.Close()
	}
	for range 100 {
		if a := g.do(t, http.MethodPost, chat, large); a.StatusCode == 200 {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Error("the memory of uploads that were cut off is not given back")
}
