package llmgateway

import (
	"errors"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"github.com/caddyserver/certmagic"
	"go.uber.org/zap"
	"golang.org/x/net/http/httpguts"
	"golang.org/x/net/publicsuffix"

	"github.com/caddy-freetier/caddy-freetier/internal/llm/apierror"
)

// uploadParameter is the parameter of the query that has the handle of an upload.
// The path before it is that of the request that began the upload, so that it
// takes the same way through the Caddyfile.
const uploadParameter = "gateway_upload"

// uploadHeaders are where a response has the URL at which an upload goes on.
// Source: https://ai.google.dev/gemini-api/docs/files, and for Location
// https://cloud.google.com/storage/docs/performing-resumable-uploads
var uploadHeaders = [...]string{"X-Goog-Upload-Url", "X-Goog-Upload-Control-Url", "Location"}

var (
	uploadNotFound = &apiError{Error: apierror.Error{
		Status:  http.StatusNotFound,
		Type:    "invalid_request_error",
		Message: "The upload does not exist or has expired. Start it again.",
	}}
	uploadOfAnother = &apiError{Error: apierror.Error{
		Status:  http.StatusForbidden,
		Type:    "invalid_request_error",
		Message: "The upload was started with another API key.",
	}}
	uploadMethod = &apiError{Error: apierror.Error{
		Status:  http.StatusMethodNotAllowed,
		Type:    "invalid_request_error",
		Message: "An upload goes on with POST, PUT or DELETE.",
	}}
	uploadUnavailable = &apiError{Error: apierror.Error{
		Status:  http.StatusServiceUnavailable,
		Type:    "server_error",
		Message: "The gateway cannot read the secret of its uploads. Try again later.",
	}}
)

// sealUpload puts a URL of this gateway in the place of those at which an upload
// goes on. The channel's own would lead past the gateway, where the client's key
// is worth nothing, and may have the channel's key in it.
//
// A response with a status of failure loses these headers, too. The URL must be at the
// channel's host or below the domain that its provider has registered: the channel's
// word alone must not make the gateway send a client's file anywhere.
func (c *call) sealUpload(req *http.Request, res *http.Response) error {
	tellsByItsName := res.Header["X-Goog-Upload-Url"] != nil
	for _, name := range uploadHeaders {
		given := res.Header.Get(name)
		if given == "" || name == "Location" && !tellsByItsName && !speaksResumable(req) {
			continue
		}
		delete(res.Header, name)
		if res.StatusCode > 299 || name == "Location" && tellsByItsName || !speaksResumable(req) {
			continue
		}
		channel, key := c.candidate.channel, c.candidate.key
		target, err := res.Request.URL.Parse(given)
		if err != nil || !channel.takesUploads(target) {
			return redirected("the channel sends the upload on to another provider")
		}
		target = withoutSecret(target, key)
		if m := c.candidate.mask(); m.inText(target.String()) != target.String() {
			return redirected("the channel's URL for the upload shows its key in an unknown way")
		}
		sealer, err := c.gateway.uploads.sealers.create(req.Context())
		if err != nil {
			return err
		}
		handle := uploadHandle{
			client:  c.client.Name,
			channel: channel.Name,
			key:     key.hash(),
			url:     target.String(),
			expires: c.gateway.clock.Now().Add(uploadTime),
		}
		res.Header[name] = []string{publicURL(req) + "?" + uploadParameter + "=" + handle.seal(sealer)}
	}
	return nil
}

// speaksResumable reports whether a request belongs to an upload in one of Google's
// resumable protocols, of which some give the URL as Location.
func speaksResumable(r *http.Request) bool {
	return r.Header["X-Goog-Upload-Protocol"] != nil || r.Header["X-Goog-Upload-Command"] != nil ||
		slices.Contains(strings.Split(r.URL.Path, "/"), "upload")
}

