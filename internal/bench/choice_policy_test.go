package main

import (
	"bytes"
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

	"github.com/caddy-freetier/caddy-freetier/internal/parent"
	"github.com/caddy-freetier/caddy-freetier/internal/runtime"
	_ "github.com/caddy-freetier/caddy-freetier/modules/fastestswagger"
)

const (
	ourPolicy = "fastest-swagger"
	lastProbe = "last_probe"
	// checkedProbe is lastProbe when it looks for a text in the page.
	checkedProbe = "last_probe, text"

	probeEvery  = 30 * time.Second
	probeExpiry = 10 * time.Second
)

// choicePolicies are the policies that are compared, ours first.
var choicePolicies = []string{ourPolicy, checkedProbe, lastProbe, "least_conn", "round_robin", "random"}

// choiceProxy returns a reverse_proxy to some addresses with a policy. stock
// stands for Caddy's own options that our documentation shows beside ours.
func choiceProxy(policy string, p pace, stock bool, addrs []string) string {
	every, options := p.period(probeEvery), ""
	switch policy {
	case ourPolicy:
		policy = fmt.Sprintf("%s {\n\t\tinterval %v\n\t\ttimeout %v\n\t\tcontains swagger-ui\n\t}", ourPolicy, every, p.took(probeExpiry))
	case lastProbe:
		policy = fmt.Sprintf("%s %v", lastProbe, every)
	case checkedProbe:
		policy = fmt.Sprintf("%s %v swagger-ui", lastProbe, every)
	}
	if stock {
		options = fmt.Sprintf("\tlb_retries 2\n\tfail_duration %v\n\tunhealthy_status 5xx\n", every)
	}
	return fmt.Sprintf("reverse_proxy %s {\n\tlb_policy %s\n%s}\n", strings.Join(addrs, " "), policy, options)
}

// lastProbeSelection is what people make at home: a worker loads each
// upstream's page at intervals, and whoever answered first gets all requests
// until the next time. It knows a refused connection and the status of an
// error, and if it is given a text looks for it in the page.
type lastProbeSelection struct {
	Interval caddy.Duration `json:"interval,omitempty"`
	Text     string         `json:"text,omitempty"`

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

// UnmarshalCaddyfile reads `last_probe <interval> [<text>]`.
func (s *lastProbeSelection) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	d.Next()
	var every string
	if !d.Args(&every) {
		return d.ArgErr()
	}
	d.Args(&s.Text)
	interval, err := caddy.ParseDuration(every)
	s.Interval = caddy.Duration(interval)
	return err
}

// Provision finds the proxy whose upstreams are probed.
func (s *lastProbeSelection) Provision(ctx caddy.Context) error {
	s.parent, _ = parent.Nearest[*reverseproxy.Handler](ctx)
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
	page, err := io.ReadAll(resp.Body)
	return err == nil && resp.StatusCode == http.StatusOK && bytes.Contains(page, []byte(s.Text))
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
