// Package freetier plugs all modules of caddy-freetier into Caddy:
//
//	xcaddy build --with github.com/caddy-freetier/caddy-freetier
package freetier

import (
	// A small server may have no time zones of its own.
	_ "time/tzdata"

	_ "github.com/caddy-freetier/caddy-freetier/internal/runtime"
)
