package llmgateway

import (
	"fmt"
	"net/url"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/caddy-freetier/caddy-freetier/internal/reqbody"
)

// location is where a request goes: an endpoint, and its path as the channel
// gets it.
type location struct {
	endpoint *endpoint // nil: the gateway has none there
	path     string
	rawPath  string // as in url.URL: empty if it follows from path
}

// isEmbedding reports whether embeddings are asked for.
func (l location) isEmbedding() bool {
	for _, end := range [...]string{"/embeddings", ":embedContent", ":batchEmbedContents"} {
		if strings.HasSuffix(l.path, end) {
			return true
		}
	}
	return false
}

// locate finds out what a path means. Base URLs are typed in many ways, with
// slashes too many, with /v1 twice or not at all, or as they are at other
// providers: all of these lead to the same canonical path, which is the one that
// the gateway decides on and the only one that a channel sees. Paths that match
// allowed, the patterns of allow_path, stay as they are but for their slashes.
//
// ok is false if servers could read another path than the gateway does.
func locate(u *url.URL, method methods, allowed []string) (l location, ok bool) {
	if u.RawPath == "" {
		if e := exactEndpoints[u.Path]; e != nil {
			return location{endpoint: e, path: u.Path}, true
		}
	}
	if !isPlain(u.Path) {
		return location{}, false
	}
	segments := splitPath(u)
	typed := newLocation(allowedPath, "", segments)
	l = mend(segments, method)
	if l.endpoint != nil && l.path == typed.path {
		return l, true
	}
	for _, pattern := range allowed {
		if reqbody.Match(pattern, typed.path) {
			return typed, true
		}
	}
	return l, true
}

// checkAllowedPath refuses patterns of allow_path that match nothing, since
// requests' paths are mended before.
func checkAllowedPath(pattern string) error {
	plain := strings.ReplaceAll(pattern, "*", "x")
	switch {
	case !strings.HasPrefix(pattern, "/") && pattern != "*":
		return fmt.Errorf("allow_path %s: a path begins with a slash: /api/chat", pattern)
	case !isPlain(plain) || strings.ContainsAny(plain, "?#"):
		return fmt.Errorf("allow_path %s: a path has neither dot segments nor a query, and is not escaped: /api/chat", pattern)
	case strings.Contains(plain, "//") || len(plain) > 1 && strings.HasSuffix(plain, "/"):
		return fmt.Errorf("allow_path %s: repeated slashes and one at the end are not part of a path: /api/chat", pattern)
	}
	return nil
}

// endpointAtEnd returns the endpoint in which the path of a channel's URL ends,
// with its slash, "" for none: people copy it from a provider's examples.
func endpointAtEnd(path string) string {
	segments := strings.Split(strings.TrimRight(path, "/"), "/")[1:]
	for i := range segments {
		tail := segments[i:]
		last := tail[len(tail)-1]
		e := endpointTable.find(tail)
		switch {
		case tail[0] == "models" && len(tail) > 1 && strings.Contains(last, ":"): // Gemini's
		case e.isModelList() && len(tail) == 1 && i > 0 && isVersion(segments[i-1]):
		case e != nil && e.all&post != 0:
		default:
			continue
		}
		return "/" + strings.Join(tail, "/")
	}
	return ""
}

// mend finds the canonical path behind any base URL.
func mend(path []string, method methods) location {
	rest, version := skipBase(path)
	if len(rest) == 0 {
		return location{}
	}
	switch first := rest[0]; {
	case (first == "models" || first == "tunedModels") && method == post:
		return geminiModel(rest, version)
	case first == "upload" && len(rest) > 2 && isVersion(rest[1]):
		return newLocation(uploadTable.find(rest[2:]), "/upload", rest[1:])
	case first == "download" && len(rest) > 2 && isVersion(rest[1]):
		return newLocation(downloadTable.find(rest[2:]), "/download", rest[1:])
	case first == "deployments" && len(rest) > 2:
		return perModel("/openai", rest)
	case first == "engines" && len(rest) > 2:
		return perModel("/v1", rest)
	case version == "" || version == "v1":
		return newLocation(endpointTable.find(rest), "/v1", rest)
	case version == "v2" && first == "rerank": // Cohere's
		return newLocation(endpointTable.find(rest), "/v2", rest)
	case !isPreview(version):
		return location{}
	}
	e := geminiTable.find(rest)
	if e.isModelList() {
		version = "v1beta" // the same in all of them
	}
	return newLocation(e, "/"+version, rest)
}

