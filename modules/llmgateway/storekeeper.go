package llmgateway

import (
	"context"
	"crypto/sha256"
	"strings"

	"github.com/caddyserver/caddy/v2"
	"go.uber.org/zap"

	"github.com/caddy-freetier/caddy-freetier/internal/cooldown"
	"github.com/caddy-freetier/caddy-freetier/internal/cooldownstore"
	"github.com/caddy-freetier/caddy-freetier/internal/idstore"
	"github.com/caddy-freetier/caddy-freetier/internal/processfiles"
	"github.com/caddy-freetier/caddy-freetier/internal/runtime"
)

var (
	// stores holds the process's only Store of cooldowns and its only one of ids while
	// any configuration has a gateway.
	stores = caddy.NewUsagePool()

	// storeKeepers holds a storeKeeper for each Store and configuration with a gateway.
	storeKeepers = caddy.NewUsagePool()
)

// storeKeeper is the configuration of an app that keeps a Store, for all its gateways.
//
// app is the configuration's own, so that the entry is one per configuration and Store;
// name is that of the task. During a reload there are two entries of a name for a
// moment.
type storeKeeper struct {
	app  *runtime.App
	name string
}

// store exchanges what the process knows with other processes.
type store interface {
	Read(site processfiles.Site)
	Run(ctx context.Context, site processfiles.Site, last func() bool)
}

// acquireCooldownStore returns what keeps the cooldowns of channels and keys.
func acquireCooldownStore(ctx caddy.Context, app *runtime.App, p *pooled, logger *zap.Logger) (*cooldownstore.Store, error) {
	s := take(p, stores, cooldownstore.New(cooldownItems), "cooldowns")
	return s, keepStore(ctx, app, p, logger, s, "cooldowns of llm_gateway")
}

// acquireIDStore returns what remembers which key has made what.
func acquireIDStore(ctx caddy.Context, app *runtime.App, p *pooled, logger *zap.Logger) (*idstore.Store, error) {
	s := take(p, stores, idstore.New(keyOwners), "ids")
	return s, keepStore(ctx, app, p, logger, s, "ids of llm_gateway")
}

// keepStore registers the tasks that read a Store in Start and keep it in Caddy's
// storage, unless another gateway of the configuration has done that.
//
// Each configuration writes once more when its task ends. keepersOf says whether another
// one goes on with the Store, as after a reload, or the process's file is now complete.
func keepStore(ctx caddy.Context, app *runtime.App, p *pooled, logger *zap.Logger, s store, name string) error {
	keeper := storeKeeper{app, name}
	_, known := storeKeepers.LoadOrStore(keeper, s)
	*p = append(*p, pooledEntry{storeKeepers, keeper})
	if known {
		return nil
	}
	site := processfiles.Site{Storage: ctx.Storage(), Clock: app.Clock(), Logger: logger}
	err := app.OnStart(name, func() error {
		s.Read(site)
		return nil
	})
	if err != nil {
		return err
	}
	return app.Go(name, func(ctx context.Context) {
		s.Run(ctx, site, func() bool { return keepersOf(name) < 2 })
	})
}

// keepersOf returns how many configurations keep a Store.
func keepersOf(name string) (keepers int) {
	storeKeepers.Range(func(keeper, _ any) bool {
		if keeper.(storeKeeper).name == name {
			keepers++
		}
		return true
	})
	return keepers
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
//
// The store calls it before each exchange, so that keys that were added to a file while
// Caddy runs are included and removed ones are not. IDs are hashes of URL and key: the
// storage never contains a key.
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

// poolKey is the key of an entry that is about the parts.
//
// The parts are separated by a NUL, which neither URLs nor keys can contain, so that
// different parts never have the same key. It is a hash since it is also what an API
// key goes by in Caddy's storage, which must not contain the API key.
func poolKey(parts ...string) [sha256.Size]byte {
	return sha256.Sum256([]byte(strings.Join(parts, "\x00")))
}
