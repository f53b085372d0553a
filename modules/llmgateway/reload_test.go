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

// Fifty reloads under load: no request fails, no goroutine stays.
func TestFiftyReloads(t *testing.T) {
	before := caddytest.Goroutines()
	up := caddytest.NewUpstream(t, caddytest.JSON(200, completion))
	secure := caddytest.NewTLSUpstream(t, caddytest.JSON(200, completion))
	addr := caddytest.Addr(t)
	config := func(name string) string {
		return site(addr, `
		client alice alice-key
		lb_policy random
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