// isPreview reports whether a version, as only Gemini has them, is not a final
// one.
func isPreview(version string) bool {
	return strings.Contains(version, "beta") || strings.Contains(version, "alpha")
}

// skipBase cuts off what people put before an endpoint, and returns the version
// that was in it.
func skipBase(path []string) (rest []string, version string) {
	for i, s := range path {
		switch {
		case isVersion(s):
			version = s
		case s == "openai":
			version = "" // as in /v1beta/openai, which is OpenAI's dialect
		case s != "api" && s != "anthropic":
			return path[i:], version
		}
	}
	return nil, version
}

// isVersion reports whether a segment is the version of an API: v1, v1beta.
func isVersion(segment string) bool {
	rest, ok := strings.CutPrefix(segment, "v")
	digits := len(rest) - len(strings.TrimLeft(rest, "0123456789"))
	if !ok || digits == 0 {
		return false
	}
	stage := strings.TrimRight(rest[digits:], "0123456789")
	return stage == "beta" || stage == "alpha" || rest[digits:] == ""
}

// geminiModel is a path of Gemini's that names a model and what it is to do.
func geminiModel(rest []string, version string) location {
	last := rest[len(rest)-1]
	colon := strings.LastIndexByte(last, ':')
	switch {
	case len(rest) < 2 || colon < 0 || len(rest) == 2 && colon == 0:
		if rest[0] == "models" {
			return newLocation(modelList, "/v1", rest)
		}
		return location{}
	case version == "":
		version = "v1beta"
	case version != "v1" && !isPreview(version):
		return location{}
	}
	e := geminiOther
	if geminiCalls[last[colon+1:]] {
		e = geminiCall
	}
	return newLocation(e, "/"+version, rest)
}

// perModel is a path of Azure's or of OpenAI's old API, which names the model
// before an endpoint.
func perModel(prefix string, rest []string) location {
	e := endpointTable.find(rest[2:])
	if e == nil || e.all&post == 0 || strings.Contains(e.path, "*") {
		return location{}
	}
	return newLocation(&endpoint{path: e.path, all: post}, prefix, rest)
}

// splitPath takes a path apart and decodes its segments. Repeated slashes and
// one at the end count for nothing, and an escaped slash does not separate.
func splitPath(u *url.URL) (segments []string) {
	for escaped := range strings.SplitSeq(u.EscapedPath(), "/") {
		// An error cannot happen: net/url has decoded the path before.
		if segment, err := url.PathUnescape(escaped); err == nil && segment != "" {
			segments = append(segments, segment)
		}
	}
	return segments
}

// newLocation is the path of segments behind a prefix. They are escaped as
// net/url does it, however they were: a channel is to read what the gateway read.
// A slash inside a segment stays escaped.
func newLocation(e *endpoint, prefix string, segments []string) location {
	if e == nil {
		return location{}
	}
	l := location{endpoint: e, path: prefix + "/" + strings.Join(segments, "/")}
	if !slices.ContainsFunc(segments, func(s string) bool { return strings.Contains(s, "/") }) {
		return l
	}
	l.rawPath = prefix
	for _, s := range segments {
		l.rawPath += "/" + url.PathEscape(s)
	}
	return l
}

// isPlain reports whether all servers read a path alike. Dot segments could lead
// out of the path of a channel's URL, in any of the spellings that some server
// understands: behind it path parameters (`..;x`) are cut off, backslashes taken
// for slashes, the escapes of escapes decoded, wide characters made narrow.
func isPlain(path string) bool {
	if !utf8.ValidString(path) || strings.ContainsFunc(path, isAmbiguous) {
		return false
	}
	if !strings.Contains(path, "/.") && isASCII(path) && !strings.Contains(path, " ") {
		return true
	}
	for segment := range strings.SplitSeq(path, "/") {
		trimmed := strings.TrimSpace(segment)
		if segment != "" && strings.TrimLeft(trimmed, ".․‥…。．｡﹒") == "" {
			return false
		}
	}
	return true
}

// isAmbiguous reports whether servers may take a character of a path for
// something else, or end the path there.
func isAmbiguous(c rune) bool {
	switch c {
	case '\\', ';', '%', '?', '#', '／', '＼', '∕', '⁄', '；', '％':
		return true
	}
	return unicode.IsControl(c)
}

func isASCII(s string) bool {
	for i := range len(s) {
		if s[i] >= utf8.RuneSelf {
			return false
		}
	}
	return true
}
