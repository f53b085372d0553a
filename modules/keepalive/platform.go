package keepalive

import (
	"fmt"
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
	source      string
	checked     string // when the source was read
}

// platforms are the presets of the option `platform`. A figure without a
// source is not here: users write `sleeps_after` and `quota` for those.
var platforms = []platform{
	{
		// The hours are those of a workspace and shared by its free services,
		// which are suspended until the next month when they are used up.
		name: "render", sleepsAfter: 15 * time.Minute, hours: 750 * time.Hour,
		source: "https://render.com/docs/free", checked: "2026-11-23",
	},
	{
		// The free instance; its idle time cannot be changed.
		name: "koyeb", sleepsAfter: time.Hour,
		source: "https://www.koyeb.com/docs/run-and-scale/scale-to-zero", checked: "2026-11-23",
	},
	{
		// Eco dynos, which are not free: 5 $ a month for the hours of an account.
		name: "heroku", sleepsAfter: 30 * time.Minute, hours: 1000 * time.Hour,
		source: "https://devcenter.heroku.com/articles/eco-dyno-hours", checked: "2026-11-23",
	},
	{
		// The hardware cpu-basic.
		name: "huggingface", sleepsAfter: 48 * time.Hour,
		source: "https://huggingface.co/docs/huggingface_hub/package_reference/space_runtime", checked: "2026-11-23",
	},
	{
		// Counts visits: to a plain request it gives a page of its own
		// that neither keeps the app awake nor wakes it up, unless the URL is
		// one that the app itself answers.
		name: "streamlit", sleepsAfter: 12 * time.Hour,
		source: "https://docs.streamlit.io/deploy/streamlit-community-cloud/manage-your-app", checked: "2026-11-23",
	},
	{
		// Pauses a project without API or database calls for a week; whoever
		// pings it asks for something that queries the database. A paused
		// project does not wake up by itself.
		name: "supabase", sleepsAfter: 7 * 24 * time.Hour,
		source: "https://github.com/supabase/supabase/discussions/2598", checked: "2026-11-23",
	},
	{
		// With "serverless" turned on: ten minutes without an outbound packet,
		// and the response to a ping is one.
		name: "railway", sleepsAfter: 10 * time.Minute,
		source: "https://docs.railway.com/reference/app-sleeping", checked: "2026-11-23",
	},
}

// findPlatform returns the preset of a name.
func findPlatform(name string) (*platform, error) {
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
	if p.hours > 0 && t.hoursQuota() == nil {
		t.Quotas = append(t.Quotas, &quota.Quota{
			Amount: int64(p.hours / time.Second), Unit: ledger.Seconds, Period: ledger.Month,
		})
	}
	return nil
}
