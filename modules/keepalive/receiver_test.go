package keepalive

import (
	"fmt"
	"net/http"
	"net/url"
	"os"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/caddy-freetier/caddy-freetier/internal/caddytest"
)

// received lets the clock go on until a receiver gets a message.
func (b *bench) received(receiver *caddytest.Upstream) caddytest.Request {
	b.t.Helper()
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); {
		select {
		case r := <-b.arrivals(receiver):
			return r
		case <-time.After(5 * time.Millisecond):
			b.clock.Advance(time.Second)
		}
	}
	b.t.Fatalf("no message; the log is:\n%s", b.Logs)
	return caddytest.Request{}
}

// arrivals returns a channel with the next request of a receiver.
func (b *bench) arrivals(receiver *caddytest.Upstream) <-chan caddytest.Request {
	got := make(chan caddytest.Request, 1)
	b.seen.Lock()
	defer b.seen.Unlock()
	if all := receiver.Requests(); len(all) > b.seen.of[receiver] {
		got <- all[b.seen.of[receiver]]
		if b.seen.of == nil {
			b.seen.of = make(map[*caddytest.Upstream]int)
		}
		b.seen.of[receiver]++
	}
	return got
}

// seen counts the messages that a test has looked at.
type seen struct {
	sync.Mutex
	of map[*caddytest.Upstream]int
}

// refusals are what the services of the recipes respond to a message that they
// do not take, and to one that they do.
var refusals = map[string]struct {
	status         int
	refusal, taken string
	says           string
}{
	"ntfy.sh":             {429, `{"code":42901,"http":429,"error":"limit reached: too many requests"}`, `{"id":"x","event":"message"}`, "limit reached"},
	"api.day.app":         {200, `{"code":400,"message":"failed to get device token","timestamp":1}`, `{"code":200,"message":"success","timestamp":1}`, "device token"},
	"api.telegram.org":    {400, `{"ok":false,"error_code":400,"description":"Bad Request: chat not found"}`, `{"ok":true,"result":{"message_id":1}}`, "chat not found"},
	"sctapi.ftqq.com":     {200, `{"code":40001,"message":"[AUTH]bad key","data":[]}`, `{"code":0,"message":"","data":{"errno":0}}`, "bad key"},
	"qyapi.weixin.qq.com": {200, `{"errcode":93000,"errmsg":"invalid webhook url"}`, `{"errcode":0,"errmsg":"ok"}`, "errcode 93000"},
	"oapi.dingtalk.com":   {200, `{"errcode":310000,"errmsg":"keywords not in content"}`, `{"errcode":0,"errmsg":"ok"}`, "keywords"},
	"open.feishu.cn":      {200, `{"code":19001,"msg":"param invalid: incoming webhook access token invalid","data":{}}`, `{"StatusCode":0,"StatusMessage":"success","code":0,"data":{},"msg":"success"}`, "access token invalid"},
	"api.pushover.net":    {400, `{"user":"invalid","errors":["user identifier is invalid"],"status":0,"request":"x"}`, `{"status":1,"request":"x"}`, "identifier is invalid"},
	"discord.com":         {429, `{"message":"You are being rate limited.","retry_after":0.5,"global":false}`, ``, "rate limited"},
}

