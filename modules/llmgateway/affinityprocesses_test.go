package llmgateway

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/caddy-freetier/caddy-freetier/internal/caddytest"
)

// Two processes on one storage agree on the key of a conversation, also when some keys
// have used up a quota that they count together.
func TestProcessesAgree(t *testing.T) {
	if testing.Short() {
		t.Skip("starts processes")
	}
	provider := newAccounts()
	up := caddytest.NewUpstream(t, provider.ServeHTTP)
	var keys []string
	for i := range 12 {
		keys = append(keys, fmt.Sprintf("key-number-%d", i))
	}
	storage := t.TempDir()
	options := "default_channel a\nchannel a " + up.URL + " {\napi_key " + strings.Join(keys, " ") + "\nmodels *\nquota 20/day\n}"
	a, b := startInstance(t, storage, options), startInstance(t, storage, options)
	asked := func(i *instance, method, path, body string) (key string) {
		t.Helper()
		provider.forget()
		if status, text := i.send(method, "http://"+i.addr+path, body); status != 200 {
			t.Fatalf("status %d: %s", status, text)
		}
		if all := provider.forget(); len(all) == 1 {
			return all[0]
		}
		return "several keys"
	}
	// Conversation 0 uses up the quota of its key, of which the other process hears.
	full := asked(a, http.MethodPost, chatPath, turnOf(0, 0))
	for range 19 {
		asked(a, http.MethodPost, chatPath, turnOf(0, 0))
	}
	b.eventually("the other process knows what was used", func() bool {
		_, text := b.send(http.MethodGet, "http://"+b.admin+"/llm-gateway/channels", "")
		return strings.Contains(text, `"used":20`)
	})
	for talk := range 30 {
		first := asked(a, http.MethodPost, chatPath, turnOf(talk, 0))
		if other := asked(b, http.MethodPost, chatPath, turnOf(talk, 1)); other != first || first == full {
			t.Errorf("conversation %d: %s in one process and %s in the other, with %s used up", talk, first, other, full)
		}
	}
}
