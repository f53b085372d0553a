package llmgateway

import (
	"net/http"
	"strconv"
	"time"

	"github.com/caddy-freetier/caddy-freetier/internal/llm/conversation"
	"github.com/caddy-freetier/caddy-freetier/internal/reqbody"
)

// request is what the gateway has read of a client's request. Once it was read it
// does not change, whatever the attempts bring.
type request struct {
	gateway   *gateway
	client    *Client
	start     time.Time
	location  location // where the request goes
	upgrading bool     // the client asks for a WebSocket

	modelRef
	usageEdit *reqbody.Edit // makes the stream state its usage, for clients with a token limit; see asksUsage
	source    upload        // the body as it comes in, which watches that it does not stall
	body      *reqbody.Body // set if hasBody

	method     string
	header     http.Header         // as the client has sent it
	places     conversation.Places // in the body, of what says which conversation it is
	references references          // to what an account keeps
}

// newRequest returns the request of a client before it was read.
func newRequest(g *gateway, client *Client, l location, upgrading bool) *request {
	return &request{gateway: g, client: client, start: g.clock.Now(), location: l, upgrading: upgrading}
}

// hasBody reports whether the request has a body that the attempts send.
func (q *request) hasBody() bool { return q.body != nil }

// refuse sends an error of ours to the client, in the client's dialect, and counts it by
// client and status.
func (q *request) refuse(w http.ResponseWriter, r *http.Request, err *apiError) {
	collectors.refused.WithLabelValues(q.client.label(), strconv.Itoa(err.Status)).Inc()
	err.write(w, r)
}

// close gives the memory of the body back once the last attempt is done with it.
func (q *request) close() {
	if q.hasBody() {
		q.body.Release()
	}
}
