package fastestswagger

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp/headers"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp/reverseproxy"
)

// dynamicLabel stands for all dynamic upstreams in metrics, whose labels must
// come from the configuration.
const dynamicLabel = "dynamic"

// upstream is an upstream of the pool.
type upstream struct {
	dial string                // as the proxy has it
	info reverseproxy.DialInfo // where loads go
	name string                // as people and the package awake know it

	// An upstream without a score cannot be measured: its address depends on
	// the request.
	score *score
	key   scoreKey

	static *reverseproxy.Upstream // nil: it comes from a dynamic source
	host   *reverseproxy.Host     // of a dynamic one

	// used is set by the first request that is sent to the upstream, which
	// informs the package awake; those that follow within a housekeeping
	// interval need not.
	used atomic.Bool

	// wakeRequested is set by the first request that goes elsewhere because
	// the upstream sleeps, for the rest of a housekeeping interval.
	wakeRequested atomic.Bool

	// Of a dynamic upstream: whether Select has met it since the last
	// housekeeping, when it had last been met then, and how to end its watcher.
	seen     atomic.Bool
	lastSeen time.Time
	stop     func()
}

// discovery is a dynamic upstream that Select does not know yet.
type discovery struct {
	dial string
	host *reverseproxy.Host
}

// locate finds out where loads go.
func (u *upstream) locate() error {
	info, err := dialInfo(u.dial)
	if err != nil {
		return err
	}
	info.Upstream = u.static
	u.info, u.name = info, info.Address
	if info.Port != "" {
		u.name = strings.ToLower(info.Address)
	}
	return nil
}

// label is the upstream's name in metrics.
func (u *upstream) label() string {
	if u.static == nil {
		return dynamicLabel
	}
	return u.name
}

// inFlight is the number of requests under way to the upstream.
func (u *upstream) inFlight() int {
	switch {
	case u.host != nil:
		return u.host.NumRequests()
	case u.static != nil && u.static.Host != nil:
		return u.static.NumRequests()
	}
	return 0
}

// available reports whether Caddy would send requests to the upstream.
func (u *upstream) available() bool {
	return u.static == nil || u.static.Host == nil || u.static.Available()
}

// dialInfo reads a dial address in which only global placeholders may stand.
func dialInfo(dial string) (reverseproxy.DialInfo, error) {
	dial, err := caddy.NewReplacer().ReplaceOrErr(dial, true, true)
	if err != nil {
		return reverseproxy.DialInfo{}, fmt.Errorf("its address depends on the request: %w", err)
	}
	addr, err := caddy.ParseNetworkAddress(dial)
	if err != nil {
		return reverseproxy.DialInfo{}, err
	}
	if addr.PortRangeSize() != 1 {
		return reverseproxy.DialInfo{}, fmt.Errorf("its address %s is not one socket", dial)
	}
	info := reverseproxy.DialInfo{Network: addr.Network, Address: addr.JoinHostPort(0), Host: addr.Host}
	if _, port, err := net.SplitHostPort(info.Address); err == nil {
		info.Port = port
	}
	return info, nil
}

// upstreamSettings is the part of a scoreKey that all upstreams of a policy
// share, and what their Host is made from.
type upstreamSettings struct {
	page   *url.URL
	common scoreKey
	header *headers.Handler // of the proxy; nil: none
}

// key returns the key of an upstream's score.
func (s *upstreamSettings) key(info reverseproxy.DialInfo) scoreKey {
	key := s.common
	key.network, key.address = info.Network, info.Address
	key.host = s.host(info)
	return key
}

// host is the Host of loads: what the proxy sets for this upstream, or
// else the upstream itself, since there is no client whose Host to pass on.
func (s *upstreamSettings) host(info reverseproxy.DialInfo) string {
	if s.header != nil && s.header.Request != nil {
		if set := s.header.Request.Set.Get("Host"); set != "" {
			host, err := upstreamReplacer(info).ReplaceOrErr(set, true, true)
			if err == nil {
				return host
			}
		}
	}
	if info.Port == "" {
		return "localhost" // a Unix socket
	}
	return info.Address
}

// headerHash tells header fields apart without keeping their values, which may
// be secrets.
func headerHash(header http.Header) string {
	if len(header) == 0 {
		return ""
	}
	text, _ := json.Marshal(header) // maps are marshalled in the order of their keys
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:])
}

// upstreamReplacer knows the global placeholders and those that the proxy
// sets for the upstream it has chosen.
func upstreamReplacer(info reverseproxy.DialInfo) *caddy.Replacer {
	repl := caddy.NewReplacer()
	repl.Set("http.reverse_proxy.upstream.address", info.String())
	repl.Set("http.reverse_proxy.upstream.hostport", info.Address)
	repl.Set("http.reverse_proxy.upstream.host", info.Host)
	repl.Set("http.reverse_proxy.upstream.port", info.Port)
	return repl
}

// fingerprint tells transports apart by their options. A plain one is still nil
// while its proxy is provisioned. Options that are modules of their own
// (certificate authorities, network proxies) are not seen here: proxies that
// differ in nothing else share the loads of a page.
func fingerprint(transport http.RoundTripper) string {
	if transport == nil {
		return ""
	}
	options, err := json.Marshal(transport)
	if err != nil {
		return fmt.Sprintf("%T", transport)
	}
	return fmt.Sprintf("%T %s", transport, options)
}
