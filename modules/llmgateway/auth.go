package llmgateway

import (
	"fmt"
	"net/http"
	"net/url"
)

// Auth is how a channel wants its key.
type Auth struct {
	// One of `bearer` (Authorization: Bearer KEY), `x-api-key` (Anthropic),
	// `x-goog-api-key` (Gemini), `api-key` (Azure), `query` and `none`.
	// Default: `bearer`.
	Scheme string `json:"scheme,omitempty"`

	// The parameter's name for `query`.
	Parameter string `json:"parameter,omitempty"`
}

// authSchemes are the values of Auth.Scheme, as the errors list them.
const authSchemes = "bearer, x-api-key, x-goog-api-key, api-key, query <name>, none"

func (a Auth) check() error {
	switch a.Scheme {
	case "", "bearer", "x-api-key", "x-goog-api-key", "api-key", "none":
		return nil
	case "query":
		if a.Parameter != "" {
			return nil
		}
	}
	return fmt.Errorf("auth is one of %s", authSchemes)
}

// apply puts the key into an outgoing request.
func (a Auth) apply(out *http.Request, key string) {
	switch a.Scheme {
	case "none":
	case "x-api-key":
		out.Header["X-Api-Key"] = []string{key}
	case "x-goog-api-key":
		out.Header["X-Goog-Api-Key"] = []string{key}
	case "api-key":
		out.Header["Api-Key"] = []string{key}
	case "query":
		pair := url.QueryEscape(a.Parameter) + "=" + url.QueryEscape(key)
		if out.URL.RawQuery != "" {
			pair = "&" + pair
		}
		out.URL.RawQuery += pair
	default:
		out.Header["Authorization"] = []string{"Bearer " + key}
	}
}
