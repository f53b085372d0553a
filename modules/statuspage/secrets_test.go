package statuspage_test

import (
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/caddy-freetier/caddy-freetier/internal/caddytest"
)

// Nothing that is shown has a key, a client's path, a query, or the user of a URL
// in it, in no language, also while targets fail and keys are refused.
func TestSecrets(t *testing.T) {
	d := newDemo(t)
	d.down.Store(true)
	d.ping(t, "toggled")
	client := patient(t)
	shown := make(map[string]string)
	for _, lang := range []string{"en", "zh"} {
		for _, name := range []string{"", "status.json", "badge/toggled.svg", "badge/blog.svg"} {
			shown[lang+" "+name] = get(t, d.Caddy, d.page+name, "Accept-Language", lang).body
		}
		v := view(t, client, d.page)
		for v.lines.Scan() && !strings.HasPrefix(v.lines.Text(), "event: events") {
			shown[lang+" events"] += v.lines.Text() + "\n"
		}
	}
	_, body := d.Admin(http.MethodGet, "/freetier/status")
	shown["admin"] = string(body)
	for where, text := range shown {
		if len(text) < 200 {
			t.Errorf("%s: %s", where, text)
		}
		for _, secret := range secrets {
			if strings.Contains(text, secret) {
				t.Errorf("%s shows %s: %s", where, secret, text)
			}
		}
	}
	for _, word := range []string{"toggled", "…0004", "dead key", "nextdns", "alice", "503"} {
		if !strings.Contains(shown["en "], word) {
			t.Errorf("the page lacks %s, so that this test shows nothing", word)
		}
	}
}

// Of the JSON only what can be unknown is null: lists are empty.
func TestNulls(t *testing.T) {
	unknown := []string{
		"awake", "last_ping", "next_ping", "score_ms", "last_load_ms", "last_load", "last_refusal", "cooldown_until", "quota", "uptime_day", "uptime_month",
	}
	d := newDemo(t)
	used := get(t, d.Caddy, d.page+"status.json").body
	d.Stop()
	addr := caddytest.Addr(t)
	c := caddytest.Start(t, "http://"+addr+" {\nstatus_page\n}")
	for _, shown := range []string{used, get(t, c, "http://"+addr+"/status.json").body} {
		if !strings.Contains(shown, `"events":`) {
			t.Errorf("this is no status: %s", shown)
		}
		for _, match := range regexp.MustCompile(`"(\w+)":null`).FindAllStringSubmatch(shown, -1) {
			if !slices.Contains(unknown, match[1]) {
				t.Errorf("%s is null", match[1])
			}
		}
	}
}

// Texts from elsewhere are no HTML.
func TestHostileTexts(t *testing.T) {
	up := caddytest.NewUpstream(t, caddytest.Answer(500, "text/html", "<script>alert(1)</script>"))
	addr := caddytest.Addr(t)
	c := caddytest.Start(t, `{
	keepalive {
		target "<img src=x onerror=alert(1)>'&" {
			url `+up.URL+`
			contains "<b>bold"
		}
	}
}
http://`+addr+` {
	status_page
}
`)
	if code, body := c.Admin(http.MethodPost, "/keepalive/targets/%3Cimg%20src=x%20onerror=alert(1)%3E'&/ping"); code != http.StatusOK {
		t.Fatalf("the ping: status %d: %s", code, body)
	}
	for _, name := range []string{"", "?lang=zh", "badge/%3Cimg%20src=x%20onerror=alert(1)%3E'&.svg"} {
		got := get(t, c, "http://"+addr+"/"+name)
		if got.status != http.StatusOK || strings.Contains(got.body, "<img") || strings.Contains(got.body, "alert(1)<") || !strings.Contains(got.body, "&lt;img") {
			t.Errorf("%s: status %d: %s", name, got.status, got.body)
		}
	}
}

// The page may load nothing but itself, and no attribute is a style.
func TestPolicy(t *testing.T) {
	d := newDemo(t)
	page := get(t, d.Caddy, d.page)
	policy := page.header.Get("Content-Security-Policy")
	for _, word := range []string{"default-src 'none'", "script-src 'sha256-", "style-src 'sha256-", "connect-src 'self'", "base-uri 'none'", "form-action 'none'"} {
		if !strings.Contains(policy, word) {
			t.Errorf("the policy lacks %s: %s", word, policy)
		}
	}
	if strings.Contains(policy, "unsafe") || strings.Contains(page.body, "style=") || strings.Contains(page.body, "onclick") {
		t.Errorf("the policy is %s", policy)
	}
	for name, want := range map[string]string{"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer", "Content-Language": "en"} {
		if got := page.header.Get(name); got != want {
			t.Errorf("%s is %q, want %q", name, got, want)
		}
	}
}
