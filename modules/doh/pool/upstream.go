package pool

import (
	"cmp"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"slices"
	"strings"

	"github.com/caddyserver/caddy/v2"

	"github.com/caddy-freetier/caddy-freetier/internal/awake"
	"github.com/caddy-freetier/caddy-freetier/internal/dnsclient"
	"github.com/caddy-freetier/caddy-freetier/internal/ledger"
	"github.com/caddy-freetier/caddy-freetier/internal/quota"
)

// Upstream is one or several DNS servers, or accounts at one server, with the same
// settings.
type Upstream struct {
	// The addresses: `https://dns.nextdns.io/abc123` (DNS over HTTPS, RFC 8484),
	// `tls://dns.example` (over TLS, RFC 7858; default port 853),
	// `tcp://192.0.2.53` and `udp://192.0.2.53` (default port 53; a truncated
	// response is requested again over TCP), or `system`, the name servers of
	// this machine. Placeholders like `{env.NEXTDNS_ID}` are resolved when the
	// configuration is loaded. A path can be a secret, and is not shown in logs,
	// metrics or the admin API.
	URLs []string `json:"urls,omitempty"`

	// The name in metrics, logs and the admin API; with several addresses
	// `name#1`, `name#2` and so on. Default: the host and a number, such as
	// `dns.nextdns.io#1`.
	Name string `json:"name,omitempty"`

	// Tier 1 is asked first, tier 2 only when no upstream of tier 1 can answer,
	// and so on. Default: 1.
	Tier int `json:"tier,omitempty"`

	// The share of the queries, relative to the weights of the others in the
	// same tier. Default: 1.
	Weight int `json:"weight,omitempty"`

	// How many queries each address may be sent in a period; addresses with the
	// same account share one count. Every query that is sent counts, a repeated
	// one too. An upstream whose quota is exhausted is not asked before the next
	// period. Default: no limit.
	Quota *quota.Quota `json:"quota,omitempty"`

	// IP addresses of the upstream's host, so that it is not looked up. Needed
	// where this machine is its own resolver.
	Bootstrap []string `json:"bootstrap,omitempty"`

	// Header fields to send, over HTTPS. Placeholders are resolved when the
	// configuration is loaded, except those of requests: `{http.doh.device}`,
	// `{http.doh.client}` and `{http.request.…}` are replaced for each query that
	// is sent, and a field that becomes empty is left out. A stored response is
	// still served to all clients.
	Headers http.Header `json:"headers,omitempty"`

	// A PEM file with the certificate authorities to trust. Default: those of
	// the system.
	CA string `json:"tls_ca,omitempty"`
}

// accounts are the accounts in use, by the hash of their settings. Connections and
// counts outlive a reload.
var accounts = caddy.NewUsagePool()

// Account is one address of an upstream in use. Everything but health and quotaUse
// never changes after newAccount.
type Account struct {
	name   string
	tier   int
	weight int
	addr   string // host:port; empty for this machine's resolver
	awake  *awake.Tracker

	client dnsclient.Client

	// whole is asked again when client gives a truncated response. Nil if
	// responses of client are never truncated.
	whole dnsclient.Client

	health
	quotaUse
}

