package doh

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/caddyserver/caddy/v2"

	"github.com/caddy-freetier/caddy-freetier/internal/ledger"
	"github.com/caddy-freetier/caddy-freetier/internal/quota"
)

// Client is somebody with an address of their own.
type Client struct {
	// The name, which can be shown.
	Name string `json:"name,omitempty"`

	// The path, which can be a secret. Placeholders like `{env.X}` are
	// resolved when the configuration is loaded.
	Path string `json:"path,omitempty"`

	// How many queries are answered in a period; with several all hold. Counts
	// outlive restarts. Beyond a limit the answer is status 429.
	Limits []*quota.Quota `json:"limits,omitempty"`

	meters quota.Meters
}

// open opens the counts of the limits. book returns the ledger.
func (c *Client) open(book func() (*ledger.Ledger, error)) error {
	for _, limit := range c.Limits {
		l, err := book()
		if err != nil {
			return err
		}
		if limit.Unit != "" && limit.Unit != ledger.Requests {
			return fmt.Errorf("client %s: a limit counts queries", c.Name)
		}
		meter, err := limit.Open(l, "doh client "+c.Name)
		if err != nil {
			return fmt.Errorf("client %s: %w", c.Name, err)
		}
		c.meters = c.meters.With(meter)
	}
	return nil
}

// take counts a query, or returns why it must not be answered.
func (c *Client) take(now time.Time) *refusal {
	if spent := c.meters.Take(1); spent != nil {
		return tooMany("the limit of this client is reached", spent.Renews().Sub(now))
	}
	return nil
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
