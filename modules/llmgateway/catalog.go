package llmgateway

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"
	"unicode"

	"github.com/caddyserver/caddy/v2"
	"github.com/jonboulle/clockwork"
	"go.uber.org/zap"

	"github.com/caddy-freetier/caddy-freetier/internal/llm/neutral"
)

const (
	catalogDelay    = 3 * time.Second // after the start, unless somebody asks earlier
	catalogInterval = time.Hour
	catalogRetry    = time.Minute // after a failure, twice as long each time
	catalogTimeout  = 30 * time.Second
	catalogSize     = 8 << 20 // bytes
	catalogMost     = 20_000  // models
	longestModel    = 256     // bytes
)

// catalog is what a channel lists as its models. It belongs to the process: a
// reload begins with what is known.
//
// Its life: Provision takes it from the pool by the channel's URL; the task of keeper
// fills it while a configuration runs; names reads it for GET /v1/models and GET
// /v1beta/models; it goes with the last configuration that has the channel. Only
// channels of which clients see listed names (hasWildcard) have a task. listed is
// replaced as a whole and never changed.
type catalog struct {
	listed atomic.Pointer[listing]
	wanted chan struct{} // holds a token when somebody waits for the first list
}

func newCatalog() *catalog { return &catalog{wanted: make(chan struct{}, 1)} }

type listing struct {
	names []string
	at    time.Time
}

// names returns what was listed last. It never waits.
//
// The first call before any list is known has keeper ask at once, instead of after
// catalogDelay: a client that asks again soon finds the models.
func (c *catalog) names() []string {
	if l := c.listed.Load(); l != nil {
		return l.names
	}
	select {
	case c.wanted <- struct{}{}:
	default:
	}
	return nil
}

// catalogs are the catalogs by channel's URL.
var catalogs = caddy.NewUsagePool()

// hasWildcard reports whether clients see names that only the channel knows.
// Names with `as` are not the channel's, unless a part of them is.
func (c *Channel) hasWildcard() bool {
	return slices.ContainsFunc(c.Models, func(route *ModelRoute) bool {
		return (len(route.As) == 0 || route.captures()) && slices.ContainsFunc(route.Names, isPattern)
	})
}

func isPattern(name string) bool { return strings.Contains(name, "*") }

// keeper returns a task that asks the channel for its models now and then.
func (l *catalog) keeper(c *Channel, g *gateway) func(context.Context) {
	return func(ctx context.Context) {
		wait, retry, wanted := catalogDelay, catalogRetry, l.wanted
		if known := l.listed.Load(); known != nil {
			wait, wanted = max(0, catalogInterval-g.clock.Since(known.at)), nil
		}
		for pause(ctx, g.clock, wait, wanted) {
			wanted = nil
			if c.sleeps() || g.awake.Spare(c.dial) {
				wait = catalogRetry // to ask for its models is no reason to wake it up
				continue
			}
			names, err := c.list(ctx, g.clock.Now())
			if err != nil {
				g.logger.Debug("channel does not list its models", zap.String("channel", c.Name), zap.Error(err))
				wait, retry = retry, min(2*retry, catalogInterval)
				continue
			}
			l.listed.Store(&listing{names, g.clock.Now()})
			wait, retry = catalogInterval, catalogRetry
		}
	}
}

// pause waits until the time is over or somebody waits for what comes next, and
// reports false when the context ends.
func pause(ctx context.Context, clock clockwork.Clock, wait time.Duration, wanted <-chan struct{}) bool {
	timer := clock.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.Chan():
	case <-wanted:
	}
	return true
}

// firstCandidate is the channel's first key, for requests of our own.
func (c *Channel) firstCandidate() candidate {
	if keys := c.keys(); len(keys) > 0 {
		return candidate{channel: c, key: keys[0]}
	}
	return candidate{channel: c}
}

// list asks the channel for its models, with its first key.
func (c *Channel) list(ctx context.Context, now time.Time) ([]string, error) {
	return c.listWith(ctx, c.firstCandidate(), now)
}

// listWith asks the channel for its models, with a candidate's key.
func (c *Channel) listWith(ctx context.Context, from candidate, now time.Time) ([]string, error) {
	ctx, cancel := context.WithTimeout(ownRequests(ctx), catalogTimeout)
	defer cancel()
	d, path := c.listDialect(), "/v1/models"
	if d.dialect == neutral.Gemini {
		path = "/v1beta/models"
	}
	out := &http.Request{Method: http.MethodGet, URL: c.targetIn(&d, &url.URL{Path: path}, from.key), Host: c.base.Host, Header: make(http.Header)}
	if c.auth.Scheme == "x-api-key" || d.dialect == neutral.Messages {
		out.Header.Set("Anthropic-Version", "2023-06-01")
	}
	maps.Copy(out.Header, c.headers.set)
	if from.key != nil {
		c.showKeyIn(out, &d, path, from.key)
	}
	c.awake.Probe(c.dial, now)
	res, err := c.http.RoundTrip(out.WithContext(ctx))
	if err != nil {
		return nil, from.mask().inError(err)
	}
	cleanResponse(res, from.mask())
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("status %d", res.StatusCode)
	}
	text, err := io.ReadAll(io.LimitReader(res.Body, catalogSize))
	if err != nil {
		return nil, err
	}
	from.mask().inBytes(text, true)
	return parseCatalog(text)
}

// parseCatalog reads the list of models in the forms of OpenAI and Anthropic
// (data), Gemini (models) and Together (the list alone).
//
// Gemini writes models/NAME where clients write NAME. Names that could not be asked
// for, or that would be taken for a pattern, are left out: the list comes from outside
// and goes into responses and, through patterns, into names of counts.
func parseCatalog(text []byte) (names []string, err error) {
	type model struct {
		ID   string `json:"id"`
		Name string `json:"name"`
	}
	var list struct {
		Data   []model `json:"data"`
		Models []model `json:"models"`
	}
	if strings.HasPrefix(strings.TrimSpace(string(text)), "[") {
		err = json.Unmarshal(text, &list.Data)
	} else {
		err = json.Unmarshal(text, &list)
	}
	if err != nil {
		return nil, err
	}
	for _, m := range slices.Concat(list.Data, list.Models) {
		name := strings.TrimPrefix(m.ID, "models/")
		if name == "" {
			name = strings.TrimPrefix(m.Name, "models/")
		}
		unfit := name == "" || len(name) > longestModel || isPattern(name) || strings.ContainsFunc(name, unicode.IsControl)
		if !unfit && len(names) < catalogMost {
			names = append(names, name)
		}
	}
	return names, nil
}

// offered yields the names under which clients get the channel's models.
func (c *Channel) offered(yield func(string) bool) {
	listed := sync.OnceValue(c.catalog.names) // the same ones for all patterns
	for _, route := range c.Models {
		for _, pattern := range route.Names {
			if !isPattern(pattern) {
				if !yield(pattern) {
					return
				}
				continue
			}
			for _, name := range listed() {
				if name = route.offered(pattern, name); name != "" && !yield(name) {
					return
				}
			}
		}
	}
}
