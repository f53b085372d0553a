package llmgateway

import (
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2"

	"github.com/caddy-freetier/caddy-freetier/internal/caddytest"
)

func withTransport(url, options string) string {
	return fmt.Sprintf(`http://127.0.0.1:1 {
	llm_gateway {
		client me key-of-me
		channel a %s {
			api_key api-key-of-a
			transport {
				dial_timeout 5s
				%s
			}
			models *
		}
	}
}
`, url, options)
}

// Options of a transport that cannot work in a channel are refused where they
// stand.
func TestTransportMistakes(t *testing.T) {
	mistake := func(name, options, says string) caddytest.Mistake {
		return caddytest.Mistake{Name: name, Caddyfile: withTransport("https://a.example", options), Line: 8, Says: []string{"channel a", says}}
	}
	plain := func(name, options string, line int, says string) caddytest.Mistake {
		return caddytest.Mistake{Name: name, Caddyfile: withTransport("http://a.example", options), Line: line, Says: []string{"channel a", says}}
	}
	caddytest.Mistakes(t, []caddytest.Mistake{
		mistake("proxy protocol", "proxy_protocol v2", "would tell the channel the address of the client"),
		mistake("HTTP/3 beside others", "versions 2 3", "write: versions 3"),
		mistake("HTTP/3 with a proxy", "versions 3\nnetwork_proxy url http://127.0.0.1:1", "versions 3 would bypass the proxy"),
		mistake("HTTP/3 with a proxy of variables", "versions 3\nnetwork_proxy url {env.PROXY}", "versions 3 would bypass the proxy"),
		mistake("HTTP/3 with a proxy in the old way", "versions 3\nforward_proxy_url http://127.0.0.1:1", "versions 3 would bypass the proxy"),
		mistake("name of the request", "tls_server_name {http.reverse_proxy.upstream.host}", "{http.reverse_proxy.upstream.host} is not known then"),
		mistake("name of nothing", "tls_server_name x{nonsense}", "{nonsense} is not known then"),
		plain("HTTP/3 without TLS", "versions 3", 8, "versions 3 needs TLS"),
		plain("TLS without https", "tls_server_name b.example", 6, "the URL is http://"),
	})
	for _, right := range []string{"versions 3", "versions 3\nnetwork_proxy none", "versions 1.1", "tls_server_name b.example"} {
		if err := caddytest.Validate(withTransport("https://a.example", right)); err != nil {
			t.Errorf("%s: %v", right, err)
		}
	}
}

// What JSON says, and what is known only when a configuration is loaded.
func TestTransportLoadErrors(t *testing.T) {
	const where = "Caddyfile:4: channel a: "
	wantLoadError(t, "unset name", withTransport("https://a.example", "tls_server_name {env.NOT_SET}"), where, "tls_server_name", "{env.NOT_SET}")
	wantLoadError(t, "unset proxy", withTransport("https://a.example", "network_proxy url {env.NOT_SET}"), where, "network_proxy", "{env.NOT_SET}")
	for options, says := range map[string]string{
		`"proxy_protocol":"v1"`:                                              "proxy_protocol",
		`"versions":["3"],"forward_proxy_url":"http://p"`:                    "versions 3 would bypass the proxy",
		`"versions":["3"],"network_proxy":{"from":"url","url":"http://p"}`:   "versions 3 would bypass the proxy",
		`"versions":["1.1","3"]`:                                             "write: versions 3",
		`"tls":{"server_name":"{http.request.host}"}`:                        "is not known then",
		`"network_proxy":{"from":"url","url":"socks5://{env.NOT_SET}:1080"}`: "{env.NOT_SET}",
	} {
		cfg := `{"apps":{"http":{"servers":{"a":{"listen":["127.0.0.1:1"],"routes":[{"handle":[{"handler":"llm_gateway","clients":[{"name":"me","keys":["key-of-me"]}],
			"channels":[{"name":"a","url":"https://a.example","api_keys":["api-key-of-a"],"models":[{"names":["*"]}],"transport":{` + options + `}}]}]}]}}}}}`
		var config caddy.Config
		if err := caddy.StrictUnmarshalJSON([]byte(cfg), &config); err != nil {
			t.Fatal(err)
		}
		if err := caddy.Validate(&config); err == nil || !strings.Contains(err.Error(), says) || !strings.Contains(err.Error(), "channel a: ") {
			t.Errorf("%s: got %v, want %s", options, err, says)
		}
	}
}

// The gateway asks a channel for its models through the channel's transport,
// whatever the options of that want to know of a request.
func TestRequestsOfTheGatewayThroughTransports(t *testing.T) {
	list := caddytest.JSON(200, `{"data":[{"id":"wild-1"}]}`)
	up, secure := caddytest.NewUpstream(t, list), caddytest.NewTLSUpstream(t, list)
	_, port, err := net.SplitHostPort(secure.Addr())
	if err != nil {
		t.Fatal(err)
	}
	proxied := make(chan string, 100)
	proxy := caddytest.NewUpstream(t, func(w http.ResponseWriter, r *http.Request) {
		proxied <- r.RequestURI
		list(w, r)
	})
	proxyURL, err := url.Parse(proxy.URL)
	if err != nil {
		t.Fatal(err)
	}
	t.Setenv("CHANNEL_NAME", "example.com")
	t.Setenv("PROXY_HOST", proxyURL.Host)
	trust := "\ntls_trust_pool file " + secure.CAFile(t)
	for name, tc := range map[string]struct{ url, options string }{
		"name of a variable":         {"https://localhost:" + port, "tls_server_name {env.CHANNEL_NAME}" + trust},
		"name in pieces":             {"https://localhost:" + port, "tls_server_name {env.CHANNEL_NAME}\nversions 1.1" + trust},
		"proxy of a variable":        {up.URL, "network_proxy url http://{env.PROXY_HOST}"},
		"proxy and a channel's path": {up.URL + "/v1", "network_proxy url http://{env.PROXY_HOST}"},
	} {
		t.Run(name, func(t *testing.T) {
			g := start(t, "channel a "+tc.url+" {\napi_key api-key-of-a\nmodels wild-*\ntransport {\n"+tc.options+"\n}\n}")
			g.waitForModels(t, "a/wild-1")
			g.chat(t, "wild-1").wantStatus(t, 200)
			if strings.Contains(tc.options, "network_proxy") {
				for range 2 {
					if got := <-proxied; !strings.HasPrefix(got, up.URL+"/v1/") {
						t.Errorf("the proxy was asked for %s", got)
					}
				}
			}
		})
	}
	t.Run("configuration", func(t *testing.T) {
		os.Setenv("CHANNEL_NAME", "example.com")
		g := start(t, "channel a https://localhost:"+port+" {\napi_key api-key-of-a\nmodels m\ntransport {\ntls_server_name {env.CHANNEL_NAME}"+trust+"\n}\n}")
		if _, config := g.Admin(http.MethodGet, "/config/"); !strings.Contains(string(config), `"server_name":"{env.CHANNEL_NAME}"`) {
			t.Errorf("the configuration shows the value: %s", config)
		}
	})
}
