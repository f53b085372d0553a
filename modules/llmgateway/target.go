package llmgateway

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync/atomic"

	"github.com/caddy-freetier/caddy-freetier/internal/awake"
	"github.com/caddy-freetier/caddy-freetier/internal/llm/preset"
	"github.com/caddy-freetier/caddy-freetier/internal/llm/refusal"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp/reverseproxy"
)

// api is where a channel's API is, in which dialects it can be asked, and how it is shown
// a key. It is made in the channel's Provision and does not change after it.
type api struct {
	base     *url.URL // without a slash at the end
	dial     string   // host and port, also the name for awake
	dialInfo reverseproxy.DialInfo

	provider  refusal.Provider // by the preset or the host, "" for an unknown one
	preset    *preset.Preset   // unset without the option provider
	presetURL string           // in the place of the option URL, "" if there is one
	sides     [preset.Dialects]*side
	auth      Auth // the option, or the preset's
	spoken    []spoken
	advised   atomic.Bool // that the option speaks would help
}

// target returns the URL for a request to the path and query of u. The path of
// the base URL takes the place of a leading /v1. One that has the version of
// Gemini's own paths in it, as in /v1beta/openai, ends before it for these. The
// key's account takes the place of {account}.
func (a *api) target(u *url.URL, k *key) *url.URL {
	return a.withAccount(a.pathOf(u), k)
}

// withAccount puts the key's account into a URL of the channel.
//
// splitAccount has checked that the account needs no escaping.
func (a *api) withAccount(target *url.URL, k *key) *url.URL {
	if a.perAccount() && k != nil {
		target.Path = strings.ReplaceAll(target.Path, accountInPath, k.account)
		target.RawPath = strings.ReplaceAll(target.RawPath, url.PathEscape(accountInPath), k.account)
	}
	return target
}

// accountInPath stands for the key's account in the path of a channel's URL.
const accountInPath = "{account}"

// perAccount reports whether each key has an account that stands in the URL.
func (a *api) perAccount() bool { return strings.Contains(a.base.Path, accountInPath) }

func (a *api) pathOf(u *url.URL) *url.URL {
	from := a.base
	if s := a.sideOf(u.Path); s != nil {
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
//
// The key goes to such URLs only. A default port that is written counts as the same.
func (a *api) isOrigin(u *url.URL) bool {
	return u.Scheme == a.base.Scheme && strings.EqualFold(u.Hostname(), a.base.Hostname()) && portOf(u) == portOf(a.base)
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
func (a *api) pointTo(out *http.Request, target *url.URL, k *key) {
	out.URL, out.Host = withoutSecret(target, k), a.base.Host
	if k != nil {
		a.showKey(out, target.Path, k)
	}
}

// takesUploads reports whether an upload to the channel may go on at a URL: at
// the channel's own host, or over https at one of the same provider's.
func (a *api) takesUploads(u *url.URL) bool {
	if u.User != nil || u.Fragment != "" {
		return false
	}
	if a.isOrigin(u) {
		return true
	}
	domain := registeredDomain(a.base.Hostname())
	return u.Scheme == "https" && domain != "" && domain == registeredDomain(u.Hostname())
}

// dialContext returns the context of an attempt at the channel.
func (a *api) dialContext(ctx context.Context) context.Context {
	return context.WithValue(ctx, dialInfoKey, a.dialInfo)
}

// setURL checks the base URL and takes it apart.
//
// A query or user is refused because it would be a key outside of api_key, unmasked in
// logs and in errors of net/http. Slashes at the end are cut: paths begin with one.
func (a *api) setURL(text string) error {
	u, err := url.Parse(text)
	if err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Hostname() == "" {
		return errors.New("the URL must look like https://api.example.com or https://api.example.com/v1")
	}
	if port := u.Port(); port != "" {
		if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 {
			return errors.New("the URL has no port number from 1 to 65535")
		}
	}
	if u.User != nil || u.RawQuery != "" || u.Fragment != "" {
		return errors.New("the URL must have no user, query or fragment; keys go into api_key")
	}
	if endpoint := endpointAtEnd(u.Path); endpoint != "" {
		u.Path, u.RawPath = strings.TrimSuffix(strings.TrimRight(u.Path, "/"), endpoint), ""
		return fmt.Errorf("the URL ends in an endpoint, %s, which requests bring along: write %s", endpoint, u)
	}
	u.Path = strings.TrimRight(u.Path, "/")
	u.RawPath = strings.TrimRight(u.RawPath, "/")
	a.base, a.dial = u, awake.Upstream(u)
	a.dialInfo = newDialInfo(a.dial)
	return nil
}
