package fastestswagger

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"
)

// maxRedirects is how many redirects a load follows.
const maxRedirects = 5

var errAround = errors.New("redirects too often")

func isRedirect(resp *http.Response) bool {
	switch resp.StatusCode {
	case http.StatusMovedPermanently, http.StatusFound, http.StatusSeeOther,
		http.StatusTemporaryRedirect, http.StatusPermanentRedirect:
		return resp.Header.Get("Location") != ""
	}
	return false
}

// follow makes the request that a redirect asks for, after so many others. One
// that leads away from the upstream is none of its pages: a login page, or a
// platform's.
func follow(req *http.Request, resp *http.Response, hops int) (*http.Request, error) {
	if hops == maxRedirects {
		return nil, errAround
	}
	to, err := req.URL.Parse(resp.Header.Get("Location"))
	if err != nil {
		return nil, fmt.Errorf("redirects with status %d to nowhere", resp.StatusCode)
	}
	switch host := bareHost(to.Host); {
	case host != bareHost(req.URL.Host) && host != bareHost(req.Host):
		// Only the host: a query can hold a secret.
		return nil, fmt.Errorf("redirects with status %d to %s", resp.StatusCode, to.Host)
	case req.URL.Scheme != "" && to.Scheme != req.URL.Scheme:
		return nil, fmt.Errorf("redirects with status %d to %s", resp.StatusCode, to.Scheme)
	}
	next := req.Clone(req.Context())
	next.URL.Path, next.URL.RawPath, next.URL.RawQuery = to.Path, to.RawPath, to.RawQuery
	return next, nil
}

// bareHost returns a host in small letters, without a port that goes without
// saying.
func bareHost(hostport string) string {
	host, port, err := net.SplitHostPort(hostport)
	if err != nil || port != "80" && port != "443" {
		return strings.ToLower(hostport)
	}
	return strings.ToLower(host)
}
