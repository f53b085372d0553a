package llmgateway

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"github.com/caddy-freetier/caddy-freetier/internal/bodies"
	"github.com/caddy-freetier/caddy-freetier/internal/ledger"
	"github.com/caddy-freetier/caddy-freetier/internal/llm/refusal"
	"github.com/caddy-freetier/caddy-freetier/internal/runtime"
)

const (
	defaultRetries     = 9
	defaultTryDuration = 3 * time.Minute
	defaultMaxBody     = 64_000_000

	// defaultFirstByteTimeout is for attempts that another may follow.
	defaultFirstByteTimeout = time.Minute
	// defaultHeartbeat is half of what proxies usually wait at least.
	defaultHeartbeat        = 15 * time.Second
	defaultResponseTimeout  = 10 * time.Minute
	defaultStreamCloseDelay = 5 * time.Minute
)

func init() {
	caddy.RegisterModule((*Handler)(nil))
}

// Handler is a gateway to the APIs of language models. It speaks OpenAI's two
// dialects, Anthropic's (/v1/messages) and Gemini's: what the client sends is what
// the channel gets, but for the key and the model's name. Where a channel says with
// `speaks` that it does not know the client's dialect, the request is translated.
//
// These placeholders are available to handlers around it, for example in
// `log_append`:
//
// Placeholder | Description
// ------------|-------------
// `{http.llm_gateway.client}` | The name of the client
// `{http.llm_gateway.model}` | The model that the client asked for
// `{http.llm_gateway.sent_model}` | The model that the channel was asked for
// `{http.llm_gateway.channel}` | The channel of the last attempt
// `{http.llm_gateway.key}` | The last four characters of its key
// `{http.llm_gateway.attempts}` | How many attempts were made
// `{http.llm_gateway.input_tokens}` | The tokens of the request, as the response states them
// `{http.llm_gateway.output_tokens}` | The tokens of the response, as it states them
// `{http.llm_gateway.outcome}` | What came of the request: `complete`, `refused`, `broken` or `client_left`
//
// The access log has the same in its field `llm_gateway`.
type Handler struct {
	// Who may use the gateway. Required, unless anonymous is set.
	Clients []*Client `json:"clients,omitempty"`

	// The path of a file with further clients: a JSON array of objects with
	// `name`, `key_sha256` (in hexadecimal digits), `models`, `limits` (such as
	// `1000/day`) and `expires` (such as `2027-01-31T00:00:00Z`). It is read
	// again when it changes. A file that is missing is an empty list.
	// Placeholders are replaced at load. Default: none.
	ClientsFile string `json:"clients_file,omitempty"`

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

	// Which of a channel's keys comes first. `affinity` keeps a conversation with its
	// key as long as that may be used, so that the provider's cache of its prompts
	// counts: after a restart, too, and on all instances. Without an lb_policy it
	// keeps it with its channel as well. `quota` goes by what is left of each quota
	// for the time that is left of its period. `round_robin` takes turns. Default:
	// `affinity`.
	KeyPolicy KeyPolicy `json:"key_policy,omitempty"`

	// How many attempts may follow the first. Default: 9.
	Retries int `json:"retries,omitempty"`

	// No new attempt is made when this long has passed since the request came.
	// Default: `3m`.
	TryDuration caddy.Duration `json:"try_duration,omitempty"`

	// The statuses of a response after which the next candidate is tried; one
	// digit stands for its hundred (5 is 500 to 599). An attempt without a
	// response always counts. Default: the meaning of the refusal decides (see
	// the table in docs/refusals.md). What is put in cooldown never depends on
	// this option.
	RetryOn []int `json:"retry_on,omitempty"`

	// What responses of all channels mean, in the place of the built-in rules.
	// The first rule that matches decides; those of a channel come before these.
	Refusals []refusal.UserRule `json:"refusals,omitempty"`

	// The longest cooldown of a key after a rate limit for which the provider
	// states no time. The first one lasts 5 seconds, and after each failed trial
	// it is twice as long, up to this. Default: `60s`.
	Cooldown caddy.Duration `json:"cooldown,omitempty"`

	// How far a time is believed that a provider states for a rate limit, such as
	// with Retry-After. Those of quotas of a day or a month are believed up to 31
	// days. Default: `1h`.
	MaxCooldown caddy.Duration `json:"max_cooldown,omitempty"`

	// How long a request waits for the end of a cooldown when all that could
	// answer it are in one. -1: it does not wait. Default: `30s`.
	Wait caddy.Duration `json:"wait,omitempty"`

	// How long a streamed response may take to its first output before the next
	// candidate is tried. Default: `60s` while another candidate is left, and no
	// limit for the last one.
	FirstByteTimeout caddy.Duration `json:"first_byte_timeout,omitempty"`

	// How long a response that is no stream may take to its end. If it has not
	// begun by then, the next candidate is tried. -1: no limit. Default: `10m`.
	ResponseTimeout caddy.Duration `json:"response_timeout,omitempty"`

	// How long a stream may be silent before the client gets a heartbeat: a
	// comment, which clients skip, and which keeps proxies from closing the
	// connection. If it comes before the first output, the response begins with
	// it; later failures are events then. Clients of Gemini's API get none.
	// -1: no heartbeats. Default: `15s`.
	Heartbeat caddy.Duration `json:"heartbeat,omitempty"`

	// How long WebSockets stay open after a reload, before they are closed as
	// reverse_proxy does it. -1: they are closed at once. Default: `5m`.
	StreamCloseDelay caddy.Duration `json:"stream_close_delay,omitempty"`

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

	gateway *gateway // set in Provision
	pooled  pooled
}