// settings are the configuration of one account, resolved. Their hash is the
// account's key: accounts with equal settings are the same account.
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
			value, err := resolveHeader(repl, value)
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
		parsed, err := ParseURL(raw)
		if err == nil {
			err = u.Check(parsed)
		}
		if err != nil {
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

// key is the settings' hash.
func (s settings) key() ([sha256.Size]byte, error) {
	data, err := json.Marshal(s)
	return sha256.Sum256(data), err
}

func newAccount(s settings, tracker *awake.Tracker) (*Account, error) {
	a := &Account{
		name:   s.Name,
		tier:   s.Tier,
		weight: s.Weight,
		awake:  tracker,
		health: newHealth(s.Name),
	}
	if err := a.connect(s); err != nil {
		return nil, fmt.Errorf("upstream %s: %w", s.Name, err)
	}
	return a, nil
}

// connect makes the account's clients. They open no connection before the first
// query.
func (a *Account) connect(s settings) error {
	address, err := ParseURL(s.URL)
	if err != nil {
		return err
	}
	config, err := s.tlsConfig()
	if err != nil {
		return err
	}
	dial := dnsclient.NewDialer(address.Hostname(), s.Bootstrap)
	switch address.Scheme {
	case SchemeHTTPS:
		a.addr = awake.Upstream(address)
		a.client = dnsclient.NewHTTPS(address, a.addr, dial, config, s.Headers)
		return nil
	case SchemeSystem:
		a.client, a.whole = dnsclient.NewSystemClients(dnsclient.NewSystem(dnsclient.ResolvConf), dial)
		return nil
	}
	a.addr = hostPort(address)
	switch address.Scheme {
	case schemeTLS:
		config.ServerName = address.Hostname()
		a.client = &dnsclient.StreamClient{Stream: dnsclient.NewStream(a.addr, dial, config), Encrypted: true}
	case schemeTCP:
		a.client = &dnsclient.StreamClient{Stream: dnsclient.NewStream(a.addr, dial, nil)}
	case schemeUDP:
		a.client = &dnsclient.DatagramClient{Datagram: dnsclient.NewDatagram(a.addr, dial)}
		a.whole = &dnsclient.StreamClient{Stream: dnsclient.NewStream(a.addr, dial, nil)}
	}
	return nil
}

// tlsConfig returns the TLS settings of the account. Sessions are resumed: a
// handshake without a round trip for certificates is what a query waits for after
// an idle time.
func (s settings) tlsConfig() (*tls.Config, error) {
	config := &tls.Config{
		MinVersion:         tls.VersionTLS12,
		ClientSessionCache: tls.NewLRUClientSessionCache(4),
	}
	if s.CA != nil {
		config.RootCAs = x509.NewCertPool()
		if !config.RootCAs.AppendCertsFromPEM(s.CA) {
			return nil, errors.New("tls_ca: the file contains no certificate in PEM format")
		}
	}
	return config, nil
}

// Addr returns the upstream's host and port, empty for the resolver of this
// machine.
func (a *Account) Addr() string { return a.addr }

// Destruct closes the connections, once no configuration uses the account.
func (a *Account) Destruct() error {
	a.client.Close()
	if a.whole != nil {
		a.whole.Close()
	}
	return nil
}

// settingsOf returns the settings of all addresses, each with a name.
func settingsOf(configs []*Upstream) (named []settings, err error) {
	nth := make(map[string]int)
	for _, config := range configs {
		all, err := config.resolve()
		if err != nil {
			return nil, err
		}
		for _, s := range all {
			if s.Name == "" {
				u, _ := ParseURL(s.URL)
				host := cmp.Or(strings.ToLower(u.Hostname()), u.Scheme)
				nth[host]++
				s.Name = fmt.Sprintf("%s#%d", host, nth[host])
			}
			named = append(named, s)
		}
	}
	return named, nil
}

// openAccounts opens the configured upstreams. It returns their accounts by tier,
// and the keys with which to release them, in case of an error as well. book
// returns the ledger, and is called only if there is a quota.
func openAccounts(configs []*Upstream, tracker *awake.Tracker, book func() (*ledger.Ledger, error)) (tiers [][]*Account, keys []any, err error) {
	var loaded []*Account
	all, err := settingsOf(configs)
	if err != nil {
		return nil, nil, err
	}
	for _, s := range all {
		key, err := s.key()
		if err != nil {
			return nil, keys, err
		}
		u, _, err := accounts.LoadOrNew(key, func() (caddy.Destructor, error) { return newAccount(s, tracker) })
		if err != nil {
			return nil, keys, err
		}
		keys = append(keys, key)
		loaded = append(loaded, u.(*Account))
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
		u.(*Account).meter.Store(meter)
	}
	slices.SortStableFunc(loaded, func(a, b *Account) int { return a.tier - b.tier })
	for _, u := range loaded {
		if last := len(tiers) - 1; last >= 0 && tiers[last][0].tier == u.tier {
			tiers[last] = append(tiers[last], u)
		} else {
			tiers = append(tiers, []*Account{u})
		}
	}
	return tiers, keys, nil
}

// Interface guards
var _ caddy.Destructor = (*Account)(nil)