// Each recipe of the documentation brings its message to the service. A service
// that refuses it in its own way gets it again.
func TestReceivers(t *testing.T) {
	page, err := os.ReadFile("../../docs/keepalive.md")
	if err != nil {
		t.Fatal(err)
	}
	_, recipes, _ := strings.Cut(string(page), "# ntfy")
	recipes, _, _ = strings.Cut(recipes, "```")
	recipes, _, _ = strings.Cut(recipes, "\t\ttarget ")
	for _, match := range regexp.MustCompile(`\{env\.(\w+)\}`).FindAllStringSubmatch(recipes, -1) {
		t.Setenv(match[1], "s3cret-"+strings.ToLower(match[1]))
	}

	var mu sync.Mutex
	got := make(map[string][]caddytest.Request)
	receiver := caddytest.NewUpstream(t, nil)
	receiver.Handle(func(w http.ResponseWriter, r *http.Request) {
		all := receiver.Requests()
		host := strings.Split(r.URL.Path, "/")[1]
		service := refusals[host]
		mu.Lock()
		defer mu.Unlock()
		for _, request := range all {
			if request.URI == r.RequestURI && strings.HasPrefix(request.URI, "/"+host) {
				got[host] = append(got[host], request)
				break
			}
		}
		if len(got[host]) == 1 {
			w.WriteHeader(service.status)
			fmt.Fprint(w, service.refusal)
			return
		}
		fmt.Fprint(w, service.taken)
	})
	options := "\t\tjitter 0%\n\t\tfailures 1\n\t\t# ntfy" + strings.ReplaceAll(recipes, "https://", receiver.URL+"/")
	up := caddytest.NewUpstream(t, statuses(200, 500))
	b := startAt(t, options+"\t\ttarget a "+up.URL)
	b.settled("a", 1)
	b.tick("a")
	for range 2 * len(refusals) {
		b.received(receiver)
	}
	for host, service := range refusals {
		mu.Lock()
		requests := got[host]
		mu.Unlock()
		if len(requests) != 2 {
			t.Errorf("%s got %d messages, want 2", host, len(requests))
			continue
		}
		first := requests[0]
		address, _ := url.PathUnescape(first.URI)
		if text := address + string(first.Body) + fmt.Sprint(first.Header); !strings.Contains(strings.ReplaceAll(text, "+", " "), "a is down: status 500") {
			t.Errorf("%s got no message: %s", host, text)
		}
		if n := b.Logs.Count("a notification could not be sent; it is kept", service.says); n != 1 {
			t.Errorf("%s: logged %d times, want 1", host, n)
		}
	}
	b.until("all have it", func() bool { return b.Logs.Count("notifications can be sent again") == len(refusals) })
	b.clock.Advance(2 * time.Hour)
	if n := len(receiver.Requests()); n != 2*len(refusals) {
		t.Errorf("%d messages, want %d", n, 2*len(refusals))
	}
	if strings.Contains(b.Logs.String(), "s3cret") {
		t.Error("the log holds a key")
	}
}

// What receivers say of themselves, beside the recipes.
func TestRefusals(t *testing.T) {
	for _, test := range []struct {
		status int
		body   string
		taken  bool
	}{
		{200, "", true},
		{200, "ok", true},
		{204, "", true},
		{302, "", false},
		{500, "", false},
		{200, "[1]", true},
		{200, "{", true},
		{200, `{"code":"200","msg":"x"}`, true},
		{200, `{"code":"500","msg":"x"}`, false},
		{200, `{"code":1000,"msg":"done","success":true}`, true}, // WxPusher
		{200, `{"code":7}`, true},                                // a code without a text is anything
		{200, `{"ok":true,"code":7,"msg":"x"}`, true},
		{200, `{"ok":false}`, false},
		{200, `{"success":false,"message":"x"}`, false},
		{200, `{"error":"invalid_payload"}`, false},
		{200, `{"error":null,"id":3}`, true},
		{200, `{"errno":1,"errmsg":"x"}`, false},
		{200, `{"ok":"yes","errcode":5}`, false},
		{200, `{"errors":[]}`, true},
		{200, `{"errors":["x"],"status":0}`, false},
		{200, `{"status":0}`, true},
		{200, `{"StatusCode":9499,"StatusMessage":"Bad Request"}`, false},
		{200, `{"id":1,"message":"a is down"}`, true}, // Gotify
	} {
		if err := refusalOf(test.status, []byte(test.body)); (err == nil) != test.taken {
			t.Errorf("%d %s: got %v, want taken %v", test.status, test.body, err, test.taken)
		}
	}
}

// What a receiver does not take is kept over a restart, and the last state of a
// target counts.
func TestMessagesAreKept(t *testing.T) {
	receiver := caddytest.NewUpstream(t, statuses(503))
	up := caddytest.NewUpstream(t, statuses(500))
	options := "\t\tjitter 0%\n\t\tinterval 10h\n\t\tfailures 1\n\t\tnotify " + receiver.URL + " {event.message}\n\t\ttarget a " + up.URL
	b := startAt(t, options)
	b.settled("a", 1)
	if r := b.received(receiver); string(r.Body) != "a is down: status 500, expected 2xx" {
		t.Errorf("got %s", r.Body)
	}
	restart := func() {
		t.Helper()
		b.Stop()
		b.Caddy = caddytest.Start(t, keepaliveFile(options), caddytest.WithFakeClock(b.clock), caddytest.WithStorage(b.Storage))
	}
	restart()
	if r := b.received(receiver); string(r.Body) != "a is down: status 500, expected 2xx" {
		t.Errorf("after a restart: got %s", r.Body)
	}
	b.reload(options + "\n\t\ttarget b " + counting(t).URL)
	if r := b.received(receiver); string(r.Body) != "a is down: status 500, expected 2xx" {
		t.Errorf("after a reload: got %s", r.Body)
	}

	// It is up again before the receiver is back: only that is sent.
	up.Handle(caddytest.Answer(http.StatusOK, "", ""))
	b.Admin(http.MethodPost, "/keepalive/targets/a/ping")
	receiver.Handle(caddytest.Answer(http.StatusOK, "", ""))
	restart()
	b.until("the receiver has it", func() bool {
		b.clock.Advance(time.Second)
		all := receiver.Requests()
		return strings.HasPrefix(string(all[len(all)-1].Body), "a is up again after")
	})
	n := len(receiver.Requests())
	restart()
	for range 100 {
		b.clock.Advance(time.Minute)
	}
	if more := len(receiver.Requests()) - n; more != 0 {
		t.Errorf("%d messages were sent again", more)
	}
}

