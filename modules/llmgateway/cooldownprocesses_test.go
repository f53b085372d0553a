package llmgateway

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/caddy-freetier/caddy-freetier/internal/caddytest"
)

// instance is a Caddy in a process of its own.
type instance struct {
	*caddytest.Process
	t           testing.TB
	addr, admin string
}

func startInstance(t testing.TB, storage, options string) *instance {
	t.Helper()
	i := &instance{t: t, addr: caddytest.Addr(t), admin: caddytest.Addr(t)}
	caddyfile := "{\nadmin " + i.admin + "\npersist_config off\nskip_install_trust\nstorage file_system " + storage +
		site(i.addr, "client alice alice-key\n"+options)[1:]
	config, err := caddytest.Adapt(caddyfile)
	if err != nil {
		t.Fatal(err)
	}
	i.Process = caddytest.StartProcess(t, t.TempDir(), string(config))
	return i
}

func (i *instance) send(method, url, body string) (int, string) {
	i.t.Helper()
	req, err := http.NewRequest(method, url, strings.NewReader(body))
	if err != nil {
		i.t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer alice-key")
	req.Header.Set("Content-Type", "application/json")
	req.Close = true
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		i.t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		i.t.Fatal(err)
	}
	return resp.StatusCode, string(text)
}

func (i *instance) chat(model string) int {
	status, _ := i.send(http.MethodPost, "http://"+i.addr+"/v1/chat/completions", chatBody(model))
	return status
}

// cooledDown returns how many keys are in cooldown for a model.
func (i *instance) cooledDown(model string) int {
	_, text := i.send(http.MethodGet, "http://"+i.admin+"/llm-gateway/channels", "")
	return strings.Count(text, fmt.Sprintf(`"model":%q`, model))
}

func (i *instance) eventually(what string, f func() bool) {
	i.t.Helper()
	for deadline := time.Now().Add(60 * time.Second); !f(); time.Sleep(50 * time.Millisecond) {
		if time.Now().After(deadline) {
			i.t.Fatalf("never: %s", what)
		}
	}
}

// Two processes on one storage: each has the other's cooldowns, a process that is
// killed has them when it is back, and a DELETE on one lifts them on both.
func TestCooldownsOfProcesses(t *testing.T) {
	if testing.Short() {
		t.Skip("takes half a minute")
	}
	up := caddytest.NewUpstream(t, byKey(map[string]http.HandlerFunc{
		"sk-long-key-0001": limited("1800"), "sk-long-key-0002": caddytest.JSON(200, completion),
	}))
	storage := t.TempDir()
	options := "key_policy round_robin\nchannel a " + up.URL + " {\napi_key sk-long-key-0001 sk-long-key-0002\nmodels m\n}"
	a, b := startInstance(t, storage, options), startInstance(t, storage, options)
	since := 0
	for range 2 {
		if status := a.chat("m"); status != 200 {
			t.Fatalf("status %d", status)
		}
	}
	if got := asked(up, &since); !strings.Contains(got, "0001") {
		t.Fatalf("asked with %s", got)
	}
	a.eventually("it is written", func() bool { return len(storedCooldowns(t, storage)) == 1 })
	b.eventually("the other process has the cooldown", func() bool { return b.cooledDown("m") == 1 })
	for range 4 {
		b.chat("m")
	}
	if got := asked(up, &since); strings.Contains(got, "0001") {
		t.Errorf("the other process asked with %s", got)
	}

	a.Kill()
	a = startInstance(t, storage, options)
	if n := a.cooledDown("m"); n != 1 {
		t.Errorf("after the kill %d keys are in cooldown, want 1", n)
	}
	for range 4 {
		a.chat("m")
	}
	if got := asked(up, &since); strings.Contains(got, "0001") {
		t.Errorf("after the kill asked with %s", got)
	}

	status, text := a.send(http.MethodDelete, "http://"+a.admin+"/llm-gateway/cooldowns?channel=a", "")
	if status != 200 || text != "{\"lifted\":1}\n" {
		t.Fatalf("DELETE: status %d: %s", status, text)
	}
	b.eventually("it is lifted on the other process", func() bool { return b.cooledDown("m") == 0 })
	up.Handle(caddytest.JSON(200, completion))
	for range 4 {
		b.chat("m")
	}
	if got := asked(up, &since); !strings.Contains(got, "0001") {
		t.Errorf("the lifted key is not asked: %s", got)
	}
	// It does not come back, from whichever file.
	b.End()
	b = startInstance(t, storage, options)
	for name, i := range map[string]*instance{"the first": a, "the restarted": b} {
		if n := i.cooledDown("m"); n != 0 {
			t.Errorf("%s process: %d keys are in cooldown after the DELETE", name, n)
		}
	}
}
