package llmgateway

import (
	"fmt"
	"net/http"
	"testing"

	"github.com/caddy-freetier/caddy-freetier/internal/caddytest"
	"github.com/caddy-freetier/caddy-freetier/internal/cooldown"
)

// Failures of requests that belong to no conversation count for a channel as those of
// conversations do: different requests put it in cooldown, repetitions of one do not.
func TestFailuresWithoutConversation(t *testing.T) {
	for name, ask := range map[string]func(t *testing.T, g *testGateway, what string){
		"images": func(t *testing.T, g *testGateway, what string) {
			g.do(t, http.MethodPost, "/v1/images/generations", `{"model":"m","prompt":"`+what+`"}`)
		},
		"completions": func(t *testing.T, g *testGateway, what string) {
			g.do(t, http.MethodPost, "/v1/completions", `{"model":"m","prompt":"`+what+`"}`)
		},
		"audio": func(t *testing.T, g *testGateway, what string) {
			body := "--b\r\nContent-Disposition: form-data; name=\"model\"\r\n\r\nm\r\n--b\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a.wav\"\r\n\r\n" + what + "\r\n--b--\r\n"
			g.do(t, http.MethodPost, "/v1/audio/transcriptions", body, "Content-Type", "multipart/form-data; boundary=b")
		},
	} {
		for _, repeated := range []bool{false, true} {
			up := caddytest.NewUpstream(t, caddytest.JSON(502, `{"error":{"message":"bad gateway"}}`))
			g, clock, _ := startAt(t, "retries 1\nchannel a "+up.URL+" {\napi_key key-number-1\nmodels *\n}")
			for i := range 4 {
				what := "something"
				if !repeated {
					what = fmt.Sprint("thing ", i)
				}
				ask(t, g, what)
			}
			inCooldown := !channelOf(t, "a").cooldowns.Until(cooldown.All, clock.Now()).IsZero()
			if inCooldown == repeated {
				t.Errorf("%s, repeated %t: the channel is in cooldown: %t, want %t", name, repeated, inCooldown, !repeated)
			}
		}
	}
}
