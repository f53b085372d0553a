package llmgateway

import "github.com/caddy-freetier/caddy-freetier/internal/bodies"

// acquireBodies gives each client its share of the memory for bodies: where there
// are or may be several no one can take more than half of it.
func acquireBodies(auth *authenticator) *bodies.Shared {
	shared := bodies.Acquire()
	auth.everybody.bodies = shared.Budget.Share(1)
	several := auth.file.path != "" || len(auth.clients) > 1
	for _, c := range auth.clients {
		c.bodies = shared.Budget.Share(1)
		if several {
			c.bodies = shared.Budget.Share(2)
		}
	}
	return shared
}
