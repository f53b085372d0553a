package llmgateway

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/jonboulle/clockwork"

	"github.com/caddy-freetier/caddy-freetier/internal/caddytest"
)

// keyPlaces are where a request can show a key: lines of its header, or %s in
// its query.
var keyPlaces = map[string]string{
	"Authorization": "Authorization: Bearer %s", "bare Authorization": "Authorization: %s", "x-api-key": "X-Api-Key: %s", "api-key": "API-Key: %s",
	"x-goog-api-key": "x-goog-api-key: %s", "subprotocol": "Sec-WebSocket-Protocol: realtime, openai-insecure-api-key.%s",
	"capital subprotocol": "Sec-WebSocket-Protocol: OpenAI-Insecure-Api-Key.%s, realtime",
	"query":               "?key=%s", "capital query": "?KEY=%s", "escaped query": "?a=b&%%4bey=%s",
}

// keyRequest is a chat that shows keys in places.
func keyRequest(shown ...[2]string) string {
	query := "?"
	lines := []string{"Connection: close"}
	for _, s := range shown {
		text := fmt.Sprintf(keyPlaces[s[0]], s[1])
		if part, ok := strings.CutPrefix(text, "?"); ok {
			query += part + "&"
		} else {
			lines = append(lines, text)
		}
	}
	request := strings.Replace(rawChat("m", lines...), "Authorization: Bearer alice-key\r\n", "", 1)
	return strings.Replace(request, "completions HTTP", "completions"+strings.TrimRight(query, "?&")+" HTTP", 1)
}

// A request may show one key, in any number of places. All of them are taken
// out, and two different ones are refused in whatever places.
func TestOneKeyARequest(t *testing.T) {
	up := caddytest.NewUpstream(t, caddytest.JSON(200, completion))
	g := start(t, "client alice alice-key\nclient bob bob-key\nchannel a "+up.URL+" {\napi_key k\nmodels m\n}")
	clean := func(t *testing.T) {
		t.Helper()
		got := up.Next(t)
		if dump := strings.ToLower(fmt.Sprint(got.URI, got.Header)); strings.Contains(dump, "alice") || strings.Contains(dump, "key=") {
			t.Errorf("a key arrived: %s", dump)
		}
	}
	wrong := 0
	var everywhere [][2]string
	for a := range keyPlaces {
		everywhere = append(everywhere, [2]string{a, "alice-key"})
		g.exchange(t, keyRequest([2]string{a, "alice-key"})).wantStatus(t, 200)
		clean(t)
		g.exchange(t, keyRequest([2]string{a, "no-key"})).wantError(t, 401, "invalid_api_key")
		wrong++
		for b := range keyPlaces {
			for _, other := range []string{"bob-key", "guess", "Alice-key"} {
				g.exchange(t, keyRequest([2]string{a, "alice-key"}, [2]string{b, other})).wantError(t, 401, "invalid_api_key")
				wrong++
			}
		}
	}
	g.exchange(t, keyRequest(everywhere...)).wantStatus(t, 200)
	clean(t)
	g.exchange(t, keyRequest()).wantError(t, 401, "invalid_api_key") // no key is no wrong key
	// Many guesses beside the right one, in the query and in headers.
	var query, lines strings.Builder
	for i := range 800 {
		fmt.Fprintf(&query, "key=%06d&", i)
		fmt.Fprintf(&lines, "Api-Key: %06d\r\n", i)
	}
	guesses := rawChat("m", "Connection: close")
	g.exchange(t, strings.Replace(guesses, "completions HTTP", "completions?"+query.String()+"key=alice-key HTTP", 1)).wantError(t, 401, "invalid_api_key")
	g.exchange(t, strings.Replace(guesses, "\r\n\r\n", "\r\n"+lines.String()+"\r\n", 1)).wantError(t, 401, "invalid_api_key")
	wrong += 2
	if n := len(up.Requests()); n != len(keyPlaces)+1 {
		t.Errorf("%d requests arrived, want %d", n, len(keyPlaces)+1)
	}
	if n := g.Metric("caddy_llm_gateway_wrong_keys_total"); n < float64(wrong) {
		t.Errorf("%v wrong keys were counted, want at least %d", n, wrong)
	}
}

