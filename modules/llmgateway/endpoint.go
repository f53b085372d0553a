package llmgateway

import (
	"net/http"
	"strings"
)

// methods are what a client may do at an endpoint, as bits.
type methods uint8

const (
	get methods = 1 << iota // and HEAD
	post
	del
	put
	socket // the handshake of a WebSocket
)

// methodOf returns what a request is about to do, 0 for methods that the gateway
// does not know: some of them make servers echo the request, keys included, or
// connect to somewhere else.
func methodOf(r *http.Request) methods {
	switch r.Method {
	case http.MethodGet, http.MethodHead:
		if isUpgrade(r) {
			return socket
		}
		return get
	case http.MethodPost:
		return post
	case http.MethodDelete:
		return del
	case http.MethodPut:
		return put
	case http.MethodConnect:
		if isUpgrade(r) {
			return socket
		}
	}
	return 0
}

// String returns the methods as the header Allow has them.
func (m methods) String() string {
	var names []string
	if m&(get|socket) != 0 {
		names = append(names, http.MethodGet)
	}
	if m&get != 0 {
		names = append(names, http.MethodHead)
	}
	for _, name := range []struct {
		method methods
		name   string
	}{{post, http.MethodPost}, {put, http.MethodPut}, {del, http.MethodDelete}} {
		if m&name.method != 0 {
			names = append(names, name.name)
		}
	}
	return strings.Join(append(names, http.MethodOptions), ", ")
}

// endpoint is a place of an API, and who may do what there. What a provider has
// besides these is out of reach: its API is an account, in which keys can be
// made and files of others be read and deleted.
type endpoint struct {
	// path is what stands behind the version. `*` is one segment, and `**` at
	// the end one or more.
	path string
	// all is for every client: it asks a model for something.
	all methods
	// own is for clients without models and limits besides: it reaches what
	// belongs to the account as a whole, or what the gateway cannot look into.
	own methods
}

// endpoints are those of the APIs of OpenAI and Anthropic, and of the many that
// follow them, below /v1. Gemini's are in locate.go.
// Sources: https://platform.openai.com/docs/api-reference and
// https://docs.anthropic.com/en/api
var endpoints = []*endpoint{
	{"chat/completions", post, get},
	{"chat/completions/*", 0, get | post | del},
	{"chat/completions/*/messages", 0, get},
	{"completions", post, 0},
	{"fim/completions", post, 0},
	responsesEndpoint,
	{"responses/compact", post, 0},
	{"responses/input_tokens", post, 0},
	{"responses/*", 0, get | del},
	{"responses/*/cancel", 0, post},
	{"responses/*/input_items", 0, get},
	{"messages", post, 0},
	{"messages/count_tokens", post, 0},
	{"messages/batches", 0, get | post},
	{"messages/batches/*", 0, get | del},
	{"messages/batches/*/cancel", 0, post},
	{"messages/batches/*/results", 0, get},
	{"complete", post, 0},
	{"embeddings", post, 0},
	{"rerank", post, 0},
	{"moderations", post, 0},
	{"images/generations", post, 0},
	{"images/edits", post, 0},
	{"images/variations", post, 0},
	{"audio/speech", post, 0},
	{"audio/transcriptions", post, 0},
	{"audio/translations", post, 0},
	{"video/generations", post, 0},
	{"video/generations/*", 0, get},
	{"videos", post, get},
	{"videos/generations", post, 0},
	{"videos/edits", post, 0},
	{"videos/extensions", post, 0},
	{"videos/*", 0, get | del},
	{"videos/*/content", 0, get},
	{"videos/*/remix", 0, post},
	modelList,
	modelEntry,
	usageEndpoint,
	{"files", 0, get | post},
	{"files/*", 0, get | del},
	{"files/*/content", 0, get},
	{"uploads", 0, post | put},
	{"uploads/**", 0, get | post | put},
	{"batches", 0, get | post},
	{"batches/*", 0, get},
	{"batches/*/cancel", 0, post},
	{"vector_stores", 0, get | post},
	{"vector_stores/**", 0, get | post | del},
	{"conversations", 0, get | post},
	{"conversations/**", 0, get | post | del},
	{"containers", 0, get | post},
	{"containers/**", 0, get | post | del},
	{"realtime", 0, socket},
	{"realtime/**", 0, get | post | del},
}

