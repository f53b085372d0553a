package keepalive

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"sync/atomic"
	"time"

	"github.com/caddyserver/caddy/v2"
	"go.uber.org/zap"

	"github.com/caddy-freetier/caddy-freetier/internal/runtime"
)

const (
	notifyTimeout = 15 * time.Second

	// notifyQueue is how many events wait for a receiver that is slow. More of
	// them are dropped.
	notifyQueue = 32
)

// Notification sends each event as a request to a service that shows it to
// people. In both fields `{event.name}`, `{event.target}`, `{event.message}`
// and the other data of events are replaced, and escaped for where they stand;
// other placeholders, such as `{env.X}`, when the configuration is loaded.
type Notification struct {
	// Where the request goes. It is a GET unless there is a body.
	URL string `json:"url"`

	// The body of a POST. JSON is sent as such, anything else as plain text.
	// Default: none.
	Body string `json:"body,omitempty"`

	url, body string // with the placeholders of the configuration replaced
	json      bool   // whether the body is JSON
	host      string
	queue     chan map[string]string
	logger    *zap.Logger
	client    *http.Client
	failing   bool
	dropping  atomic.Bool
}

// eventFields are what can be had of an event.
var eventFields = []string{
	"name", "target", "message", "upstream", "status", "error", "failures", "latency",
	"account", "hours_left", "hours_wanted", "until",
}

var (
	eventPlaceholder = regexp.MustCompile(`\{event\.([^{}]*)\}`)

	errNotifyHost = errors.New("the host of a notification is the same for all events")
)

// check refuses what is wrong in the configuration as it is written.
func (n *Notification) check() error {
	if err := checkQuotes(n.Body); err != nil {
		return err
	}
	if err := checkPlaceholders(n.URL + n.Body); err != nil {
		return err
	}
	if err := checkBody(n.Body); err != nil {
		return err
	}
	if hasPlaceholder(eventPlaceholder.ReplaceAllString(n.URL, "")) {
		return nil // looked at when its placeholders are known
	}
	_, err := notifyHost(n.URL)
	return err
}

// notifyHost returns the host of a URL. Its error does not contain it: it can
// be a secret.
func notifyHost(address string) (string, error) {
	var hosts [2]string
	for i, text := range []string{"a", "b"} {
		u, err := parseURL(eventPlaceholder.ReplaceAllLiteralString(address, text))
		if err != nil {
			return "", err
		}
		hosts[i] = u.Host
	}
	if hosts[0] != hosts[1] {
		return "", errNotifyHost
	}
	return hosts[0], nil
}

// provision replaces what is known by now and registers the sending.
func (n *Notification) provision(rt *runtime.App, logger *zap.Logger, client *http.Client) (err error) {
	if err := n.check(); err != nil {
		return err
	}
	repl := caddy.NewReplacer()
	if n.url, err = repl.ReplaceOrErr(n.URL, true, false); err != nil {
		return fmt.Errorf("url: %w", err)
	}
	if n.body, err = repl.ReplaceOrErr(n.Body, true, false); err != nil {
		return fmt.Errorf("body: %w", err)
	}
	if n.host, err = notifyHost(n.url); err != nil {
		return err
	}
	if n.json, err = isJSON(n.body); err != nil {
		return err
	}
	n.queue = make(chan map[string]string, notifyQueue)
	n.logger, n.client = logger, client
	return rt.Go("keepalive notifications", n.run)
}

// notify passes an event on to those who are notified, and never waits.
func (a *App) notify(name string, data map[string]any) {
	fields := map[string]string{"name": name}
	for key, value := range data {
		fields[key] = fmt.Sprint(value)
	}
	for _, n := range a.Notify {
		select {
		case n.queue <- fields:
			n.dropping.Store(false)
		default:
			if !n.dropping.Swap(true) {
				n.logger.Warn("events come faster than their receiver takes them; some are dropped", zap.String("receiver", n.host))
			}
		}
	}
}

// run sends the events one after the other.
func (n *Notification) run(ctx context.Context) {
	for {
		select {
		case fields := <-n.queue:
			n.log(n.send(ctx, fields))
		case <-ctx.Done():
			return
		}
	}
}

// log logs once that a receiver takes no events.
func (n *Notification) log(err error) {
	switch {
	case err != nil && !n.failing:
		n.logger.Warn("an event could not be sent", zap.String("receiver", n.host), zap.Error(err))
	case err == nil && n.failing:
		n.logger.Info("events can be sent again", zap.String("receiver", n.host))
	}
	n.failing = err != nil
}

func (n *Notification) send(ctx context.Context, fields map[string]string) error {
	ctx, cancel := context.WithTimeout(ctx, notifyTimeout)
	defer cancel()
	req, err := n.request(ctx, fields)
	if err != nil {
		return withoutURL(err)
	}
	resp, err := n.client.Do(req)
	if err != nil {
		return withoutURL(err)
	}
	defer resp.Body.Close()
	_, _ = io.CopyN(io.Discard, resp.Body, maxBody)
	if resp.StatusCode/100 != 2 {
		return fmt.Errorf("status %d", resp.StatusCode)
	}
	return nil
}

// request makes the request for an event.
func (n *Notification) request(ctx context.Context, fields map[string]string) (*http.Request, error) {
	path, query, hasQuery := strings.Cut(n.url, "?")
	address := fill(path, fields, url.PathEscape)
	if hasQuery {
		address += "?" + fill(query, fields, url.QueryEscape)
	}
	method, kind, body := http.MethodGet, "", ""
	switch {
	case n.body == "":
	case n.json:
		method, kind, body = http.MethodPost, "application/json", fillJSON(n.body, fields)
	default:
		method, kind, body = http.MethodPost, "text/plain; charset=utf-8", fill(n.body, fields, func(s string) string { return s })
	}
	req, err := http.NewRequestWithContext(ctx, method, address, strings.NewReader(body))
	if err != nil {
		return nil, err
	}
	req.Header.Set("User-Agent", userAgent)
	if kind != "" {
		req.Header.Set("Content-Type", kind)
	}
	return req, nil
}

// fill replaces the placeholders of an event.
func fill(s string, fields map[string]string, escape func(string) string) string {
	return fillAll(s, func(name string) string { return escape(fields[name]) })
}

// fillAll replaces the placeholders of an event by what value returns for each.
func fillAll(s string, value func(name string) string) string {
	return eventPlaceholder.ReplaceAllStringFunc(s, func(placeholder string) string {
		return value(eventPlaceholder.FindStringSubmatch(placeholder)[1])
	})
}

// escapeJSON escapes what is put into a string of JSON.
func escapeJSON(s string) string {
	var quoted bytes.Buffer
	encoder := json.NewEncoder(&quoted)
	encoder.SetEscapeHTML(false)
	_ = encoder.Encode(s) // a string never fails
	return strings.TrimSuffix(strings.TrimPrefix(quoted.String(), `"`), "\"\n")
}
