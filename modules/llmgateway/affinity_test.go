package llmgateway

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jonboulle/clockwork"

	"github.com/caddy-freetier/caddy-freetier/internal/caddytest"
	"github.com/caddy-freetier/caddy-freetier/internal/cooldown"
	"github.com/caddy-freetier/caddy-freetier/internal/llm/refusal"
)

// turnOf is a turn of a conversation: what was said before and something new.
func turnOf(conversation, number int) string {
	var text strings.Builder
	fmt.Fprintf(&text, `{"model":"m","messages":[{"role":"system","content":"You are helpful."},{"role":"user","content":"question of conversation %d"}`, conversation)
	for i := range number {
		fmt.Fprintf(&text, `,{"role":"assistant","content":"answer %d"},{"role":"user","content":"and then? %d"}`, i, i)
	}
	return text.String() + `]}`
}

// keyAsked sends a turn and returns the key with which it was answered.
func keyAsked(t testing.TB, g *testGateway, up *caddytest.Upstream, body string, header ...string) string {
	t.Helper()
	g.do(t, http.MethodPost, chatPath, body, header...).wantStatus(t, 200)
	requests := up.Requests()
	return bearer(requests[len(requests)-1])
}

// channels are n channels of an upstream with so many keys each, in a random order.
func channels(url string, n, keys int, options string) string {
	var list []string
	for c := range n {
		var names []string
		for k := range keys {
			names = append(names, fmt.Sprintf("sk-of-channel-%d-number-%04d", c, k))
		}
		rand.Shuffle(keys, func(i, j int) { names[i], names[j] = names[j], names[i] })
		list = append(list, fmt.Sprintf("channel c%d %s/c%d {\napi_key %s\nmodels m\n%s\n}\n", c, url, c, strings.Join(names, " "), options))
	}
	rand.Shuffle(n, func(i, j int) { list[i], list[j] = list[j], list[i] })
	return strings.Join(list, "")
}

// stated is a cooldown of which the provider has stated the end.
func stated(reason refusal.Reason, length time.Duration, clock clockwork.Clock) cooldown.Cooldown {
	return cooldown.Cooldown{Reason: string(reason), Until: clock.Now().Add(length)}
}

// A conversation stays with its key, and different ones are spread over all keys:
// with few and with many keys and channels.
func TestAffinity(t *testing.T) {
	for _, tc := range []struct{ channels, keys int }{{1, 4}, {4, 1}, {3, 3}, {1, 100}, {70, 1}} {
		t.Run(fmt.Sprint(tc), func(t *testing.T) {
			up := caddytest.NewUpstream(t, caddytest.JSON(200, completion))
			g := start(t, channels(up.URL, tc.channels, tc.keys, ""))
			const talks = 40
			used := make(map[string]int)
			for talk := range talks {
				first := keyAsked(t, g, up, turnOf(talk, 0))
				used[first]++
				for turn := 1; turn < 4; turn++ {
					if key := keyAsked(t, g, up, turnOf(talk, turn)); key != first {
						t.Fatalf("conversation %d: turn %d with %s, after %s", talk, turn, key, first)
					}
				}
			}
			if n := tc.channels * tc.keys; len(used) < min(n, talks/3) {
				t.Errorf("%d of %d keys used: %v", len(used), n, used)
			}
		})
	}
}

// The order in which channels and keys are written, a reload and other processes
// make no difference.
func TestAffinityIsTheSameEverywhere(t *testing.T) {
	up := caddytest.NewUpstream(t, caddytest.JSON(200, completion))
	options := func() string { return channels(up.URL, 3, 4, "") }
	g, _, config := startAt(t, options())
	want := make(map[int]string)
	for talk := range 20 {
		want[talk] = keyAsked(t, g, up, turnOf(talk, 0))
	}
	g.Reload(config(options()))
	g.client.CloseIdleConnections() // Caddy has closed them
	for talk := range 20 {
		if key := keyAsked(t, g, up, turnOf(talk, 1)); key != want[talk] {
			t.Errorf("conversation %d: after a reload with %s, before with %s", talk, key, want[talk])
		}
	}
	if testing.Short() {
		t.Skip("the rest starts processes")
	}
	for range 2 {
		process := startInstance(t, t.TempDir(), options())
		for talk := range 20 {
			status, text := process.send(http.MethodPost, "http://"+process.addr+chatPath, turnOf(talk, 2))
			requests := up.Requests()
			if key := bearer(requests[len(requests)-1]); status != 200 || key != want[talk] {
				t.Errorf("conversation %d: status %d in another process with %s, want %s: %s", talk, status, key, want[talk], text)
			}
		}
	}
}

