package llmgateway

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
)

// mostRedirects is how many redirects of a file's content are followed.
const mostRedirects = 5

// redirectError is a redirect that is not passed on: it would lead the client
// past the gateway, where its key is worth nothing, and show internal hosts and
// sometimes the channel's key.
type redirectError struct {
	reason string // for the client too
	cause  error  // for the log, nil for none
}

func (e *redirectError) Error() string {
	if e.cause == nil {
		return e.reason
	}
	return e.reason + ": " + e.cause.Error()
}

func redirected(format string, args ...any) error {
	return &redirectError{reason: fmt.Sprintf(format, args...)}
}

// isRedirect reports whether a status sends the client elsewhere. 304 does not.
func isRedirect(status int) bool {
	return status >= 300 && status <= 399 && status != http.StatusNotModified
}

// isContent reports whether a request is for the content of a file, which some
// providers keep elsewhere: OpenAI's and Anthropic's files, files of containers
// and videos (…/content), results of batches (…/results), and Gemini's files
// (…:download).
func isContent(r *http.Request) bool {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		return false
	}
	path := strings.TrimRight(r.URL.Path, "/")
	last := path[strings.LastIndexByte(path, '/')+1:]
	return last == "content" || last == "results" || strings.HasSuffix(last, ":download") || strings.Contains(path, "/content/")
}

// follow takes the place of a response that redirects. For the content of a file
// it returns the response of where the redirects lead, and else an error: the
// attempt has failed.
func (c *call) follow(req *http.Request, res *http.Response) (*http.Response, error) {
	if !isContent(req) || c.hasBody() {
		res.Body.Close()
		return nil, redirected("the channel redirects (status %d)", res.StatusCode)
	}
	at, withKey := res.Request.URL, true
	for range mostRedirects {
		location := res.Header.Get("Location")
		res.Body.Close()
		target, err := at.Parse(location)
		if err != nil || location == "" {
			return nil, redirected("the channel redirects to no URL (status %d)", res.StatusCode)
		}
		// Another host must not say what is done with the key.
		withKey = withKey && c.candidate.channel.isOrigin(target)
		if res, err = c.fetch(req, target, withKey); err != nil {
			return nil, err
		}
		if !isRedirect(res.StatusCode) {
			return res, nil
		}
		at = target
	}
	res.Body.Close()
	return nil, redirected("the channel redirects more than %d times", mostRedirects)
}

// fetch asks for the content of a file where the channel says that it is, at the
// channel's own host with the key.
func (c *call) fetch(req *http.Request, target *url.URL, withKey bool) (*http.Response, error) {
	channel := c.candidate.channel
	target.User, target.Fragment, target.RawFragment = nil, "", ""
	if target.Scheme != "https" {
		return nil, redirected("the channel redirects to a URL that is not https")
	}
	if withKey {
		out := c.outgoingRequest(req.WithContext(channel.dialContext(req.Context())))
		channel.pointTo(out, target, c.candidate.key)
		return channel.http.RoundTrip(out)
	}
	target = withoutSecret(target, c.candidate.key)
	if m := c.candidate.mask(); m.inText(target.String()) != target.String() {
		return nil, redirected("the channel redirects to another host with its key")
	}
	out := &http.Request{Method: req.Method, URL: target, Host: target.Host, Header: make(http.Header)}
	for _, name := range contentHeaders {
		if values := req.Header[name]; values != nil {
			out.Header[name] = values
		}
	}
	out.Header["Accept-Encoding"] = identity
	res, err := c.gateway.uploads.fetchElsewhere(channel, out.WithContext(req.Context()))
	if err != nil {
		return nil, &redirectError{"the channel redirects to a host that gives no response", err}
	}
	if !isOfContent(res.StatusCode) && !isRedirect(res.StatusCode) {
		res.Body.Close()
		return nil, redirected("the host that the channel redirects to refuses the request (status %d)", res.StatusCode)
	}
	return res, nil
}

// contentHeaders are what another host than the channel's gets of the client's
// headers.
var contentHeaders = [...]string{
	"Accept", "If-Match", "If-Modified-Since", "If-None-Match", "If-Range", "If-Unmodified-Since", "Range", "User-Agent",
}

// isOfContent reports whether a status says something about a file's content. Any
// other one of a host that is not the channel's must not be taken for the
// channel's: it says nothing about the key.
func isOfContent(status int) bool {
	switch status {
	case http.StatusNotModified, http.StatusNotFound, http.StatusGone, http.StatusPreconditionFailed, http.StatusRequestedRangeNotSatisfiable:
		return true
	}
	return status >= 200 && status <= 299
}

// withoutSecret returns a URL without the parameters of its query that are the
// key.
func withoutSecret(u *url.URL, k *key) *url.URL {
	clean := *u
	if k == nil || u.RawQuery == "" {
		return &clean
	}
	var kept []string
	for part := range strings.SplitSeq(u.RawQuery, "&") {
		_, raw, _ := strings.Cut(part, "=")
		if value, err := url.QueryUnescape(raw); err != nil || value != k.secret {
			kept = append(kept, part)
		}
	}
	clean.RawQuery = strings.Join(kept, "&")
	return &clean
}

// redirectReason returns why an attempt ended at a redirect, "" if it did not.
func redirectReason(err error) string {
	if redirect, ok := errors.AsType[*redirectError](err); ok {
		return redirect.reason
	}
	return ""
}
