package llmgateway

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/caddy-freetier/caddy-freetier/internal/caddytest"
)

// rawChat is a chat as it goes over the wire, with further lines in its header.
func rawChat(model string, lines ...string) string {
	body := chatBody(model)
	return "POST /v1/chat/completions HTTP/1.1\r\nHost: gateway\r\nAuthorization: Bearer alice-key\r\nContent-Type: application/json\r\n" +
		fmt.Sprintf("Content-Length: %d\r\n", len(body)) + strings.Join(append(lines, ""), "\r\n") + "\r\n" + body
}

// passing are headers that go to every channel, as they are.
var passing = map[string]string{
	"Accept": "text/event-stream", "User-Agent": "codex/1.2 (linux; x)", "Idempotency-Key": "i-1", "Range": "bytes=0-9",
	"Content-Type": "application/json", "Content-Language": "de", "Content-Disposition": "inline",
	"If-Match": `"a"`, "If-None-Match": `"b", "c"`, "If-Modified-Since": "Mon, 02 Mar 2026 00:00:00 GMT", "If-Range": `"d"`,
	"Traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", "Tracestate": "a=b",
	"Anthropic-Version": "2023-06-01", "Anthropic-Beta": "a-1,b-2", "Anthropic-Dangerous-Direct-Browser-Access": "true",
	"Openai-Beta": "responses=v1", "X-Stainless-Os": "Linux", "X-Stainless-Retry-Count": "0", "X-Stainless-Timeout": "600",
	"X-Goog-Api-Client": "google-genai-sdk/2.32.0 gl-node/v20", "X-Goog-Upload-Protocol": "resumable", "X-Goog-Upload-Header-Content-Length": "5",
	"Session-Id": "s2", "Conversation-Id": "c2", "Thread-Id": "t1",
	"X-Client-Request-Id": "r1", "X-Codex-Turn-State": "ts", "X-Codex-Window-Id": "w", "X-Claude-Code-Session-Id": "cc", "X-App": "cli",
	"X-Session-Id": "xs", "X-Session-Affinity": "xa", "X-Opencode-Session": "oc", "X-Amp-Thread-Id": "amp", "X-Grok-Conv-Id": "grok",
}

// staying are headers that no channel gets, by what they would say.
var staying = map[string][]string{
	"cookies": {"Cookie", "Cookie2", "Set-Cookie"},
	"addresses": {
		"X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto", "X-Forwarded-Port", "X-Forwarded-Server", "X-Forwarded-Client-Cert",
		"X-Forwarded", "Forwarded", "Forwarded-For", "Via", "X-Real-Ip", "X-Client-Ip", "Client-Ip", "True-Client-Ip", "X-Cluster-Client-Ip",
		"X-Original-Forwarded-For", "X-Vercel-Forwarded-For", "X-Remote-Ip", "X-Remote-Addr", "X-Originating-Ip", "X-Host", "X-Proxyuser-Ip",
		"Fastly-Client-Ip", "Fly-Client-Ip", "Do-Connecting-Ip", "Cf-Connecting-Ip", "Cf-Connecting-Ipv6", "Cf-Pseudo-Ipv4",
		"Eo-Client-Ip", "Eo-Connecting-Ip", "Ali-Cdn-Real-Ip", "Cdn-Src-Ip", "X-Azure-Clientip", "X-Azure-Socketip", "Cloudfront-Viewer-Address",
		"X-Envoy-External-Address", "X-Appengine-User-Ip", "X-Nf-Client-Connection-Ip", "X-Proxy-Client-Ip", "Wl-Proxy-Client-Ip", "Incap-Client-Ip",
	},
	"CDNs": {
		"Cf-Ray", "Cf-Ipcountry", "Cf-Visitor", "Cf-Warp-Tag-Id", "Cf-Worker", "Cf-Ew-Via", "Cdn-Loop", "X-Amz-Cf-Id", "X-Amzn-Trace-Id",
		"Cloudfront-Viewer-Country", "Fly-Region", "X-Vercel-Ip-City", "X-Appengine-City", "X-Azure-Ref", "X-Cdn-Loop", "Early-Data",
		"X-Cloud-Trace-Context", "X-B3-Traceid", "Baggage", "X-Request-Id", "X-Correlation-Id",
	},
	"identities": {
		"Remote-User", "Remote-Email", "Remote-Groups", "X-Remote-User", "X-Auth-Request-Email", "X-Auth-Request-User", "X-Auth-Request-Access-Token",
		"Cf-Access-Jwt-Assertion", "Cf-Access-Authenticated-User-Email", "X-Goog-Authenticated-User-Email", "X-Goog-Iap-Jwt-Assertion",
		"X-Amzn-Oidc-Data", "X-Amzn-Oidc-Identity", "X-Ms-Client-Principal", "X-Ms-Client-Principal-Name", "X-Authentik-Username", "X-Authelia-User",
		"X-Pomerium-Jwt-Assertion", "X-Webauth-User", "Tailscale-User-Login", "X-Vouch-User", "X-Openwebui-User-Email", "X-Openwebui-User-Name",
		"X-Openwebui-User-Id", "X-Openwebui-Chat-Id", "X-Gemini-Api-Privileged-User-Id", "X-Codex-Installation-Id", "X-Codex-Turn-Metadata",
		"X-User-Id", "X-User-Email", "From", "Dnt", "Sec-Gpc", "Accept-Language", "Sec-Ch-Ua", "Sec-Fetch-Site", "X-Ssl-Client-S-Dn", "Client-Cert",
	},
	"pages":    {"Origin", "Referer", "Http-Referer", "X-Title", "X-Requested-With", "Ping-From"},
	"accounts": {"Openai-Organization", "Openai-Project", "X-Goog-User-Project", "Chatgpt-Account-Id", "Anthropic-Organization-Id", "Anthropic-Workspace-Id", "X-Project-Id", "X-Opencode-Project"},
	"keys":     {"X-Api-Key", "Api-Key", "X-Goog-Api-Key", "Proxy-Authorization", "X-Amz-Security-Token", "X-Auth-Token", "X-Csrf-Token", "Private-Token"},
	"connection": {
		"Keep-Alive", "Proxy-Connection", "Te", "Http2-Settings", "Max-Forwards", "Upgrade-Insecure-Requests",
		"Sec-Websocket-Key", "Sec-Websocket-Protocol", "Sec-Websocket-Version", "Sec-Websocket-Extensions",
	},
	"methods": {"X-Http-Method-Override", "X-Http-Method", "X-Method-Override", "X-Original-Url", "X-Rewrite-Url", "X-Original-Method"},
	"lookalikes": {
		"X_Forwarded_For", "X_Real_Ip", "Content_type", "Contentx", "Ifx", "Anthropicx", "X-Stainless", "X-Goog-Upload", "Xx-Stainless-Os", "Accept_", "Accept-Charset", "Content-Md5", "Content-Encoding_", "A", "X",
	},
}

