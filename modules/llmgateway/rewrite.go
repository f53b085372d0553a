package llmgateway

import (
	"encoding/json"
	"net/url"
	"strings"
)

// written returns a model's name as it stands in the body.
func (m *modelRef) written(model string) []byte {
	if m.form != nil {
		return m.form.Replacement(model)
	}
	name := m.prefix + model
	if !strings.ContainsFunc(name, needsEscape) {
		return append(append(append(make([]byte, 0, len(name)+2), '"'), name...), '"')
	}
	text, _ := json.Marshal(name) // a string cannot fail
	return text
}

// needsEscape reports whether a character may stand in JSON only escaped, or
// does so from encoding/json.
func needsEscape(c rune) bool { return c < ' ' || c > '~' || c == '"' || c == '\\' }

// urlFor returns the URL u with the name of a model in the place of the one that
// the client asked for.
func (m *modelRef) urlFor(u *url.URL, model string) *url.URL {
	if m.model == "" || model == m.model || !m.query && !m.inPath.found() {
		return u
	}
	renamed := *u
	if m.query {
		renamed.RawQuery = replaceQuery(u.RawQuery, "model", model)
	} else {
		renamed.Path, renamed.RawPath = m.inPath.with(model)
	}
	return &renamed
}

// replaceQuery replaces a parameter where it stands; the rest of the query
// stays as it was written.
func replaceQuery(query, name, value string) string {
	parts := strings.Split(query, "&")
	for i, part := range parts {
		rawName, _, _ := strings.Cut(part, "=")
		if decoded, err := url.QueryUnescape(rawName); err == nil && decoded == name {
			parts[i] = rawName + "=" + url.QueryEscape(value)
		}
	}
	return strings.Join(parts, "&")
}
