package doh

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/caddyserver/caddy/v2"

	"github.com/caddy-freetier/caddy-freetier/internal/awake"
	"github.com/caddy-freetier/caddy-freetier/internal/ledger"
	"github.com/caddy-freetier/caddy-freetier/internal/quota"
)

// Upstream is one or several DoH servers, or accounts at one, that are asked
// in the same way.
type Upstream struct {
	// The addresses, such as `https://dns.nextdns.io/abc123`. Placeholders
	// like `{env.NEXTDNS_ID}` are resolved when the configuration is loaded.
	// A path can be a secret: it shows in no log, metric or admin answer.
	URLs []string `json:"urls,omitempty"`

	// The name in metrics, admin answers and logs; with several addresses
	// `name#1`, `name#2` and so on. Default: the host and a number, such as
	// `dns.nextdns.io#1`.
	Name string `json:"name,omitempty"`

	// Tier 1 is asked first, tier 2 only when nothing of tier 1 can answer,
	// and so on. Default: 1.
	Tier int `json:"tier,omitempty"`

	// The share of the queries, next to the weights of the others in the same
	// tier. Default: 1.
	Weight int `json:"weight,omitempty"`

	// How many queries each address may be sent in a period; those that name
	// an account share one count. Every query that is sent counts, also a
	// repeated one. With its quota spent an upstream rests until the next
	// period. Default: no limit.
	Quota *quota.Quota `json:"quota,omitempty"`

	// IP addresses of the upstream's host, so that it is reached without
	// looking it up: needed where this machine resolves through itself.
	Bootstrap []string `json:"bootstrap,omitempty"`

	// Header fields to send. Placeholders are resolved when the configuration
	// is loaded.
	Headers http.Header `json:"headers,omitempty"`

	// A PEM file of the certificate authorities that vouch for the upstream.
	// Default: those of the system.
	CA string `json:"tls_ca,omitempty"`
}

// The connection to an upstream. Servers close idle connections after 30 to
// 240 seconds, and some networks forget them without a word: hence the pings.
const (
	pingAfter   = 10 * time.Second
	pingTimeout = 5 * time.Second
	idleTimeout = 2 * time.Minute
	dialTimeout = 3 * time.Second
)

// upstreams are those in use, by the hash of their settings: connections and
// counts outlive a reload.
var upstreams = caddy.NewUsagePool()

// upstream is one account.
type upstream struct {
	name   string
	tier   int
	weight int

	addr string // host:port
	get  *http.Request
	post *http.Request

	conns *conns
	stats
	budget
}

// settings are all that makes an upstream what it is.
type settings struct {
	Name      string
	Tier      int
	Weight    int
	URL       string
	Quota     *quota.Quota
	Bootstrap []string
	Headers   http.Header
	CA        []byte
}

// resolve returns the settings of each address, with placeholders replaced and
// defaults filled in, but without a name where none is configured.
func (u *Upstream) resolve() ([]settings, error) {
	repl := caddy.NewReplacer()
	common := settings{
		Name:      u.Name,
		Tier:      max(u.Tier, 1),
		Weight:    max(u.Weight, 1),
		Quota:     u.Quota,
		Bootstrap: u.Bootstrap,
		Headers:   make(http.Header, len(u.Headers)),
	}
	for field, values := range u.Headers {
		for _, value := range values {
			value, err := repl.ReplaceOrErr(value, true, true)
			if err != nil {
				return nil, fmt.Errorf("header %s: %w", field, err)
			}
			common.Headers.Add(field, value)
		}
	}
	if u.CA != "" {
		pem, err := os.ReadFile(u.CA)
		if err != nil {
			return nil, fmt.Errorf("tls_ca: %w", err)
		}
		common.CA = pem
	}
	all := make([]settings, len(u.URLs))
	for i, raw := range u.URLs {
		raw, err := repl.ReplaceOrErr(raw, true, true)
		if err != nil {
			return nil, fmt.Errorf("upstream: %w", err)
		}
		if _, err := parseURL(raw); err != nil {
			return nil, err
		}
		all[i] = common
		all[i].URL = raw
		if u.Name != "" && len(u.URLs) > 1 {
			all[i].Name = fmt.Sprintf("%s#%d", u.Name, i+1)
		}
	}
	return all, nil
}

// parseURL checks an upstream's address. Errors do not show its path.
func parseURL(raw string) (*url.URL, error) {
	u, err := url.Parse(raw)
	switch {
	case err != nil || u.Scheme == "" || u.Host == "" || u.Hostname() == "":
		return nil, errors.New("an upstream is an address like https://dns.example/dns-query")
	case u.Scheme != "https":
		return nil, fmt.Errorf("an upstream's address must begin with https://, not %s://", u.Scheme)
	case u.User != nil:
		return nil, fmt.Errorf("upstream %s: give a user and password as header Authorization", u.Hostname())
	case u.Fragment != "":
		return nil, fmt.Errorf("upstream %s: the address must not contain #", u.Hostname())
	}
	return u, nil
}

// key is the settings' hash.
func (s settings) key() ([sha256.Size]byte, error) {
	data, err := json.Marshal(s)
	return sha256.Sum256(data), err
}

