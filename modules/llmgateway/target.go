package llmgateway

import (
	"context"
	"net/http"
	"net/url"
	"strings"
)

// target returns the URL for a request to the path and query of u. The path of
// the base URL takes the place of a leading /v1. One that has the version of
// Gemini's own paths in it, as in /v1beta/openai, ends before it for these. The
// key's account takes the place of {account}.
func (c *Channel) target(u *url.URL, k *key) *url.URL {
	return c.withAccount(c.pathOf(u), k)
}

// withAccount puts the key's account into a URL of the channel.
func (c *Channel) withAccount(target *url.URL, k *key) *url.URL {
	if c.perAccount() && k != nil {
		target.Path = strings.ReplaceAll(target.Path, accountInPath, k.account)
		target.RawPath = strings.ReplaceAll(target.RawPath, url.PathEscape(accountInPath), k.account)
	}
	return target
}

// accountInPath stands for the key's account in the path of a channel's URL.
const accountInPath = "{account}"

// perAccount reports whether each key has an account that stands in the URL.
func (c *Channel) perAccount() bool { return strings.Contains(c.base.Path, accountInPath) }

func (c *Channel) pathOf(u *url.URL) *url.URL {
	from := c.base
	if s := c.sideOf(u.Path); s != nil {
		from = s.base
	}
	target := &url.URL{Scheme: from.Scheme, Host: from.Host, Path: u.Path, RawPath: u.RawPath, RawQuery: u.RawQuery}
	if from.Path == "" {
		return target
	}
	base, rest := from.Path, withoutVersion(u.Path)
	if version := geminiVersion(u.Path); version != "" {
		if before, _, ok := strings.Cut(base+"/", version+"/"); ok {
			base, rest = before, u.Path
		}
	}
	target.Path = base + rest
	if from.RawPath != "" || u.RawPath != "" {
		target.RawPath = from.EscapedPath() + withoutVersion(u.EscapedPath())
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

// isOrigin reports whether a URL is at the scheme, host and port of the channel.
func (c *Channel) isOrigin(u *url.URL) bool {
	return u.Scheme == c.base.Scheme && strings.EqualFold(u.Hostname(), c.base.Hostname()) && portOf(u) == portOf(c.base)
}

func portOf(u *url.URL) string {
	switch port := u.Port(); {
	case port != "":
		return port
	case u.Scheme == "https":
		return "443"
	default:
		return "80"
	}
}

// pointTo makes a request to the channel one for a URL that the channel has
// given, with the key.
func (c *Channel) pointTo(out *http.Request, target *url.URL, k *key) {
	out.URL, out.Host = withoutSecret(target, k), c.base.Host
	if k != nil {
		c.showKey(out, target.Path, k)
	}
}

// takesUploads reports whether an upload to the channel may go on at a URL: at
// the channel's own host, or over https at one of the same provider's.
func (c *Channel) takesUploads(u *url.URL) bool {
	if u.User != nil || u.Fragment != "" {
		return false
	}
	if c.isOrigin(u) {
		return true
	}
	domain := registeredDomain(c.base.Hostname())
	return u.Scheme == "https" && domain != "" && domain == registeredDomain(u.Hostname())
}

// dialContext returns the context of an attempt at the channel.
func (c *Channel) dialContext(ctx context.Context) context.Context {
	return context.WithValue(ctx, dialInfoKey, c.dialInfo)
}
