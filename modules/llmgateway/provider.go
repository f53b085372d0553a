package llmgateway

import (
	"cmp"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"go.uber.org/zap"

	"github.com/caddy-freetier/caddy-freetier/internal/ledger"
	"github.com/caddy-freetier/caddy-freetier/internal/llm/preset"
	"github.com/caddy-freetier/caddy-freetier/internal/llm/refusal"
	"github.com/caddy-freetier/caddy-freetier/internal/quota"
)

// side is where a channel serves a dialect that has another base, or another way
// to show the key, than the rest of its API.
//
// One per dialect, made in Provision (useProvider) and only read afterwards. Example:
// Z.ai serves chat at /api/paas/v4 with a bearer token, and Messages at /api/anthropic.
type side struct {
	base *url.URL // as Channel.base: it stands in for the request's leading /v1
	auth Auth
}

var errNoURL = errors.New("the channel has no URL: write it behind the name, such as https://api.example.com/v1, or choose a preset with provider")

// useProvider looks up the channel's preset, unless it has none. It leaves what
// the configuration has written as it is.
//
// A URL in the configuration replaces that of the preset, and with it the bases of its
// other dialects: what stands in front of the provider need not serve them. Headers,
// rules for fields and refusals of the preset still apply. The URL of the preset goes
// to presetURL, since Channel.URL is the configuration as it was written.
func (a *api) useProvider(c *Channel) (err error) {
	a.auth = c.Auth
	if c.Provider == "" {
		if c.Region != "" {
			return errors.New("a region needs a provider")
		}
		if c.URL == "" {
			return errNoURL
		}
		return nil
	}
	if a.preset, err = preset.Lookup(c.Provider); err != nil {
		return err
	}
	region, err := a.preset.Region(c.Region)
	if err != nil {
		return err
	}
	chat := region.Bases[preset.Chat]
	a.auth.Scheme = cmp.Or(a.auth.Scheme, chat.Auth)
	if c.URL != "" {
		return nil
	}
	if chat.URL == "" {
		return fmt.Errorf("provider %s has no URL of its own: write yours behind the channel's name", c.Provider)
	}
	a.presetURL = chat.URL
	for d := preset.Responses; d < preset.Dialects; d++ {
		if base := region.Bases[d]; base.URL != "" {
			a.addSide(c.Auth, d, base, chat)
		}
	}
	return nil
}

// addSide adds the base of a dialect, unless it is that of the chat API.
//
// Configured auth wins over that of the dialect's base, as it does for the chat API.
func (a *api) addSide(own Auth, d preset.Dialect, base, chat preset.Base) {
	address := base.URL
	switch d {
	case preset.Messages:
		address += "/v1" // is in its requests, as in those of the gateway's clients
	case preset.Gemini:
		address = address[:strings.LastIndexByte(address, '/')] // so is the version
	}
	auth := Auth{Scheme: cmp.Or(own.Scheme, base.Auth), Parameter: own.Parameter}
	if address == chat.URL && auth == a.auth {
		return
	}
	u, _ := url.Parse(address) // a test has parsed all presets
	a.sides[d] = &side{u, auth}
}

// sideOf returns the side that serves the API of a canonical path, nil for the
// channel's base.
func (a *api) sideOf(path string) *side {
	if a.presetURL == "" {
		return nil
	}
	switch {
	case strings.HasPrefix(path, "/v1/messages"):
		return a.sides[preset.Messages]
	case strings.HasPrefix(path, "/v1/responses"):
		return a.sides[preset.Responses]
	case geminiVersion(path) != "":
		return a.sides[preset.Gemini]
	}
	return nil
}

// addHeaders adds what the provider needs to an outgoing request that lacks it.
//
// What the client or header_up has set stays.
func (a *api) addHeaders(out *http.Request) {
	if a.preset == nil {
		return
	}
	for name, value := range a.preset.Headers {
		if out.Header[name] == nil {
			out.Header[name] = []string{value}
		}
	}
}

// showKey puts the key into a request to the channel's API of a canonical path.
func (a *api) showKey(out *http.Request, path string, k *key) {
	s := a.sideOf(path)
	if s == nil {
		a.auth.apply(out, k, k.header, k.value)
		return
	}
	header, value := s.auth.header(k.secret)
	s.auth.apply(out, k, header, []string{value})
}

// warnOfProvider warns of what is known to go wrong with the channel's provider.
func (c *Channel) warnOfProvider(logger *zap.Logger) {
	if warning := c.warningOfProvider(); warning != "" {
		logger.Warn(warning, zap.String("channel", c.Name), zap.String("source", c.Source))
	}
}

// A host that is known to be retired comes first: it explains all other failures. Keys
// behind one address are only worth a warning when there are several.
func (c *Channel) warningOfProvider() string {
	warning := preset.RetiredHost(c.base.Hostname())
	if c.preset != nil {
		warning = cmp.Or(warning, c.preset.Warning)
		if len(c.keys()) > 1 && c.preset.Pool.OfAddress() {
			warning = cmp.Or(warning, "this provider counts its free quota by IP address, so that several keys give no more than one")
		}
	}
	if warning == "" {
		return ""
	}
	return "channel of a provider: " + warning
}

// refusesAs returns whose refusals the channel's are.
//
// A channel without `provider` whose host is known gets the rules of its refusals all
// the same, since they only say what a response means; it gets nothing that would
// change its requests.
func (a *api) refusesAs() refusal.Provider {
	if a.preset != nil {
		return a.preset.Name
	}
	return refusal.ProviderOf(a.base.Host)
}

// inZone returns quotas that renew when the provider's do, where they do not say
// when.
//
// A quota is copied before it is changed: the configuration stays as it was written.
func (a *api) inZone(quotas []*quota.Quota) []*quota.Quota {
	if a.preset == nil || a.preset.Zone == "" {
		return quotas
	}
	quotas = slices.Clone(quotas)
	for i, q := range quotas {
		if q.Zone == "" && (q.Period == ledger.Day || q.Period == ledger.Month) {
			zoned := *q
			zoned.Zone = a.preset.Zone
			quotas[i] = &zoned
		}
	}
	return quotas
}

// vendor names those who can read the signatures that the channel's models give.
//
// Signatures of reasoning are valid only at the vendor that made them, so a translated
// conversation carries the name with each; a colon would separate it from the rest.
func (a *api) vendor() string {
	if a.provider != "" {
		return string(a.provider)
	}
	return strings.ReplaceAll(a.base.Host, ":", "-")
}
