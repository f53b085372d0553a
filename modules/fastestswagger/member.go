package fastestswagger

import (
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp/reverseproxy"
	"go.uber.org/zap"
)

// dynamicLabel stands for all dynamic upstreams in metrics, whose labels must
// come from the configuration.
const dynamicLabel = "dynamic"

// member is an upstream of the pool.
type member struct {
	dial string                // as the upstream has it
	info reverseproxy.DialInfo // where loads go
	name string                // as people and the package awake know it

	// A member without a page cannot be measured: its address depends on
	// the request.
	page *page
	key  pageKey

	upstream *reverseproxy.Upstream // of a static member
	host     *reverseproxy.Host     // of a dynamic member

	// used is set by the first request that is sent to the member, which
	// tells the package awake; those that follow within a lap need not.
	used atomic.Bool

	// wished is set by the first request that goes elsewhere because the member
	// sleeps, for the rest of a lap.
	wished atomic.Bool

	// Of a dynamic member: whether Select has met it since last asked, when
	// that was asked and answered yes, and how to end its watcher.
	seen     atomic.Bool
	lastSeen time.Time
	stop     func()
}

// stranger is a dynamic upstream that Select does not know yet.
type stranger struct {
	dial string
	host *reverseproxy.Host
}

// newMember makes the member for a dial address. Its score is the one of
// whoever loads or has loaded the same page in the same way.
func (s *Selection) newMember(dial string, u *reverseproxy.Upstream, host *reverseproxy.Host) *member {
	m := &member{dial: dial, name: dial, upstream: u, host: host}
	info, err := dialInfo(dial)
	if err != nil {
		s.logger.Warn("upstream cannot be measured and counts as average", zap.String("upstream", dial), zap.Error(err))
		return m
	}
	info.Upstream = u
	m.info, m.name = info, info.Address
	if info.Port != "" {
		m.name = strings.ToLower(info.Address)
	}
	m.key = pageKey{
		network: info.Network, address: info.Address,
		transport: s.transportKey,
		host:      s.hostHeader(info),
		path:      s.page.RequestURI(),
		contains:  s.Contains,
		expect:    fmt.Sprint(s.Expect),
		maxSize:   s.MaxSize,
		interval:  time.Duration(s.Interval),
		timeout:   time.Duration(s.Timeout),
	}
	m.page = takePage(m.key, s)
	return m
}

func (s *Selection) dropPage(m *member) {
	if m.page != nil {
		m.page.drop(m.key, s)
	}
}

// label is the member's name in metrics.
func (m *member) label() string {
	if m.upstream == nil {
		return dynamicLabel
	}
	return m.name
}

// inFlight is the number of requests under way to the member.
func (m *member) inFlight() int {
	switch {
	case m.host != nil:
		return m.host.NumRequests()
	case m.upstream != nil && m.upstream.Host != nil:
		return m.upstream.NumRequests()
	}
	return 0
}

// available tells whether Caddy would send requests to the member.
func (m *member) available() bool {
	return m.upstream == nil || m.upstream.Host == nil || m.upstream.Available()
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

// hostHeader is the Host of loads: what the proxy sets for this upstream, or
// else the upstream itself, since there is no client whose Host to pass on.
func (s *Selection) hostHeader(info reverseproxy.DialInfo) string {
	if s.parent.Headers != nil && s.parent.Headers.Request != nil {
		if set := s.parent.Headers.Request.Set.Get("Host"); set != "" {
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
