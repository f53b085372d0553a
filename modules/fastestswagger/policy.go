// Package fastestswagger holds the selection policy `fastest-swagger` of
// reverse_proxy. It loads a page of each upstream at intervals and sends each
// request to the upstream whose page loaded fastest.
//
// A load time passes through these types, one after the other:
//
//   - the prober (prober.go) has a watcher for each upstream, which loads its
//     page (probe.go) and finds out whether it is the upstream's own
//     (interstitial.go);
//   - the score (score.go) is a decaying mean of load times. It is shared by
//     policies that load the same page in the same way, and outlives reloads;
//   - the scoreboard (scoreboard.go) has the upstreams of one policy, and
//     publishes a ranking (ranking.go), which is an immutable snapshot;
//   - the policy (policy.go, select.go) reads the ranking for each request.
package fastestswagger

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp/reverseproxy"
	"github.com/jonboulle/clockwork"
	"go.uber.org/zap"
	"golang.org/x/net/http/httpguts"

	"github.com/caddy-freetier/caddy-freetier/internal/awake"
	"github.com/caddy-freetier/caddy-freetier/internal/caddyfileutil"
	"github.com/caddy-freetier/caddy-freetier/internal/parent"
	"github.com/caddy-freetier/caddy-freetier/internal/runtime"
)

const (
	defaultPath     = "/swagger/index.html"
	defaultInterval = 30 * time.Second
	defaultTimeout  = 10 * time.Second
	defaultMaxSize  = 4_000_000
	defaultMargin   = 0.15
)

func init() {
	caddy.RegisterModule((*Selection)(nil))
}

// policies holds the policies of the loaded configurations, for the admin API
// and the metrics.
var policies = caddy.NewUsagePool()

// Selection is a policy that selects the upstream whose page loaded fastest.
//
// Each upstream's page is loaded at intervals through the proxy's own
// transport, and the whole load is timed, body included. Requests that are
// under way count too, so that the fastest upstream is not flooded. An
// upstream that fails to deliver the page ranks behind all others, and an
// upstream is not tried twice in one request while another one is left.
//
// Upstreams that are unavailable only because requests to them have failed
// (`fail_duration`) are tried last, and never refused: else one URL that fails
// everywhere would take all others down.
//
// Upstreams of which the app keepalive knows that they sleep come after those
// that are awake. The one that would have won is woken up in the background;
// a request that has nowhere else to go waits for it. The page of one that is
// to sleep now is not loaded.
//
// Scores outlive a reload, and are kept in Caddy's storage over a restart. When
// another upstream becomes the winner, the event `fastest-swagger.winner` is
// emitted, with the data `upstream`, `before` and `score_ms`.
//
// Loads carry neither the headers of clients nor those set by `header_up`,
// except for its `Host`; `header` gives them some. Redirects are followed within
// the upstream. A page at the default path must look like Swagger. Interstitial
// pages of platforms (waking up, stopped, a login, an error) do not pass.
//
// When no upstream has the page, one warning says so, and the fallback policy
// selects.
type Selection struct {
	// The path of the page, with its query if it needs one; global
	// placeholders such as `{env.PAGE}` are replaced.
	// Default: `/swagger/index.html`.
	Path string `json:"path,omitempty"`

	// The time between two loads of an upstream's page, spread by a tenth.
	// Load times count half after three intervals. Default: `30s`.
	Interval caddy.Duration `json:"interval,omitempty"`

	// The time a whole load may take; a slower one has failed.
	// Default: `10s`.
	Timeout caddy.Duration `json:"timeout,omitempty"`

	// The status codes with which a load passes: either an actual code or,
	// for a whole class, its first digit. Default: `[2]`, that is 2xx.
	Expect []int `json:"expect,omitempty"`

	// A text that the page must contain. With it a page that looks like a
	// login or an error passes. Default: no text, but a page at the default
	// path must have `swagger` in it, in letters of any case.
	Contains string `json:"contains,omitempty"`

	// Header fields of loads, for upstreams that answer nobody without them;
	// global placeholders such as `{env.BYPASS}` are replaced. Loads have none
	// of those that `header_up` sets. Default: none.
	Header http.Header `json:"header,omitempty"`

	// The largest size of the page in bytes; a larger one has failed.
	// Default: 4000000 (4 MB).
	MaxSize int64 `json:"max_size,omitempty"`

	// How much faster, as a fraction, another upstream must be to take the
	// winner's place. With 0 whoever loaded fastest is next. Default: 0.15.
	Margin *float64 `json:"margin,omitempty"`

	// The policy that selects when no upstream has been measured, or all
	// fail. Default: `random`.
	FallbackRaw json.RawMessage `json:"fallback,omitempty" caddy:"namespace=http.reverse_proxy.selection_policies inline_key=policy"`

	// Where the Caddyfile has it, for errors about values that are known only
	// when the configuration is loaded, and for warnings.
	Source string `json:"source,omitempty"`

	fallback reverseproxy.Selector
	parent   *reverseproxy.Handler
	passive  *reverseproxy.PassiveHealthChecks // the parent's; nil: none
	page     *url.URL                          // path and query only
	header   http.Header                       // of loads, without placeholders
	triedVar string

	clock  clockwork.Clock
	awake  *awake.Tracker
	board  scoreboard
	prober *prober
}

