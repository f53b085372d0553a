package llmgateway

import (
	"net/http"
	"net/url"
	"strings"

	"github.com/caddy-freetier/caddy-freetier/internal/reqbody"
)

// modelPath is a path that names a model.
type modelPath struct {
	before, after string // what stands around the model
	segment       bool   // the model is one segment, so that its slashes are escaped
}

func (p modelPath) found() bool { return p.before != "" }

// streams reports whether the response comes bit by bit.
func (p modelPath) streams() bool { return strings.HasPrefix(p.after, ":stream") }

// with returns the path for another model, as url.URL has it.
func (p modelPath) with(model string) (path, rawPath string) {
	if p.segment && strings.Contains(model, "/") {
		rawPath = (&url.URL{Path: p.before}).EscapedPath() + url.PathEscape(model) + (&url.URL{Path: p.after}).EscapedPath()
	}
	return p.before + model + p.after, rawPath
}

// version is the path's first segment, with its slash: /v1beta.
func (p modelPath) version() string {
	return p.before[:1+strings.IndexByte(p.before[1:], '/')]
}

// parseGeminiPath takes a path of Gemini's own dialect apart, which names the
// model: /v1beta/models/{model}:generateContent. A tuned model is named together
// with its collection: tunedModels/{model}.
// Source: https://ai.google.dev/api/generate-content
func parseGeminiPath(path string) (p modelPath, model string) {
	for _, collection := range [...]string{"/models/", "/tunedModels/"} {
		i := strings.Index(path, collection)
		if i <= 0 || !isVersion(path[1:i]) {
			continue
		}
		start := i + 1 // of the model's name
		if collection == "/models/" {
			start = i + len(collection)
		}
		method := strings.LastIndexByte(path, ':')
		if method <= i+len(collection) || strings.ContainsRune(path[method:], '/') {
			continue
		}
		return modelPath{before: path[:start], after: path[method:]}, path[start:method]
	}
	return modelPath{}, ""
}

// readPath finds the model in the path. Gemini's SDKs repeat it in the body of
// some calls, as `models/{model}`. In the paths of other APIs a name in the body
// counts, since Azure's deployments may have names of their own.
func (q *request) readPath(u *url.URL) *apiError {
	parsed, model := parseGeminiPath(u.Path)
	if !parsed.found() {
		if parsed, model = parseOtherPath(u); parsed.found() && !q.inBody {
			q.model, q.inPath = model, parsed
		}
		return nil
	}
	if q.inBody {
		if name, ok := strings.CutPrefix(q.model, "models/"); ok {
			q.model, q.prefix = name, "models/"
		}
		if q.model != model {
			return invalidModel("The path and the body name two models.")
		}
	}
	q.model, q.inPath = model, parsed
	return nil
}

// parseOtherPath finds the model in paths of other APIs: Azure's deployments and
// OpenAI's old engines, and, where allow_path lets them pass, Bedrock's
// (/model/{model}/converse), Cloudflare's (/ai/run/@cf/{model}) and those of
// Hugging Face, Vertex and their like (/models/{model}).
func parseOtherPath(u *url.URL) (p modelPath, model string) {
	path, at := u.EscapedPath(), 0
	for segment := range strings.SplitSeq(path, "/") {
		at += len(segment) + 1 // behind the slash that follows
		if at >= len(path) {
			break
		}
		model = path[at:]
		switch strings.ToLower(segment) {
		case "deployments", "engines", "model":
			model, _, _ = strings.Cut(model, "/")
			p.segment = true
		case "run":
			if !strings.HasSuffix(path[:at], "/ai/run/") {
				continue
			}
		case "models", "tunedmodels":
			model, _, _ = strings.Cut(model, "/v1/")
			if i := strings.LastIndexByte(model, ':'); i > strings.LastIndexByte(model, '/') {
				model = model[:i]
			}
		default:
			continue
		}
		p.before, p.after = unescape(path[:at]), unescape(path[at+len(model):])
		return p, unescape(model)
	}
	return modelPath{}, ""
}

// unescape decodes a part of a path. An error cannot happen: net/url has decoded
// the whole before.
func unescape(path string) string {
	text, _ := url.PathUnescape(path)
	return text
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

// checkElsewhere refuses what could name another model, if the client may use
// some models only: a body that is passed on unread, a path beside a body that
// names another, and further fields of the body.
func (q *request) checkElsewhere(u *url.URL) *apiError {
	if !q.client.limited() {
		return nil
	}
	if q.opaque {
		return invalidModel("Your key is for some models only, and the gateway cannot see which one this body names.")
	}
	if parsed, model := parseOtherPath(u); parsed.found() && !q.inPath.found() && !q.client.mayUse(model) {
		return modelNotFound(model)
	}
	return checkOtherModels(q)
}
