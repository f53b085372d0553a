package llmgateway

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/jonboulle/clockwork"

	"github.com/caddy-freetier/caddy-freetier/internal/caddytest"
)

// startUpload begins a chat of which the caller sends the body bit by bit, and
// returns the channel with its response.
func startUpload(t testing.TB, client *http.Client, url, path string) (*io.PipeWriter, <-chan answer) {
	t.Helper()
	r, w := io.Pipe()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url+path, r)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer alice-key")
	done := make(chan answer, 1)
	go func() {
		defer close(done)
		resp, err := client.Do(req)
		if err != nil {
			t.Errorf("%s: %v", path, err)
			return
		}
		defer resp.Body.Close()
		text, _ := io.ReadAll(resp.Body)
		done <- answer{resp, string(text)}
	}()
	return w, done
}

// A body of which next to nothing comes is given up in each version of HTTP,
// and later requests of the client are not affected.
func TestSlowUploads(t *testing.T) {
	clock := clockwork.NewFakeClock()
	up := caddytest.NewUpstream(t, caddytest.JSON(200, completion))
	g, clients := startTLS(t, "client slow-uploads alice-key\nchannel a "+up.URL+" {\napi_key k\nmodels m\n}", caddytest.WithFakeClock(clock))
	for proto, client := range clients {
		t.Run(proto, func(t *testing.T) {
			for _, begin := range []string{"", `{"model":"m","a":"`, strings.Repeat(" ", 3*leastUploaded)} {
				body, done := startUpload(t, client, g.URL, chat)
				fmt.Fprint(body, begin)
				a := waitFor(t, clock, uploadPeriod, done)
				a.wantError(t, http.StatusRequestTimeout, "request_timeout")
				if a.Proto != proto {
					t.Errorf("refused over %s", a.Proto)
				}
				body.Close()
			}
			body, done := startUpload(t, client, g.URL, "/v1/messages")
			if a := waitFor(t, clock, uploadPeriod, done); a.StatusCode != http.StatusRequestTimeout || !strings.Contains(a.text, `"type":"error"`) {
				t.Errorf("status %d: %s", a.StatusCode, a.text)
			}
			body.Close()
			for range 3 {
				body, done := startUpload(t, client, g.URL, chat)
				fmt.Fprint(body, chatBody("m"))
				body.Close()
				a := <-done
				a.wantStatus(t, 200)
				clock.Advance(10 * uploadPeriod)
			}
		})
	}
	if n := len(up.Requests()); n != 9 {
		t.Errorf("%d requests reached the channel, want 9", n)
	}
	if n := g.Metric(`caddy_llm_gateway_refused_total{client="slow-uploads",status="408"}`); n != 12 {
		t.Errorf("%v refusals are counted, want 12", n)
	}
}

// uploadReader gives out as much as the test lets it, and fails once a deadline
// has passed.
type uploadReader struct {
	http.ResponseWriter
	pieces   chan int
	deadline chan struct{}
}

func (r *uploadReader) Read(p []byte) (int, error) {
	select {
	case n, ok := <-r.pieces:
		if !ok {
			return 0, io.EOF
		}
		return n, nil
	case <-r.deadline:
		return 0, os.ErrDeadlineExceeded
	}
}

func (r *uploadReader) Close() error { return nil }

func (r *uploadReader) SetReadDeadline(time.Time) error {
	close(r.deadline)
	return nil
}

// However long a steady upload takes, it is not given up; one that stalls is,
// even if much has come before.
func TestSteadyUpload(t *testing.T) {
	for name, stalls := range map[string]bool{"steady": false, "stalling": true} {
		t.Run(name, func(t *testing.T) {
			clock := clockwork.NewFakeClock()
			r := &uploadReader{pieces: make(chan int), deadline: make(chan struct{})}
			var u upload
			u.begin(r, &http.Request{Body: r}, clock)
			p := make([]byte, 1<<20)
			for range 100 {
				go func() { r.pieces <- leastUploaded }()
				if n, err := u.Read(p); n != leastUploaded || err != nil {
					t.Fatalf("%d bytes, %v", n, err)
				}
				clock.Advance(uploadPeriod)
				if err := clock.BlockUntilContext(t.Context(), 1); err != nil {
					t.Fatal(err) // the next check is not set
				}
			}
			go func() { r.pieces <- leastUploaded - 1 }()
			if _, err := u.Read(p); err != nil {
				t.Fatal(err)
			}
			if stalls {
				clock.Advance(uploadPeriod)
				if _, err := u.Read(p); !errors.Is(err, errSlowUpload) {
					t.Errorf("a stalled upload: %v", err)
				}
				u.end()
				return
			}
			u.end()
			clock.Advance(uploadPeriod)
			select {
			case <-r.deadline:
				t.Error("an upload that has ended got a deadline")
			case <-time.After(10 * time.Millisecond):
			}
		})
	}
}
