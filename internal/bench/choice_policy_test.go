package bench

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp/reverseproxy"

	"github.com/caddy-freetier/caddy-freetier/internal/runtime"
	_ "github.com/caddy-freetier/caddy-freetier/modules/fastestswagger"
)

const (
	ourPolicy   = "fastest-swagger"
	lastProbe   = "last_probe"
	probeEvery  = 30 * time.Second
	probeExpiry = 10 * time.Second
)

// choicePolicies are the policies that are compared, ours first.
var choicePolicies = []string{ourPolicy, lastProbe, "least_conn", "round_robin", "random"}

// choiceProxy returns a reverse_proxy to some addresses with a policy. stock
// are Caddy's own options that our documentation shows beside the policy.
func choiceProxy(policy string, p pace, stock bool, addrs []string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "reverse_proxy %s {\n\tlb_policy %s", strings.Join(addrs, " "), policy)
	switch policy {
	case ourPolicy:
		fmt.Fprintf(&b, " {\n\t\tinterval %v\n\t\ttimeout %v\n\t\tcontains swagger-ui\n\t}", p.period(probeEvery), p.took(probeExpiry))
	case lastProbe:
		fmt.Fprintf(&b, " %v", p.period(probeEvery))
	}
	if stock {
		fmt.Fprintf(&b, "\n\tlb_retries 2\n\tfail_duration %v\n\tunhealthy_status 5xx", p.period(probeEvery))
	}
	b.WriteString("\n}\n")
	return b.String()
}

// lastProbeSelection is what people make at home: a worker loads each
// upstream's page at intervals, and whoever answered first gets all requests
// until the next time. It knows a refused connection and a status of an error.
type lastProbeSelection struct {
	Interval caddy.Duration `json:"interval,omitempty"`

	parent *reverseproxy.Handler
	best   atomic.Pointer[reverseproxy.Upstream]
}

func init() { caddy.RegisterModule((*lastProbeSelection)(nil)) }

// CaddyModule returns the Caddy module information.
func (*lastProbeSelection) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{
		ID:  "http.reverse_proxy.selection_policies." + lastProbe,
		New: func() caddy.Module { return new(lastProbeSelection) },
	}
}

// UnmarshalCaddyfile reads `last_probe <interval>`.
func (s *lastProbeSelection) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	d.Next()
	if !d.NextArg() {
		return d.ArgErr()
	}
	interval, err := caddy.ParseDuration(d.Val())
	s.Interval = caddy.Duration(interval)
	return err
}

// Provision finds the proxy whose upstreams are probed.
func (s *lastProbeSelection) Provision(ctx caddy.Context) error {
	for _, module := range ctx.Modules() {
		if h, ok := module.(*reverseproxy.Handler); ok {
			s.parent = h
		}
	}
	app, err := runtime.FromContext(ctx)
	if err != nil {
		return err
	}
	return app.Go(lastProbe, s.run)
}

func (s *lastProbeSelection) run(ctx context.Context) {
	ticker := time.NewTicker(time.Duration(s.Interval))
	defer ticker.Stop()
	for ctx.Err() == nil {
		s.probe(ctx)
		select {
		case <-ctx.Done():
		case <-ticker.C:
		}
	}
}

// probe loads all pages at once and lets the fastest win.
func (s *lastProbeSelection) probe(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, time.Duration(s.Interval))
	defer cancel()
	var (
		wg    sync.WaitGroup
		first sync.Once
	)
	for _, u := range s.parent.Upstreams {
		wg.Go(func() {
			if s.passes(ctx, u) {
				first.Do(func() { s.best.Store(u) })
			}
		})
	}
	wg.Wait()
}

func (s *lastProbeSelection) passes(ctx context.Context, u *reverseproxy.Upstream) bool {
	host, port, _ := strings.Cut(u.Dial, ":")
	info := reverseproxy.DialInfo{Upstream: u, Network: "tcp", Address: u.Dial, Host: host, Port: port}
	ctx = context.WithValue(ctx, caddy.CtxKey("reverse_proxy.dial_info"), info)
	ctx = context.WithValue(ctx, caddy.ReplacerCtxKey, caddy.NewReplacer())
	ctx = context.WithValue(ctx, caddyhttp.VarsCtxKey, map[string]any{})
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+u.Dial+placePage, nil)
	if err != nil {
		return false
	}
	resp, err := s.parent.Transport.RoundTrip(req)
	if err != nil {
		return false
	}
	defer resp.Body.Close()
	_, err = io.Copy(io.Discard, resp.Body)
	return err == nil && resp.StatusCode == http.StatusOK
}

// Select returns the upstream whose last load was the fastest, or else any.
func (s *lastProbeSelection) Select(pool reverseproxy.UpstreamPool, r *http.Request, w http.ResponseWriter) *reverseproxy.Upstream {
	if best := s.best.Load(); best != nil && best.Available() {
		return best
	}
	return reverseproxy.RandomSelection{}.Select(pool, r, w)
}

// Interface guards
var (
	_ caddy.Provisioner     = (*lastProbeSelection)(nil)
	_ caddyfile.Unmarshaler = (*lastProbeSelection)(nil)
	_ reverseproxy.Selector = (*lastProbeSelection)(nil)
)
