package keepalive

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/jonboulle/clockwork"
	"go.uber.org/zap"
	"golang.org/x/net/http/httpguts"

	"github.com/caddy-freetier/caddy-freetier/internal/runtime"
)

const notifyTimeout = 15 * time.Second

// Notification sends events as requests to a service that shows them to people.
// The last state of each target is kept, in Caddy's storage, until the service
// has taken it; what has come together is sent as one message. In all texts
// `{event.name}`, `{event.target}`, `{event.message}`
// and the other data of events are replaced, and escaped for where they stand;
// other placeholders, such as `{env.X}`, when the configuration is loaded.
type Notification struct {
	// Where the request goes. It is a GET unless there is a body.
	URL string `json:"url"`

	// The body of a POST. JSON is sent as such, anything else as plain text
	// unless `header` has a Content-Type.
	// Default: none.
	Body string `json:"body,omitempty"`

	// The request's header fields. Default: the Content-Type of the body.
	Header http.Header `json:"header,omitempty"`

	// The events that are sent: `down`, `up`, `cold_start` and `hours_low`.
	// Default: all.
	Events []string `json:"events,omitempty"`

	// Where the Caddyfile has it, for errors.
	Source string `json:"source,omitempty"`

	url, body string // with the placeholders of the configuration replaced
	header    http.Header
	json      bool // whether the body is JSON
	host      string
	logger    *zap.Logger
	client    *http.Client
	clock     clockwork.Clock
	failures  int // in a row

	key    string // of the queue in the pool
	outbox *outbox
}

// eventNames are the events as `events` has them.
var eventNames = []string{"down", "up", "cold_start", "hours_low"}

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
	var texts strings.Builder
	texts.WriteString(n.URL + n.Body)
	for name, values := range n.Header {
		if !httpguts.ValidHeaderFieldName(name) {
			return fmt.Errorf("%q is not the name of a header field", name)
		}
		texts.WriteString(strings.Join(values, ""))
	}
	for _, event := range n.Events {
		if !slices.Contains(eventNames, event) {
			return fmt.Errorf("unknown event %q; there are %s", event, strings.Join(eventNames, ", "))
		}
	}
	if err := checkPlaceholders(texts.String()); err != nil {
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
func (n *Notification) provision(rt *runtime.App, app *App) (err error) {
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
	n.header = make(http.Header)
	for name, values := range n.Header {
		for _, value := range values {
			if value, err = repl.ReplaceOrErr(value, true, false); err != nil {
				return fmt.Errorf("header %s: %w", name, err)
			}
			n.header.Add(name, value)
		}
	}
	n.logger, n.client, n.clock = app.logger, app.client, app.clock
	if err := n.openOutbox(app); err != nil {
		return err
	}
	return rt.Go("keepalive notifications", n.run)
}

// takes reports whether an event is one that is sent.
func (n *Notification) takes(event string) bool {
	return len(n.Events) == 0 || slices.Contains(n.Events, strings.TrimPrefix(event, "keepalive."))
}

// receivers are those of a configuration.
type receivers []*Notification

// notify passes an event on to those that take it, and never waits.
func (rs receivers) notify(name string, data map[string]any, at time.Time) {
	fields := map[string]string{"name": name}
	for key, value := range data {
		fields[key] = fmt.Sprint(value)
	}
	for _, n := range rs {
		if n.takes(name) {
			n.outbox.add(message{Fields: fields, At: at})
		}
	}
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
		return concealError(req, err)
	}
	defer resp.Body.Close()
	body, _ := io.ReadAll(io.LimitReader(resp.Body, maxBody))
	if err := refusalOf(resp.StatusCode, body); err != nil {
		return errors.New(conceal(req, err.Error()))
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
	for name, values := range n.header {
		req.Header.Del(name)
		for _, value := range values {
			req.Header.Add(name, inHeader(fill(value, fields, func(s string) string { return s })))
		}
	}
	if host := req.Header.Get("Host"); host != "" {
		req.Host = host
	}
	return req, nil
}

// inHeader returns a text as a header field can have it: in one line, and beyond
// ASCII encoded as in mail (RFC 2047), which ntfy reads.
func inHeader(s string) string {
	s = strings.Join(strings.Fields(s), " ")
	return mime.BEncoding.Encode("utf-8", s)
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
