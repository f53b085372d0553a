package machines

import (
	"fmt"
	"maps"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/caddy-freetier/caddy-freetier/internal/caddytest/redistest"
)

// spend uses up both quotas: first half of each, and then one request a machine at a
// time, of which all know before the next.
func (f *fleet) spend() {
	f.t.Helper()
	each := min(chatQuota, dnsQuota) / 2 / len(f.all)
	for f.chats(goodKey) < chatQuota || f.queries() < dnsQuota {
		var requests sync.WaitGroup
		for _, m := range f.all {
			requests.Go(func() {
				for range each {
					m.complete()
					m.resolve()
				}
			})
		}
		requests.Wait()
		f.agree("after a round")
		each = 1
	}
	for what, test := range map[string]struct{ got, quota int }{"chats": {f.chats(goodKey), chatQuota}, "queries": {f.queries(), dnsQuota}} {
		// A query is sent twice when a response is slow.
		if most := test.quota + 2*len(f.all); test.got >= most {
			f.t.Errorf("%d %s of a quota of %d were sent; want less than %d", test.got, what, test.quota, most)
		}
	}
	chats, queries := f.chats(goodKey), f.queries()
	for i, m := range f.all {
		if m.complete() || m.resolve() {
			f.t.Errorf("machine %d goes on after the end of the quotas", i)
		}
	}
	if f.chats(goodKey) != chats || f.queries() != queries {
		f.t.Error("the upstreams are asked after the end of the quotas")
	}
}

// Two machines pass a quota by no more than they send within an interval, however the
// storage plugin behaves; a third one knows at its start what was counted and which
// key is in cooldown, and so does one that was killed.
func TestTwoMachines(t *testing.T) {
	t.Parallel()
	for _, manner := range redistest.Manners {
		t.Run(string(manner), func(t *testing.T) {
			t.Parallel()
			f := newFleet(t, redistest.Start(t), manner, 2)
			f.spend()
			limited := f.chats(limitedKey)
			if limited == 0 {
				t.Fatal("the limited key was never tried")
			}
			f.all[0].Kill()
			f.all[0].start()
			f.agree("after a kill")
			f.eventually("the killed machine knows of the cooldown", f.all[0].inCooldown)
			if f.all[0].complete() || f.all[0].resolve() {
				t.Error("the killed machine goes on after the end of the quotas")
			}
			if n := f.chats(limitedKey); n != limited {
				t.Errorf("the key in cooldown was tried %d times after the kill", n-limited)
			}
		})
	}
}

// Five machines share quotas, pings and cooldowns, and agree on conversations' keys.
func TestFiveMachines(t *testing.T) {
	t.Parallel()
	f := newFleet(t, redistest.Start(t), redistest.Redis, 5)
	f.eventually("a ping", func() bool { return len(f.app.Requests()) > 0 })
	began, before := time.Now(), len(f.app.Requests())

	for range chatQuota - 3 {
		if f.chats(limitedKey) == 0 {
			f.all[0].complete()
		}
	}
	if f.chats(limitedKey) == 0 {
		t.Fatal("the limited key was never tried")
	}
	for _, m := range f.all {
		f.eventually("each machine knows of the cooldown", m.inCooldown)
	}
	f.spend()
	if n := f.chats(limitedKey); n != 1 {
		t.Errorf("the limited key was tried %d times, want once by one machine", n)
	}

	// A conversation has one key, whichever machine it comes to.
	all := make(map[string]bool)
	for i := range 8 {
		text, keys := fmt.Sprintf("conversation %d.", i), make(map[string]bool)
		for _, m := range f.all {
			m.say("k", text)
		}
		for _, r := range f.chat.Requests() {
			if strings.Contains(string(r.Body), text) {
				keys[r.Header.Get("Authorization")] = true
			}
		}
		if len(keys) != 1 {
			t.Errorf("conversation %d has had %d keys", i, len(keys))
		}
		maps.Copy(all, keys)
	}
	if len(all) < 2 {
		t.Errorf("all conversations have %v", all)
	}

	// Each machine by itself would send five times as many. A few more than one a
	// tick are sent when the storage takes its time.
	pings, ticks := len(f.app.Requests())-before, int(time.Since(began)/time.Second)
	if pings > 2*ticks+3 {
		t.Errorf("%d pings in %d seconds at an interval of 1s", pings, ticks)
	}
}

// When the storage goes away machines go on, and when it is back nothing is lost: not
// what was counted before, nor meanwhile, nor by a machine that is gone.
func TestRedisIsKilled(t *testing.T) {
	t.Parallel()
	redis := redistest.Start(t)
	f := newFleet(t, redis, redistest.Redis, 3)
	each := func(n int) {
		t.Helper()
		for _, m := range f.all {
			for range n {
				if !m.complete() {
					t.Error("a machine refuses a chat")
				}
				f.eventually("a query is answered", m.resolve)
			}
		}
	}
	each(1)
	f.agree("before Redis is killed")
	redis.Kill()
	each(2)
	redis.Restart(t)
	f.agree("after Redis is back")
	for _, m := range f.all {
		m.Kill()
	}
	f.all = f.all[:2]
	for _, m := range f.all {
		m.start()
	}
	f.agree("after all machines were killed")
	each(1)
	f.agree("at last")
}
