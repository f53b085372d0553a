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

// User is somebody with a path of their own.
type User struct {
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
func (u *User) open(book func() (*ledger.Ledger, error)) error {
	for _, limit := range u.Limits {
		l, err := book()
		if err != nil {
			return err
		}
		if limit.Unit != "" && limit.Unit != ledger.Requests {
			return fmt.Errorf("client %s: a limit counts queries", u.Name)
		}
		meter, err := limit.Open(l, "doh client "+u.Name)
		if err != nil {
			return fmt.Errorf("client %s: %w", u.Name, err)
		}
		u.meters = u.meters.With(meter)
	}
	return nil
}

// charge counts a query, or returns why it must not be answered.
func (u *User) charge(now time.Time) *refusal {
	if exhausted := u.meters.Take(1); exhausted != nil {
		return tooMany("the limit of this client is reached", exhausted.Renews().Sub(now))
	}
	return nil
}

// byPath returns the users by their paths.
func byPath(users []*User) (map[string]*User, error) {
	paths := make(map[string]*User, len(users))
	repl := caddy.NewReplacer()
	for _, u := range users {
		path, err := repl.ReplaceOrErr(u.Path, true, true)
		if err != nil {
			return nil, fmt.Errorf("client %s: %w", u.Name, err)
		}
		if err := checkPath(path); err != nil {
			return nil, fmt.Errorf("client %s: %w", u.Name, err)
		}
		if other := paths[path]; other != nil {
			return nil, fmt.Errorf("client %s has the path of client %s", u.Name, other.Name)
		}
		paths[path] = u
	}
	return paths, nil
}

func checkPath(path string) error {
	if !strings.HasPrefix(path, "/") || strings.ContainsAny(path, "*?#") {
		return errors.New("a path begins with / and contains none of * ? #")
	}
	return nil
}
