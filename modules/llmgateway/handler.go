// Package llmgateway puts many LLM accounts behind one endpoint: it checks the
// client's key, maps the model's name to the channels that have it, swaps in
// the channel's own key and leaves the rest of the request as it is.
//
// A request's way: Handler reads it and decides once, then attempts one candidate
// after the other until one gives a response that no other may better, and
// writes that to the client. Protocol upgrades go through a reverse_proxy, whose
// transport makes the same attempts.
package llmgateway

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp/reverseproxy"
	"github.com/jonboulle/clockwork"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"github.com/caddy-freetier/caddy-freetier/internal/awake"
	"github.com/caddy-freetier/caddy-freetier/internal/bodies"
	"github.com/caddy-freetier/caddy-freetier/internal/ledger"
	"github.com/caddy-freetier/caddy-freetier/internal/openrequests"
	"github.com/caddy-freetier/caddy-freetier/internal/runtime"
)

const (
	defaultTryDuration = 30 * time.Second
	defaultMaxBody     = 64_000_000
)

// defaultRetryOn are the statuses of an answer that another account may give
// better: no or no more right to this model, too slow, too many, broken.
var defaultRetryOn = []int{401, 402, 403, 408, 429, 5}

func init() {
	caddy.RegisterModule((*Handler)(nil))
}

// Handler is a gateway to the APIs of language models. It speaks OpenAI's
// dialect, Anthropic's (/v1/messages) and Gemini's without translating: what the
// client sends is what the channel gets, but for the key and the model's name.
//
// These placeholders are available to handlers around it, for example in
// `log_append`:
//
// Placeholder | Description
// ------------|-------------
// `{http.llm_gateway.client}` | The name of the client
// `{http.llm_gateway.model}` | The model that the client asked for
// `{http.llm_gateway.sent_model}` | The model that the channel was asked for
// `{http.llm_gateway.channel}` | The channel of the last try
// `{http.llm_gateway.tries}` | How many tries were made
// `{http.llm_gateway.input_tokens}` | The tokens of the request, as the answer tells them
// `{http.llm_gateway.output_tokens}` | The tokens of the answer, as it tells them
//
// The access log has the same in its field `llm_gateway`.
type Handler struct {
	// Who may use the gateway. Required, unless anonymous is set.
	Clients []*Client `json:"clients,omitempty"`

	// Let everybody in, without a key. Default: false.
	Anonymous bool `json:"anonymous,omitempty"`

	// The accounts that answer. At least one.
	Channels []*Channel `json:"channels,omitempty"`

	// Which model stands in when no channel can answer for another.
	Fallbacks []*Fallback `json:"fallbacks,omitempty"`

	// The name of the channel for requests that name no model, such as
	// /v1/files. Default: none, such requests get status 400.
	DefaultChannel string `json:"default_channel,omitempty"`

	// How to choose among the channels of one tier: any selection policy of
	// reverse_proxy. Default: random by weight.
	LBPolicyRaw json.RawMessage `json:"lb_policy,omitempty" caddy:"namespace=http.reverse_proxy.selection_policies inline_key=policy"`

	// How many tries may follow the first. Default: one try for each key of
	// each channel that has the model.
	Retries int `json:"retries,omitempty"`

	// No new try is made when this long has passed since the first.
	// Default: `30s`.
	TryDuration caddy.Duration `json:"try_duration,omitempty"`

	// The statuses of an answer after which the next candidate is tried; one
	// digit stands for its hundred (5 is 500 to 599). A try without an answer
	// always counts. Default: [401, 402, 403, 408, 429, 5].
	RetryOn []int `json:"retry_on,omitempty"`

	// How long a key is not used for a model after a rate limit without
	// Retry-After, or at all after a refusal that names the key, and how long a
	// channel is asked last after three failures in a row. Then one request
	// tries again; if that fails, the next cooldown is twice as long, up to half
	// an hour. Default: `60s`.
	Cooldown caddy.Duration `json:"cooldown,omitempty"`

	// How long a streamed answer may take to its first event before the next
	// candidate is tried. Default: no limit.
	FirstByteTimeout caddy.Duration `json:"first_byte_timeout,omitempty"`

	// The largest request body, in bytes, also after a content coding was undone.
	// Bodies are kept until the response has come, so that each attempt can send
	// them: up to 8 MB in memory, larger ones in a temporary file, and those of
	// more than 512 KB too while the bodies under way use more than an eighth of
	// the process's memory limit. Default: 64000000 (64 MB).
	MaxBody int64 `json:"max_body,omitempty"`

	// Which web pages may call the gateway from a browser: `*`, or origins
	// such as `https://chat.example.com`, or `off`. Default: `*`, and `off` for
	// an anonymous gateway, where no key keeps foreign pages out.
	CORS []string `json:"cors,omitempty"`

	// Paths that pass besides those of the APIs that the gateway knows, `*`
	// standing for any characters, such as Ollama's `/api/chat` and
	// `/api/tags`. Clients with models or limits may only send a POST there,
	// which names a model that they may use. Default: none.
	AllowPaths []string `json:"allow_paths,omitempty"`

	// Further headers of clients that all channels get: see the channels'
	// allow_headers. Default: none.
	AllowHeaders []string `json:"allow_headers,omitempty"`

	clock    clockwork.Clock
	awake    *awake.Tracker
	bodies   *bodies.Shared        // given back in Cleanup
	taken    []taken               // from pools, to be given back
	upgrades *reverseproxy.Handler // carries WebSockets
	lbPolicy reverseproxy.Selector

	// openRequests is what lb_policy learns of the channels' open requests.
	openRequests openrequests.Counter

	keys      atomic.Pointer[keyring]
	wrongKeys wrongKeys
	book      func() (*ledger.Ledger, error) // opened when something is counted
	everybody *Client                        // of an anonymous gateway
	cors      cors
	tiers     [][]*Channel // by tier, the first asked first
	fallback  *Channel     // for requests without a model
	sealers   *sealers     // of the handles of uploads
	elsewhere http.RoundTripper
	started   time.Time
	logger    *zap.Logger
}

