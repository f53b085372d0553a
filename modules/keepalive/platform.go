package keepalive

import (
	"errors"
	"fmt"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/caddyserver/caddy/v2"

	"github.com/caddy-freetier/caddy-freetier/internal/ledger"
	"github.com/caddy-freetier/caddy-freetier/internal/quota"
)

// platform is what a platform's free plan does with idle instances.
type platform struct {
	name        string
	sleepsAfter time.Duration // without a request
	hours       time.Duration // awake, each calendar month and account; 0: no such rule was found
	domain      string        // under which its instances have their names
	console     []string      // hosts of the platform itself, on which no instance runs
	instance    string        // where one runs, as an example
	source      string
	checked     string // when the source was read
}

// platforms are the presets of the option `platform`. A figure without a
// source is not here: users write `sleeps_after` and `quota` for those.
var platforms = []platform{
	{
		// The hours are those of a workspace and shared by its free services,
		// which are suspended until the next month when they are used up.
		name: "render", domain: ".onrender.com", sleepsAfter: 15 * time.Minute, hours: 750 * time.Hour,
		console: []string{"render.com", "dashboard.render.com"}, instance: "https://my-api.onrender.com",
		source: "https://render.com/docs/free", checked: "2026-11-23",
	},
	{
		// The free instance; its idle time cannot be changed.
		name: "koyeb", domain: ".koyeb.app", sleepsAfter: time.Hour,
		console: []string{"koyeb.com", "app.koyeb.com"}, instance: "https://my-api-me.koyeb.app",
		source: "https://www.koyeb.com/docs/run-and-scale/scale-to-zero", checked: "2026-11-23",
	},
	{
		// Eco dynos, which are not free: 5 $ a month for the hours of an account.
		name: "heroku", domain: ".herokuapp.com", sleepsAfter: 30 * time.Minute, hours: 1000 * time.Hour,
		console: []string{"heroku.com", "dashboard.heroku.com"}, instance: "https://my-api-1234567890ab.herokuapp.com",
		source: "https://devcenter.heroku.com/articles/eco-dyno-hours", checked: "2026-11-23",
	},
	{
		// The hardware cpu-basic.
		name: "huggingface", domain: ".hf.space", sleepsAfter: 48 * time.Hour,
		console: []string{"huggingface.co", "hf.co"}, instance: "https://me-my-space.hf.space",
		source: "https://huggingface.co/docs/huggingface_hub/package_reference/space_runtime", checked: "2026-11-23",
	},
	{
		// Pauses a project without API or database calls for a week; whoever
		// pings it asks for something that queries the database. A paused
		// project does not wake up by itself.
		name: "supabase", domain: ".supabase.co", sleepsAfter: 7 * 24 * time.Hour,
		console: []string{"supabase.com", "app.supabase.com"}, instance: "https://my-project.supabase.co/rest/v1/my_table",
		source: "https://github.com/supabase/supabase/discussions/2598", checked: "2026-11-23",
	},
	{
		// With "serverless" turned on: ten minutes without an outbound packet,
		// and the response to a ping is one.
		name: "railway", domain: ".up.railway.app", sleepsAfter: 10 * time.Minute,
		console: []string{"railway.com", "railway.app"}, instance: "https://my-api.up.railway.app",
		source: "https://docs.railway.com/reference/app-sleeping", checked: "2026-11-23",
	},
}

// errStreamlit says why there is no preset for Streamlit's Community Cloud.
// Sources: https://docs.streamlit.io/deploy/streamlit-community-cloud/manage-your-app
// (sleeps after 12 hours without a visit; read on 2026-11-23) and https://moussouni.dev/post/14646
// (requests get a page of 4 KB; the app starts with its WebSocket).
var errStreamlit = errors.New("a request cannot keep a Streamlit app awake: Streamlit counts visits of browsers, which open a WebSocket, " +
	"and gives a plain request a redirect or an empty page without starting the app; remove the target, or run the app on another platform")

