package llmgateway

import (
	"net/url"
	"strings"
)

// target returns the URL for a request to the path and query of u. The path of
// the base URL takes the place of a leading /v1. One that has the version of
// Gemini's own paths in it, as in /v1beta/openai, ends before it for these.
func (c *Channel) target(u *url.URL) *url.URL {
	target := &url.URL{Scheme: c.base.Scheme, Host: c.base.Host, Path: u.Path, RawPath: u.RawPath, RawQuery: u.RawQuery}
	if c.base.Path == "" {
		return target
	}
	base, rest := c.base.Path, withoutVersion(u.Path)
	if version := geminiVersion(u.Path); version != "" {
		if before, _, ok := strings.Cut(base+"/", version+"/"); ok {
			base, rest = before, u.Path
		}
	}
	target.Path = base + rest
	if c.base.RawPath != "" || u.RawPath != "" {
		target.RawPath = c.base.EscapedPath() + withoutVersion(u.EscapedPath())
	}
	return target
}

// geminiVersion returns the version in a path of Gemini's, with a slash before it:
// of /v1beta/files, /upload/v1beta/files and /v1beta/models/{model}:{method}. /v1
// is Gemini's only where the rest is.
func geminiVersion(path string) string {
	if native, _ := parseGeminiPath(path); native.found() {
		return native.version()
	}
	rest := strings.TrimPrefix(strings.TrimPrefix(path, "/upload"), "/download")
	version, _, _ := strings.Cut(strings.TrimPrefix(rest, "/"), "/")
	if !isVersion(version) || version == "v1" && rest == path {
		return ""
	}
	return "/" + version
}

// withoutVersion cuts a leading /v1 off a path.
func withoutVersion(path string) string {
	rest, ok := strings.CutPrefix(path, "/v1")
	if !ok || (rest != "" && rest[0] != '/') {
		return path
	}
	return rest
}