// Fallback names the model that stands in for others. Whoever may not use the
// model itself does not get it as a stand-in either.
type Fallback struct {
	// Names of models, `*` standing for any characters.
	Models []string `json:"models,omitempty"`

	// The models to ask instead, one after the other. They may have fallbacks of
	// their own, which come after them. Requests for embeddings have none: those of
	// another model cannot be compared.
	To []string `json:"to,omitempty"`
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
	app, err := runtime.FromContext(ctx)
	if err != nil {
		return err
	}
	if err := collectors.register(ctx.GetMetricsRegistry()); err != nil {
		return err
	}
	h.setDefaults()
	if err := h.check(); err != nil {
		return err
	}
	if err := checkRoutes(ctx, h, ctx.Logger()); err != nil {
		return err
	}
	for _, c := range h.Channels {
		c.Tier, c.Weight = max(1, c.Tier), max(1, c.Weight)
	}
	g := newGateway(h, app.Clock(), app.Awake(), ctx.Logger())
	h.gateway = g
	g.changes = app.Status()
	g.bodies = acquireBodies(g.auth)
	g.models = &modelLister{tiers: g.tiers, started: g.clock.Now()}
	g.usedNames = newUsedNames(h.Channels, h.Fallbacks)
	g.uploads = newUploads(g, ctx.Storage())
	l := &loading{
		repl:       caddy.NewReplacer(),
		transports: newTransports(ctx),
		pooled:     &h.pooled,
		keys:       &g.auth.keys,
		book:       sync.OnceValues(func() (*ledger.Ledger, error) { return ledger.FromContext(ctx) }),
		logger:     g.logger,
	}
	if l.cooldowns, err = acquireCooldownStore(ctx, app, &h.pooled, g.logger); err != nil {
		return err
	}
	if g.ids, err = acquireIDStore(ctx, app, &h.pooled, g.logger); err != nil {
		return err
	}
	if err := h.provisionParts(l, app); err != nil {
		return err
	}
	if g.upgrades, err = newUpgrades(ctx, h.Channels, h.StreamCloseDelay); err != nil {
		return err
	}
	if g.balancer, err = newBalancer(ctx, h.LBPolicyRaw, h.Channels); err != nil {
		return err
	}
	warnOfAccessLogs(ctx)
	keepConns(ctx)
	warnOfUnknownModels(h, g.logger)
	g.changes.Describe(g.describe)
	gateways.LoadOrStore(g, g)
	return nil
}

// provisionParts sets up the clients and channels, and what keeps their keys and
// lists of models up to date.
func (h *Handler) provisionParts(l *loading, app *runtime.App) error {
	for _, c := range append(slices.Clip(h.Clients), h.gateway.auth.everybody) {
		if err := c.provision(l.book); err != nil {
			return fmt.Errorf("client %s: %w", c.Name, err)
		}
	}
	files := newKeyFiles(h.Clients, h.Channels) // as they are before they are read
	if err := h.provisionClientsFile(l, app); err != nil {
		return err
	}
	if err := h.gateway.auth.readKeys(l.repl); err != nil {
		return err
	}
	for _, c := range h.Channels {
		if err := c.provision(l, h.gateway, h.AllowHeaders); err != nil {
			return located(c.Source, fmt.Errorf("channel %s: %w", c.Name, err))
		}
		h.gateway.translates = h.gateway.translates || len(c.spoken) > 0
		h.gateway.limitsConcurrency = h.gateway.limitsConcurrency || c.Concurrency != nil
		h.gateway.affinity = h.gateway.affinity || c.keyPolicy == KeyPolicyAffinity
		if c.Name == h.DefaultChannel {
			h.gateway.unnamed = c
		}
		if c.hasWildcard() {
			if err := app.Go("models of "+c.Name, c.catalog.keeper(c, h.gateway)); err != nil {
				return err
			}
		}
	}
	if len(files) == 0 {
		return nil
	}
	return app.Go("key files of llm_gateway", files.watcher(h.gateway.clock, func() { h.gateway.readKeysAgain(l) }))
}

