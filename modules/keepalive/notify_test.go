package keepalive

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/caddy-freetier/caddy-freetier/internal/caddytest"
)

// Each service gets the event in the way it wants it.
func TestNotify(t *testing.T) {
	t.Setenv("NOTIFY_TOKEN", "123:s3cret")
	receiver := counting(t)
	up := caddytest.NewUpstream(t, caddytest.Sequence(
		caddytest.Answer(http.StatusOK, "", ""), caddytest.Answer(http.StatusInternalServerError, "", ""), caddytest.Answer(http.StatusOK, "", "")))
	b := startAt(t, "\t\tjitter 0%\n\t\tfailures 1\n\t\tnotify "+receiver.URL+"/bark/{env.NOTIFY_TOKEN}/{event.target}/{event.message}?group=a+b\n"+
		"\t\tnotify "+receiver.URL+"/serverchan/{env.NOTIFY_TOKEN}.send?title={event.name}&desp={event.message}\n"+
		"\t\tnotify "+receiver.URL+"/ntfy \"{event.target}: {event.message} ({event.status})\"\n"+
		"\t\tnotify "+receiver.URL+"/bot{env.NOTIFY_TOKEN}/sendMessage `{\"chat_id\":1,\"text\":\"{event.message}\",\"other\":{\"x\":\"{event.failures}\"}}`\n"+
		"\t\ttarget \"me & \\\"you\\\"?\" "+up.URL)
	const name = `me & "you"?`
	b.settled(name, 1)
	b.tick(name)
	got := make(map[string]caddytest.Request)
	for range 4 {
		r := b.received(receiver)
		got[strings.Split(r.URI, "/")[1]] = r
	}
	message := name + " is down: status 500, expected 2xx"
	check := func(what, got, want string) {
		t.Helper()
		if got != want {
			t.Errorf("%s: got %s, want %s", what, got, want)
		}
	}
	check("Bark", got["bark"].Method+" "+got["bark"].URI,
		"GET /bark/123:s3cret/me%20&%20%22you%22%3F/me%20&%20%22you%22%3F%20is%20down:%20status%20500%2C%20expected%202xx?group=a+b")
	check("ServerChan", got["serverchan"].Method+" "+got["serverchan"].URI,
		"GET /serverchan/123:s3cret.send?title=keepalive.down&desp=me+%26+%22you%22%3F+is+down%3A+status+500%2C+expected+2xx")
	check("ntfy", got["ntfy"].Method+" "+string(got["ntfy"].Body), "POST "+name+": "+message+" (500)")
	check("ntfy's type", got["ntfy"].Header.Get("Content-Type"), "text/plain; charset=utf-8")
	telegram := got["bot123:s3cret"]
	check("Telegram", telegram.Method+" "+telegram.URI+" "+telegram.Header.Get("Content-Type"), "POST /bot123:s3cret/sendMessage application/json")
	var body struct {
		Text  string
		Other struct{ X string }
	}
	if err := json.Unmarshal(telegram.Body, &body); err != nil {
		t.Fatal(err)
	}
	check("Telegram's text", body.Text+" "+body.Other.X, message+" 1")
	b.tick(name)
	for range 4 {
		if r := b.received(receiver); strings.Contains(r.URI, "bark") && !strings.Contains(r.URI, "up%20again") {
			t.Errorf("after the recovery: %s", r.URI)
		}
	}
}

// A receiver that hangs or refuses delays nothing, and its URL is not logged.
func TestNotifyInTrouble(t *testing.T) {
	hung := caddytest.NewUpstream(t, caddytest.Hang)
	refusing := caddytest.NewUpstream(t, statuses(401, 401, 200))
	up := caddytest.NewUpstream(t, statuses(500))
	b := startAt(t, "\t\tjitter 0%\n\t\tfailures 1\n\t\tnotify "+hung.URL+"/s3cret\n\t\tnotify "+refusing.URL+"/s3cret/{event.name}\n"+
		"\t\tnotify http://"+caddytest.Addr(t)+"/s3cret\n\t\ttarget a "+up.URL)
	b.settled("a", 1)
	b.received(hung)
	for range 3 {
		b.received(refusing)
	}
	b.until("it is sent", func() bool { return b.Logs.Count("notifications can be sent again", refusing.Addr()) == 1 })
	b.Logs.Wait(t, "a notification could not be sent", "connection refused")
	if n := b.Logs.Count("a notification could not be sent", "status 401"); n != 1 {
		t.Errorf("logged %d times", n)
	}
	b.Stop()
	hung.WaitLeft(t)
	if strings.Contains(b.Logs.String(), "s3cret") {
		t.Errorf("the log holds a path:\n%s", b.Logs)
	}
}

func TestNotifyRefused(t *testing.T) {
	t.Setenv("NOTIFY_URL", "ftp://s3cret")
	for line, says := range map[string]string{
		"notify https://a.example/{env.NOTIFY_UNSET}":          "is empty",
		"notify https://a.example/ \"{env.NOTIFY_UNSET}\"":     "is empty",
		"notify {env.NOTIFY_URL}":                              "a URL begins with",
		"notify https://{event.target}{env.NOTIFY_URL}.a/test": "the same for all events",
	} {
		err := caddytest.Validate(keepaliveFile("\t\t" + line))
		if err == nil || !strings.Contains(fmt.Sprint(err), says) || strings.Contains(err.Error(), "s3cret") {
			t.Errorf("%s: got %v, want %q", line, err, says)
		}
	}
}
