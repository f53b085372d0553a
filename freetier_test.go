package freetier_test

import (
	"testing"

	"github.com/caddyserver/caddy/v2"

	_ "github.com/caddy-freetier/caddy-freetier"
)

// What `xcaddy build --with` plugs in, by the names that configurations use.
func TestModules(t *testing.T) {
	for _, id := range []string{
		"freetier",
		"keepalive",
		"http.reverse_proxy.selection_policies.fastest-swagger",
		"http.reverse_proxy.selection_policies.model-field",
		"http.handlers.llm_gateway",
		"http.reverse_proxy.transport.llm_channel",
		"http.handlers.doh",
		"http.reverse_proxy.upstreams.doh",
		"http.reverse_proxy.transport.doh",
		"admin.api.keepalive",
		"admin.api.fastest-swagger",
		"admin.api.doh",
		"admin.api.llm_gateway",
	} {
		if _, err := caddy.GetModule(id); err != nil {
			t.Errorf("%s: %v", id, err)
		}
	}
}
