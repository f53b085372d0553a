package llmgateway

import (
	"io"
	"net/http"
	"strings"
)

// cleanResponse takes out of a channel's response, but for its body, what must not
// reach the client, the logs and the placeholders: the channel's secrets, wherever
// they stand, and headers that are not for this client.
func cleanResponse(res *http.Response, m *mask) {
	decodeResponse(res)
	cleanHeader(res.Header, m)
	cleanHeader(res.Trailer, m) // the names; their values come behind the body
	res.Status = m.inText(res.Status)
	if conn, ok := res.Body.(io.ReadWriteCloser); ok && res.StatusCode == http.StatusSwitchingProtocols {
		res.Body = newMaskedConn(conn, res, m)
	}
}

// sign says on the response who gave it, and drops the channel's own CORS
// headers, which would contradict ours.
func (r *reply) sign() {
	header := r.res.Header
	if !r.gateway.cors.passesOn() {
		for name := range header {
			if strings.HasPrefix(name, "Access-Control-") {
				delete(header, name)
			}
		}
	}
	if r.client.any() {
		// The client's limits are ours.
		for name := range header {
			if strings.HasPrefix(name, "X-Ratelimit-") {
				delete(header, name)
			}
		}
	}
	header["X-Gateway-Channel"] = r.candidate.channel.signature
	if r.translation.dropped != "" {
		header["X-Gateway-Dropped"] = []string{r.translation.dropped}
	}
	if r.candidate.model != "" {
		header["X-Gateway-Model"] = []string{r.candidate.model}
	}
}

// isCredential reports whether a header carries a credential, by its name.
func isCredential(name string) bool {
	for word := range strings.SplitSeq(strings.ToLower(name), "-") {
		switch word {
		case "auth", "authorization", "cookie", "password", "secret":
			return true
		}
		if strings.HasSuffix(word, "key") || strings.HasSuffix(word, "token") {
			return true
		}
	}
	return false
}

// cleanHeader removes the headers that are not for the client and masks secrets
// in the others.
func cleanHeader(header http.Header, m *mask) {
	for name, values := range header {
		if endsHere(name) || m.hides(name) {
			delete(header, name)
			continue
		}
		for i, value := range values {
			values[i] = m.inText(value)
		}
	}
}

// endsHere reports whether a response header must not be passed on, because it
// would act on the gateway's own domain or on the servers in front of it. Names
// are in canonical form.
func endsHere(name string) bool {
	switch name {
	case
		// What a browser keeps for the domain: cookies, logins, policies.
		"Set-Cookie", "Set-Cookie2", "Set-Login", "Clear-Site-Data", "Strict-Transport-Security",
		"Public-Key-Pins", "Public-Key-Pins-Report-Only", "Expect-Ct", "Alt-Svc", "Accept-Ch", "Critical-Ch",
		"Origin-Agent-Cluster", "Service-Worker-Allowed", "Use-As-Dictionary", "Activate-Storage-Access",
		"Sec-Session-Registration", "Sec-Session-Challenge", "Secure-Session-Registration", "Secure-Session-Challenge",
		// Where a browser sends reports, and where it goes next.
		"Nel", "Report-To", "Reporting-Endpoints", "Attribution-Reporting-Register-Source",
		"Attribution-Reporting-Register-Trigger", "Refresh", "Speculation-Rules",
		// What a CDN or a web server in front of the gateway obeys.
		"X-Sendfile", "X-Lighttpd-Send-File", "X-Lighttpd-Send-Tempfile", "X-Reproxy-Url",
		"Surrogate-Control", "Surrogate-Key", "Edge-Control", "Cache-Tag", "Cdn-Cache-Control",
		// The request's credentials, repeated.
		"Authorization", "Proxy-Authorization", "X-Api-Key", "Api-Key", "X-Goog-Api-Key", "Cookie":
		return true
	case "X-Accel-Buffering": // an event stream must not be held back
		return false
	}
	return strings.HasPrefix(name, "X-Accel-") || strings.HasSuffix(name, "-Cdn-Cache-Control")
}