// registeredDomain returns the part of a host's name that somebody has registered,
// as example.co.uk, or "". Names below the domain of a hosting service count as
// the service's.
func registeredDomain(host string) string {
	host = strings.ToLower(strings.TrimSuffix(host, "."))
	suffix, icann := publicsuffix.PublicSuffix(host)
	for !icann && strings.Contains(suffix, ".") {
		suffix, icann = publicsuffix.PublicSuffix(suffix[strings.IndexByte(suffix, '.')+1:])
	}
	before, ok := strings.CutSuffix(host, "."+suffix)
	if !ok || !icann {
		return ""
	}
	return before[strings.LastIndexByte(before, '.')+1:] + "." + suffix
}

// publicURL returns the URL of a request without its query, as the client has
// written it: before a handler in front of the gateway has changed the path, and
// before a trusted proxy has changed scheme and host.
func publicURL(r *http.Request) string {
	path := r.URL.EscapedPath()
	if original, ok := r.Context().Value(caddyhttp.OriginalRequestCtxKey).(http.Request); ok && original.URL != nil {
		path = original.URL.EscapedPath()
	}
	return origin(r) + path
}

// origin returns the scheme and host at which the client has reached the gateway.
//
// X-Forwarded-Proto and -Host of a client that is no trusted proxy count for nothing:
// with a forged host the upload's URL, handle included, would lead to a server of the
// forger's.
func origin(r *http.Request) string {
	scheme, host := "http", r.Host
	if r.TLS != nil {
		scheme = "https"
	}
	if trusted, _ := caddyhttp.GetVar(r.Context(), caddyhttp.TrustedProxyVarKey).(bool); trusted {
		if proto := strings.ToLower(firstOf(r.Header["X-Forwarded-Proto"])); proto == "http" || proto == "https" {
			scheme = proto
		}
		if forwarded := firstOf(r.Header["X-Forwarded-Host"]); forwarded != "" && httpguts.ValidHostHeader(forwarded) {
			host = forwarded
		}
	}
	return (&url.URL{Scheme: scheme, Host: host}).String()
}

// firstOf returns the first element of a header that is a list: what the proxy
// nearest to the client has seen.
func firstOf(values []string) string {
	if len(values) == 0 {
		return ""
	}
	first, _, _ := strings.Cut(values[0], ",")
	return strings.TrimSpace(first)
}

// takeUpload removes the handles of uploads from a request, so that no log of ours
// shows them, and returns them.
func takeUpload(r *http.Request) []string {
	if !strings.Contains(r.URL.RawQuery, uploadParameter) {
		return nil
	}
	rest, sealed := takeQuery(r.URL.RawQuery, uploadParameter)
	if sealed != nil {
		r.URL.RawQuery = rest
		r.RequestURI = r.URL.RequestURI()
	}
	return sealed
}

// uploads goes on with the uploads that a gateway has begun.
type uploads struct {
	gateway   *gateway
	sealers   *sealers // of handles
	elsewhere http.RoundTripper
}

func newUploads(g *gateway, storage certmagic.Storage) *uploads {
	return &uploads{g, &sealers{storage: storage, logger: g.logger}, newElsewhere(isElsewhere, nil)}
}

// serve goes on with an upload. A client may show its key, as some SDKs do,
// but need not.
func (u *uploads) serve(w http.ResponseWriter, r *http.Request, sealed []string) {
	shown := takeKeys(r)
	as, target, wrong := u.open(r, sealed)
	if shown != (shownKeys{}) {
		client, wrongKey := u.gateway.auth.identify(r, shown)
		switch {
		case wrongKey != nil:
			wrong = wrongKey
		case wrong == nil && client != as.client:
			wrong = uploadOfAnother
		}
	}
	if wrong == nil && !slices.Contains([]string{http.MethodPost, http.MethodPut, http.MethodDelete}, r.Method) {
		wrong = uploadMethod
	}
	if wrong != nil {
		wrong.write(w, r)
		return
	}
	as.client.total.Inc()
	description{as}.offer(r)
	as.delivery.out.open(w, r, u.gateway.clock)
	as.source.begin(w, r, u.gateway.clock)
	defer as.source.end()
	defer as.close()
	err := as.startNext().forwardUpload(r, target)
	switch {
	case as.source.slow.Load() && err != nil:
		uploadTooSlow.write(w, r)
	case r.Context().Err() != nil:
		if err == nil {
			as.current.res.Body.Close()
		}
		as.delivery.clientLeft()
	case err != nil:
		as.current.log("upload failed", zap.Error(err))
		notReached(1).write(w, r)
	default:
		as.respond(as.current.res)
	}
}

