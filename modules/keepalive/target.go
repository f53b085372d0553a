package keepalive

import (
	"cmp"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/caddyserver/caddy/v2"
	"golang.org/x/net/http/httpguts"

	"github.com/caddy-freetier/caddy-freetier/internal/quota"
)

// Target is an instance that is kept awake.
//
// Placeholders in `url`, `header` and `body` are replaced at each ping; those
// that are unknown stay as they are, since a JSON body has braces of its own.
// One without a value, such as an `{env.X}` that is not set, is an error when
// the configuration is loaded.
type Target struct {
	// The target's name in logs, metrics, events and admin answers.
	Name string `json:"name"`

	// What is requested.
	URL string `json:"url"`

	// The request's method. Default: GET, or POST with a body.
	Method string `json:"method,omitempty"`

	// The request's header fields.
	Header http.Header `json:"header,omitempty"`

	// The request's body. JSON gets the Content-Type `application/json` unless
	// `header` has another.
	Body string `json:"body,omitempty"`

	// The statuses of a healthy target; a single digit is a class, 2 for all
	// 2xx. Default: 2.
	Expect []int `json:"expect,omitempty"`

	// Texts that the response must contain, in its first MiB.
	Contains []string `json:"contains,omitempty"`

	// Texts that the response must not contain, in its first MiB.
	NotContains []string `json:"not_contains,omitempty"`

	// Values that a JSON response must have.
	JSON []JSONCheck `json:"json,omitempty"`

	// Follow redirects, ten at most. Headers and a body are not sent to another
	// host. Default: a redirect is the response.
	Follow bool `json:"follow,omitempty"`

	// How many pings in a row must fail before the target is reported as down.
	// Default: the app's.
	Failures int `json:"failures,omitempty"`

	// The time from one ping to the next. Default: the app's.
	Interval caddy.Duration `json:"interval,omitempty"`

	// Ping at these times instead. There is no ping at start then, and no
	// jitter but the target's own.
	Cron *Cron `json:"cron,omitempty"`

	// How long a response may take. Default: the app's.
	Timeout caddy.Duration `json:"timeout,omitempty"`

	// How far a ping may come after its time, as a share of the wait between
	// two, from 0 to 1. Default: the app's.
	Jitter *float64 `json:"jitter,omitempty"`

	// The platform on which the instance runs: `render`, `koyeb`, `heroku`,
	// `huggingface`, `supabase` or `railway`. It sets
	// `sleeps_after`, and the quota of hours where the platform has one, unless
	// they are given. Default: none.
	Platform string `json:"platform,omitempty"`

	// After how long without a request the platform puts the instance to
	// sleep. If it is known, a ping is left out when other traffic keeps the
	// instance awake until after the next one. Default: the platform's, or not
	// known.
	SleepsAfter caddy.Duration `json:"sleeps_after,omitempty"`

	// What the account allows: hours awake (in seconds), and requests that
	// each ping is one of. Targets that name the same account share it; where
	// a platform's hours are those of an account (`render`, `heroku`), targets
	// that name none share one. Default: the platform's hours.
	Quotas []*quota.Quota `json:"quotas,omitempty"`

	// The host and port whose traffic counts. Default: those of the URL.
	Upstream string `json:"upstream,omitempty"`

	// A response that takes longer to begin than this found the instance
	// asleep. Default: 5s.
	ColdStart caddy.Duration `json:"cold_start,omitempty"`

	// Ping only in this part of the day. Default: all day.
	Window *Window `json:"window,omitempty"`

	// Where the Caddyfile has it, for errors and warnings.
	Source string `json:"source,omitempty"`

	sharesByDefault bool    // whether the account of its hours is the platform's
	pinger          *pinger // set when the configuration is provisioned
}

var (
	errURL      = errors.New("a URL begins with http:// or https:// and has a host, like https://api.example.com/health")
	errUpstream = errors.New("an upstream is a host with its port, like api.example.com:443")
	errExpect   = errors.New("an expected status is one like 200, or a class like 2xx")
	errFailures = errors.New("failures is less than 1")
	errName     = errors.New("a target has a name, without a slash, and then its URL; write: target api https://api.example.com/health")
)

// provision checks the target, fills in its preset and the app's defaults, and
// ties it to what is known of it.
func (t *Target) provision(app *App) (err error) {
	if err := t.check(); err != nil {
		return err
	}
	if err := t.applyPreset(); err != nil {
		return err
	}
	if err := t.checkQuotas(); err != nil {
		return err
	}
	t.setDefaults(app)
	t.pinger, err = newPinger(app, t)
	return err
}