// Of many keys nearly all may be in cooldown, and each conversation finds one of
// those that are left, and the same one each time. When its own key works again it
// goes back.
func TestAffinityPassesOverCooldowns(t *testing.T) {
	const keys = 300
	up := caddytest.NewUpstream(t, caddytest.JSON(200, completion))
	g, clock, _ := startAt(t, channels(up.URL, 1, keys, ""))
	before := make(map[int]string)
	for talk := range 20 {
		before[talk] = keyAsked(t, g, up, turnOf(talk, 0))
	}
	left := map[string]bool{"sk-of-channel-0-number-0007": true, "sk-of-channel-0-number-0123": true, "sk-of-channel-0-number-0299": true}
	for _, k := range channelOf(t, "c0").keys() {
		if !left[k.secret] {
			k.cooldowns.Start("m", stated(refusal.ReasonRateLimit, time.Hour, clock), clock.Now())
		}
	}
	used := make(map[string]bool)
	for talk := range 20 {
		key := keyAsked(t, g, up, turnOf(talk, 1))
		if used[key] = true; !left[key] {
			t.Fatalf("conversation %d: %s is in cooldown", talk, key)
		}
		if again := keyAsked(t, g, up, turnOf(talk, 2)); again != key {
			t.Errorf("conversation %d: %s, then %s", talk, key, again)
		}
	}
	if len(used) != len(left) {
		t.Errorf("used are %v", slices.Sorted(maps.Keys(used)))
	}
	clock.Advance(time.Hour)
	for talk := range 20 {
		if key := keyAsked(t, g, up, turnOf(talk, 3)); key != before[talk] {
			t.Errorf("conversation %d: %s when all cooldowns are over, want %s", talk, key, before[talk])
		}
	}
}

// A key that has used its day's quota further than the day by a quarter of it is
// spared as long as others are left, and used when none is: but not by a conversation,
// which stays to the end of the quota.
func TestAffinityKeepsPace(t *testing.T) {
	up := caddytest.NewUpstream(t, caddytest.JSON(200, completion))
	for _, quota := range []string{"quota 20/day", "quota 20/day per model"} {
		t.Run(quota, func(t *testing.T) {
			g, _, _ := startAt(t, channels(up.URL, 1, 2, quota)) // at noon
			since := len(up.Requests())
			for range 40 {
				g.do(t, http.MethodPost, chatPath, turnOf(1, 0)).wantStatus(t, 200)
			}
			// How many requests went to the same key in turn.
			var runs []int
			last := ""
			for _, r := range up.Requests()[since:] {
				if key := bearer(r); key != last {
					runs, last = append(runs, 0), key
				}
				runs[len(runs)-1]++
			}
			if want := []int{20, 20}; !slices.Equal(runs, want) {
				t.Errorf("requests of a conversation in a row with one key: %v, want %v", runs, want)
			}
			g.do(t, http.MethodPost, chatPath, turnOf(1, 0)).wantStatus(t, 429)

			g, _, _ = startAt(t, channels(up.URL, 1, 2, quota))
			conversation := keyAsked(t, g, up, turnOf(1, 0))
			for range 15 { // beyond three quarters, as half of the day has passed
				keyAsked(t, g, up, turnOf(1, 0))
			}
			for range 10 {
				if key := keyAsked(t, g, up, `{"model":"m","messages":[]}`); key == conversation {
					t.Errorf("a request of no conversation goes to %s, which is beyond its pace", key)
				}
			}
			if key := keyAsked(t, g, up, turnOf(1, 0)); key != conversation {
				t.Errorf("the conversation goes on with %s, want %s", key, conversation)
			}
		})
	}
}

// With the policy quota, keys and channels are asked by what is left of their quotas,
// so that all end together, and each to its end.
func TestKeyPolicyQuota(t *testing.T) {
	for name, options := range map[string]func(url string) string{
		"keys":     func(url string) string { return channels(url, 1, 2, "quota 100/day") },
		"channels": func(url string) string { return channels(url, 2, 1, "quota 100/day\nquota 100M tokens/month") },
		"models":   func(url string) string { return channels(url, 2, 1, "quota 100/day per model") },
	} {
		t.Run(name, func(t *testing.T) {
			up := caddytest.NewUpstream(t, caddytest.JSON(200, `{"choices":[{"message":{"content":"x"}}]}`))
			g, _, _ := startAt(t, "key_policy quota\n"+options(up.URL))
			count := make(map[string]int)
			send := func(n int) {
				for range n {
					count[keyAsked(t, g, up, turnOf(1, 0))]++
				}
			}
			send(60)
			for key, n := range count {
				if n < 12 || len(count) != 2 { // 30 on average
					t.Errorf("%s was asked %d times of 60, of %d keys", key, n, len(count))
				}
			}
			send(140)
			for key, n := range count {
				if n != 100 {
					t.Errorf("%s was asked %d times in all", key, n)
				}
			}
			g.do(t, http.MethodPost, chatPath, turnOf(1, 0)).wantStatus(t, 429)
		})
	}
}