// open returns the only attempt of the upload that a handle stands for, and the
// channel's URL. What the handle names must still be there, and its client must
// still be allowed to upload.
//
// All that is wrong with a handle gets the same 404: whoever has made one up learns
// nothing about clients and channels.
func (u *uploads) open(r *http.Request, sealed []string) (*attempts, *url.URL, *apiError) {
	sealer, err := u.sealers.find(r.Context())
	switch {
	case len(sealed) != 1 || errors.Is(err, errNoSecret):
		return nil, nil, uploadNotFound
	case err != nil:
		return nil, nil, uploadUnavailable
	}
	handle, err := openHandle(sealer, sealed[0], u.gateway.clock.Now())
	if err != nil {
		return nil, nil, uploadNotFound
	}
	client, channel := u.gateway.auth.clientNamed(handle.client), channelNamed(u.gateway.channels, handle.channel)
	if client == nil || client.restricted() || channel == nil {
		return nil, nil, uploadNotFound
	}
	target, err := url.Parse(handle.url)
	if err != nil || !channel.takesUploads(target) {
		return nil, nil, uploadNotFound
	}
	as := newAttempts(newRequest(u.gateway, client, location{}, false))
	if handle.key == (keyHash{}) {
		as.claimed = &candidate{channel: channel}
		return as, target, nil
	}
	keys := channel.keys()
	at := slices.IndexFunc(keys, func(k *key) bool { return k.hash() == handle.key })
	if at < 0 {
		return nil, nil, uploadNotFound
	}
	as.claimed = &candidate{channel: channel, key: keys[at]}
	return as, target, nil
}

// forwardUpload passes the client's part of the upload on as it arrives, to where
// it belongs and nowhere else: the channel's key has begun the upload, and what
// was read of the body cannot be sent again.
//
// To another host than the channel's go neither its key nor the headers that it sets,
// and only over a connection to a public address (fetchElsewhere).
func (a *attempt) forwardUpload(r *http.Request, target *url.URL) error {
	channel, key := a.candidate.channel, a.candidate.key
	out := &http.Request{Method: r.Method, Header: channel.headers.outgoing(r.Header, a.upgrading, a.contentType), ContentLength: r.ContentLength}
	for _, name := range bodyHeaders {
		if values := r.Header[name]; values != nil {
			out.Header[name] = values // the body passes as it is
		}
	}
	if r.ContentLength != 0 {
		out.Body = struct {
			io.Reader
			io.Closer
		}{&a.source, r.Body}
	}
	var res *http.Response
	var err error
	if channel.isOrigin(target) {
		channel.pointTo(out, target, key)
		res, err = channel.http.RoundTrip(out.WithContext(channel.dialContext(r.Context())))
	} else {
		for name := range channel.headers.set {
			delete(out.Header, name)
		}
		out.URL, out.Host = target, target.Host
		res, err = a.gateway.uploads.fetchElsewhere(channel, out.WithContext(r.Context()))
	}
	if err != nil {
		return a.candidate.mask().inError(err)
	}
	// 308 says that the upload is not complete, and not where to go.
	if isRedirect(res.StatusCode) && (res.StatusCode != http.StatusPermanentRedirect || res.Header["Location"] != nil) {
		err = redirected("the channel redirects an upload (status %d)", res.StatusCode)
	} else if err = a.checkStatus(res); err == nil {
		err = a.sealUpload(r, res)
	}
	if err != nil {
		res.Body.Close()
		return err
	}
	cleanResponse(res, a.candidate.mask())
	a.accept(res, noDeadline)
	a.sign()
	return nil
}
