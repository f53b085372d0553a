// Package directive parses the options that several directives share.
package directive

import (
	"encoding/json"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp/reverseproxy"
	"github.com/dustin/go-humanize"
)

// maxSize is far above what fits into memory, and keeps sizes positive.
const maxSize = 1 << 40

// Policy parses an option whose value is a selection policy of reverse_proxy,
// which may have a block, and returns it as JSON for a field with the inline
// key `policy`.
func Policy(d *caddyfile.Dispenser) (json.RawMessage, error) {
	option := d.Val()
	if !d.NextArg() {
		return nil, d.Errf("%s wants the name of a policy, such as random, first, round_robin or least_conn", option)
	}
	name := d.Val()
	id := "http.reverse_proxy.selection_policies." + name
	if _, err := caddy.GetModule(id); err != nil {
		return nil, d.Errf("%s: there is no policy %q; name one that Caddy has, such as random, first or least_conn", option, name)
	}
	module, err := caddyfile.UnmarshalModule(d, id)
	if err != nil {
		return nil, err
	}
	policy, ok := module.(reverseproxy.Selector)
	if !ok {
		return nil, d.Errf("%s %s: that is not a selection policy", option, name)
	}
	return caddyconfig.JSONModuleObject(policy, "policy", name, nil), nil
}

// Size parses an option whose value is a size such as 64MB, and returns it in
// bytes. As everywhere in Caddyfiles, 1MB is 1,000,000 bytes and 1MiB 1,048,576.
func Size(d *caddyfile.Dispenser) (int64, error) {
	option := d.Val()
	var value string
	if !d.AllArgs(&value) {
		return 0, d.Errf("%s wants a size such as 64MB", option)
	}
	size, err := humanize.ParseBytes(value)
	if err != nil || size == 0 || size > maxSize {
		return 0, d.Errf("%s %s: wants a size such as 64MB", option, value)
	}
	return int64(size), nil
}