// What is left decides, not what is used: of a quota that another process has used
// up by nine tenths, a tenth is left.
func TestKeyPolicyQuotaGoesByWhatIsLeft(t *testing.T) {
	for _, keys := range []int{2, 100} {
		up := caddytest.NewUpstream(t, caddytest.JSON(200, completion))
		g, _, _ := startAt(t, "key_policy quota\n"+channels(up.URL, 1, keys, "quota 1000/day"))
		for i, k := range channelOf(t, "c0").keys() {
			if i >= keys/2 {
				k.requests[0].Add(900)
			}
		}
		scarce := make(map[string]bool)
		for _, k := range channelOf(t, "c0").keys()[keys/2:] {
			scarce[k.secret] = true
		}
		n := 0
		for range 200 {
			if scarce[keyAsked(t, g, up, turnOf(1, 0))] {
				n++
			}
		}
		if n < 1 || n > 60 { // 18 on average
			t.Errorf("%d keys: of 200 requests %d went to those of which a tenth is left", keys, n)
		}
	}
}

// Requests that belong to no conversation take turns, whatever the policy is.
func TestNoConversation(t *testing.T) {
	up := caddytest.NewUpstream(t, caddytest.JSON(200, completion))
	g := start(t, "default_channel c0\n"+channels(up.URL, 1, 4, ""))
	count := make(map[string]int)
	for range 12 {
		g.do(t, http.MethodGet, "/v1/files", "").wantStatus(t, 200)
		requests := up.Requests()
		count[bearer(requests[len(requests)-1])]++
	}
	for key, n := range count {
		if n != 3 || len(count) != 4 {
			t.Errorf("%s was used %d times, of %d", key, n, len(count))
		}
	}
}

// lb_policy chooses the channel, affinity its key; a channel may have a policy of its
// own for keys.
func TestKeyPolicyOfChannels(t *testing.T) {
	up := caddytest.NewUpstream(t, caddytest.JSON(200, completion))
	g := start(t, "lb_policy round_robin\n"+channels(up.URL, 1, 4, "")+strings.ReplaceAll(channels(up.URL, 1, 4, "key_policy round_robin"), "c0", "c1"))
	keys := make(map[string]map[string]bool)
	for turn := range 16 {
		key := keyAsked(t, g, up, turnOf(1, turn))
		requests := up.Requests()
		channel := strings.Split(requests[len(requests)-1].URI, "/")[1]
		if keys[channel] == nil {
			keys[channel] = make(map[string]bool)
		}
		keys[channel][key] = true
	}
	if len(keys["c0"]) != 1 || len(keys["c1"]) != 4 {
		t.Errorf("keys used: %v, want one of c0 and four of c1", keys)
	}
}

// A request looks at all keys when none may be used, but not each request at all
// of many.
func TestAllOfManyKeysInCooldown(t *testing.T) {
	up := caddytest.NewUpstream(t, caddytest.JSON(200, completion))
	g, clock, _ := startAt(t, channels(up.URL, 1, 300, ""))
	keys := channelOf(t, "c0").keys()
	for i, k := range keys {
		reason := refusal.ReasonRateLimit
		if i%3 == 0 {
			reason = refusal.ReasonDead
		}
		k.cooldowns.Start("m", stated(reason, time.Duration(i+1)*time.Minute, clock), clock.Now())
	}
	for range 3 {
		a := g.chat(t, "m")
		a.wantStatus(t, 429)
		if want := "100 dead keys, 200 rate limited (first free in 120 s)"; !strings.Contains(a.text, want) {
			t.Errorf("%s, want %s", a.text, want)
		}
		clock.Advance(100 * time.Millisecond)
	}
	// What ends is noticed all the same.
	clock.Advance(59 * time.Second)
	clock.Advance(time.Second)
	g.chat(t, "m").wantStatus(t, 200)
	requests := up.Requests()
	if key := bearer(requests[len(requests)-1]); key != keys[0].secret {
		t.Errorf("asked with %s, want the first one, %s", key, keys[0].secret)
	}
}

// A reload under load loses nothing, also when keys come and go.
func TestReloadsOfManyKeys(t *testing.T) {
	up := caddytest.NewUpstream(t, caddytest.JSON(200, completion))
	g, _, config := startAt(t, channels(up.URL, 2, 3, ""))
	var stop atomic.Bool
	done := make(chan error)
	for worker := range 4 {
		go func() {
			for talk := worker; !stop.Load(); talk += 4 {
				if err := chatPersistently(g.client, g.URL); err != nil {
					done <- err
					return
				}
			}
			done <- nil
		}()
	}
	for i := range 10 {
		g.Reload(config(channels(up.URL, 1+i%3, 1+i%100, "")))
	}
	stop.Store(true)
	for range 4 {
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
}