func TestClientHeaders(t *testing.T) {
	up := caddytest.NewUpstream(t, caddytest.JSON(200, completion))
	g := start(t, "channel a "+up.URL+" {\napi_key k\nmodels m\n}")
	var all []string
	for _, names := range staying {
		all = append(all, names...)
	}
	check := func(t *testing.T, got caddytest.Request) {
		t.Helper()
		for name, want := range passing {
			if values := got.Header[name]; len(values) != 1 || values[0] != want {
				t.Errorf("%s arrived as %q, want %q", name, values, want)
			}
		}
		for _, name := range all {
			if values, ok := got.Header[name]; ok {
				t.Errorf("%s arrived: %q", name, values)
			}
		}
		for name := range got.Header {
			if _, ok := passing[name]; !ok && !slices.Contains([]string{"Authorization", "Content-Length", "Accept-Encoding"}, name) {
				t.Errorf("%s arrived too: %q", name, got.Header[name])
			}
		}
		if got.Header.Get("Authorization") != "Bearer k" {
			t.Errorf("Authorization: %q", got.Header["Authorization"])
		}
	}
	var lines []string
	for name, value := range passing {
		if name != "Content-Type" {
			lines = append(lines, name+": "+value)
		}
	}
	for _, name := range all {
		value := "alice-key" // so that the keys among them are right
		lines = append(lines, strings.ToLower(name)+": "+value)
	}
	for name, connection := range map[string]string{
		"plain":               "close",
		"Connection names it": "close, Authorization, " + strings.Join(slices.Sorted(maps.Keys(passing)), ", "),
	} {
		t.Run(name, func(t *testing.T) {
			g.exchange(t, rawChat("m", append(lines, "Connection: "+connection)...)).wantStatus(t, 200)
			check(t, up.Next(t))
		})
	}
}

// By default Caddy drops headers with an underscore before any handler. Where it
// is told to expect them, the agents' session ids pass and nothing else.
func TestHeadersWithUnderscores(t *testing.T) {
	up := caddytest.NewUpstream(t, caddytest.JSON(200, completion))
	addr := caddytest.Addr(t)
	c := caddytest.Start(t, strings.Replace(site(addr, "client alice alice-key\nchannel a "+up.URL+" {\napi_key k\nmodels m\n}"), "trace",
		"trace\n\t\texpected_underscore_headers Session_id Conversation_id X_Forwarded_For Content_Type Cf_Connecting_Ip", 1))
	g := &testGateway{Caddy: c, URL: "http://" + addr}
	g.exchange(t, rawChat("m", "Session_id: s", "conversation_id: c", "X_Forwarded_For: 192.0.2.1", "Content_Type: text/x", "Cf_Connecting_Ip: 192.0.2.1",
		"Connection: close")).wantStatus(t, 200)
	got := up.Next(t)
	if s, c := got.Header["Session_id"], got.Header["Conversation_id"]; len(s) != 1 || s[0] != "s" || len(c) != 1 || c[0] != "c" {
		t.Errorf("the session ids arrived as %q and %q", s, c)
	}
	for name := range got.Header {
		if strings.Contains(name, "_") && !strings.HasSuffix(name, "_id") {
			t.Errorf("%s arrived", name)
		}
	}
}

