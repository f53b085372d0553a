package llmgateway

import (
	"cmp"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp/reverseproxy"
	"go.uber.org/zap"
	"golang.org/x/net/http/httpguts"

	"github.com/caddy-freetier/caddy-freetier/internal/awake"
	"github.com/caddy-freetier/caddy-freetier/internal/cooldown"
	"github.com/caddy-freetier/caddy-freetier/internal/cooldownstore"
	"github.com/caddy-freetier/caddy-freetier/internal/llm/fields"
	"github.com/caddy-freetier/caddy-freetier/internal/llm/refusal"
	"github.com/caddy-freetier/caddy-freetier/internal/quota"
	"github.com/caddy-freetier/caddy-freetier/internal/runtime"
	"github.com/caddy-freetier/caddy-freetier/internal/slots"
)

// Channel is one account, or several alike, at one provider.
type Channel struct {
	// The name in logs, metrics, the list of models and the responses' header
	// X-Gateway-Channel. Required, and unique.
	Name string `json:"name,omitempty"`

	// The API's address. Without a path the request's path is kept. With one
	// it is what an OpenAI SDK takes as its base URL: it stands in for the
	// request's leading /v1. Required, unless the provider has one.
	URL string `json:"url,omitempty"`

	// Whose API it is, by the name of a preset such as `gemini`: its URL for each
	// dialect, how it is shown the key, the fields of requests that it refuses,
	// how it refuses, and where its day ends. What is written in the channel
	// overrides the preset; with a URL all dialects are asked there. Default:
	// none; a known host is still known by its way of refusing.
	Provider string `json:"provider,omitempty"`

	// Of a provider with several addresses the one to use, such as `intl`.
	// Default: the first one of the documentation's table.
	Region string `json:"region,omitempty"`

	// The account's keys. Placeholders such as `{env.KEY}` and
	// `{file./run/secrets/keys}` are replaced at load; an unset one is an
	// error. One that stands alone may list any number of keys, separated by
	// white space, commas or lines; `#` begins a comment, and a file may have
	// 16 MB. Where the URL's path has `{account}` in it a key is written
	// `<account>/<token>`. Required, unless auth is `none`.
	APIKeys []string `json:"api_keys,omitempty"`

	// How many requests each key may make in a period, or how many tokens it
	// may use; keys that name an account share one count. A key of which any
	// quota is exhausted is not used before the next period. Default: none.
	Quotas []*quota.Quota `json:"quotas,omitempty"`

	// The same for each model by itself, by the name that the channel has for it.
	// Of a pattern 64 names are told apart. A model with quotas of its own has
	// those in their place. Default: none.
	ModelQuotas []*quota.Quota `json:"model_quotas,omitempty"`

	// How many requests each key answers at once. Further ones take another key;
	// if there is none they wait in the order of their coming, up to the gateway's
	// `wait`. Default: no limit.
	Concurrency *Concurrency `json:"concurrency,omitempty"`

	// The models that the channel has. At least one.
	Models []*ModelRoute `json:"models,omitempty"`

	// Channels of tier 2 are asked only when none of tier 1 can answer, and
	// so on. Default: 1.
	Tier int `json:"tier,omitempty"`

	// The share of the requests among channels of one tier. Default: 1.
	Weight int `json:"weight,omitempty"`

	// Which of the keys comes first: `affinity`, `quota` or `round_robin`. Default: as
	// the gateway's key_policy has it.
	KeyPolicy KeyPolicy `json:"key_policy,omitempty"`

	// How the key is shown. Default: as the provider's preset has it, else
	// `bearer`.
	Auth Auth `json:"auth,omitzero"`

	// Headers to set on each request to the channel. Placeholders are
	// replaced at load.
	Headers http.Header `json:"headers,omitempty"`

	// Further headers of clients that the channel gets, beside those that go to
	// every channel, such as `HTTP-Referer` and `X-Title` for OpenRouter. Keys,
	// cookies, and what reveals the client's address, identity or account can
	// not be among them. Default: none.
	AllowHeaders []string `json:"allow_headers,omitempty"`

	// Changes of the fields of JSON bodies, after those that the provider's preset
	// makes and in place of those for the same fields. `set` and `default` add
	// fields only to requests for a model's output. Default: none.
	Fields []fields.Rule `json:"fields,omitempty"`

	// Do not add `stream_options.include_usage` to streamed requests of clients
	// with a token limit, for a channel that refuses it. Default: false.
	NoIncludeUsage bool `json:"no_include_usage,omitempty"`

	// What the channel's responses mean, in the place of the built-in rules. The
	// first rule that matches decides; the gateway's own come after these.
	// Default: none.
	Refusals []refusal.UserRule `json:"refusals,omitempty"`

	// The proxy through which the channel is reached, such as
	// `socks5://127.0.0.1:1080` or `http://127.0.0.1:3128`: short for the
	// transport's `network_proxy url`. Placeholders are replaced at load.
	// Default: none.
	Proxy string `json:"proxy,omitempty"`

	// In which dialects the channel can be asked. Requests in another one are
	// translated, and their responses back. Default: everything is passed on as
	// it is.
	Speaks []*Speaks `json:"speaks,omitempty"`

	// Options of reverse_proxy's http transport. TLS is on by itself for an
	// https URL.
	Transport *reverseproxy.HTTPTransport `json:"transport,omitempty"`

	// Where the channel stands, for error messages.
	Source string `json:"source,omitempty"`

	// Where each of the api_keys stands, for error messages. One that stands
	// where the key before it does may be left empty.
	KeySources []string `json:"key_sources,omitempty"`

	api

	awake       *awake.Tracker
	open        atomic.Int64 // requests under way
	modelQuotas modelQuotas
	account     string // that all keys share, "" for none
	refusals    []refusal.UserRule
	secrets     atomic.Pointer[keySet]
	keyPolicy   KeyPolicy // KeyPolicy, or the gateway's
	headers     headerPolicy
	keyless     *mask             // for responses to requests without a key
	cooldowns   *cooldown.Breaker // by its own name for a model
	stats       *keyStats         // of attempts without a key
	slots       *slots.Slots      // of requests without a key
	signature   []string          // the value of X-Gateway-Channel
	attempts    outcomes          // of attempts, counted
	catalog     *catalog
	turn        atomic.Uint32
	http        *reverseproxy.HTTPTransport
}