// Cleanup gives back what Provision took, however far it came.
func (h *Handler) Cleanup() error {
	h.pooled.giveBack()
	if h.gateway == nil {
		return nil
	}
	if h.gateway.bodies != nil {
		bodies.Release()
	}
	_, err := gateways.Delete(h.gateway)
	return err
}

func (h *Handler) setDefaults() {
	if h.TryDuration == 0 {
		h.TryDuration = caddy.Duration(defaultTryDuration)
	}
	if h.Retries == 0 {
		h.Retries = defaultRetries
	}
	if h.Cooldown == 0 {
		h.Cooldown = caddy.Duration(defaultCooldown)
	}
	if h.MaxCooldown == 0 {
		h.MaxCooldown = caddy.Duration(defaultMaxCooldown)
	}
	if h.Wait == 0 {
		h.Wait = caddy.Duration(defaultWait)
	}
	if h.ResponseTimeout == 0 {
		h.ResponseTimeout = caddy.Duration(defaultResponseTimeout)
	}
	if h.Heartbeat == 0 {
		h.Heartbeat = caddy.Duration(defaultHeartbeat)
	}
	if h.StreamCloseDelay == 0 {
		h.StreamCloseDelay = caddy.Duration(defaultStreamCloseDelay)
	}
	if h.KeyPolicy == "" {
		h.KeyPolicy = KeyPolicyAffinity
	}
	if h.MaxBody == 0 {
		h.MaxBody = defaultMaxBody
	}
}

// check refuses what cannot work. The Caddyfile's mistakes are found earlier,
// with their line; this is for JSON.
func (h *Handler) check() error {
	hasClients := len(h.Clients) > 0 || h.ClientsFile != ""
	if !hasClients && !h.Anonymous {
		return errNoClients
	}
	if hasClients && h.Anonymous {
		return errAnonymousAndClients
	}
	if len(h.Channels) == 0 {
		return errNoChannels
	}
	if h.DefaultChannel != "" && channelNamed(h.Channels, h.DefaultChannel) == nil {
		return fmt.Errorf("default_channel %s: there is no such channel", h.DefaultChannel)
	}
	if err := h.KeyPolicy.check(); err != nil {
		return err
	}
	for i := range h.Refusals {
		if err := h.Refusals[i].Check(); err != nil {
			return fmt.Errorf("refusal %d: %w", i+1, err)
		}
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
	return checkNames(h.Clients, h.Channels, h.Fallbacks)
}

// ServeHTTP checks the client, finds the model, puts the candidates in order
// and attempts them. It returns no error: Caddy would log that beside
// the request as the client sent it, keys included.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request, next caddyhttp.Handler) error {
	g := h.gateway
	location, unknown := locateRequest(r, g.allowPaths)
	if g.cors.screen(w, r, location) {
		return nil
	}
	if sealed := takeUpload(r); sealed != nil {
		g.uploads.serve(w, r, sealed)
		return nil
	}
	client, wrong := g.auth.authenticate(r)
	if wrong != nil {
		wrong.write(w, r)
		return nil
	}
	client.total.Inc()
	q := newRequest(g, client, location, methodOf(r) == socket)
	as := newAttempts(q)
	description{as}.offer(r)
	if unknown == nil {
		unknown = location.mayPass(r, client)
	}
	if unknown != nil {
		q.refuse(w, r, unknown)
		return nil
	}
	if location.endpoint.isOwn() {
		g.serveOwn(w, r, q)
		return nil
	}
	defer as.close()
	if err := as.prepare(w, r); err == clientLeft {
		w.WriteHeader(statusClientClosed)
		return nil
	} else if err != nil {
		q.refuse(w, r, err)
		return nil
	}
	if as.estimatesTokens() {
		as.writeEstimate(w)
		return nil
	}
	if q.upgrading {
		g.upgrade(as, w, r, next)
		return nil
	}
	res, err := as.roundTrip(r)
	if err != nil {
		as.delivery.clientLeft()
		return nil
	}
	as.respond(res)
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
