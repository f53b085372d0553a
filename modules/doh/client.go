package doh

import (
	"errors"
	"fmt"
	"strings"

	"github.com/caddyserver/caddy/v2"
)

// Client is somebody with an address of their own.
type Client struct {
	// The name, which can be shown.
	Name string `json:"name,omitempty"`

	// The path, which can be a secret. Placeholders like `{env.X}` are
	// resolved when the configuration is loaded.
	Path string `json:"path,omitempty"`
}

// byPath returns the clients by their paths.
func byPath(clients []*Client) (map[string]*Client, error) {
	paths := make(map[string]*Client, len(clients))
	repl := caddy.NewReplacer()
	for _, c := range clients {
		path, err := repl.ReplaceOrErr(c.Path, true, true)
		if err != nil {
			return nil, fmt.Errorf("client %s: %w", c.Name, err)
		}
		if err := checkPath(path); err != nil {
			return nil, fmt.Errorf("client %s: %w", c.Name, err)
		}
		if other := paths[path]; other != nil {
			return nil, fmt.Errorf("client %s has the path of client %s", c.Name, other.Name)
		}
		paths[path] = c
	}
	return paths, nil
}

func checkPath(path string) error {
	if !strings.HasPrefix(path, "/") || strings.ContainsAny(path, "*?#") {
		return errors.New("a path begins with / and contains none of * ? #")
	}
	return nil
}