// Endpoints that are handled in a way of their own.
var (
	modelList         = &endpoint{"models", get, 0}
	modelEntry        = &endpoint{"models/**", get, 0}
	usageEndpoint     = &endpoint{"usage", get, 0}
	responsesEndpoint = &endpoint{"responses", post, socket}

	// geminiCall asks a model of Gemini's, and geminiOther may do anything else
	// with one.
	geminiCall  = &endpoint{"models/*", post, 0}
	geminiOther = &endpoint{"models/*", 0, post}

	// allowedPath is what allow_path adds. The gateway does not know what
	// happens there, so that clients with models or limits may only ask.
	allowedPath = &endpoint{"", post, get | del | socket}
)

// isModelList reports whether the gateway itself answers, with the models.
func (e *endpoint) isModelList() bool { return e == modelList || e == modelEntry }

// geminiEndpoints are Gemini's below a version such as /v1beta.
// Source: https://ai.google.dev/api
var geminiEndpoints = []*endpoint{
	modelList,
	{"models/*/operations/*", 0, get},
	modelEntry,
	{"files", 0, get | post},
	{"files/*", 0, get | post | del},
	{"cachedContents", 0, get | post},
	{"cachedContents/*", 0, get | post | del},
	{"batches", 0, get},
	{"batches/*", 0, get | post | del},
	{"operations/*", 0, get},
}

// geminiUploads are Gemini's below /upload and a version.
var geminiUploads = []*endpoint{{"files", 0, post | put}}

// geminiDownloads are Gemini's below /download and a version.
var geminiDownloads = []*endpoint{{"files/*", 0, get}}

// geminiCalls are the methods that ask a model of Gemini's for something. The
// batches among its methods run for hours on the account and name files.
var geminiCalls = map[string]bool{
	"generateContent": true, "streamGenerateContent": true, "countTokens": true, "embedContent": true, "batchEmbedContents": true,
	"generateAnswer": true, "predict": true, "predictLongRunning": true,
}

// table finds endpoints by their first segment.
type table map[string][]pattern

type pattern struct {
	endpoint *endpoint
	segments []string
}

func newTable(endpoints []*endpoint) table {
	t := make(table)
	for _, e := range endpoints {
		segments := strings.Split(e.path, "/")
		t[segments[0]] = append(t[segments[0]], pattern{e, segments})
	}
	return t
}

var (
	endpointTable = newTable(endpoints)
	geminiTable   = newTable(geminiEndpoints)
	uploadTable   = newTable(geminiUploads)
	downloadTable = newTable(geminiDownloads)
	// exactEndpoints spares the usual paths the way through locate.
	exactEndpoints = newExactEndpoints()
)

func newExactEndpoints() map[string]*endpoint {
	exact := make(map[string]*endpoint)
	for _, e := range endpoints {
		if !strings.Contains(e.path, "*") {
			exact["/v1/"+e.path] = e
		}
	}
	return exact
}

// find returns the endpoint of a path, nil if there is none.
func (t table) find(path []string) *endpoint {
	if len(path) == 0 {
		return nil
	}
	for _, p := range t[path[0]] {
		if p.matches(path) {
			return p.endpoint
		}
	}
	return nil
}

func (p pattern) matches(path []string) bool {
	for i, want := range p.segments {
		switch {
		case i >= len(path):
			return false
		case want == "**":
			return true
		case want != "*" && want != path[i]:
			return false
		}
	}
	return len(path) == len(p.segments)
}
