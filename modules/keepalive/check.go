package keepalive

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
)

// JSONCheck is a value that a JSON response must have.
type JSONCheck struct {
	// Where the value is: names of members and indexes of arrays, separated
	// by dots, as in `data.0.status`. A single dot is the whole response.
	Path string `json:"path"`

	// The value, as JSON or as the text of a string: `ok`, `true`, `3` or
	// `[]`. `*` is any value but null.
	Value string `json:"value"`
}

var (
	errEmptyText = errors.New("the text is empty, which every response contains")
	errNoBody    = errors.New("the response to HEAD has no body to check; use GET")
)

// parsePath returns the steps of a path.
func parsePath(path string) ([]string, error) {
	if path == "." {
		return nil, nil
	}
	steps := strings.Split(path, ".")
	isJSONPath := func(step string) bool { return strings.HasSuffix(step, "]") }
	if slices.Contains(steps, "") || steps[0] == "$" || slices.ContainsFunc(steps, isJSONPath) {
		return nil, fmt.Errorf("%q is not a path; write one such as data.0.status", path)
	}
	return steps, nil
}

// lookup returns the value at a path, and false if there is none.
func lookup(value any, steps []string) (any, bool) {
	for _, step := range steps {
		switch v := value.(type) {
		case map[string]any:
			member, ok := v[step]
			if !ok {
				return nil, false
			}
			value = member
		case []any:
			i, err := strconv.Atoi(step)
			if err != nil || i < 0 || i >= len(v) {
				return nil, false
			}
			value = v[i]
		default:
			return nil, false
		}
	}
	return value, true
}

// matches reports whether a value of a response is the wanted one.
func (c JSONCheck) matches(value any) bool {
	if c.Value == "*" {
		return value != nil
	}
	if text, ok := value.(string); ok && text == c.Value {
		return true
	}
	var want any
	return json.Unmarshal([]byte(c.Value), &want) == nil && reflect.DeepEqual(value, want)
}

// checks decide whether a response is that of a healthy target.
type checks struct {
	expect      []int
	contains    []string
	notContains []string
	json        []JSONCheck
}

// needBody reports whether the response's body is looked at.
func (c *checks) needBody() bool {
	return len(c.contains) > 0 || len(c.notContains) > 0 || len(c.json) > 0
}

// expects reports whether a status is one of a healthy target.
func (c *checks) expects(status int) bool {
	return slices.ContainsFunc(c.expect, func(want int) bool {
		return caddyhttp.StatusCodeMatches(status, want)
	})
}

// expected says which statuses are expected, for people.
func (c *checks) expected() string {
	texts := make([]string, len(c.expect))
	for i, status := range c.expect {
		texts[i] = strconv.Itoa(status)
		if status < 100 {
			texts[i] += "xx"
		}
	}
	return strings.Join(texts, " or ")
}

// verify returns an error that says what came when a response is not that of a
// healthy target. body is as much of it as was read.
func (c *checks) verify(resp *http.Response, body []byte) error {
	if !c.expects(resp.StatusCode) {
		return fmt.Errorf("status %d, expected %s%s", resp.StatusCode, c.expected(), describeRedirect(resp))
	}
	for _, text := range c.contains {
		if !bytes.Contains(body, []byte(text)) {
			return fmt.Errorf("the response does not contain %q; %s", text, excerpt(resp.Request, body))
		}
	}
	for _, text := range c.notContains {
		if bytes.Contains(body, []byte(text)) {
			return fmt.Errorf("the response contains %q; %s", text, excerpt(resp.Request, body))
		}
	}
	return c.verifyJSON(resp, body)
}

func (c *checks) verifyJSON(resp *http.Response, body []byte) error {
	if len(c.json) == 0 {
		return nil
	}
	var document any
	if json.Unmarshal(body, &document) != nil {
		return fmt.Errorf("the response is not JSON; %s", excerpt(resp.Request, body))
	}
	for _, check := range c.json {
		steps, err := parsePath(check.Path)
		if err != nil {
			return err
		}
		switch value, ok := lookup(document, steps); {
		case !ok:
			return fmt.Errorf("the JSON has no %s; %s", check.Path, excerpt(resp.Request, body))
		case !check.matches(value):
			found, _ := json.Marshal(value) // was read from JSON
			return fmt.Errorf("%s is %s, expected %s", check.Path, conceal(resp.Request, shorten(found)), check.Value)
		}
	}
	return nil
}

// validate refuses checks that cannot be.
func (c *checks) validate(method string) error {
	if slices.Contains(c.contains, "") || slices.Contains(c.notContains, "") {
		return errEmptyText
	}
	for _, check := range c.json {
		if _, err := parsePath(check.Path); err != nil {
			return err
		}
	}
	if method == http.MethodHead && c.needBody() {
		return errNoBody
	}
	return nil
}
