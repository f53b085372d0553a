package doh

import (
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/caddy-freetier/caddy-freetier/internal/domainset"
	"github.com/caddy-freetier/caddy-freetier/internal/ledger"
	"github.com/caddy-freetier/caddy-freetier/internal/quota"
)

// User is a person with a path of their own, and over TLS with a host name. The
// Caddyfile calls it client.
type User struct {
	// The name, for logs, metrics and the admin API.
	Name string `json:"name,omitempty"`

	// The path, which can be a secret. Placeholders like `{env.X}` are resolved
	// when the configuration is loaded. With `/*` at its end, it may be followed
	// by the name of a device: `/dns-query/s3cret/*` answers at
	// `/dns-query/s3cret` and at `/dns-query/s3cret/My%20Phone`.
	Path string `json:"path,omitempty"`

	// The host name that identifies the user over TLS. It needs a certificate:
	// it must be the name of a site, or in the global option
	// `tls_automate_names`. Default: the user is not identified over TLS.
	Host string `json:"host,omitempty"`

	// How many queries are answered in a period; all limits apply. Counts
	// outlive restarts. Beyond a limit the response is status 429.
	Limits []*quota.Quota `json:"limits,omitempty"`

	// Set in Provision, and never changed after it.
	meters  quota.Meters
	counter prometheus.Counter
	count   *userCount
	opened  bool // whether close must release count
}

// userCount is the number of queries of a user since the process started. It
// outlives reloads.
type userCount struct {
	queries, limited atomic.Int64
	meters           atomic.Pointer[quota.Meters] // of the newest configuration
}

// Destruct implements caddy.Destructor.
func (*userCount) Destruct() error { return nil }

// userCounts are the counts of users, by name.
var userCounts = caddy.NewUsagePool()

// open opens the counts, which close releases, after an error as well. book
// returns the ledger, and is called only if there is a limit.
func (u *User) open(book func() (*ledger.Ledger, error)) error {
	pooled, _ := userCounts.LoadOrStore(u.Name, new(userCount))
	u.count, u.opened = pooled.(*userCount), true
	u.counter = collectors.users.WithLabelValues(u.Name)
	for _, limit := range u.Limits {
		l, err := book()
		if err != nil {
			return err
		}
		if limit.Unit != "" && limit.Unit != ledger.Requests {
			return fmt.Errorf("client %s: a limit counts queries and has no unit", u.Name)
		}
		meter, err := limit.Open(l, "doh client "+u.Name)
		if err != nil {
			return fmt.Errorf("client %s: %w", u.Name, err)
		}
		u.meters = u.meters.With(meter)
	}
	u.count.meters.Store(&u.meters)
	return nil
}

// close releases the counts. Queries that are being answered still count.
func (u *User) close() error {
	if !u.opened {
		return nil
	}
	u.opened = false
	_, err := userCounts.Delete(u.Name)
	return err
}

// charge counts a query, and returns a refusal if a limit is reached.
func (u *User) charge(now time.Time) *refusal {
	if exhausted := u.meters.Take(1); exhausted != nil {
		u.count.limited.Add(1)
		return tooMany("the limit of this client is reached", exhausted.Renews().Sub(now))
	}
	u.count.queries.Add(1)
	return nil
}

// users are the users of a handler. The maps do not change after newUsers.
type users struct {
	byPath  map[string]*User // by path, unescaped and without `/*`
	devices map[string]*User // those with `/*`, by the same
	byName  map[string]*User // by host name, in lower case
}

// newUsers returns the users, with the placeholders in their paths replaced. Errors
// name the users and not their paths.
func newUsers(configs []*User) (*users, error) {
	us := &users{make(map[string]*User), make(map[string]*User), make(map[string]*User)}
	repl := caddy.NewReplacer()
	for _, u := range configs {
		path, err := repl.ReplaceOrErr(u.Path, true, true)
		if err != nil {
			return nil, fmt.Errorf("client %s: %w", u.Name, err)
		}
		path, devices, err := parsePath(path)
		if err != nil {
			return nil, fmt.Errorf("client %s: %w", u.Name, err)
		}
		if other := us.byPath[path]; other != nil {
			return nil, fmt.Errorf("client %s has the path of client %s", u.Name, other.Name)
		}
		us.byPath[path] = u
		if devices {
			us.devices[path] = u
		}
		if err := us.addName(u); err != nil {
			return nil, err
		}
	}
	return us, nil
}

// addName adds the user's host name, if there is one.
func (us *users) addName(u *User) error {
	if u.Host == "" {
		return nil
	}
	if err := checkHost(u.Host); err != nil {
		return fmt.Errorf("client %s: %w", u.Name, err)
	}
	name := strings.ToLower(u.Host)
	if other := us.byName[name]; other != nil {
		return fmt.Errorf("client %s has the host name of client %s", u.Name, other.Name)
	}
	us.byName[name] = u
	return nil
}

// named returns the user with a host name, and reports whether queries to that name
// are answered. Without any users they always are.
func (us *users) named(host string) (*User, bool) {
	u := us.byName[host]
	return u, u != nil || len(us.byPath) == 0
}

// maxDevice is the longest name of a device, in bytes.
const maxDevice = 64

// at returns the user of an unescaped path and the name of the device, or nil.
func (us *users) at(path string) (u *User, device string) {
	if u := us.byPath[path]; u != nil {
		return u, ""
	}
	slash := strings.LastIndexByte(path, '/')
	if slash < 0 {
		return nil, ""
	}
	u, device = us.devices[path[:slash]], path[slash+1:]
	if u == nil || !soundDevice(device) {
		return nil, ""
	}
	return u, device
}

// soundDevice reports whether the name of a device is valid in logs and header
// fields: short, and without control characters or invalid UTF-8.
func soundDevice(name string) bool {
	if len(name) > maxDevice {
		return false
	}
	return !strings.ContainsFunc(name, func(c rune) bool { return c < ' ' || c == 0x7F || c == '\uFFFD' })
}

// parsePath returns a configured path without escapes, as the paths of requests are,
// and without `/*`; devices reports whether it had that.
func parsePath(text string) (path string, devices bool, err error) {
	path, devices = strings.CutSuffix(text, "/*")
	if path, err = url.PathUnescape(path); err != nil {
		return "", false, fmt.Errorf("the path has a %% that is not followed by two hexadecimal digits")
	}
	if !strings.HasPrefix(path, "/") || strings.ContainsAny(path, "*?#") {
		return "", false, errPath
	}
	return path, devices, nil
}

var errPath = errors.New("a path begins with / and contains none of * ? #, except for /* at its end, which stands for names of devices")

// checkHost returns an error for a host name that cannot be a server name in TLS.
func checkHost(host string) error {
	if _, err := domainset.Wire(host); err != nil || strings.ContainsAny(host, "_{}") || !strings.Contains(host, ".") {
		return fmt.Errorf("%q is not a host name such as alice.dns.example.com", host)
	}
	return nil
}

// except returns the names that a list of names and wildcards does not cover.
func except(names, covered []string) []string {
	return slices.DeleteFunc(slices.Clone(names), func(name string) bool {
		_, parent, _ := strings.Cut(name, ".")
		return slices.ContainsFunc(covered, func(other string) bool {
			return strings.EqualFold(other, name) || strings.EqualFold(other, "*."+parent)
		})
	})
}
