package llmgateway

import (
	"encoding/json"
	"net/http"
	"strings"
	"time"

	"github.com/caddy-freetier/caddy-freetier/internal/llm"
)

// listedModel is a model that a client may use.
type listedModel struct {
	name  string
	owner string // the channel's name
}

// modelID returns the model that a canonical path of the list asks for, "" for
// the list itself. Names may contain slashes.
func modelID(path string) string {
	_, id, _ := strings.Cut(path, "/models")
	return strings.TrimPrefix(id, "/")
}

// modelLister lists the models of a gateway.
type modelLister struct {
	tiers   tiers
	started time.Time
}

// serve lists the models that the client may use, or describes one, in
// the client's dialect.
func (l *modelLister) serve(w http.ResponseWriter, r *http.Request, client *Client, id string) {
	models, dialect := l.models(client), llm.DialectOf(r.Method, r.URL.Path, r.Header)
	if id == "" {
		writeJSON(w, l.list(dialect, models))
		return
	}
	for _, m := range models {
		if m.name == id {
			writeJSON(w, l.describe(dialect, m))
			return
		}
	}
	modelNotFound(id).write(w, r)
}

// list is the response to a client that asks for its models.
// Sources: https://platform.openai.com/docs/api-reference/models/list,
// https://docs.anthropic.com/en/api/models-list and
// https://ai.google.dev/api/models#method:-models.list
func (l *modelLister) list(dialect llm.Dialect, models []listedModel) any {
	entries := make([]any, len(models))
	for i, m := range models {
		entries[i] = l.describe(dialect, m)
	}
	switch dialect {
	case llm.Gemini:
		return map[string]any{"models": entries}
	case llm.Anthropic:
		list := map[string]any{"data": entries, "has_more": false, "first_id": nil, "last_id": nil}
		if n := len(models); n > 0 {
			list["first_id"], list["last_id"] = models[0].name, models[n-1].name
		}
		return list
	}
	return map[string]any{"object": "list", "data": entries}
}

// describe is an entry of the list.
func (l *modelLister) describe(dialect llm.Dialect, m listedModel) any {
	switch dialect {
	case llm.Gemini:
		// What a channel's model can do is not known but by its name.
		methods := []string{"generateContent", "countTokens"}
		if strings.Contains(m.name, "embed") {
			methods = []string{"embedContent"}
		}
		return map[string]any{"name": "models/" + m.name, "displayName": m.name, "supportedGenerationMethods": methods}
	case llm.Anthropic:
		return map[string]any{"type": "model", "id": m.name, "display_name": m.name, "created_at": l.started.UTC().Format(time.RFC3339)}
	}
	return map[string]any{"id": m.name, "object": "model", "created": l.started.Unix(), "owned_by": m.owner}
}

// models returns what the client may use, in the order of tiers and of the
// Caddyfile, each name once. In the place of a wildcard stand the names that
// the channel itself lists, as far as they are known.
func (l *modelLister) models(client *Client) []listedModel {
	var list []listedModel
	seen := make(map[string]bool)
	add := func(name, owner string) {
		if seen[name] || !client.mayUse(name) {
			return
		}
		seen[name] = true
		list = append(list, listedModel{name, owner})
	}
	for _, tier := range l.tiers {
		for _, c := range tier {
			for name := range c.offered {
				add(name, c.Name)
			}
		}
	}
	return list
}

func writeJSON(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(v) // whoever does not get it has left
}
