package keepalive

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"
)

// maxRedirects is how many redirects are followed, as browsers and curl have
// similar limits.
const maxRedirects = 10

// keepRedirect makes a redirect the response.
func keepRedirect(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }

// followRedirect follows redirects. A key stays on the host for which it was
// written: once another host has come, only headers that hold none are sent, and
// a body is not sent at all.
func followRedirect(req *http.Request, via []*http.Request) error {
	if len(via) >= maxRedirects {
		return fmt.Errorf("%d redirects in a row", maxRedirects)
	}
	first := via[0].URL
	for _, hop := range append(via[1:len(via):len(via)], req) {
		if sameHost(first, hop.URL) {
			continue
		}
		if req.Body != nil && req.Body != http.NoBody {
			return http.ErrUseLastResponse
		}
		for name := range req.Header {
			if name != "User-Agent" && name != "Accept" {
				req.Header.Del(name)
			}
		}
		req.Host = ""
		return nil
	}
	return nil
}

// sameHost reports whether two URLs have the same host. From http to https on
// the default ports it is the same, but not the other way.
func sameHost(from, to *url.URL) bool {
	if from.Scheme == "http" && to.Scheme == "https" && from.Port() == "" && to.Port() == "" {
		return strings.EqualFold(from.Host, to.Host)
	}
	return from.Scheme == to.Scheme && strings.EqualFold(from.Host, to.Host)
}

// describeRedirect says where a redirect leads, "" if a response is none. Parts
// of the path that were in the request, and the query, are not shown.
func describeRedirect(resp *http.Response) string {
	if resp.StatusCode/100 != 3 {
		return ""
	}
	to, err := resp.Location()
	if err != nil {
		return ""
	}
	from := resp.Request.URL
	parts := strings.Split(to.EscapedPath(), "/")
	sent := sentBy(resp.Request)
	for i, part := range parts {
		if part != "" && strings.Contains(sent, part) {
			parts[i] = "…"
		}
	}
	shown := to.Scheme + "://" + to.Host + strings.Join(parts, "/")
	if to.RawQuery != "" {
		shown += "?…"
	}
	return fmt.Sprintf("; it redirects to %s%s", shown, changeOf(from, to))
}

// changeOf says in which way a redirect corrects a URL, "" if it leads
// elsewhere.
func changeOf(from, to *url.URL) string {
	samePlace := strings.EqualFold(from.Hostname(), to.Hostname())
	switch {
	case samePlace && from.Scheme == "http" && to.Scheme == "https" && from.Path == to.Path:
		return ", the same URL with https"
	case samePlace && from.Path+"/" == to.Path:
		return ", the same URL with a slash at the end"
	case samePlace && from.Path == to.Path+"/":
		return ", the same URL without the slash at the end"
	}
	return ""
}
