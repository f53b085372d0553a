package keepalive

import (
	"net/url"
	"strings"
	"time"

	"github.com/jonboulle/clockwork"
	"go.uber.org/zap"
)

// hastyInterval is an interval below which its unit is probably wrong: no platform
// puts an instance to sleep within a second.
const hastyInterval = time.Second

// warning is where a warning goes: to a log, or to a report.
type warning func(text string, fields ...zap.Field)

// withSource adds the file and line of the Caddyfile that a warning is about. A
// configuration that was written as JSON has none.
func withSource(source string, fields ...zap.Field) []zap.Field {
	if source == "" {
		return fields
	}
	return append(fields, zap.String("source", source))
}

// review warns of what is wrong with the settings of a target, although they
// are valid.
type review struct {
	target   *Target
	schedule *schedule
	place    *url.URL // where the instance is
	clock    clockwork.Clock
}

// warn names the target in each warning, and where it stands.
func (r *review) warn(to warning) {
	r.warnOf(func(text string, fields ...zap.Field) {
		fields = append([]zap.Field{zap.String("target", r.target.Name)}, fields...)
		to(text, withSource(r.target.Source, fields...)...)
	})
}

func (r *review) warnOf(to warning) {
	r.warnPlace(to)
	r.warnScheme(to)
	r.warnHaste(to)
	r.warnSleep(to)
	r.warnCost(to)
}

// warnPlace warns of a URL that keeps no instance awake, whatever its schedule.
func (r *review) warnPlace(to warning) {
	host := strings.ToLower(r.place.Hostname())
	switch space := spaceOf(r.place.Path); {
	case strings.HasSuffix(host, ".streamlit.app"):
		to(errStreamlit.Error())
	case (host == "huggingface.co" || host == "hf.co") && space != "":
		to("this is the hub's page about a Space, which does not keep it awake; the Space's own address is " + space)
	}
}

// warnScheme warns of http:// at platforms that answer it with a redirect, which
// the instance never hears of.
func (r *review) warnScheme(to warning) {
	if r.place.Scheme != "http" || r.target.Follow {
		return
	}
	for _, domain := range httpsOnly {
		if strings.HasSuffix(strings.ToLower(r.place.Hostname()), domain) {
			to("the platform answers http:// with a redirect, which the instance never hears of; write https://")
			return
		}
	}
}

// warnHaste warns of pings in such a quick succession that the unit of the
// interval is probably wrong.
func (r *review) warnHaste(to warning) {
	if r.schedule.cron == nil && r.schedule.every < hastyInterval {
		to("the interval is so short that its unit may be wrong; write one such as 3m",
			zap.Duration("interval", r.schedule.every),
			zap.Int64("pings_a_day", r.schedule.pingsIn(day, r.clock.Now())))
	}
}

// warnSleep warns of a schedule that lets the instance fall asleep.
func (r *review) warnSleep(to warning) {
	sleepsAfter := time.Duration(r.target.SleepsAfter)
	if sleepsAfter == 0 || r.schedule.cron != nil {
		return
	}
	longest := r.schedule.every + time.Duration(r.schedule.jitter*float64(r.schedule.every))
	if longest >= sleepsAfter {
		to("the target falls asleep between two pings; give it a shorter interval",
			zap.Duration("longest_wait", longest),
			zap.Duration("sleeps_after", sleepsAfter))
	}
}

// warnCost warns of pings that cost more than they save: each asks a model, or
// they use more than half of what the account gives.
func (r *review) warnCost(to warning) {
	if q := r.target.pingsQuota(); q != nil {
		if pings := r.schedule.pingsIn(lengthOf(q.Period), r.clock.Now()); pings > q.Amount/2 {
			to("the pings use most of the account's requests; give the target a longer interval, or ping a page that costs nothing",
				zap.Int64("pings", pings),
				zap.String("quota", q.String()))
		}
		return
	}
	if pings := r.schedule.pingsIn(month, r.clock.Now()); r.target.asksModel() && pings >= manyPings {
		to("each ping asks a model, which uses up its quota; a GET of a page that costs nothing keeps the instance awake as well",
			zap.Int64("pings_a_month", pings))
	}
}

// alike maps characters that look the same in many typefaces to one of them.
var alike = strings.NewReplacer("l", "1", "i", "1", "|", "1", "o", "0", "_", "", "-", "", ".", "")

// commonReview warns of what is wrong with the settings of all targets together.
type commonReview struct {
	targets []*Target
	source  string // of the app
}

func (r *commonReview) warn(to warning) {
	if len(r.targets) == 0 {
		to("keepalive has no target, so it pings nothing; write one into its block, such as: target api https://api.example.com/health",
			withSource(r.source)...)
	}
	r.warnAccounts(to)
}

// warnAccounts warns of accounts whose names are hard to tell apart: each name has
// quotas of its own, so a typo doubles what the configuration believes there is.
func (r *commonReview) warnAccounts(to warning) {
	names := make(map[string]string) // by what they look like
	for _, t := range r.targets {
		for _, q := range t.Quotas {
			if q.Account == "" {
				continue
			}
			look := alike.Replace(strings.ToLower(q.Account))
			if other, ok := names[look]; ok && other != q.Account {
				to("two accounts have names that look alike, and each has a quota of its own; write one name if they are one",
					withSource(t.Source, zap.Strings("accounts", []string{other, q.Account}), zap.String("target", t.Name))...)
			}
			names[look] = q.Account
		}
	}
}
