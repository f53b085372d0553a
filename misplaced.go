package freetier

import (
	"fmt"
	"strings"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"github.com/caddyserver/caddy/v2/caddyconfig/httpcaddyfile"
)

// Our options in the wrong place, or under a name that is nearly theirs, are
// errors that say where they belong. Without these stubs Caddy says only that it
// does not know them.
func init() {
	const (
		isGlobal  = "%s is a global option; write it into the block in braces that the Caddyfile begins with"
		isGateway = "%s is written llm_gateway"
		inSite    = "%s is a directive; write it into a site, such as example.com { %s ... }"
	)
	for _, name := range []string{"keepalive", "freetier"} {
		misplacedDirective(name, isGlobal)
	}
	for _, name := range []string{"llm-gateway", "llmgateway"} {
		misplacedDirective(name, isGateway)
	}
	for _, name := range []string{"llm_gateway", "doh", "awake"} {
		misplacedGlobal(name, inSite)
	}
	for name, policy := range policyNames {
		says := "%s is a policy of reverse_proxy; write into its block: lb_policy " + policy
		misplacedDirective(name, says)
		misplacedGlobal(name, says)
	}
	caddy.RegisterModule(misnamedPolicy("fastest_swagger"))
	caddy.RegisterModule(misnamedPolicy("model_field"))
}

// policyNames are our policies by how people write them.
var policyNames = map[string]string{
	"fastest-swagger": "fastest-swagger",
	"fastest_swagger": "fastest-swagger",
	"model-field":     "model-field <field> { ... }",
	"model_field":     "model-field <field> { ... }",
}

// misplacedDirective makes a directive an error. In says %s stands for its name.
func misplacedDirective(name, says string) {
	httpcaddyfile.RegisterDirective(name, func(h httpcaddyfile.Helper) ([]httpcaddyfile.ConfigValue, error) {
		h.Next()
		return nil, h.Err(strings.ReplaceAll(says, "%s", name))
	})
}

// misplacedGlobal makes a global option an error. In says %s stands for its name.
func misplacedGlobal(name, says string) {
	httpcaddyfile.RegisterGlobalOption(name, func(d *caddyfile.Dispenser, _ any) (any, error) {
		d.Next()
		return nil, d.Err(strings.ReplaceAll(says, "%s", name))
	})
}

// misnamedPolicy is a policy of reverse_proxy that exists under another name.
type misnamedPolicy string

// CaddyModule returns the Caddy module information.
func (p misnamedPolicy) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{
		ID:  caddy.ModuleID("http.reverse_proxy.selection_policies." + p),
		New: func() caddy.Module { return &misnamed{p} },
	}
}

// misnamed is a misnamedPolicy in a configuration.
type misnamed struct{ misnamedPolicy }

// UnmarshalCaddyfile implements caddyfile.Unmarshaler. It is always an error.
func (m *misnamed) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	d.Next()
	return d.WrapErr(m.err())
}

// Provision implements caddy.Provisioner. It is always an error.
func (m *misnamed) Provision(caddy.Context) error { return m.err() }

func (m *misnamed) err() error {
	return fmt.Errorf("the policy %s is written with a hyphen: lb_policy %s", m.misnamedPolicy, policyNames[string(m.misnamedPolicy)])
}

// Interface guards
var (
	_ caddyfile.Unmarshaler = (*misnamed)(nil)
	_ caddy.Provisioner     = (*misnamed)(nil)
)
