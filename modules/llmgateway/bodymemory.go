package llmgateway

import "github.com/caddy-freetier/caddy-freetier/internal/bodies"

// shareBodies gives each client its share of the memory for bodies: where there
// are several no one can take more than half of it.
func (h *Handler) shareBodies() {
	h.bodies = bodies.Acquire()
	h.everybody.bodies = h.bodies.Budget.Share(1)
	for _, c := range h.Clients {
		c.bodies = h.bodies.Budget.Share(int64(min(len(h.Clients), 2)))
	}
}
