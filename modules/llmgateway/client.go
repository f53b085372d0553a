package llmgateway

import (
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"

	"github.com/caddy-freetier/caddy-freetier/internal/clientsfile"
	"github.com/caddy-freetier/caddy-freetier/internal/ledger"
	"github.com/caddy-freetier/caddy-freetier/internal/quota"
	"github.com/caddy-freetier/caddy-freetier/internal/reqbody"
)

var (
	errNoClients           = errors.New("who may use the gateway? Add a client with a key, or anonymous")
	errAnonymousAndClients = errors.New("anonymous lets everybody in, so clients have no meaning beside it")
	errNoChannels          = errors.New("the gateway needs at least one channel")
	errNoKeys              = errors.New("the client has no keys; add one")
)

// Client is somebody who may use the gateway.
type Client struct {
	// The name in logs and metrics. Required, and unique.
	Name string `json:"name,omitempty"`

	// The keys that the client may show. Placeholders such as `{env.KEY}` and
	// `{file./run/secrets/keys}` are replaced at load; one that stands alone may
	// list any number of keys. At least one; an empty one is an error.
	Keys []string `json:"keys,omitempty"`

	// The models that the client may use, by the names it asks for, `*`
	// standing for any characters. Default: all.
	Models []string `json:"models,omitempty"`

	// How many requests the client may make in a period, or how many tokens it
	// may use; several limits hold together. Responses carry OpenAI's
	// `x-ratelimit-*` headers. What is refused before it gets to a channel does
	// not count. Tokens that no response states are estimated from the bytes of
	// the request and the response. Default: none.
	Limits []*quota.Quota `json:"limits,omitempty"`

	// Where the client stands, for error messages.
	Source string `json:"source,omitempty"`

	listed *fileEntry // in clients_file, nil for a client of the configuration

	limits
	uses      *uses
	auxiliary *callLimit
	total     prometheus.Counter
	bodies    *reqbody.Budget
}

// newEverybody returns the client of a gateway without keys.
func newEverybody() *Client { return &Client{Name: "anonymous"} }

// provision sets up what is counted of the client.
func (c *Client) provision(book func() (*ledger.Ledger, error)) error {
	counts, err := book()
	if err != nil {
		return err
	}
	c.total, c.auxiliary = collectors.requests.WithLabelValues(c.label()), newCallLimit()
	c.uses = newUses(counts, c.Name)
	return c.open(c.Limits, book, "llm_gateway client "+c.Name)
}

// label is what metrics call the client.
func (c *Client) label() string {
	if c.listed != nil {
		return listedLabel
	}
	return c.Name
}

// expired reports whether the client's key is refused from now on.
func (c *Client) expired(now time.Time) bool {
	return c.listed != nil && !c.listed.Expires.IsZero() && !now.Before(c.listed.Expires)
}

// limited reports whether the client may use some models only.
func (c *Client) limited() bool { return len(c.Models) > 0 }

// restricted reports whether the client is held to some models or to limits. It
// may use endpoints that ask a model for something, and nothing else: what
// concerns the account as a whole, and a WebSocket, could name any model and
// cost any number of tokens.
func (c *Client) restricted() bool { return c.limited() || c.any() }

// mayUse reports whether the client may ask for the model.
func (c *Client) mayUse(model string) bool {
	return !c.limited() || matchesAny(c.Models, model)
}

func matchesAny(patterns []string, model string) bool {
	for _, pattern := range patterns {
		if reqbody.Match(pattern, model) {
			return true
		}
	}
	return false
}

// keyring finds a client by its key. It holds salted hashes only: how long a
// look-up takes says nothing about a key, and a memory dump holds no key of a
// client.
//
// A keyring never changes. When a file with keys or the clients_file does, another
// one takes its place.
type keyring struct {
	salt    [saltSize]byte
	clients map[[sha256.Size]byte]*Client // by the key's hash
	listed  map[[sha256.Size]byte]*Client // of clients_file, by the hash of the key's SHA-256
	named   map[string]*Client
}

// saltSize leaves room for a key of 39 bytes in one block of SHA-256.
const saltSize = 16

// readKeyring resolves the keys of all clients. listed are those of clients_file.
func readKeyring(clients, listed []*Client, repl *caddy.Replacer, logger *zap.Logger) (*keyring, error) {
	k := newKeyring()
	sums := make(map[clientsfile.Hash]*Client) // to find keys that stand in both places
	for _, c := range clients {
		if len(c.Keys) == 0 {
			return nil, fmt.Errorf("client %s: %w", c.Name, errNoKeys)
		}
		k.named[c.Name] = c
		for i, key := range c.Keys {
			place := keyPlace{"client " + c.Name, i + 1, c.Source}
			keys, err := resolveKeys(repl, key, place, logger)
			if err != nil {
				return nil, err
			}
			for _, listed := range keys {
				if err := k.add(listed.secret, c); err != nil {
					return nil, place.error(listed.origin, err)
				}
				sums[clientsfile.HashOf(listed.secret)] = c
			}
		}
	}
	for _, c := range listed {
		if other, ok := k.named[c.Name]; ok {
			return nil, c.listed.error(fmt.Errorf("there is another client of this name%s", other.place()))
		}
		if other, ok := sums[c.listed.KeySHA256]; ok {
			return nil, c.listed.error(fmt.Errorf("its key is one of client %s%s already", other.Name, other.place()))
		}
		k.named[c.Name] = c
		k.listed[k.hash(c.listed.KeySHA256[:])] = c
	}
	return k, nil
}

func newKeyring() *keyring {
	k := &keyring{
		clients: make(map[[sha256.Size]byte]*Client),
		listed:  make(map[[sha256.Size]byte]*Client),
		named:   make(map[string]*Client),
	}
	_, _ = rand.Read(k.salt[:]) // never fails
	return k
}

func (k *keyring) hash(key []byte) [sha256.Size]byte {
	salted := make([]byte, 0, 256) // on the stack, for keys of the usual length
	salted = append(salted, k.salt[:]...)
	return sha256.Sum256(append(salted, key...))
}

func (k *keyring) add(key string, c *Client) error {
	sum := k.hash([]byte(key))
	if other, ok := k.clients[sum]; ok {
		return fmt.Errorf("is a key of client %s already", other.Name)
	}
	k.clients[sum] = c
	return nil
}

func (k *keyring) client(key string) (*Client, bool) {
	c, ok := k.clients[k.hash([]byte(key))]
	if !ok && len(k.listed) > 0 {
		sum := clientsfile.HashOf(key)
		c, ok = k.listed[k.hash(sum[:])]
	}
	return c, ok
}

// place says where a client stands, for errors about another one.
func (c *Client) place() string {
	if c.Source == "" {
		return ""
	}
	return ", at " + c.Source
}