// channelNamed returns the channel with a name, nil if there is none.
func channelNamed(channels []*Channel, name string) *Channel {
	for _, c := range channels {
		if c.Name == name {
			return c
		}
	}
	return nil
}

// key is an account's key.
type key struct {
	account   string // that the channel's URL needs, "" for none
	secret    string
	id        cooldownstore.ID  // under which its cooldowns are kept
	header    string            // that shows it, "" for none
	value     []string          // of the header; a header map takes it as it is
	cooldowns *cooldown.Breaker // by the name that the channel has for a model
	stats     *keyStats
	learned   *learnedLimits
	slots     *slots.Slots         // of requests under way
	mask      atomic.Pointer[mask] // made with the first response
	limits
	byModel *modelLimits // set if the channel has quotas of models
}

// text returns the key as the configuration has it.
func (k *key) text() string {
	if k.account != "" {
		return k.account + "/" + k.secret
	}
	return k.secret
}

// name is what logs and the admin API call the key.
func (k *key) name() string {
	if len(k.secret) < 12 {
		return "…" // the last four characters would be too much of it
	}
	return "…" + k.secret[len(k.secret)-4:]
}

var errNoModels = errors.New("the channel has no models: add models <name>... (or models * for any)")

func (c *Channel) provision(l *loading, g *gateway, allowHeaders []string) error {
	if err := c.locate(); err != nil {
		return err
	}
	if len(c.Models) == 0 {
		return errNoModels
	}
	if err := c.Auth.check(); err != nil {
		return err
	}
	if err := c.Concurrency.check(); err != nil {
		return err
	}
	if len(c.APIKeys) == 0 && c.Auth.Scheme != "none" {
		return errors.New("the channel has no api_key (use auth none for an API that takes no key)")
	}
	c.signature, c.attempts = []string{c.Name}, collectors.outcomesOf(c.Name)
	for _, route := range c.Models {
		if err := route.provision(c); err != nil {
			return err
		}
		if err := route.openReceipt(l.book); err != nil {
			return err
		}
	}
	if err := c.KeyPolicy.check(); err != nil {
		return err
	}
	c.awake, c.keyPolicy = g.awake, cmp.Or(c.KeyPolicy, g.keyPolicy)
	c.provider = c.refusesAs()
	for _, q := range slices.Concat(c.Quotas, c.ModelQuotas) {
		c.account = cmp.Or(c.account, q.Account)
	}
	for i := range c.Refusals {
		if err := c.Refusals[i].Check(); err != nil {
			return fmt.Errorf("refusal %d: %w", i+1, err)
		}
	}
	if err := c.setSpoken(c); err != nil {
		return err
	}
	c.refusals = slices.Concat(c.Refusals, g.refusals)
	var err error
	if c.modelQuotas, err = newModelQuotas(c, l.book); err != nil {
		return err
	}
	known := take(l.pooled, histories, newHistory(l.cooldowns), c.base.String())
	c.cooldowns, c.stats, c.slots = known.cooldowns, &known.stats, &known.slots
	c.catalog = take(l.pooled, catalogs, newCatalog(), c.base.String())
	if err := c.readKeys(l); err != nil {
		return err
	}
	c.warnOfProvider(l.logger)
	if err := c.provisionHeaders(l, allowHeaders); err != nil {
		return err
	}
	transport, err := transportOf(c)
	if err != nil {
		return err
	}
	c.http, err = l.transports.get(transport, c.base.Scheme == "https")
	return err
}

