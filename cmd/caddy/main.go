// The program caddy: Caddy with its standard modules and those of
// caddy-freetier. Releases are built from it, with the versions of go.sum. For
// a build with other plugins, too, see xcaddy.sh.
package main

import (
	caddycmd "github.com/caddyserver/caddy/v2/cmd"
	_ "github.com/caddyserver/caddy/v2/modules/standard"

	_ "github.com/caddy-freetier/caddy-freetier"
)

func main() {
	caddycmd.Main()
}
