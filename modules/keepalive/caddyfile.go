package keepalive

import (
	"errors"
	"fmt"
	"math"
	"strings"

	"github.com/caddyserver/caddy/v2/caddyconfig"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"github.com/caddyserver/caddy/v2/caddyconfig/httpcaddyfile"

	"github.com/caddy-freetier/caddy-freetier/internal/caddyfileutil"
	"github.com/caddy-freetier/caddy-freetier/internal/quota"
)

func init() {
	httpcaddyfile.RegisterGlobalOption("keepalive", parseApp)
}

// parseApp parses the global option `keepalive`. Syntax:
//
//	keepalive {
//		interval    <duration>
//		jitter      <percent>
//		timeout     <duration>
//		concurrency <number>
//		failures    <number>
//		notify      <url> [<body>] {
//			header <name> <value>
//			events <down|up|cold_start|hours_low...>
//		}
//		target <name> [<url>] {
//			url          <url>
//			method       <method>
//			header       <name> <value>
//			body         <text>
//			expect       <status...>
//			contains     <text>
//			not_contains <text>
//			json         <path> <value>
//			follow
//			failures     <number>
//			interval     <duration>
//			cron         <expression> [<zone>]
//			timeout      <duration>
//			jitter       <percent>
//			platform     <name>
//			sleeps_after <duration>
//			quota        <duration>/<period> [<account>] [<zone>]
//			quota        <number>/<period> [<account>] [<zone>]
//			upstream     <host:port>
//			cold_start   <duration>
//			window       <HH:MM>-<HH:MM> [<zone>]
//		}
//	}
//
// `target`, `notify`, `header`, `contains`, `not_contains` and `json` can be given
// several times, `quota` once for the hours awake and once for the requests of
// an account. A status is one like 200,
// or a class like 2xx. A target has an interval or a cron expression.
func parseApp(d *caddyfile.Dispenser, existing any) (any, error) {
	d.Next() // consume option name
	if existing != nil {
		return nil, d.Err("keepalive is given twice; put all targets into one block")
	}
	if err := caddyfileutil.NoArguments(d); err != nil {
		return nil, err
	}
	app := &App{Source: sourceOf(d)}
	if err := caddyfileutil.ParseBlock(d, "keepalive", app.options()); err != nil {
		return nil, err
	}
	return httpcaddyfile.App{Name: "keepalive", Value: caddyconfig.JSON(app, nil)}, nil
}

// sourceOf returns the file and line at which the dispenser stands.
func sourceOf(d *caddyfile.Dispenser) string { return fmt.Sprintf("%s:%d", d.File(), d.Line()) }

func (a *App) options() []caddyfileutil.Option {
	return []caddyfileutil.Option{
		{Name: "interval", Parse: caddyfileutil.Duration(&a.Interval, minDuration)},
		{Name: "jitter", Parse: caddyfileutil.Percent(&a.Jitter, false)},
		{Name: "timeout", Parse: caddyfileutil.Duration(&a.Timeout, minDuration)},
		{Name: "concurrency", Parse: caddyfileutil.Number(&a.Concurrency, 1, math.MaxInt)},
		{Name: "failures", Parse: caddyfileutil.Number(&a.Failures, 1, math.MaxInt)},
		{Name: "notify", Repeats: true, Block: true, Parse: a.parseNotification},
		{Name: "target", Repeats: true, Block: true, Parse: a.parseTarget},
	}
}

func (a *App) parseNotification(d *caddyfile.Dispenser) error {
	at := *d
	args, err := caddyfileutil.Arguments(d, "<url> [<body>]", "https://ntfy.sh/topic {event.message}")
	if err != nil {
		return err
	}
	n := &Notification{URL: args[0], Source: sourceOf(&at)}
	if len(args) == 2 {
		n.Body = args[1]
	}
	if err := n.check(); err != nil {
		return at.WrapErr(fmt.Errorf("notify: %w", err))
	}
	a.Notify = append(a.Notify, n)
	return caddyfileutil.ParseBlock(d, "notify", []caddyfileutil.Option{
		{Name: "header", Repeats: true, Parse: caddyfileutil.Header(&n.Header)},
		{Name: "events", Parse: caddyfileutil.Args("<down|up|cold_start|hours_low...>", "down up", func(args []string) error {
			n.Events = args
			return n.check()
		})},
	})
}

func (a *App) parseTarget(d *caddyfile.Dispenser) error {
	at := *d // where the target begins, for errors that its end reveals
	args, err := caddyfileutil.Arguments(d, "<name> [<url>]", "api https://api.example.com/health")
	if err != nil {
		return err
	}
	t := &Target{Name: args[0], Source: sourceOf(&at)}
	if err := t.check(); err != nil {
		return d.WrapErr(err)
	}
	if len(args) == 2 {
		if err := t.setURL(args[1]); err != nil {
			return d.WrapErr(err)
		}
	}
	if err := caddyfileutil.ParseBlock(d, "target", t.options()); err != nil {
		return err
	}
	if a.target(t.Name) != nil {
		return at.Errf("a target is already named %s; give each its own name", t.Name)
	}
	if err := sameQuotas(append(a.Targets, t)); err != nil {
		return at.WrapErr(err)
	}
	if err := t.checkHours(); err != nil {
		return at.WrapErr(fmt.Errorf("target %s: %w", t.Name, err))
	}
	if t.URL == "" {
		return at.Errf("target %s has no URL; write: target %s https://api.example.com/health", t.Name, t.Name)
	}
	a.Targets = append(a.Targets, t)
	return nil
}

