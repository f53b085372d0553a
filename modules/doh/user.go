package doh

import (
	"errors"
	"fmt"
	"net/url"
	"strings"
	"sync/atomic"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/caddy-freetier/caddy-freetier/internal/domainset"
	"github.com/caddy-freetier/caddy-freetier/internal/ledger"
	"github.com/caddy-freetier/caddy-freetier/internal/quota"
)

// User is somebody with a path of their own, and over TLS a host name.
type User struct {
	// The name, which can be shown.
	Name string `json:"name,omitempty"`

	// The path, which can be a secret. Placeholders like `{env.X}` are
	// resolved when the configuration is loaded. With `/*` at its end, each
	// device can have a name behind it: `/dns-query/s3cret/*` is answered at
	// `/dns-query/s3cret` and at `/dns-query/s3cret/My%20Phone`.
	Path string `json:"path,omitempty"`

	// The host name by which the user is known over TLS. It needs a
	// certificate: it is that of a site, or in the global option
	// `tls_automate_names`. Default: the user is not known over TLS.
	Host string `json:"host,omitempty"`

	// How many queries are answered in a period; with several all hold. Counts
	// outlive restarts. Beyond a limit the answer is status 429.
	Limits []*quota.Quota `json:"limits,omitempty"`

	meters  quota.Meters
	counter prometheus.Counter
	count   *userCount
	opened  bool // whether count is to be given back
}

// userCount is how much a user has asked since the process started.
type userCount struct {
	queries, limited atomic.Int64
	meters           atomic.Pointer[quota.Meters]
}

// Destruct implements caddy.Destructor.
func (*userCount) Destruct() error { return nil }

// userCounts holds the counts of users, by name.
var userCounts = caddy.NewUsagePool()

// open opens the counts. book returns the ledger.
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
			return fmt.Errorf("client %s: a limit counts queries", u.Name)
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

// close gives the counts back. Queries that are being answered still count.
func (u *User) close() error {
	if !u.opened {
		return nil
	}
	u.opened = false
	_, err := userCounts.Delete(u.Name)
	return err
}

// charge counts a query, or returns why it must not be answered.
func (u *User) charge(now time.Time) *refusal {
	if exhausted := u.meters.Take(1); exhausted != nil {
		u.count.limited.Add(1)
		return tooMany("the limit of this client is reached", exhausted.Renews().Sub(now))
	}
	u.count.queries.Add(1)
	return nil
}

// users are those of a handler.
type users struct {
	// byPath holds them by their paths, unescaped and without `/*`.
	byPath map[string]*User
	// devices holds those whose devices have names, by the same.
	devices map[string]*User
	// byName holds them by their host names.
	byName map[string]*User
}

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

// named returns the user with a host name, and reports whether whoever has asked
// by that name may be answered: everybody may where there are no users.
func (us *users) named(host string) (*User, bool) {
	u := us.byName[host]
	return u, u != nil || len(us.byPath) == 0
}

// maxDevice is the longest name of a device, in bytes.
const maxDevice = 64

// at returns the user, and the name of the device, to whom an unescaped path
// belongs.
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

// soundDevice reports whether the name of a device can be put into logs and
// header fields.
func soundDevice(name string) bool {
	if len(name) > maxDevice {
		return false
	}
	return !strings.ContainsFunc(name, func(c rune) bool { return c < ' ' || c == 0x7F || c == '\uFFFD' })
}

// parsePath returns a configured path, unescaped as requests' paths are, without
// the `/*` that stands for the names of devices.
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

var errPath = errors.New("a path begins with / and contains none of * ? #, but for /* at its end where devices have names")

// checkHost refuses what cannot be asked for over TLS.
func checkHost(host string) error {
	if _, err := domainset.Wire(host); err != nil || strings.ContainsAny(host, "_{}") || !strings.Contains(host, ".") {
		return fmt.Errorf("%q is not a host name such as alice.dns.example.com", host)
	}
	return nil
}

// except returns the names without those that a list of names and wildcards
// covers.
func except(names, covered []string) []string {
	var rest []string
	for _, name := range names {
		_, parent, _ := strings.Cut(name, ".")
		found := false
		for _, other := range covered {
			found = found || strings.EqualFold(other, name) || strings.EqualFold(other, "*."+parent)
		}
		if !found {
			rest = append(rest, name)
		}
	}
	return rest
}
