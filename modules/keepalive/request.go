package keepalive

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"github.com/caddyserver/caddy/v2"
)

// request makes the request with all placeholders replaced, so that a time is
// that of the ping and a key is read again from its file.
func (t *Target) request(ctx context.Context) (*http.Request, error) {
	repl := caddy.NewReplacer()
	replace := func(what, s string) (string, error) {
		s, err := repl.ReplaceOrErr(s, true, false)
		if err != nil {
			return "", fmt.Errorf("%s: %w", what, err)
		}
		return s, nil
	}

	address, err := replace("url", t.URL)
	if err != nil {
		return nil, err
	}
	if _, err := parseURL(address); err != nil {
		return nil, err
	}
	body, err := replace("body", t.Body)
	if err != nil {
		return nil, err
	}
	req, err := http.NewRequestWithContext(ctx, t.Method, address, strings.NewReader(body))
	if err != nil {
		return nil, withoutURL(err)
	}
	req.Header.Set("User-Agent", userAgent)
	for name, values := range t.Header {
		req.Header.Del(name)
		for _, value := range values {
			if value, err = replace("header "+name, value); err != nil {
				return nil, err
			}
			req.Header.Add(name, value)
		}
	}
	if req.Header.Get("Content-Type") == "" && body != "" && json.Valid([]byte(body)) {
		req.Header.Set("Content-Type", "application/json")
	}
	if host := req.Header.Get("Host"); host != "" {
		req.Host = host
	}
	return req, nil
}

// asksModel reports whether a ping is a request to an API of language models.
func (t *Target) asksModel() bool {
	var body struct {
		Model string `json:"model"`
	}
	return t.Method == http.MethodPost && json.Unmarshal([]byte(t.Body), &body) == nil && body.Model != ""
}

// withoutURL takes the URL out of an error of the HTTP client.
func withoutURL(err error) error {
	if withURL, ok := errors.AsType[*url.Error](err); ok {
		return withURL.Err
	}
	return err
}
