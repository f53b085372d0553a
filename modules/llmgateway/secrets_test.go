package llmgateway

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/caddy-freetier/caddy-freetier/internal/caddytest"
)

// No key appears in any log line (debug and trace too), error text, metric or
// admin answer, whatever goes wrong. The access log is Caddy's own and copies
// the request before any handler: it hides Authorization by itself, and the
// others by this filter.
func TestSecrets(t *testing.T) {
	t.Setenv("CHANNEL_KEY", "sk-secret-env")
	refusing := caddytest.NewUpstream(t, caddytest.JSON(401, `{"error":"no"}`))
	broken := caddytest.NewUpstream(t, caddytest.Reset)
	good := caddytest.NewUpstream(t, caddytest.JSON(200, completion))
	addr := caddytest.Addr(t)
	c := caddytest.Start(t, `{
	servers {
		trace
		metrics
	}
}
http://`+addr+` {
	log {
		format filter {
			wrap json
			request>headers>X-Api-Key delete
			request>headers>Api-Key delete
			request>headers>X-Goog-Api-Key delete
			request>uri query {
				delete key
			}
		}
	}
	llm_gateway {
		client alice client-secret-1 client-secret-2
		lb_policy first
		channel refusing `+refusing.URL+` {
			api_key {env.CHANNEL_KEY}
			auth query key
			models m only-refusing
		}
		channel broken `+broken.URL+` {
			api_key sk-secret-2
			auth x-api-key
			models m only-broken
		}
		channel good `+good.URL+` {
			api_key sk-secret-3
			header_up X-Other sk-secret-4
			models m
		}
	}
}`)
	g := &gateway{Caddy: c, URL: "http://" + addr, client: c.Client()}
	var seen strings.Builder
	for _, model := range []string{"m", "only-refusing", "only-broken", "unknown"} {
		for _, header := range [][]string{
			{"Authorization", "Bearer client-secret-1"},
			{"Authorization", "", "x-api-key", "client-secret-2"},
			{"Authorization", "", "api-key", "client-secret-2"},
			{"Authorization", "Bearer wrong-secret"},
		} {
			a := g.chat(t, model, header...)
			seen.WriteString(a.text)
			for name, values := range a.Header {
				seen.WriteString(name + strings.Join(values, ""))
			}
		}
		seen.WriteString(g.do(t, http.MethodPost, "/v1/chat/completions?key=client-secret-1", chatBody(model), "Authorization", "").text)
	}
	_, metrics := c.Admin(http.MethodGet, "/metrics")
	_, upstreams := c.Admin(http.MethodGet, "/reverse_proxy/upstreams")
	seen.Write(metrics)
	seen.Write(upstreams)
	seen.WriteString(c.Logs.String())
	for _, logger := range []string{"http.handlers.reverse_proxy", "http.log.trace", "http.log.access", "http.reverse_proxy.transport.llm_channel"} {
		if c.Logs.Count(logger) == 0 {
			t.Errorf("%s has logged nothing", logger)
		}
	}
	for line := range strings.Lines(seen.String()) {
		if strings.Contains(line, `"logger":"http.auto_https"`) {
			continue // Caddy prints its configuration there, keys that are written in it included
		}
		if at := strings.Index(line, "secret"); at >= 0 {
			t.Fatalf("a key shows: %s ... %s", line[:min(len(line), 150)], line[max(0, at-100):min(len(line), at+50)])
		}
	}
	for _, up := range []*caddytest.Upstream{refusing, broken, good} {
		for _, r := range up.Requests() {
			if all := r.URI + strings.Join(r.Header["Authorization"], "") + strings.Join(r.Header["X-Api-Key"], ""); strings.Contains(all, "client-secret") {
				t.Errorf("a client's key reached a channel: %s", all)
			}
		}
	}
}

// Fifty reloads under load: no request fails, no goroutine stays.
func TestFiftyReloads(t *testing.T) {
	before := caddytest.Goroutines()
	up := caddytest.NewUpstream(t, caddytest.JSON(200, completion))
	secure := caddytest.NewTLSUpstream(t, caddytest.JSON(200, completion))
	addr := caddytest.Addr(t)
	config := func(name string) string {
		return site(addr, `
		client alice alice-key
		channel `+name+` `+up.URL+` {
			api_key k1 k2
			models  m
		}
		channel secure-`+name+` `+secure.URL+` {
			api_key k
			models  m
			transport {
				tls_trust_pool file `+secure.CAFile(t)+`
			}
		}`)
	}
	c := caddytest.Start(t, config("first"))
	client := c.Client()
	stop := make(chan struct{})
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				if err := chatPersistently(client, "http://"+addr); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	for i := range 50 {
		c.Reload(config([]string{"even", "odd"}[i%2]))
	}
	close(stop)
	wg.Wait()
	if len(up.Requests()) == 0 || len(secure.Requests()) == 0 {
		t.Error("there was no load")
	}
	client.CloseIdleConnections()
	c.Stop()
	up.CloseClientConnections()
	secure.CloseClientConnections()
	up.Close()
	secure.Close()
	caddytest.NoLeak(t, before)
}

// chatPersistently sends a chat as SDKs do: a connection that breaks before an
// answer has begun is tried again. (When Caddy changes listeners, the kernel
// resets connections that the old one has not accepted yet; that is no
// handler's doing.) An answer that has begun must be right and whole.
func chatPersistently(client *http.Client, url string) error {
	var resp *http.Response
	for try := 0; ; try++ {
		req, err := http.NewRequest(http.MethodPost, url+"/v1/chat/completions", strings.NewReader(chatBody("m")))
		if err != nil {
			return err
		}
		req.Header.Set("Authorization", "Bearer alice-key")
		if resp, err = client.Do(req); err == nil {
			break
		}
		if try == 50 {
			return err
		}
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK || string(text) != completion {
		return fmt.Errorf("status %d, %v: %s", resp.StatusCode, err, text)
	}
	return nil
}
