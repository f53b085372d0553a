package llmgateway

import (
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"github.com/jonboulle/clockwork"
	"go.uber.org/zap"
)

// keyHeaders are where the SDKs of OpenAI, Anthropic, Azure and Google put the
// key, in canonical form.
var keyHeaders = [...]string{"Authorization", "X-Api-Key", "Api-Key", "X-Goog-Api-Key"}

// authenticator finds the client of a request by its key.
//
// keys is replaced as a whole when files with keys or clients have changed; a request
// uses the keyring that it has found first. Lookup is by hash of the key (keyring).
type authenticator struct {
	clients   []*Client
	anonymous bool    // everybody is let in, and all are one client
	everybody *Client // who that is
	file      *clientsFile
	keys      atomic.Pointer[keyring]
	wrong     wrongKeys
	clock     clockwork.Clock
	logger    *zap.Logger
}

func newAuthenticator(h *Handler, clock clockwork.Clock, logger *zap.Logger) *authenticator {
	return &authenticator{
		clients:   h.Clients,
		anonymous: h.Anonymous,
		everybody: newEverybody(),
		file:      &clientsFile{path: h.ClientsFile},
		clock:     clock,
		logger:    logger,
	}
}

// readKeys resolves the clients' keys.
func (a *authenticator) readKeys(repl *caddy.Replacer) error {
	keys, err := readKeyring(a.clients, a.file.clients, repl, a.logger)
	if err == nil {
		a.keys.Store(keys)
	}
	return err
}

// clientNamed returns the client with a name, nil if there is none or its key has
// expired.
//
// It is for handles of uploads, which name their client and are shown without its key.
func (a *authenticator) clientNamed(name string) *Client {
	if a.anonymous && name == a.everybody.Name {
		return a.everybody
	}
	c := a.keys.Load().named[name]
	if c != nil && c.expired(a.clock.Now()) {
		return nil
	}
	return c
}

// authenticate finds the client by the key that the request shows, and removes
// all keys from the request. A request that shows two different keys is refused
// like one with a wrong key, so that a request tries one key and not thousands.
func (a *authenticator) authenticate(r *http.Request) (*Client, *apiError) {
	return a.identify(r, takeKeys(r))
}

// identify finds the client by the keys that its request has shown.
//
// A request without a key is neither counted nor logged: browsers, health checks and
// scanners send such requests all the time. A wrong key and none get the same response.
func (a *authenticator) identify(r *http.Request, shown shownKeys) (*Client, *apiError) {
	if a.anonymous {
		return a.everybody, nil
	}
	switch {
	case shown.several:
		a.reportWrongKey(r, "several keys")
		return nil, severalKeys
	case shown.key == "":
		return nil, invalidKey
	}
	client, ok := a.keys.Load().client(shown.key)
	if !ok {
		a.reportWrongKey(r, "unknown key")
		return nil, invalidKey
	}
	if client.expired(a.clock.Now()) {
		collectors.refused.WithLabelValues(client.label(), strconv.Itoa(http.StatusUnauthorized)).Inc()
		return nil, keyExpired(client.listed.Expires)
	}
	return client, nil
}

// reportWrongKey counts the request and logs it, if it is the turn of one.
//
// The key is not logged, not even in part: it may be the right one of another service,
// or differ from the right one in a letter.
func (a *authenticator) reportWrongKey(r *http.Request, reason string) {
	collectors.wrongKeys.Inc()
	unlogged, ok := a.wrong.mayLog(a.clock.Now())
	if !ok {
		return
	}
	ip, _ := caddyhttp.GetVar(r.Context(), caddyhttp.ClientIPVarKey).(string)
	a.logger.Warn("request with a wrong API key",
		zap.String("client_ip", ip), zap.String("reason", reason), zap.Int("unlogged", unlogged))
}

// shownKeys are the keys that a request shows.
type shownKeys struct {
	key     string // the first one, "" for none
	several bool   // there are others
}

func (s *shownKeys) add(key string) {
	switch {
	case key == "" || key == s.key:
	case s.key == "":
		s.key = key
	default:
		s.several = true
	}
}

// takeKeys removes the keys from a request, wherever clients put them.
//
// They are removed before a channel is chosen, also with anonymous: no channel must get
// a client's key.
func takeKeys(r *http.Request) (shown shownKeys) {
	for _, name := range keyHeaders {
		values, ok := r.Header[name]
		if !ok {
			continue
		}
		for _, value := range values {
			shown.add(bareKey(value))
		}
		delete(r.Header, name)
	}
	takeQueryKeys(r, &shown)
	takeProtocolKeys(r.Header, &shown)
	return shown
}