// CaddyModule returns the Caddy module information.
func (*Selection) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{
		ID:  "http.reverse_proxy.selection_policies.fastest-swagger",
		New: func() caddy.Module { return new(Selection) },
	}
}

// Provision prepares the policy. Loading pages begins with the app `freetier`.
func (s *Selection) Provision(ctx caddy.Context) error {
	// One variable for each policy: a request may pass several proxies.
	s.triedVar = fmt.Sprintf("swagger.%p", s)
	s.setDefaults()
	if err := s.findParent(ctx); err != nil {
		return err
	}
	if err := s.parsePath(); err != nil {
		return caddyfileutil.At(s.Source, runtime.ExplainUnset(err))
	}
	if err := s.resolveHeader(); err != nil {
		return caddyfileutil.At(s.Source, runtime.ExplainUnset(err))
	}
	if err := s.loadFallback(ctx); err != nil {
		return err
	}
	if every := time.Duration(s.Interval); every < hastyInterval {
		ctx.Logger().Warn("pages are loaded at an interval that is so short that its unit may be wrong; write one such as 30s",
			zap.Duration("interval", every), zap.String("source", s.Source))
	}
	if err := collectors.register(ctx.GetMetricsRegistry()); err != nil {
		return fmt.Errorf("registering metrics: %w", err)
	}
	app, err := runtime.FromContext(ctx)
	if err != nil {
		return err
	}
	s.clock, s.awake = app.Clock(), app.Awake()
	s.prober = s.newProber(ctx)
	s.prober.samples = app.Status()
	s.prober.samples.Describe(s.describe)
	s.board.configure(ctx, app, s)
	policies.LoadOrStore(s, s)
	s.board.refresh()
	return app.Go("fastest-swagger", s.prober.run)
}

// newProber returns a prober for the pages of this configuration.
func (s *Selection) newProber(ctx caddy.Context) *prober {
	return &prober{
		loader: loader{
			page:    s.page,
			header:  s.header,
			timeout: time.Duration(s.Timeout),
			expect:  s.Expect,
			text:    s.Contains,
			swagger: s.Contains == "" && s.page.Path == defaultPath,
			maxSize: s.MaxSize,
			clock:   s.clock,
			awake:   s.awake,
		},
		board:      &s.board,
		proxy:      s.parent,
		clock:      s.clock,
		awake:      s.awake,
		storage:    ctx.Storage(),
		logger:     ctx.Logger(),
		discovered: make(chan discovery, maxDynamic),
		wakeUps:    make(chan *upstream, maxDynamic),
	}
}

func (s *Selection) setDefaults() {
	if s.Path == "" {
		s.Path = defaultPath
	}
	if s.Interval == 0 {
		s.Interval = caddy.Duration(defaultInterval)
	}
	if s.Timeout == 0 {
		s.Timeout = caddy.Duration(defaultTimeout)
	}
	if len(s.Expect) == 0 {
		s.Expect = []int{2}
	}
	if s.MaxSize == 0 {
		s.MaxSize = defaultMaxSize
	}
	if s.Margin == nil {
		margin := defaultMargin
		s.Margin = &margin
	}
}

// findParent finds the proxy whose upstreams are to be measured.
func (s *Selection) findParent(ctx caddy.Context) error {
	proxy, ok := parent.Nearest[*reverseproxy.Handler](ctx)
	if !ok {
		return errors.New("fastest-swagger measures through the transport of its reverse_proxy, and there is none around it")
	}
	s.parent = proxy
	if proxy.HealthChecks != nil {
		s.passive = proxy.HealthChecks.Passive
	}
	return nil
}

func (s *Selection) parsePath() error {
	path, err := caddy.NewReplacer().ReplaceOrErr(s.Path, true, true)
	if err != nil {
		return fmt.Errorf("path: %w", err)
	}
	s.page, err = parsePage(path)
	return err
}