// A client may say that it takes trailers, and nothing else with TE.
func TestTE(t *testing.T) {
	up := caddytest.NewUpstream(t, caddytest.JSON(200, completion))
	g := start(t, "channel a "+up.URL+" {\napi_key k\nmodels m\n}")
	for value, want := range map[string]string{"trailers": "trailers", "gzip;q=0.5, Trailers": "trailers", "gzip": "", "deflate, x-trailers": ""} {
		g.exchange(t, rawChat("m", "TE: "+value, "Connection: close, TE")).wantStatus(t, 200)
		if got := up.Next(t).Header.Get("Te"); got != want {
			t.Errorf("TE %q arrived as %q, want %q", value, got, want)
		}
	}
}

// A header that could break a line is no header.
func TestControlCharactersInHeaders(t *testing.T) {
	up := caddytest.NewUpstream(t, caddytest.JSON(200, completion))
	g := start(t, "channel a "+up.URL+" {\napi_key k\nmodels m\n}")
	for _, c := range []string{"\x00", "\x01", "\x08", "\x0b", "\x1b", "\x7f"} {
		for _, name := range []string{"User-Agent", "Session_id", "Accept", "X-Unknown"} {
			g.exchange(t, rawChat("m", name+": a"+c+"b", "Connection: close")).wantStatus(t, 400)
		}
	}
	if n := len(up.Requests()); n > 0 {
		t.Errorf("%d requests arrived", n)
	}
}

func TestAllowHeader(t *testing.T) {
	a := caddytest.NewUpstream(t, caddytest.JSON(200, completion))
	b := caddytest.NewUpstream(t, caddytest.JSON(200, completion))
	g := start(t, `
		allow_header X-For-All
		channel a `+a.URL+` {
			api_key      k
			models       a
			allow_header HTTP-Referer x-title
			allow_header Referer
			header_up    X-Title ours
		}
		channel b `+b.URL+` {
			api_key k
			models  b
		}`)
	sent := []string{"X-For-All", "1", "HTTP-Referer", "https://app.example", "Referer", "https://page.example", "X-Title", "theirs", "X-Other", "2"}
	for model, tc := range map[string]struct {
		up   *caddytest.Upstream
		want map[string]string
	}{
		"a": {a, map[string]string{"X-For-All": "1", "Http-Referer": "https://app.example", "Referer": "https://page.example", "X-Title": "ours", "X-Other": ""}},
		"b": {b, map[string]string{"X-For-All": "1", "Http-Referer": "", "Referer": "", "X-Title": "", "X-Other": ""}},
	} {
		g.chat(t, model, sent...).wantStatus(t, 200)
		got := tc.up.Next(t)
		for name, want := range tc.want {
			if value := strings.Join(got.Header[name], "|"); value != want {
				t.Errorf("channel %s got %s: %q, want %q", model, name, value, want)
			}
		}
	}
}

// What shows a key, an identity, an address or an account cannot be allowed.
func TestHeadersThatCannotBeAllowed(t *testing.T) {
	names := slices.Concat(
		staying["cookies"], staying["keys"][:5], staying["accounts"][:6],
		[]string{"authorization", "X-Forwarded-For", "Forwarded", "Via", "CF-Connecting-IP", "Fly-Client-IP", "Cf-Access-Jwt-Assertion", "Remote-User"},
		[]string{"Connection", "Transfer-Encoding", "Host", "Content-Length", "Upgrade", "Sec-WebSocket-Protocol", "Accept-Encoding"},
		[]string{"X-*", "Two Words", `""`})
	for _, name := range names {
		for _, inChannel := range []bool{false, true} {
			option, line := "allow_header "+name+"\n", 6
			channel := "channel a https://a.example {\napi_key k\nmodels m\n}\n"
			config := "http://127.0.0.1:1 {\n\tllm_gateway {\nclient x client-key\n\n\n" + option + channel + "}\n}\n"
			if inChannel {
				config = "http://127.0.0.1:1 {\n\tllm_gateway {\nclient x client-key\n" + strings.Replace(channel, "{\n", "{\n\n"+option, 1) + "}\n}\n"
			}
			if name == "Two Words" {
				continue // two names, each of which may be one
			}
			_, err := caddytest.Adapt(config)
			if err == nil || !strings.Contains(err.Error(), fmt.Sprintf("Caddyfile:%d", line)) || !strings.Contains(err.Error(), "allow_header") {
				t.Errorf("allow_header %s in a channel: %v: %v", name, inChannel, err)
			}
		}
	}
	if err := caddytest.Validate("http://127.0.0.1:1 {\nllm_gateway {\nclient x client-key\nallow_header HTTP-Referer X-Title Referer\nchannel a https://a.example {\napi_key k\nmodels m\n}\n}\n}"); err != nil {
		t.Error(err)
	}
}