func (t *Target) options() []caddyfileutil.Option {
	return []caddyfileutil.Option{
		{Name: "url", Parse: caddyfileutil.One("<url>", "https://api.example.com/health", t.setURL)},
		{Name: "method", Parse: caddyfileutil.One("<method>", "POST", t.setMethod)},
		{Name: "header", Repeats: true, Parse: caddyfileutil.Header(&t.Header)},
		{Name: "body", Parse: caddyfileutil.One("<text>", "`{\"ping\": true}`", t.setBody)},
		{Name: "expect", Parse: caddyfileutil.Statuses(&t.Expect, 2, 5, "200 or 2xx")},
		{Name: "contains", Repeats: true, Parse: caddyfileutil.One("<text>", `"status":"ok"`, t.addContains)},
		{Name: "not_contains", Repeats: true, Parse: caddyfileutil.One("<text>", "error", t.addNotContains)},
		{Name: "json", Repeats: true, Parse: caddyfileutil.Args("<path> <value>", "database.status ok", t.addJSON)},
		{Name: "follow", Parse: caddyfileutil.Flag(&t.Follow)},
		{Name: "failures", Parse: caddyfileutil.Number(&t.Failures, 1, math.MaxInt)},
		{Name: "interval", Excludes: "cron", Parse: caddyfileutil.Duration(&t.Interval, minDuration)},
		{Name: "cron", Excludes: "interval", Parse: caddyfileutil.Args("<expression> [<zone>]", `"*/3 * * * *" Asia/Shanghai`, t.setCron)},
		{Name: "timeout", Parse: caddyfileutil.Duration(&t.Timeout, minDuration)},
		{Name: "jitter", Parse: caddyfileutil.Percent(&t.Jitter, false)},
		{Name: "platform", Parse: caddyfileutil.One("<name>", "render", t.setPlatform)},
		{Name: "sleeps_after", Parse: caddyfileutil.Duration(&t.SleepsAfter, minDuration)},
		{Name: "quota", Repeats: true, Parse: caddyfileutil.Args("<n> [requests]/<period> [<account>] [<zone>]", "750h/month", t.addQuota)},
		{Name: "upstream", Parse: caddyfileutil.One("<host:port>", "api.example.com:443", t.setUpstream)},
		{Name: "cold_start", Parse: caddyfileutil.Duration(&t.ColdStart, minDuration)},
		{Name: "window", Parse: caddyfileutil.Args("<HH:MM>-<HH:MM> [<zone>]", "07:00-23:30 Asia/Shanghai", t.setWindow)},
	}
}

func (t *Target) setURL(arg string) error {
	if t.URL != "" {
		return errors.New("url is given twice, first after the target's name; keep one of the two")
	}
	t.URL = arg
	if hasPlaceholder(arg) {
		return nil // checked when its placeholders are known
	}
	if _, err := parseURL(arg); err != nil {
		return err
	}
	return t.checkPlace(arg)
}

func (t *Target) setMethod(arg string) error {
	t.Method = strings.ToUpper(arg)
	return t.check()
}

func (t *Target) setBody(arg string) error {
	t.Body = arg
	return checkQuotes(arg)
}

// checkQuotes refuses a text in single quotes, which would be sent with them.
func checkQuotes(s string) error {
	if len(s) > 1 && strings.HasPrefix(s, "'") && strings.HasSuffix(s, "'") {
		return errors.New("single quotes have no meaning in a Caddyfile and would be sent; write the text in backticks, such as `{\"ping\": true}`")
	}
	return nil
}

func (t *Target) addContains(arg string) error {
	t.Contains = append(t.Contains, arg)
	return t.checks().validate(t.Method)
}

func (t *Target) addNotContains(arg string) error {
	t.NotContains = append(t.NotContains, arg)
	return t.checks().validate(t.Method)
}

func (t *Target) addJSON(args []string) error {
	t.JSON = append(t.JSON, JSONCheck{Path: args[0], Value: args[1]})
	return t.checks().validate(t.Method)
}

func (t *Target) setPlatform(arg string) error {
	t.Platform = arg
	if _, err := findPlatform(arg); err != nil {
		return err
	}
	return t.checkPlace(t.URL)
}

func (t *Target) addQuota(args []string) error {
	q, err := quota.Parse(args)
	if err != nil {
		return err
	}
	t.Quotas = append(t.Quotas, q)
	return t.checkQuotaUnits()
}

func (t *Target) setCron(args []string) error {
	t.Cron = &Cron{Expression: args[0]}
	if len(args) == 2 {
		t.Cron.Zone = args[1]
	}
	return t.Cron.provision()
}

func (t *Target) setUpstream(arg string) error {
	t.Upstream = arg
	if hasPlaceholder(arg) {
		return nil
	}
	_, err := parseUpstream(arg)
	return err
}

func (t *Target) setWindow(args []string) error {
	from, to, ok := strings.Cut(args[0], "-")
	if !ok {
		return errWindow
	}
	t.Window = &Window{From: from, To: to}
	if len(args) == 2 {
		t.Window.Zone = args[1]
	}
	return t.Window.provision()
}
