package keepalive

import (
	"strconv"
	"strings"

	"github.com/caddyserver/caddy/v2/caddyconfig"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"github.com/caddyserver/caddy/v2/caddyconfig/httpcaddyfile"

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
//		notify      <url> [<body>]
//		target <name> [<url>] {
//			url          <url>
//			method       <method>
//			header       <name> <value>
//			body         <text>
//			expect       <status...>
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
// `target`, `notify` and `header` can be given several times, `quota` once for the hours
// awake and once for the requests of an account. A status is one like 200,
// or a class like 2xx. A target has an interval or a cron expression.
func parseApp(d *caddyfile.Dispenser, existing any) (any, error) {
	d.Next() // consume option name
	if existing != nil {
		return nil, d.Err("keepalive is given twice; put all targets into one block")
	}
	if d.NextArg() {
		return nil, d.Errf("unexpected %q; keepalive takes a block", d.Val())
	}
	app := new(App)
	if err := app.parse(d); err != nil {
		return nil, err
	}
	return httpcaddyfile.App{Name: "keepalive", Value: caddyconfig.JSON(app, nil)}, nil
}

func (a *App) parse(d *caddyfile.Dispenser) error {
	return parseBlock(d, []option{
		{name: "interval", parse: into(&a.Interval, parseDuration)},
		{name: "jitter", parse: into(&a.Jitter, parsePercent)},
		{name: "timeout", parse: into(&a.Timeout, parseDuration)},
		{name: "concurrency", parse: into(&a.Concurrency, parseCount)},
		{name: "notify", repeats: true, parse: a.addNotification},
		{name: "target", repeats: true, parse: a.addTarget},
	})
}

func (a *App) addNotification(d *caddyfile.Dispenser) error {
	args := d.RemainingArgs()
	if len(args) == 0 || len(args) > 2 {
		return d.Err("write: notify <url> [<body>], with quotes around a body that has spaces")
	}
	n := &Notification{URL: args[0]}
	if len(args) == 2 {
		n.Body = args[1]
	}
	a.Notify = append(a.Notify, n)
	return wrap(d, n.check())
}

func (a *App) addTarget(d *caddyfile.Dispenser) error {
	at := *d // where the target begins, for errors that its end reveals
	t := new(Target)
	if err := t.parse(d); err != nil {
		return err
	}
	if a.target(t.Name) != nil {
		return at.Errf("a target is already named %s; give each its own name", t.Name)
	}
	if t.URL == "" {
		return at.Errf("target %s has no URL; write: target %s https://api.example.com/health", t.Name, t.Name)
	}
	a.Targets = append(a.Targets, t)
	return nil
}

func (t *Target) parse(d *caddyfile.Dispenser) error {
	args := d.RemainingArgs()
	if len(args) == 0 || len(args) > 2 {
		return d.Err("write: target <name> [<url>]")
	}
	t.Name = args[0]
	if err := t.check(); err != nil {
		return wrap(d, err)
	}
	if len(args) == 2 {
		if err := t.setURL(d, args[1]); err != nil {
			return err
		}
	}
	return parseBlock(d, []option{
		{name: "url", parse: one("<url>", t.setURL)},
		{name: "method", parse: one("<method>", t.setMethod)},
		{name: "header", repeats: true, parse: t.addHeader},
		{name: "body", parse: into(&t.Body, parseText)},
		{name: "expect", parse: t.setExpect},
		{name: "interval", excludes: "cron", parse: into(&t.Interval, parseDuration)},
		{name: "cron", excludes: "interval", parse: t.setCron},
		{name: "timeout", parse: into(&t.Timeout, parseDuration)},
		{name: "jitter", parse: into(&t.Jitter, parsePercent)},
		{name: "platform", parse: one("<name>", t.setPlatform)},
		{name: "quota", repeats: true, parse: t.addQuota},
		{name: "sleeps_after", parse: into(&t.SleepsAfter, parseDuration)},
		{name: "upstream", parse: one("<host:port>", t.setUpstream)},
		{name: "cold_start", parse: into(&t.ColdStart, parseDuration)},
		{name: "window", parse: t.setWindow},
	})
}

func (t *Target) setURL(d *caddyfile.Dispenser, s string) error {
	if t.URL != "" {
		return d.Errf("the URL of target %s is given twice", t.Name)
	}
	t.URL = s
	if hasPlaceholder(s) {
		return nil // checked when its placeholders are known
	}
	_, err := parseURL(s)
	return wrap(d, err)
}

func (t *Target) setMethod(d *caddyfile.Dispenser, s string) error {
	t.Method = strings.ToUpper(s)
	return wrap(d, t.check())
}

func (t *Target) addHeader(d *caddyfile.Dispenser) error {
	args := d.RemainingArgs()
	if len(args) != 2 {
		return d.Err("write: header <name> <value>, with quotes around a value that has spaces")
	}
	if t.Header == nil {
		t.Header = make(map[string][]string)
	}
	t.Header.Add(strings.TrimSuffix(args[0], ":"), args[1])
	return wrap(d, t.check())
}

func (t *Target) setExpect(d *caddyfile.Dispenser) error {
	args := d.RemainingArgs()
	if len(args) == 0 {
		return wrap(d, errExpect)
	}
	for _, arg := range args {
		digits, isClass := strings.CutSuffix(arg, "xx")
		status, err := strconv.Atoi(digits)
		if err != nil || isClass != (len(digits) == 1) {
			return d.Errf("%q: %w", arg, errExpect)
		}
		t.Expect = append(t.Expect, status)
	}
	return wrap(d, t.check())
}

func (t *Target) setPlatform(d *caddyfile.Dispenser, s string) error {
	t.Platform = s
	_, err := findPlatform(s)
	return wrap(d, err)
}

func (t *Target) addQuota(d *caddyfile.Dispenser) error {
	q, err := quota.Parse(d.RemainingArgs())
	if err != nil {
		return wrap(d, err)
	}
	t.Quotas = append(t.Quotas, q)
	return wrap(d, t.checkQuotaUnits())
}

func (t *Target) setCron(d *caddyfile.Dispenser) error {
	args := d.RemainingArgs()
	if len(args) == 0 || len(args) > 2 {
		return d.Err("write: cron <expression> [<zone>], with quotes around the expression")
	}
	t.Cron = &Cron{Expression: args[0]}
	if len(args) == 2 {
		t.Cron.Zone = args[1]
	}
	return wrap(d, t.Cron.provision())
}

func (t *Target) setUpstream(d *caddyfile.Dispenser, s string) error {
	t.Upstream = s
	if hasPlaceholder(s) {
		return nil
	}
	_, err := parseUpstream(s)
	return wrap(d, err)
}

func (t *Target) setWindow(d *caddyfile.Dispenser) error {
	args := d.RemainingArgs()
	if len(args) == 0 || len(args) > 2 {
		return wrap(d, errWindow)
	}
	from, to, ok := strings.Cut(args[0], "-")
	if !ok {
		return wrap(d, errWindow)
	}
	t.Window = &Window{From: from, To: to}
	if len(args) == 2 {
		t.Window.Zone = args[1]
	}
	return wrap(d, t.Window.provision())
}