// What is no key of ours stands in nobody's way and goes nowhere: the login to
// a site, an organization in a subprotocol.
func TestOtherCredentials(t *testing.T) {
	up := caddytest.NewUpstream(t, caddytest.JSON(200, completion))
	g := start(t, "channel a "+up.URL+" {\napi_key k\nmodels m\n}")
	request := strings.Replace(rawChat("m", "X-Api-Key: alice-key", "Connection: close",
		"Sec-WebSocket-Protocol: OpenAI-Organization.org-1, openai-project.p-1"), "Bearer alice-key", "Basic c2l0ZTpsb2dpbg==", 1)
	g.exchange(t, request).wantStatus(t, 200)
	got := up.Next(t)
	if got.Header.Get("Authorization") != "Bearer k" {
		t.Errorf("Authorization: %q", got.Header["Authorization"])
	}
	if dump := fmt.Sprint(got.Header); strings.Contains(dump, "org-1") || strings.Contains(dump, "p-1") || strings.Contains(dump, "c2l0") {
		t.Errorf("arrived: %s", dump)
	}
}

// A channel whose key goes into the query gets no other one there.
func TestQueryAuthReplacesParameter(t *testing.T) {
	up := caddytest.NewUpstream(t, caddytest.JSON(200, completion))
	g := start(t, "channel a "+up.URL+" {\napi_key channel-key\nauth query token\nmodels m\n}")
	g.do(t, http.MethodPost, "/v1/chat/completions?a=b&token=theirs&Token=x&tok%65n=y", chatBody("m")).wantStatus(t, 200)
	if got := up.Next(t).URI; got != "/v1/chat/completions?a=b&token=channel-key" {
		t.Errorf("URI: %s", got)
	}
}

// Wrong keys are counted and logged with the client's address, but not each of
// them, and never the key.
func TestWrongKeysAreLogged(t *testing.T) {
	addr := caddytest.Addr(t)
	clock := clockwork.NewFakeClock()
	c := caddytest.Start(t, site(addr, "client alice alice-key\nchannel a http://127.0.0.1:1 {\napi_key k\nmodels m\n}"), caddytest.WithFakeClock(clock))
	g := &testGateway{Caddy: c, URL: "http://" + addr, client: c.Client()}
	before := g.Metric("caddy_llm_gateway_wrong_keys_total")
	const message = "request with a wrong API key"
	send := func(n int) {
		for range n {
			g.chat(t, "m", "Authorization", "Bearer wrong-secret").wantError(t, 401, "invalid_api_key")
		}
	}
	send(25)
	if n := g.Logs.Count(message, `"client_ip":"127.0.0.1"`, `"reason":"unknown key"`); n != wrongKeyLines {
		t.Errorf("%d lines, want %d", n, wrongKeyLines)
	}
	clock.Advance(2 * time.Second)
	send(5)
	if n := g.Logs.Count(message); n != wrongKeyLines+2 {
		t.Errorf("%d lines after two seconds, want %d", n, wrongKeyLines+2)
	}
	if g.Logs.Count(message, `"unlogged":15`) != 1 {
		t.Error("it does not say how many were not logged")
	}
	clock.Advance(time.Hour)
	send(25)
	if n := g.Logs.Count(message); n != 2*wrongKeyLines+2 {
		t.Errorf("%d lines after an hour, want %d", n, 2*wrongKeyLines+2)
	}
	if n := g.Metric("caddy_llm_gateway_wrong_keys_total") - before; n != 55 {
		t.Errorf("%v were counted, want 55", n)
	}
	if strings.Contains(g.Logs.String(), "wrong-secret") {
		t.Error("the log shows a key")
	}
}