// parsePage splits the path of a page from its query.
func parsePage(path string) (*url.URL, error) {
	if !strings.HasPrefix(path, "/") || strings.HasPrefix(path, "//") || strings.Contains(path, "#") {
		return nil, fmt.Errorf("path %q must be the path of a page on each upstream, such as %s", path, defaultPath)
	}
	u, err := url.ParseRequestURI(path)
	if err != nil {
		return nil, fmt.Errorf("path %q is not a valid path such as %s", path, defaultPath)
	}
	return u, nil
}

// resolveHeader replaces the placeholders in the header fields of loads.
func (s *Selection) resolveHeader() error {
	repl := caddy.NewReplacer()
	header := make(http.Header, len(s.Header))
	for name, values := range s.Header {
		if err := checkHeaderName(name); err != nil {
			return err
		}
		for _, value := range values {
			value, err := repl.ReplaceOrErr(value, true, true)
			if err != nil {
				return fmt.Errorf("header %s: %w", name, err)
			}
			if !httpguts.ValidHeaderFieldValue(value) {
				return fmt.Errorf("header %s: its value has a line break or another control character; remove it", name)
			}
			header.Add(name, value)
		}
	}
	s.header = header
	return nil
}

// checkHeaderName refuses header fields that loads have a value of their own for.
func checkHeaderName(name string) error {
	switch http.CanonicalHeaderKey(name) {
	case "Host":
		return errors.New("header Host: loads have the Host of requests; set that with `header_up Host` of reverse_proxy")
	case "Accept-Encoding", "Connection", "Content-Length", "Te", "Trailer", "Transfer-Encoding", "Upgrade":
		return fmt.Errorf("header %s: that field is the transport's own; remove the line", name)
	}
	if !httpguts.ValidHeaderFieldName(name) {
		return fmt.Errorf("header: %q is not the name of a header field; write one such as X-Bypass", name)
	}
	return nil
}

func (s *Selection) loadFallback(ctx caddy.Context) error {
	if s.FallbackRaw == nil {
		s.FallbackRaw = caddyconfig.JSONModuleObject(reverseproxy.RandomSelection{}, "policy", "random", nil)
	}
	module, err := ctx.LoadModule(s, "FallbackRaw")
	if err != nil {
		return fmt.Errorf("loading the fallback policy: %w", err)
	}
	s.fallback = module.(reverseproxy.Selector)
	return nil
}

// upstreamSettings returns what the scores of all upstreams have in common.
func (s *Selection) upstreamSettings() upstreamSettings {
	return upstreamSettings{
		page: s.page,
		common: scoreKey{
			transport: fingerprint(s.parent.Transport),
			header:    headerHash(s.header),
			path:      s.page.RequestURI(),
			contains:  s.Contains,
			expect:    fmt.Sprint(s.Expect),
			maxSize:   s.MaxSize,
			interval:  time.Duration(s.Interval),
			timeout:   time.Duration(s.Timeout),
		},
		header: s.parent.Headers,
	}
}

// Validate checks what a Caddyfile's parser has no say in.
func (s *Selection) Validate() error {
	if s.Interval <= 0 || s.Timeout <= 0 {
		return errors.New("interval and timeout must be longer than 0s")
	}
	if s.MaxSize < 0 {
		return errors.New("max_size must be larger than 0")
	}
	if m := *s.Margin; !(m >= 0 && m < 1) {
		return fmt.Errorf("margin %v must be at least 0 and less than 1 (0.15 means 15%%)", m)
	}
	for _, status := range s.Expect {
		if !validStatus(status) {
			return fmt.Errorf("expect: %d is neither a status code such as 200 nor a class such as 2", status)
		}
	}
	if _, ok := s.fallback.(*Selection); ok {
		return errors.New("fallback: fastest-swagger cannot stand in for itself")
	}
	return nil
}

func validStatus(status int) bool {
	return status >= 1 && status <= 5 || status >= 100 && status <= 599
}

// Cleanup gives back what Provision took.
func (s *Selection) Cleanup() error {
	s.board.close()
	// Nothing happens here when Provision did not get as far as storing s.
	_, err := policies.Delete(s)
	return err
}

// Interface guards
var (
	_ caddy.Provisioner     = (*Selection)(nil)
	_ caddy.Validator       = (*Selection)(nil)
	_ caddy.CleanerUpper    = (*Selection)(nil)
	_ reverseproxy.Selector = (*Selection)(nil)
)
