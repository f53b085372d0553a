package llmgateway

import (
	"bytes"
	"io"
	"math"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/jonboulle/clockwork"

	"github.com/caddy-freetier/caddy-freetier/internal/bodies"
	"github.com/caddy-freetier/caddy-freetier/internal/reqbody"
)

// incoming is a request of a client.
type incoming struct {
	Path   string
	Header http.Header
	Body   []byte
}

// reading is what the gateway has made of a request: what the channel gets, and
// the model for which the request was let through.
type reading struct {
	Header http.Header `json:"header"`
	Body   []byte      `json:"body"`

	query  string
	model  string
	upload bool // a file, which no model reads
}

// reader is a gateway that reads requests without sending them, for one client
// with models and one without.
type reader struct {
	gateway *gateway
	channel *Channel
	limited *Client
	free    *Client
}

func newReader(t testing.TB) *reader {
	t.Helper()
	budget := reqbody.NewBudget(math.MaxInt64, math.MaxInt64)
	r := &reader{
		gateway: &gateway{maxBody: 1 << 20, clock: clockwork.NewFakeClock(), bodies: bodies.New(budget)},
		channel: &Channel{Name: "a", URL: "http://127.0.0.1:1", Auth: Auth{Scheme: "none"}},
		limited: &Client{Name: "bob", Models: []string{"gpt-3.5*"}, bodies: budget},
		free:    &Client{Name: "alice", bodies: budget},
	}
	if err := r.channel.setURL(r.channel.URL); err != nil {
		t.Fatal(err)
	}
	return r
}

// read reads a request as the gateway does before it has a channel, and makes
// the request of an attempt. It reports whether the request is let through.
func (r *reader) read(in incoming, client *Client) (out reading, ok bool) {
	u, err := url.ParseRequestURI(in.Path)
	if err != nil {
		return reading{}, false
	}
	req := &http.Request{
		Method: http.MethodPost, URL: u, Header: in.Header, Host: "gateway.example",
		Body: io.NopCloser(bytes.NewReader(in.Body)), ContentLength: int64(len(in.Body)),
	}
	c := newRequest(r.gateway, client, location{}, false)
	defer c.close()
	if c.read(httptest.NewRecorder(), req) != nil || c.checkElsewhere(u) != nil {
		return reading{}, false
	}
	if c.model != "" && !client.mayUse(c.model) {
		return reading{}, false
	}
	asked := &call{request: c, candidate: &candidate{channel: r.channel, model: c.model}}
	sent := asked.outgoingRequest(req)
	body, err := io.ReadAll(sent.Body)
	if err != nil {
		return reading{}, false
	}
	return reading{sent.Header, body, sent.URL.RawQuery, c.model, strings.HasPrefix(u.Path, "/upload/")}, true
}