func newUpstream(s settings) (*upstream, error) {
	u, err := parseURL(s.URL)
	if err != nil {
		return nil, err
	}
	if u.Path == "" {
		u.Path = "/"
	}
	up := &upstream{
		name:   s.Name,
		tier:   s.Tier,
		weight: s.Weight,
		addr:   awake.Upstream(u),
		stats:  newStats(s.Name),
	}
	header := http.Header{
		"Accept":     typeHeader,
		"User-Agent": {""}, // nobody's business
	}
	for field, values := range s.Headers {
		header[field] = values
	}
	up.get = &http.Request{Method: http.MethodGet, URL: u, Host: u.Host, Header: header}
	up.post = &http.Request{Method: http.MethodPost, URL: u, Host: u.Host, Header: header.Clone()}
	up.post.Header["Content-Type"] = typeHeader

	transport, err := newTransport(u, s)
	if err != nil {
		return nil, fmt.Errorf("upstream %s: %w", s.Name, err)
	}
	up.conns = &conns{transport: transport, addr: up.addr}
	return up, nil
}

func newTransport(u *url.URL, s settings) (*http.Transport, error) {
	config := &tls.Config{
		MinVersion:         tls.VersionTLS12,
		ClientSessionCache: tls.NewLRUClientSessionCache(4),
	}
	if s.CA != nil {
		config.RootCAs = x509.NewCertPool()
		if !config.RootCAs.AppendCertsFromPEM(s.CA) {
			return nil, errors.New("tls_ca: the file holds no certificate in PEM format")
		}
	}
	return &http.Transport{
		Proxy:               http.ProxyFromEnvironment,
		DialContext:         dialer(u.Hostname(), s.Bootstrap),
		TLSClientConfig:     config,
		TLSHandshakeTimeout: dialTimeout,
		ForceAttemptHTTP2:   true,
		HTTP2: &http.HTTP2Config{
			SendPingTimeout: pingAfter,
			PingTimeout:     pingTimeout,
			// Room for the header fields that are always the same, and not for
			// the path, which never comes again.
			MaxEncoderHeaderTableSize: 192,
		},
		DisableCompression: true,
		IdleConnTimeout:    idleTimeout,
	}, nil
}

// dialer connects to the host by its bootstrap addresses, one after the other,
// if there are any.
func dialer(host string, bootstrap []string) func(context.Context, string, string) (net.Conn, error) {
	d := &net.Dialer{Timeout: dialTimeout}
	if len(bootstrap) == 0 {
		return d.DialContext
	}
	return func(ctx context.Context, network, addr string) (net.Conn, error) {
		name, port, err := net.SplitHostPort(addr)
		if err != nil || !strings.EqualFold(name, host) {
			return d.DialContext(ctx, network, addr) // a proxy
		}
		var errs []error
		for _, ip := range bootstrap {
			conn, err := d.DialContext(ctx, network, net.JoinHostPort(ip, port))
			if err == nil {
				return conn, nil
			}
			errs = append(errs, err)
		}
		return nil, errors.Join(errs...)
	}
}

// request makes a request of its own for each try.
func (u *upstream) request(ctx context.Context, q *query) *http.Request {
	if q.param == "" {
		req := u.post.WithContext(ctx)
		req.ContentLength = int64(len(q.msg))
		req.Body = io.NopCloser(bytes.NewReader(q.msg))
		return req
	}
	req := u.get.WithContext(ctx)
	target := *req.URL
	if target.RawQuery != "" {
		target.RawQuery += "&"
	}
	target.RawQuery += q.param
	req.URL = &target
	return req
}

// Destruct closes the connections once no configuration uses the upstream.
func (u *upstream) Destruct() error {
	u.conns.close()
	return nil
}

// loadUpstreams takes the configured upstreams into use and returns them by
// tier, with the keys by which to give them back, also in case of an error. book
// returns the ledger for quotas.
func loadUpstreams(configs []*Upstream, book func() (*ledger.Ledger, error)) (tiers [][]*upstream, keys []any, err error) {
	var (
		loaded []*upstream
		nth    = make(map[string]int)
	)
	for _, config := range configs {
		all, err := config.resolve()
		if err != nil {
			return nil, keys, err
		}
		for _, s := range all {
			if s.Name == "" {
				u, _ := parseURL(s.URL)
				host := strings.ToLower(u.Hostname())
				nth[host]++
				s.Name = fmt.Sprintf("%s#%d", host, nth[host])
			}
			key, err := s.key()
			if err != nil {
				return nil, keys, err
			}
			u, _, err := upstreams.LoadOrNew(key, func() (caddy.Destructor, error) { return newUpstream(s) })
			if err != nil {
				return nil, keys, err
			}
			keys = append(keys, key)
			loaded = append(loaded, u.(*upstream))
			if s.Quota == nil {
				continue
			}
			l, err := book()
			if err != nil {
				return nil, keys, err
			}
			meter, err := s.Quota.Open(l, "doh "+s.URL)
			if err != nil {
				return nil, keys, fmt.Errorf("upstream %s: %w", s.Name, err)
			}
			u.(*upstream).meter.Store(meter)
		}
	}
	slices.SortStableFunc(loaded, func(a, b *upstream) int { return a.tier - b.tier })
	for _, u := range loaded {
		if last := len(tiers) - 1; last >= 0 && tiers[last][0].tier == u.tier {
			tiers[last] = append(tiers[last], u)
		} else {
			tiers = append(tiers, []*upstream{u})
		}
	}
	return tiers, keys, nil
}

// Interface guards
var _ caddy.Destructor = (*upstream)(nil)