// Fallback names the model that stands in for others. Whoever may not use the
// model itself does not get it as a stand-in either.
type Fallback struct {
	// Names of models, `*` standing for any characters.
	Models []string `json:"models,omitempty"`

	// The model to ask instead. It may have a fallback of its own.
	To string `json:"to,omitempty"`
}

// CaddyModule returns the Caddy module information.
func (*Handler) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{
		ID:  "http.handlers.llm_gateway",
		New: func() caddy.Module { return new(Handler) },
	}
}

// Provision sets up the gateway. It makes no connection.
func (h *Handler) Provision(ctx caddy.Context) error {
	h.logger = ctx.Logger()
	app, err := runtime.FromContext(ctx)
	if err != nil {
		return err
	}
	h.clock, h.awake = app.Clock(), app.Awake()
	h.started = h.clock.Now()
	if err := collectors.register(ctx.GetMetricsRegistry()); err != nil {
		return err
	}
	h.sealers = &sealers{storage: ctx.Storage(), logger: h.logger}
	h.elsewhere = newElsewhere(isElsewhere, nil)
	h.setDefaults()
	if err := h.check(); err != nil {
		return err
	}
	h.shareBodies()
	repl := caddy.NewReplacer()
	h.book = sync.OnceValues(func() (*ledger.Ledger, error) { return ledger.FromContext(ctx) })
	for _, c := range h.Clients {
		if err := c.provision(h); err != nil {
			return fmt.Errorf("client %s: %w", c.Name, err)
		}
	}
	files := h.keyFiles() // as they are before they are read
	keys, err := h.readKeyring(repl)
	if err != nil {
		return err
	}
	h.keys.Store(keys)
	transports := newTransports(ctx)
	for _, c := range h.Channels {
		if err := c.provision(repl, transports, h); err != nil {
			return located(c.Source, fmt.Errorf("channel %s: %w", c.Name, err))
		}
		if c.Name == h.DefaultChannel {
			h.fallback = c
		}
		c.catalog = take(h, catalogs, newCatalog(), c.base.String())
		if c.hasWildcard() {
			if err := app.Go("models of "+c.Name, h.keepCatalog(c)); err != nil {
				return err
			}
		}
	}
	if len(files) > 0 {
		if err := app.Go("key files of llm_gateway", h.watchKeyFiles(files)); err != nil {
			return err
		}
	}
	h.tiers = newTiers(h.Channels)
	if err := h.provisionUpgrades(ctx); err != nil {
		return err
	}
	if err := h.provisionPolicy(ctx); err != nil {
		return err
	}
	h.warnOfAccessLogs(ctx)
	gateways.LoadOrStore(h, h)
	return nil
}

// taken is an entry of a pool.
type taken struct {
	pool *caddy.UsagePool
	key  any
}

// take gets an entry of a pool, which belongs to the process, until Cleanup.
func take[T any](h *Handler, pool *caddy.UsagePool, fresh T, parts ...string) T {
	key := sha256.Sum256([]byte(strings.Join(parts, "\x00")))
	entry, _ := pool.LoadOrStore(key, fresh)
	h.taken = append(h.taken, taken{pool, key})
	return entry.(T)
}

// Cleanup gives back what Provision took, however far it came.
func (h *Handler) Cleanup() error {
	for _, t := range h.taken {
		_, _ = t.pool.Delete(t.key)
	}
	h.taken = nil
	if h.bodies != nil {
		bodies.Release()
	}
	_, err := gateways.Delete(h)
	return err
}

