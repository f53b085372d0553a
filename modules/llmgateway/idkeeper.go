package llmgateway

import (
	"context"

	"github.com/caddyserver/caddy/v2"
	"go.uber.org/zap"

	"github.com/caddy-freetier/caddy-freetier/internal/idstore"
	"github.com/caddy-freetier/caddy-freetier/internal/runtime"
)

var (
	// idStores holds the process's only Store while any configuration has a
	// gateway.
	idStores = caddy.NewUsagePool()

	// idKeepers holds an entry for each configuration with a gateway, by its app,
	// so that one of its gateways keeps the ids of all.
	idKeepers = caddy.NewUsagePool()
)

// acquireIDStore returns what remembers which key has made what, and registers the
// task that exchanges it with other processes. It is read in Start.
func acquireIDStore(ctx caddy.Context, app *runtime.App, p *pooled, logger *zap.Logger) (*idstore.Store, error) {
	store := take(p, idStores, idstore.New(), "ids")
	_, known := idKeepers.LoadOrStore(app, store)
	*p = append(*p, pooledEntry{idKeepers, app})
	if known {
		return store, nil
	}
	site := idstore.Site{Storage: ctx.Storage(), Clock: app.Clock(), Logger: logger, Owners: keyOwners}
	err := app.OnStart("ids of llm_gateway", func() error {
		store.Read(site)
		return nil
	})
	if err != nil {
		return nil, err
	}
	return store, app.Go("ids of llm_gateway", func(ctx context.Context) {
		store.Run(ctx, site, func() bool { return !hasTwo(idKeepers) })
	})
}

// hasTwo reports whether a pool has more than one entry.
func hasTwo(pool *caddy.UsagePool) bool {
	entries := 0
	pool.Range(func(any, any) bool {
		entries++
		return entries < 2
	})
	return entries > 1
}

// keyOwners returns the keys of the loaded configurations.
func keyOwners() (owners []idstore.Owner) {
	for _, g := range loadedGateways() {
		for _, c := range g.channels {
			for _, k := range c.keys() {
				owners = append(owners, idstore.Owner(k.id))
			}
		}
	}
	return owners
}
