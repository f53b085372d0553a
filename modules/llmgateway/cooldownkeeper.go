package llmgateway

import (
	"context"
	"crypto/sha256"
	"strings"

	"github.com/caddyserver/caddy/v2"
	"go.uber.org/zap"

	"github.com/caddy-freetier/caddy-freetier/internal/cooldown"
	"github.com/caddy-freetier/caddy-freetier/internal/cooldownstore"
	"github.com/caddy-freetier/caddy-freetier/internal/runtime"
)

var (
	// cooldownStores holds the process's only Store while any configuration has
	// a gateway.
	cooldownStores = caddy.NewUsagePool()

	// cooldownKeepers holds an entry for each configuration with a gateway, by
	// its app, so that one of its gateways keeps the cooldowns of all.
	cooldownKeepers = caddy.NewUsagePool()
)

// acquireCooldownStore returns what keeps the cooldowns of channels and keys in
// Caddy's storage, and registers the task for it. It is read in Start.
func acquireCooldownStore(ctx caddy.Context, app *runtime.App, p *pooled, logger *zap.Logger) (*cooldownstore.Store, error) {
	store := take(p, cooldownStores, cooldownstore.New(), "cooldowns")
	_, known := cooldownKeepers.LoadOrStore(app, store)
	*p = append(*p, pooledEntry{cooldownKeepers, app})
	if known {
		return store, nil
	}
	site := cooldownstore.Site{Storage: ctx.Storage(), Clock: app.Clock(), Logger: logger, Items: cooldownItems}
	err := app.OnStart("cooldowns of llm_gateway", func() error {
		store.Read(site)
		return nil
	})
	if err != nil {
		return nil, err
	}
	return store, app.Go("cooldowns of llm_gateway", func(ctx context.Context) { store.Run(ctx, site, isLastKeeper) })
}

// isLastKeeper reports whether no more than one configuration has a gateway.
func isLastKeeper() bool {
	keepers := 0
	cooldownKeepers.Range(func(any, any) bool {
		keepers++
		return keepers < 2
	})
	return keepers < 2
}

// loadedGateways returns the gateways of the loaded configurations. Nothing waits
// for what is done with them.
func loadedGateways() (loaded []*gateway) {
	gateways.Range(func(_, value any) bool {
		loaded = append(loaded, value.(*gateway))
		return true
	})
	return loaded
}

// cooldownItems returns the channels and keys of the loaded configurations, each
// once: those of one URL share their cooldowns.
func cooldownItems() (items []cooldownstore.Item) {
	known := make(map[*cooldown.Breaker]bool)
	add := func(b *cooldown.Breaker, id cooldownstore.ID) {
		if !known[b] {
			known[b] = true
			items = append(items, cooldownstore.Item{ID: id, Breaker: b})
		}
	}
	for _, g := range loadedGateways() {
		for _, c := range g.channels {
			add(c.cooldowns, poolKey(c.base.String()))
			for _, k := range c.keys() {
				add(k.cooldowns, k.id)
			}
		}
	}
	return items
}

// poolKey is the key of an entry that is about the parts.
func poolKey(parts ...string) [sha256.Size]byte {
	return sha256.Sum256([]byte(strings.Join(parts, "\x00")))
}
