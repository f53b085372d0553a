package llmgateway

import (
	"context"
	"fmt"
	"net/http"
	"runtime/debug"
	"strings"
	"testing"

	"github.com/caddy-freetier/caddy-freetier/internal/caddytest"
)

func TestCountNested(t *testing.T) {
	for text, want := range map[string]int64{
		``:                             0,
		`{`:                            1,
		`{}`:                           1,
		`[{},{"a":[]}]`:                4,
		`{"a{[":"{[\"{[\\"}`:           1,
		`{"a\\":{"b":"\\\\\"{"},"c":[`: 3,
		`"{[`:                          0,
		`"{\`:                          0,
	} {
		if got := countNested([]byte(text)); got != want {
			t.Errorf("%s: got %d, want %d", text, got, want)
		}
	}
}

// What a translation makes of a body counts as memory for bodies: many small parts
// become much larger ones, and references in schemas are put in their place.
func TestTranslationMemory(t *testing.T) {
	defer debug.SetMemoryLimit(debug.SetMemoryLimit(256 << 20)) // 64 MB for bodies, 32 for a client
	arrived := make(chan struct{}, 100)
	up := caddytest.NewUpstream(t, func(w http.ResponseWriter, r *http.Request) {
		arrived <- struct{}{}
		caddytest.Hang(w, r)
	})
	g := start(t, "client alice alice-key\nclient bob bob-key\nchannel a "+up.URL+"/v1beta {\napi_key k\nmodels m\nspeaks gemini\n}")
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	send := func(body string) <-chan int {
		req, _ := http.NewRequestWithContext(ctx, http.MethodPost, g.URL+chat, strings.NewReader(body))
		req.Header.Set("Authorization", "Bearer alice-key")
		done := make(chan int, 1)
		go func() {
			if resp, err := g.client.Do(req); err == nil {
				resp.Body.Close()
				done <- resp.StatusCode
			}
		}()
		return done
	}
	parts := `{"model":"m","messages":[{"role":"user","content":[{"type":"text","text":"a"}` + strings.Repeat(`,{"type":"text","text":"a"}`, 90_000) + `]}]}`
	text := `{"model":"m","messages":[{"role":"user","content":"` + strings.Repeat("a", len(parts)) + `"}]}`
	select {
	case <-arrived:
		t.Error("no memory was reserved for many small parts")
	case status := <-send(parts):
		if status != http.StatusServiceUnavailable {
			t.Errorf("status %d for many small parts", status)
		}
	}
	select {
	case <-arrived:
	case status := <-send(text):
		t.Errorf("status %d for a long text", status)
	}
	growing := `{"model":"m","messages":[{"role":"user","content":"a"}],"tools":[` + growingTools(15) + `]}`
	for range 20 {
		select {
		case <-arrived:
			continue
		case status := <-send(growing):
			if status != http.StatusServiceUnavailable {
				t.Errorf("status %d", status)
			}
			return
		}
	}
	t.Errorf("20 requests were sent on, each of which has grown from %d bytes to 4 MB", len(growing))
}

// growingTools returns tools with schemas that grow.
func growingTools(n int) string {
	var defs, tools strings.Builder
	for i := range 24 {
		fmt.Fprintf(&defs, `"d%d":{"type":"object","properties":{"l":{"$ref":"#/$defs/d%d"},"r":{"$ref":"#/$defs/d%d"}}},`, i, i+1, i+1)
	}
	for i := range n {
		fmt.Fprintf(&tools, `,{"type":"function","function":{"name":"f%d","parameters":{"$ref":"#/$defs/d0","$defs":{%s"z":{}}}}}`, i, defs.String())
	}
	return tools.String()[1:]
}