// Many at once are one message.
func TestSummary(t *testing.T) {
	receiver := counting(t)
	var options strings.Builder
	for i := range 60 {
		fmt.Fprintf(&options, "\t\ttarget t%d http://127.0.0.1:1/%[1]d\n", i)
	}
	b := startAt(t, "\t\tjitter 0%\n\t\tfailures 1\n\t\tnotify "+receiver.URL+"/{event.name} `{\"text\":\"{event.message}\",\"n\":{event.failures}}`\n"+options.String())
	for i := range 60 {
		b.settled(fmt.Sprint("t", i), 1)
	}
	r := b.received(receiver)
	if r.URI != "/keepalive.down" {
		t.Errorf("the event is %s", r.URI)
	}
	if !strings.HasPrefix(string(r.Body), `{"text":"60 targets are down: t`) || !strings.Contains(string(r.Body), " more") || len(r.Body) > maxSummary {
		t.Errorf("got %s", r.Body)
	}
	if n := len(receiver.Requests()); n != 1 {
		t.Errorf("%d messages, want 1", n)
	}
}

func TestSummarize(t *testing.T) {
	event := func(name, target, reason string) message {
		return message{Fields: map[string]string{"name": name, "target": target, "error": reason}}
	}
	var many []message
	for i := range 500 {
		many = append(many, event(eventDown, fmt.Sprint("target-", i), strings.Repeat("界", 100)), event(eventUp, fmt.Sprint("other-", i), ""))
	}
	if got := summarize(many); len(got["message"]) > maxSummary || !strings.Contains(got["message"], "500 targets are up again: other-0") {
		t.Errorf("%d bytes: %s", len(got["message"]), got["message"])
	}
	mixed := summarize([]message{event(eventUp, "b", ""), event(eventDown, "a", "status 500"), event(eventColdStart, "b", "")})
	if want := "1 target is down: a (status 500)\n1 target is up again: b\n1 target was asleep: b"; mixed["message"] != want {
		t.Errorf("got %s, want %s", mixed["message"], want)
	}
	if mixed["name"] != eventSummary || mixed["target"] != "a, b" {
		t.Errorf("got %s of %s", mixed["name"], mixed["target"])
	}
}

// A receiver gets the events that it asks for, with headers of its own.
func TestNotifyOptions(t *testing.T) {
	t.Setenv("NOTIFY_KEY", "s3cret-key")
	all, some := counting(t), counting(t)
	up := caddytest.NewUpstream(t, statuses(200, 500, 200))
	b := startAt(t, "\t\tjitter 0%\n\t\tfailures 1\n\t\tnotify "+all.URL+"/{event.name}\n\t\tnotify "+some.URL+"/{event.name} a=b {\n\t\t\tevents up\n\t\t\theader Authorization \"Bearer {env.NOTIFY_KEY}\"\n"+
		"\t\t\theader Content-Type application/x-www-form-urlencoded\n\t\t\theader Title \"{event.target} 状态\"\n\t\t}\n\t\ttarget a "+up.URL)
	b.settled("a", 1)
	b.tick("a")
	if r := b.received(all); r.URI != "/keepalive.down" {
		t.Errorf("all: got %s", r.URI)
	}
	b.advanceTo("a")
	r := b.received(some)
	if r.URI != "/keepalive.up" || r.Header.Get("Authorization") != "Bearer s3cret-key" || r.Header.Get("Content-Type") != "application/x-www-form-urlencoded" {
		t.Errorf("some: got %s %v", r.URI, r.Header)
	}
	if title := r.Header.Get("Title"); title != "=?utf-8?b?YSDnirbmgIE=?=" {
		t.Errorf("the title is %q", title)
	}
	if n := len(some.Requests()); n != 1 {
		t.Errorf("%d messages, want 1", n)
	}
}