// check refuses what is wrong in the configuration as it is written.
func (t *Target) check() error {
	if t.Name == "" || strings.Contains(t.Name, "/") {
		return errName
	}
	if t.Method != "" && !httpguts.ValidHeaderFieldName(t.Method) {
		return fmt.Errorf("%q is not a method; write one such as POST", t.Method)
	}
	for name := range t.Header {
		if !httpguts.ValidHeaderFieldName(name) {
			return fmt.Errorf("%q is not the name of a header field", name)
		}
	}
	for _, status := range t.Expect {
		if (status < 2 || status > 5) && (status < 200 || status > 599) {
			return errExpect
		}
	}
	if t.Failures < 0 {
		return errFailures
	}
	if t.Interval != 0 && t.Cron != nil {
		return errors.New("interval and cron are given; one of them is right")
	}
	if err := checkJitter(t.Jitter); err != nil {
		return err
	}
	if err := t.checks().validate(t.Method); err != nil {
		return err
	}
	if err := t.checkPlace(t.URL); err != nil {
		return err
	}
	return checkDurations(t.Interval, t.Timeout, t.SleepsAfter, t.ColdStart)
}

func (t *Target) setDefaults(app *App) {
	if t.Method == "" && t.Body != "" {
		t.Method = http.MethodPost
	}
	t.Method = cmp.Or(t.Method, http.MethodGet)
	t.Timeout = cmp.Or(t.Timeout, app.Timeout)
	t.Failures = cmp.Or(t.Failures, app.Failures)
	t.ColdStart = cmp.Or(t.ColdStart, caddy.Duration(defaultColdStart))
	if len(t.Expect) == 0 {
		t.Expect = []int{2}
	}
}

// newSchedule returns the target's schedule, with the app's defaults.
func (t *Target) newSchedule(app *App) (*schedule, error) {
	s := &schedule{cron: t.Cron, window: t.Window}
	if t.Window != nil {
		if err := t.Window.provision(); err != nil {
			return nil, err
		}
	}
	jitter := t.Jitter
	if t.Cron != nil {
		if err := t.Cron.provision(); err != nil {
			return nil, err
		}
		if s.first(time.Now()).IsZero() {
			return nil, errors.New("no time of its cron is in its window")
		}
	} else {
		byPlatform := max(t.SleepsAfter*2/3, 0)
		s.every = time.Duration(cmp.Or(t.Interval, app.Interval, byPlatform, caddy.Duration(defaultInterval)))
		byDefault := defaultJitter
		jitter = cmp.Or(jitter, app.Jitter, &byDefault)
	}
	if jitter != nil {
		s.jitter = *jitter
	}
	return s, nil
}

// identity names what is pinged, and what is expected. A state belongs to that:
// with another URL, header or check it is another target, with another schedule
// it is not.
// Placeholders are left in it.
func (t *Target) identity() (string, error) {
	what, err := json.Marshal([]any{t.Name, t.Method, t.URL, t.Header, t.Body, t.Contains, t.NotContains, t.JSON, t.Follow})
	if err != nil {
		return "", err
	}
	sum := sha256.Sum256(what)
	return string(sum[:]), nil
}

// checks returns what decides whether a response is that of a healthy target.
func (t *Target) checks() *checks {
	return &checks{expect: t.Expect, contains: t.Contains, notContains: t.NotContains, json: t.JSON}
}

// parseURL checks a URL. Its error does not contain it: it can be a secret.
func parseURL(s string) (*url.URL, error) {
	u, err := url.Parse(s)
	if err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Hostname() == "" {
		return nil, errURL
	}
	if port := u.Port(); port != "" && !validPort(port) {
		return nil, errURL
	}
	return u, nil
}

// replaceUpstream replaces placeholders in the name of an upstream.
func replaceUpstream(s string) (string, error) {
	s, err := caddy.NewReplacer().ReplaceOrErr(s, true, true)
	if err != nil {
		return "", fmt.Errorf("upstream: %w", err)
	}
	return parseUpstream(s)
}

// parseUpstream returns an upstream as package awake names it.
func parseUpstream(s string) (string, error) {
	if s == "" {
		return "", nil
	}
	host, port, err := net.SplitHostPort(s)
	if err != nil || host == "" || strings.ContainsAny(host, "/@") || !validPort(port) {
		return "", errUpstream
	}
	return net.JoinHostPort(strings.ToLower(host), port), nil
}

func validPort(s string) bool {
	port, err := strconv.ParseUint(s, 10, 16)
	return err == nil && port > 0
}

// hasPlaceholder reports whether a text can be checked only when the
// configuration is loaded.
func hasPlaceholder(s string) bool { return strings.Contains(s, "{") }
