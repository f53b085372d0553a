// Package freetier plugs all modules of caddy-freetier into Caddy:
//
//	xcaddy build --with github.com/caddy-freetier/caddy-freetier
package freetier

import (
	// A small server may have no time zones of its own.
	_ "time/tzdata"

	_ "github.com/caddy-freetier/caddy-freetier/internal/runtime"
	_ "github.com/caddy-freetier/caddy-freetier/modules/doh"
	_ "github.com/caddy-freetier/caddy-freetier/modules/fastestswagger"
	_ "github.com/caddy-freetier/caddy-freetier/modules/freetiercmd"
	_ "github.com/caddy-freetier/caddy-freetier/modules/keepalive"
	_ "github.com/caddy-freetier/caddy-freetier/modules/llmgateway"
	_ "github.com/caddy-freetier/caddy-freetier/modules/modelfield"
	_ "github.com/caddy-freetier/caddy-freetier/modules/statuspage"
)