// provisionHeaders prepares what the channel gets and sets of headers.
func (c *Channel) provisionHeaders(l *loading, allowHeaders []string) (err error) {
	set := make(http.Header, len(c.Headers))
	for name, values := range c.Headers {
		for _, value := range values {
			value, err := l.repl.ReplaceOrErr(value, true, false)
			if err != nil {
				return fmt.Errorf("header %s: %w", name, runtime.ExplainUnset(err))
			}
			if !httpguts.ValidHeaderFieldValue(value) {
				return fmt.Errorf("header %s: its value has a control character", name)
			}
			set.Add(name, value)
		}
	}
	if c.headers, err = newHeaderPolicy(set, allowHeaders, c.AllowHeaders); err != nil {
		return err
	}
	c.keyless = newMask(c.headers.secrets()...)
	return nil
}

// keys are the account's keys as they are now.
func (c *Channel) keys() []*key {
	if set := c.secrets.Load(); set != nil {
		return set.keys
	}
	return nil
}

// keySet returns the keys as they are now, once the channel is provisioned.
func (c *Channel) keySet() *keySet { return c.secrets.Load() }

// readKeys resolves the keys. One that is known stays as it is.
func (c *Channel) readKeys(l *loading) error {
	known := make(map[string]*key)
	for _, k := range c.keys() {
		known[k.text()] = k
	}
	keys := make([]*key, 0, len(c.APIKeys))
	seen := make(map[string]bool)
	for i, apiKey := range c.APIKeys {
		listed, err := resolveKeys(l.repl, apiKey, c.keyPlace(i), l.logger)
		if err != nil {
			return err
		}
		for _, entry := range listed {
			if seen[entry.secret] {
				if len(listed) == 1 {
					return c.keyPlace(i).error("", errSameKey)
				}
				l.logger.Warn("key is in the list twice", zap.String("key", c.keyPlace(i).String()+strings.TrimSuffix(entry.origin, ",")))
				continue
			}
			seen[entry.secret] = true
			k := known[entry.secret]
			if k == nil {
				if k, err = c.newKey(entry.secret, l); err != nil {
					return c.keyPlace(i).error(entry.origin, err)
				}
			}
			keys = append(keys, k)
		}
	}
	if err := l.keys.Load().checkDemo(c, keys); err != nil {
		return err
	}
	if err := c.modelQuotas.openNamed(c.Models, keys); err != nil {
		return err
	}
	c.secrets.Store(newKeySet(c.Name, keys))
	return nil
}

// newKey returns the channel's key that a text stands for.
func (c *Channel) newKey(text string, l *loading) (k *key, err error) {
	k = &key{secret: text, id: poolKey(c.base.String(), text)}
	if c.perAccount() {
		if k.account, k.secret, err = splitAccount(text); err != nil {
			return nil, err
		}
	}
	known := take(l.pooled, histories, newHistory(l.cooldowns), c.base.String(), text)
	k.cooldowns, k.stats, k.learned, k.slots = known.cooldowns, &known.stats, &known.learned, &known.slots
	name, value := c.auth.header(k.secret)
	k.header, k.value = name, []string{value}
	count := "llm_gateway key " + c.base.String() + " " + text
	if c.modelQuotas.any() {
		k.byModel = &modelLimits{name: count}
	}
	return k, k.open(c.inZone(c.Quotas), l.book, count)
}

// locate finds out where the channel's API is.
func (c *Channel) locate() error {
	if err := c.useProvider(c); err != nil {
		return err
	}
	return c.setURL(cmp.Or(c.URL, c.presetURL))
}

// keyPlace returns where the channel's key with an index stands.
func (c *Channel) keyPlace(i int) keyPlace {
	place := keyPlace{"channel " + c.Name, i + 1, c.Source}
	for ; i >= 0; i-- {
		if i < len(c.KeySources) && c.KeySources[i] != "" {
			place.source = c.KeySources[i]
			break
		}
	}
	return place
}

// setKeySource notes where the key with an index stands, unless that follows
// from the keys before it.
func (c *Channel) setKeySource(i int, source string) {
	if c.keyPlace(i).source == source {
		return
	}
	c.KeySources = append(c.KeySources, make([]string, i+1-len(c.KeySources))...)
	c.KeySources[i] = source
}

// sleeps reports whether the channel's instance has to wake up first.
func (c *Channel) sleeps() bool { return c.awake.Sleeps(c.dial) }
