package llmgateway

import (
	"net/http"
	"strings"
	"time"

	"github.com/caddy-freetier/caddy-freetier/internal/llm/peekbody"
	"github.com/caddy-freetier/caddy-freetier/internal/llm/retryhint"
)

const (
	// maxRefusal is how much of the body of a refusal is read for its reason.
	maxRefusal = 32 << 10
	// refusalTimeout is how long to wait for that.
	refusalTimeout = time.Second
)

// mayAgain returns when a provider says that a refused request may be made
// again, in a header or in the body, and the zero time if it does not say.
func (a *attempt) mayAgain() time.Time {
	now := a.gateway.clock.Now()
	at := retryhint.FromHeader(a.res.Header, now)
	if !at.IsZero() || a.res.StatusCode != http.StatusTooManyRequests || !strings.HasPrefix(a.res.Header.Get("Content-Type"), "application/json") {
		return at
	}
	return retryhint.FromBody(a.beginning(), now)
}

// beginning returns the beginning of a refusal's body, nil if it does not come
// in time or cannot be read. The client gets the whole body all the same.
func (a *attempt) beginning() []byte {
	if a.res.Header["Content-Encoding"] != nil {
		return nil
	}
	body := peekbody.New(a.res.Body, maxRefusal)
	a.res.Body = body
	select {
	case <-body.Done():
		return body.Beginning()
	case <-a.gateway.clock.After(refusalTimeout):
		return nil
	}
}
