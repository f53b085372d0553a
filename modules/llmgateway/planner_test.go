package llmgateway

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/caddy-freetier/caddy-freetier/internal/caddytest"
	"github.com/caddy-freetier/caddy-freetier/internal/llm/refusal"
)

// What is kept of plans is bounded, whatever names clients ask a channel with a pattern
// for.
func TestPlansAreBounded(t *testing.T) {
	up := caddytest.NewUpstream(t, caddytest.JSON(200, completion))
	for keys, most := range map[int]int{1: mostKept / (planSize + smallLeg), 100: mostKept / (planSize + largeLeg)} {
		var list []string
		for i := range keys {
			list = append(list, fmt.Sprintf("sk-of-the-channel-%04d", i))
		}
		start(t, "channel a "+up.URL+" {\napi_key "+strings.Join(list, " ")+"\nmodels *\n}")
		p := loadedGateways()[0].planner
		for i := range 2 * most {
			if len(p.of([]string{fmt.Sprint("name-", i)}, false).legs) != 1 {
				t.Fatal("the pattern has no model")
			}
		}
		if n := len(p.known); n == 0 || n > most {
			t.Errorf("%d keys: %d plans are kept, want up to %d", keys, n, most)
		}
		p.reset()
		if long := p.of([]string{strings.Repeat("x", longestModel+1)}, false); len(long.legs) != 1 || len(p.known) != 0 {
			t.Errorf("%d keys: the plan of a long name has %d channels and %d plans are kept, want 1 and 0", keys, len(long.legs), len(p.known))
		}
	}
}

// What is known of many candidates from a request that few models fit does not keep
// another request from one that fits.
func TestSurveyIsForAllRequests(t *testing.T) {
	up := caddytest.NewUpstream(t, caddytest.JSON(200, completion))
	other := caddytest.NewUpstream(t, caddytest.JSON(200, completion))
	g, clock, _ := startAt(t, channels(up.URL, 1, 300, "")+"channel short "+other.URL+" {\napi_key sk-of-the-short-one\nmodels m {\ncontext 1k\n}\n}")
	for _, k := range channelOf(t, "c0").keys() {
		k.cooldowns.Start("m", stated(refusal.ReasonRateLimit, 15*time.Minute, clock), clock.Now())
	}
	channelOf(t, "short").cooldowns.Start("m", stated(refusal.ReasonOverloaded, time.Minute, clock), clock.Now())
	long := `{"model":"m","messages":[{"role":"user","content":"` + strings.Repeat("word ", 4000) + `"}]}`
	g.do(t, http.MethodPost, chatPath, long).wantStatus(t, 429)
	g.chat(t, "m").wantStatus(t, 200)
	if n := len(other.Requests()); n != 1 {
		t.Errorf("the channel that fits was asked %d times, want once", n)
	}
}