// bareKey returns the key in the value of a header, with or without the scheme
// Bearer. Other schemes, such as the Basic of a login to the site, show none.
func bareKey(value string) string {
	value = strings.TrimSpace(value)
	scheme, token, found := strings.Cut(value, " ")
	switch {
	case !found:
		return value
	case strings.EqualFold(scheme, "Bearer"):
		return strings.TrimSpace(token)
	}
	return ""
}

// protocolKey begins the subprotocol in which a page shows the key, since a
// browser lets it set no header of a WebSocket. The other two name what a client
// must not choose for a channel.
// Source: https://platform.openai.com/docs/guides/realtime-websocket
const (
	protocolKey          = "openai-insecure-api-key."
	protocolOrganization = "openai-organization."
	protocolProject      = "openai-project."
)

// takeProtocolKeys removes the keys from a WebSocket's subprotocols.
func takeProtocolKeys(header http.Header, shown *shownKeys) {
	const name = "Sec-Websocket-Protocol"
	values, ok := header[name]
	if !ok {
		return
	}
	var kept []string
	for _, value := range values {
		for protocol := range strings.SplitSeq(value, ",") {
			protocol = strings.TrimSpace(protocol)
			switch {
			case protocol == "":
			case hasPrefixFold(protocol, protocolKey):
				shown.add(protocol[len(protocolKey):])
			case hasPrefixFold(protocol, protocolOrganization), hasPrefixFold(protocol, protocolProject):
			default:
				kept = append(kept, protocol)
			}
		}
	}
	if len(kept) == 0 {
		delete(header, name)
		return
	}
	header[name] = []string{strings.Join(kept, ", ")}
}

func hasPrefixFold(s, prefix string) bool {
	return len(s) >= len(prefix) && strings.EqualFold(s[:len(prefix)], prefix)
}

// takeQueryKeys removes the parameter key from the request's query.
//
// Google's SDKs show the key as ?key=. The parameter is removed in any letter case,
// since servers differ in which ones they read.
func takeQueryKeys(r *http.Request, shown *shownKeys) {
	if !mayNameKey(r.URL.RawQuery) {
		return
	}
	rest, values := takeQuery(r.URL.RawQuery, "key")
	for _, value := range values {
		shown.add(value)
	}
	r.URL.RawQuery = rest
	// Caddy's debug log prints the URI from here.
	r.RequestURI = r.URL.RequestURI()
}

// mayNameKey reports whether a query may have the parameter key. Most queries,
// such as alt=sse, do not.
func mayNameKey(query string) bool {
	for i := range len(query) {
		if query[i] == '%' || query[i]|0x20 == 'k' {
			return true
		}
	}
	return false
}

// takeQuery removes a parameter, in any letter case, from a query and returns
// its values. The rest of the query stays as it was written.
//
// The rest is not decoded and encoded again, which would change its order and its
// escapes.
func takeQuery(query, name string) (rest string, values []string) {
	var kept []string
	for part := range strings.SplitSeq(query, "&") {
		rawName, rawValue, _ := strings.Cut(part, "=")
		if decoded, err := url.QueryUnescape(rawName); err != nil || !strings.EqualFold(decoded, name) {
			kept = append(kept, part)
			continue
		}
		if value, err := url.QueryUnescape(rawValue); err == nil {
			values = append(values, value)
		}
	}
	return strings.Join(kept, "&"), values
}

// wrongKeys counts requests with wrong keys and logs some of them: enough for a
// program that bans addresses, and few enough that nobody can fill a disk.
type wrongKeys struct {
	mu       sync.Mutex
	left     int       // lines that may be logged at once
	refilled time.Time // when left was last raised
	unlogged int       // requests since the last line
}

const (
	wrongKeyLines    = 10          // logged at once
	wrongKeyInterval = time.Second // after which there may be another line
)

// mayLog takes a line, if there is one, and returns how many requests were not
// logged since the last.
//
// It is a token bucket of wrongKeyLines, one of which comes back each wrongKeyInterval.
func (k *wrongKeys) mayLog(now time.Time) (unlogged int, ok bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if n := now.Sub(k.refilled) / wrongKeyInterval; n > 0 {
		k.left = min(wrongKeyLines, k.left+int(min(n, wrongKeyLines)))
		k.refilled = now
	}
	if k.left == 0 {
		k.unlogged++
		return 0, false
	}
	k.left--
	unlogged, k.unlogged = k.unlogged, 0
	return unlogged, true
}
