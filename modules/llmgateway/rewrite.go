package llmgateway

import (
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"strings"

	"github.com/caddy-freetier/caddy-freetier/internal/reqbody"
)

// open returns the body with the name of this try's model put in its place,
// and the wish for the usage added where it is ours.
func (c *call) open() (io.ReadCloser, int64) {
	if c.body == nil {
		return http.NoBody, 0
	}
	var room [2]reqbody.Edit
	edits := room[:0]
	if c.inBody && c.current.model != c.model {
		edits = append(edits, reqbody.Edit{Start: c.field.Start, End: c.field.End, With: c.written(c.current.model)})
	}
	if c.asksUsage() {
		edits = append(edits, *c.usageEdit)
		if edits[0].Start > c.usageEdit.Start {
			edits[0], edits[1] = edits[1], edits[0]
		}
	}
	return c.body.Open(edits...)
}

// written returns a model's name as it stands in the body.
func (c *call) written(model string) []byte {
	if c.form != nil {
		return c.form.Replacement(model)
	}
	name := c.prefix + model
	if !strings.ContainsFunc(name, needsEscape) {
		return append(append(append(make([]byte, 0, len(name)+2), '"'), name...), '"')
	}
	text, _ := json.Marshal(name) // a string cannot fail
	return text
}

// needsEscape tells whether a character may stand in JSON only escaped, or
// does so from encoding/json.
func needsEscape(c rune) bool { return c < ' ' || c > '~' || c == '"' || c == '\\' }

// url returns the request's URL with the name of this try's model in it.
func (c *call) url(u *url.URL) *url.URL {
	if c.model == "" || c.current.model == c.model || !c.query && !c.inPath.found() {
		return u
	}
	renamed := *u
	if c.query {
		renamed.RawQuery = replaceQuery(u.RawQuery, "model", c.current.model)
	} else {
		renamed.Path, renamed.RawPath = c.inPath.with(c.current.model)
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
