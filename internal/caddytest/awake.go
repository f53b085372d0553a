package caddytest

import (
	"testing"

	"github.com/caddyserver/caddy/v2"

	"github.com/caddy-freetier/caddy-freetier/internal/awake"
)

// Awake returns what the running Caddy knows of its upstreams.
func Awake(t testing.TB) *awake.Tracker {
	t.Helper()
	app, err := caddy.ActiveContext().AppIfConfigured("freetier")
	if err != nil {
		t.Fatalf("the app freetier does not run: %v", err)
	}
	return app.(interface{ Awake() *awake.Tracker }).Awake()
}
