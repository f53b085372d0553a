package runtime

import (
	"fmt"
	"regexp"

	"github.com/caddyserver/caddy/v2/caddyconfig"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"github.com/caddyserver/caddy/v2/caddyconfig/httpcaddyfile"

	"github.com/caddy-freetier/caddy-freetier/internal/caddyfileutil"
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
		return nil, d.Err("freetier is given twice; put all variables into one block")
	}
	source := fmt.Sprintf("%s:%d", d.File(), d.Line())
	if err := caddyfileutil.NoArguments(d); err != nil {
		return nil, err
	}
	var names []string
	options := []caddyfileutil.Option{
		{Name: "variables", Repeats: true, Parse: caddyfileutil.Args("<name>...", "AI_DOMAIN PAID_URL", func(args []string) error {
			names = append(names, args...)
			return checkVariables(args)
		})},
	}
	if err := caddyfileutil.ParseBlock(d, "freetier", options); err != nil {
		return nil, err
	}
	app := new(App)
	if len(names) > 0 {
		app.Variables = newVariables(names, source)
	}
	return httpcaddyfile.App{Name: "freetier", Value: caddyconfig.JSON(app, nil)}, nil
}

func checkVariables(names []string) error {
	for _, name := range names {
		if !variableName.MatchString(name) {
			return fmt.Errorf("%q is not the name of an environment variable; write it without $ and braces", name)
		}
	}
	return nil
}
