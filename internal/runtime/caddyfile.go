package runtime

import (
	"fmt"
	"regexp"
	"slices"

	"github.com/caddyserver/caddy/v2/caddyconfig"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"github.com/caddyserver/caddy/v2/caddyconfig/httpcaddyfile"
)

func init() {
	httpcaddyfile.RegisterGlobalOption("freetier", parseApp)
}

var variableName = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)

// parseApp parses the global option `freetier`. Syntax:
//
//	freetier {
//		variables <name>...
//	}
//
// `variables` names environment variables that the Caddyfile has as {$NAME}. A
// reload by a shell that lacks one of them is refused if the server has it.
func parseApp(d *caddyfile.Dispenser, existing any) (any, error) {
	d.Next() // consume option name
	if existing != nil {
		return nil, d.Err("freetier is given twice")
	}
	if d.NextArg() {
		return nil, d.Errf("unexpected %q; freetier takes a block", d.Val())
	}
	var names []string
	source := fmt.Sprintf("%s:%d", d.File(), d.Line())
	for d.NextBlock(0) {
		if d.Val() != "variables" {
			return nil, d.Errf("unknown option %q of freetier; there is variables", d.Val())
		}
		args := d.RemainingArgs()
		if len(args) == 0 {
			return nil, d.Err("variables needs the names of environment variables: variables AI_DOMAIN PAID_URL")
		}
		for _, name := range args {
			if !variableName.MatchString(name) {
				return nil, d.Errf("variables: %q is not the name of an environment variable; write it without $ and braces", name)
			}
			if !slices.Contains(names, name) {
				names = append(names, name)
			}
		}
	}
	app := new(App)
	if len(names) > 0 {
		app.Variables = newVariables(names, source)
	}
	return httpcaddyfile.App{Name: "freetier", Value: caddyconfig.JSON(app, nil)}, nil
}
