package llmgateway

import (
	"encoding/json"
	"net/http"
	"strings"

	"github.com/caddy-freetier/caddy-freetier/modules/modelfield"
)

// listedModel is an entry of the list of models.
// Source: https://platform.openai.com/docs/api-reference/models/object
type listedModel struct {
	ID      string `json:"id"`
	Object  string `json:"object"`
	Created int64  `json:"created"`
	OwnedBy string `json:"owned_by"`
}

// isModelList tells whether the request asks for the list of models or for one
// entry of it, whose name it returns. Names may contain slashes.
func isModelList(r *http.Request) (id string, ok bool) {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		return "", false
	}
	if r.URL.Path == "/v1/models" || r.URL.Path == "/v1/models/" {
		return "", true
	}
	return strings.CutPrefix(r.URL.Path, "/v1/models/")
}

// serveModels lists the models that the client may use, or describes one.
func (h *Handler) serveModels(w http.ResponseWriter, r *http.Request, client *Client, id string) error {
	models := h.models(client)
	if id == "" {
		return writeJSON(w, map[string]any{"object": "list", "data": models})
	}
	for _, m := range models {
		if m.ID == id {
			return writeJSON(w, m)
		}
	}
	return modelNotFound(id).write(w, r)
}

// models returns what the client may use, in the order of tiers and of the
// Caddyfile, each name once. In the place of a wildcard stand the names that
// the channel itself lists, as far as they are known.
func (h *Handler) models(client *Client) []listedModel {
	list := []listedModel{}
	seen := make(map[string]bool)
	add := func(name, owner string) {
		if seen[name] || !client.mayUse(name) {
			return
		}
		seen[name] = true
		list = append(list, listedModel{ID: name, Object: "model", Created: h.started.Unix(), OwnedBy: owner})
	}
	for _, tier := range h.tiers {
		for _, c := range tier {
			for name := range c.offered {
				add(name, c.Name)
			}
		}
	}
	return list
}

// offered yields the names under which clients get the channel's models.
func (c *Channel) offered(yield func(string) bool) {
	for _, route := range c.Models {
		for _, pattern := range route.Names {
			if !isPattern(pattern) {
				if !yield(pattern) {
					return
				}
				continue
			}
			for _, name := range c.catalog.names() {
				if route.As == "" && modelfield.Match(pattern, name) && !yield(name) {
					return
				}
			}
		}
	}
}

func writeJSON(w http.ResponseWriter, v any) error {
	w.Header().Set("Content-Type", "application/json")
	return json.NewEncoder(w).Encode(v)
}
