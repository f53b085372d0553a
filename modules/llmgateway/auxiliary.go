package llmgateway

import (
	"net/http"
	"time"

	"golang.org/x/time/rate"

	"github.com/caddy-freetier/caddy-freetier/internal/llm/apierror"
)

// auxiliaryCalls is how many auxiliary calls a client may make a minute: to count
// tokens, to list models, and to ask for its usage. Agents make dozens of them when they start, which
// neither counts against limits and quotas nor says anything about chats.
const auxiliaryCalls = 60

// callLimit limits the auxiliary calls of a client.
type callLimit struct{ limiter *rate.Limiter }

func newCallLimit() *callLimit {
	return &callLimit{rate.NewLimiter(rate.Every(time.Minute/auxiliaryCalls), auxiliaryCalls)}
}

// charge counts a call, or refuses it.
func (l *callLimit) charge(now time.Time) *apiError {
	if l.limiter.AllowN(now, 1) {
		return nil
	}
	return &apiError{
		Error: apierror.Error{
			Status:  http.StatusTooManyRequests,
			Type:    "requests",
			Code:    "rate_limit_exceeded",
			Message: "Rate limit reached: your key may count tokens, list models and ask for its usage 60 times a minute.",
		},
		wait: time.Second,
	}
}