func (h *Handler) setDefaults() {
	if h.TryDuration == 0 {
		h.TryDuration = caddy.Duration(defaultTryDuration)
	}
	if h.RetryOn == nil {
		h.RetryOn = defaultRetryOn
	}
	if h.Cooldown == 0 {
		h.Cooldown = caddy.Duration(defaultCooldown)
	}
	if h.MaxBody == 0 {
		h.MaxBody = defaultMaxBody
	}
	h.cors = newCORS(h.CORS, h.Anonymous)
	h.everybody = newEverybody()
}

// check refuses what cannot work. The Caddyfile's mistakes are found earlier,
// with their line; this is for JSON.
func (h *Handler) check() error {
	if len(h.Clients) == 0 && !h.Anonymous {
		return errNoClients
	}
	if len(h.Clients) > 0 && h.Anonymous {
		return errAnonymousAndClients
	}
	if len(h.Channels) == 0 {
		return errNoChannels
	}
	if h.DefaultChannel != "" && h.channel(h.DefaultChannel) == nil {
		return fmt.Errorf("default_channel %s: there is no such channel", h.DefaultChannel)
	}
	for _, pattern := range h.AllowPaths {
		if err := checkAllowedPath(pattern); err != nil {
			return err
		}
	}
	names := make(map[string]bool)
	for _, c := range h.Channels {
		if c.Name == "" || names[c.Name] {
			return fmt.Errorf("channel %q: each channel needs a name of its own", c.Name)
		}
		names[c.Name] = true
	}
	clear(names)
	for _, c := range h.Clients {
		if c.Name == "" || names[c.Name] {
			return fmt.Errorf("client %q: each client needs a name of its own", c.Name)
		}
		names[c.Name] = true
	}
	return h.checkNames()
}

func (h *Handler) channel(name string) *Channel {
	for _, c := range h.Channels {
		if c.Name == name {
			return c
		}
	}
	return nil
}

// ServeHTTP checks the client, finds the model, puts the candidates in order
// and attempts them. It returns no error: Caddy would log that beside
// the request as the client sent it, keys included.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request, next caddyhttp.Handler) error {
	location, unknown := h.locate(r)
	if h.screen(w, r, location) {
		return nil
	}
	if sealed := takeUpload(r); sealed != nil {
		h.serveUpload(w, r, sealed)
		return nil
	}
	client, wrong := h.authenticate(r)
	if wrong != nil {
		wrong.write(w, r)
		return nil
	}
	client.total.Inc()
	q := h.newRequest(client, location)
	as := newAttempts(q)
	as.describe(r)
	if unknown == nil {
		unknown = q.mayPass(r)
	}
	if unknown != nil {
		q.refuse(w, r, unknown)
		return nil
	}
	if location.endpoint.isModelList() {
		if client != h.everybody {
			h.wake(client)
		}
		h.serveModels(w, r, client, modelID(r.URL.Path))
		return nil
	}
	defer as.close()
	if err := as.prepare(w, r); err != nil {
		q.refuse(w, r, err)
		return nil
	}
	if q.upgrading {
		as.upgrade(w, r, next)
		return nil
	}
	res, err := as.roundTrip(r)
	if err != nil {
		w.WriteHeader(statusClientClosed)
		return nil
	}
	as.respond(w, res)
	return nil
}

// prepare does all that comes before the first attempt.
func (as *attempts) prepare(w http.ResponseWriter, r *http.Request) *apiError {
	if err := as.checkLimits(w, r); err != nil {
		return err
	}
	if err := as.read(w, r); err != nil {
		return err
	}
	if err := as.checkStreamed(); err != nil {
		return err
	}
	if err := as.plan(r, w); err != nil {
		return err
	}
	if err := as.admit(w); err != nil {
		return err
	}
	as.askUsage(r.URL.Path)
	return nil
}

// MarshalLogObject keeps keys out of Caddy's trace log, which prints the whole
// configuration of each handler that a request passes.
func (h *Handler) MarshalLogObject(enc zapcore.ObjectEncoder) error {
	names := make([]string, len(h.Channels))
	for i, c := range h.Channels {
		names[i] = c.Name
	}
	zap.Strings("channels", names).AddTo(enc)
	enc.AddInt("clients", len(h.Clients))
	return nil
}

// Interface guards
var (
	_ caddy.Provisioner           = (*Handler)(nil)
	_ caddy.CleanerUpper          = (*Handler)(nil)
	_ caddyhttp.MiddlewareHandler = (*Handler)(nil)
	_ zapcore.ObjectMarshaler     = (*Handler)(nil)
)
