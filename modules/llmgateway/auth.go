package llmgateway

import (
	"fmt"
	"net/http"
	"net/url"
)

// Auth is how a channel is shown its key.
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

// header returns the header that shows the key, and its value.
func (a Auth) header(secret string) (name, value string) {
	switch a.Scheme {
	case "none", "query":
		return "", ""
	case "x-api-key":
		return "X-Api-Key", secret
	case "x-goog-api-key":
		return "X-Goog-Api-Key", secret
	case "api-key":
		return "Api-Key", secret
	}
	return "Authorization", "Bearer " + secret
}

// apply puts the key into an outgoing request, with the header that shows it.
func (a Auth) apply(out *http.Request, k *key, header string, value []string) {
	if header != "" {
		out.Header[header] = value
	}
	if a.Scheme == "query" {
		pair := url.QueryEscape(a.Parameter) + "=" + url.QueryEscape(k.secret)
		if rest := out.URL.RawQuery; rest != "" {
			// A parameter of the client's would be a second key.
			if rest, _ = takeQuery(rest, a.Parameter); rest != "" {
				pair = rest + "&" + pair
			}
		}
		out.URL.RawQuery = pair
	}
}