// findPlatform returns the preset of a name.
func findPlatform(name string) (*platform, error) {
	if name == "streamlit" {
		return nil, errStreamlit
	}
	names := make([]string, len(platforms))
	for i := range platforms {
		if platforms[i].name == name {
			return &platforms[i], nil
		}
		names[i] = platforms[i].name
	}
	last := len(names) - 1
	return nil, fmt.Errorf("unknown platform %q; there are %s and %s; for another write sleeps_after",
		name, strings.Join(names[:last], ", "), names[last])
}

// applyPreset sets what the platform says and the configuration does not.
func (t *Target) applyPreset() error {
	if t.Platform == "" {
		return nil
	}
	p, err := findPlatform(t.Platform)
	if err != nil {
		return err
	}
	if t.SleepsAfter == 0 {
		t.SleepsAfter = caddy.Duration(p.sleepsAfter)
	}
	own := t.hoursQuota()
	t.sharesByDefault = p.hours > 0 && (own == nil || own.Account == "")
	t.Quotas = t.effectiveQuotas()
	return nil
}

// effectiveQuotas returns the target's quotas with those of its platform. Hours
// are those of an account on every platform that has them, so targets that name
// no account share one, which is named like the platform.
func (t *Target) effectiveQuotas() []*quota.Quota {
	p, err := findPlatform(t.Platform)
	if err != nil || p.hours == 0 {
		return t.Quotas
	}
	own := t.hoursQuota()
	if own == nil {
		return append(slices.Clone(t.Quotas), &quota.Quota{
			Amount: int64(p.hours / time.Second), Unit: ledger.Seconds, Period: ledger.Month, Account: p.name,
		})
	}
	if own.Account != "" {
		return t.Quotas
	}
	shared := *own
	shared.Account = p.name
	quotas := slices.Clone(t.Quotas)
	quotas[slices.Index(quotas, own)] = &shared
	return quotas
}

// httpsOnly are the domains of platforms that answer http:// with a redirect to
// https://, by their documentation.
var httpsOnly = []string{
	".onrender.com", ".koyeb.app", ".hf.space", ".supabase.co", ".up.railway.app", ".zeabur.app", ".vercel.app", ".netlify.app", ".pages.dev", ".web.app",
}

// platformOf returns the platform that gives names like host to its instances,
// if it is one that has a preset.
func platformOf(host string) (name string, known bool) {
	for i := range platforms {
		if strings.HasSuffix(strings.ToLower(host), platforms[i].domain) {
			return platforms[i].name, true
		}
	}
	return "", false
}

// checkPlace refuses a URL on which no instance of the target's platform runs,
// such as the page of Hugging Face about a Space.
func (t *Target) checkPlace(address string) error {
	p, err := findPlatform(t.Platform)
	u, bad := url.Parse(address)
	if err != nil || bad != nil {
		return nil
	}
	if other, known := platformOf(u.Hostname()); known && other != p.name {
		return fmt.Errorf("%s is a host of the platform %s, not of %s; write platform %s", u.Hostname(), other, p.name, other)
	}
	if !slices.Contains(p.console, strings.TrimPrefix(strings.ToLower(u.Hostname()), "www.")) {
		return nil
	}
	if space := spaceOf(u.Path); p.name == "huggingface" && space != "" {
		return fmt.Errorf("this is the hub's page about the Space, which does not keep it awake; the Space's own address is %s", space)
	}
	return fmt.Errorf("%s is a site of the platform, on which your instance does not run; write the instance's own address, like %s", u.Hostname(), p.instance)
}

var (
	spacePath   = regexp.MustCompile(`/spaces/([^/]+)/([^/]+)`)
	notInLabels = regexp.MustCompile(`[^a-z0-9]+`)
)

// spaceOf returns the address of the Space of which the hub has a page at a
// path, "" if it is no such page.
func spaceOf(path string) string {
	match := spacePath.FindStringSubmatch(path)
	if match == nil {
		return ""
	}
	label := notInLabels.ReplaceAllLiteralString(strings.ToLower(match[1]+"-"+match[2]), "-")
	return "https://" + strings.Trim(label, "-") + ".hf.space"
}
