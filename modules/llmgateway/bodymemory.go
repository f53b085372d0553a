package llmgateway

import "github.com/caddy-freetier/caddy-freetier/internal/bodies"

// acquireBodies gives each client its share of the memory for bodies: where there
// are several no one can take more than half of it.
func acquireBodies(auth *authenticator) *bodies.Shared {
	shared := bodies.Acquire()
	auth.everybody.bodies = shared.Budget.Share(1)
	for _, c := range auth.clients {
		c.bodies = shared.Budget.Share(int64(min(len(auth.clients), 2)))
	}
	return shared
}
