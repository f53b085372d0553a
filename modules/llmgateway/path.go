package llmgateway

import (
	"net/http"
	"net/url"
	"strings"

	"github.com/caddy-freetier/caddy-freetier/internal/reqbody"
)

// nativePath is a path of Gemini's own dialect, which names the model:
// /v1beta/models/{model}:generateContent.
// Source: https://ai.google.dev/api/generate-content
type nativePath struct {
	before, after string // what stands around the model
}

func (p nativePath) found() bool { return p.after != "" }

// streams tells whether the answer comes bit by bit.
func (p nativePath) streams() bool { return strings.HasPrefix(p.after, ":stream") }

// parseNativePath takes a path of Gemini's dialect apart.
func parseNativePath(path string) (p nativePath, model string) {
	i := strings.Index(path, "/models/")
	if i <= 0 || !isVersion(path[:i]) {
		return nativePath{}, ""
	}
	i += len("/models/")
	method := strings.LastIndexByte(path, ':')
	if method <= i || strings.ContainsRune(path[method:], '/') {
		return nativePath{}, ""
	}
	return nativePath{path[:i], path[method:]}, path[i:method]
}

// isVersion tells whether a path is the version of an API: /v1, /v1beta.
func isVersion(path string) bool {
	rest, ok := strings.CutPrefix(path, "/v")
	return ok && rest != "" && rest[0] >= '0' && rest[0] <= '9' && !strings.ContainsRune(rest, '/')
}

// readPath finds the model in the path. Gemini's SDKs repeat it in the body of
// some calls, as `models/{model}`.
func (c *call) readPath(path string) *apiError {
	parsed, model := parseNativePath(path)
	if !parsed.found() {
		return nil
	}
	if strings.Contains(model, `\`) {
		return invalidRequest("The path cannot be read.")
	}
	if c.inBody {
		if name, ok := strings.CutPrefix(c.model, "models/"); ok {
			c.model, c.prefix = name, "models/"
		}
		if c.model != model {
			return invalidModel("The path and the body name two models.")
		}
	}
	c.model, c.inPath = model, parsed
	return nil
}

// hasDotSegments tells whether a path means another one (RFC 3986, section
// 5.2.4).
func hasDotSegments(path string) bool {
	for segment := range strings.SplitSeq(path, "/") {
		if segment == "." || segment == ".." {
			return true
		}
	}
	return false
}

// queryModel returns the model in the query, which is where WebSockets have it.
func queryModel(r *http.Request) (string, *apiError) {
	if r.URL.RawQuery == "" {
		return "", nil
	}
	query, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return "", invalidRequest("The query cannot be read.")
	}
	for name, values := range query {
		if name == "model" && len(values) > 1 || name != "model" && reqbody.Alike(name, "model") {
			return "", invalidModel("The query names the model more than once, or not as model.")
		}
	}
	return query.Get("model"), nil
}

// namesModel are the path segments before a model's name, of Gemini, Azure and
// OpenAI's old API.
var namesModel = map[string]bool{"models": true, "tunedmodels": true, "deployments": true, "engines": true}

// checkElsewhere refuses what could name a model where the gateway does not
// read it, if the client may use some models only: a body that is passed on
// unread, and paths other than Gemini's.
func (c *call) checkElsewhere(path string) *apiError {
	if !c.client.limited() {
		return nil
	}
	if c.opaque {
		return invalidModel("Your key is for some models only, and the gateway cannot see which one this body names.")
	}
	if strings.Contains(path, `\`) {
		return invalidRequest("The path cannot be read.")
	}
	if c.inPath.found() {
		return nil
	}
	named := false
	for segment := range strings.SplitSeq(path, "/") {
		if segment == "" {
			continue
		}
		name, _, _ := strings.Cut(segment, ":")
		if named && !c.client.mayUse(name) {
			return modelNotFound(name)
		}
		named = namesModel[strings.ToLower(segment)]
	}
	return nil
}
