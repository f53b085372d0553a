package llmgateway

import (
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"

	"golang.org/x/net/http/httpguts"
)

// Values that many requests carry; a header map takes them as they are.
var (
	identity    = []string{"identity"} // no compression
	noUserAgent = []string{""}         // net/http would name itself
	onlyTrailer = []string{"trailers"}
	onlyUpgrade = []string{"Upgrade"}

	onlyWebSocket = []string{"websocket"}
)

// headerPolicy decides about the headers of a channel's requests.
//
// It is made in Provision and shared by all requests of the channel, which never change
// set.
type headerPolicy struct {
	allowed []string    // that may pass too, in canonical form
	set     http.Header // the channel's own
}

// outgoing returns the header of an attempt: what a channel may know of the
// client's header, what describes the body, and the channel's own.
//
// It is an allow list because a deny list cannot be complete: each CDN, access
// proxy and single sign-on has headers of its own that say who the client is.
// The client's Connection header plays no part, so it cannot remove any.
func (p *headerPolicy) outgoing(from http.Header, upgrading bool, contentType []string) http.Header {
	// One more than the usual number would cost twice the memory.
	header := make(http.Header, len(from)+1)
	for name, values := range from {
		if mayPass(name) || upgrading && isHandshake(name) || p.allows(name) {
			header[name] = values
		}
	}
	if te := from["Te"]; te != nil && httpguts.HeaderValuesContainsToken(te, "trailers") {
		header["Te"] = onlyTrailer
	}
	if header["User-Agent"] == nil {
		header["User-Agent"] = noUserAgent
	}
	// The response is passed on as it comes, and read on its way.
	header["Accept-Encoding"] = identity
	setContent(header, contentType)
	maps.Copy(header, p.set)
	return header
}

// mayPass reports whether a header of clients goes to every channel. Names are
// in canonical form.
func mayPass(name string) bool {
	switch name {
	case "Content-Type", "Accept", "User-Agent": // what most requests have
		return true
	case "Content-Length": // net/http sets it
		return false
	case "Idempotency-Key", "Range", "Traceparent", "Tracestate", "Openai-Beta", "X-Goog-Api-Client":
		return true
	case "Anthropic-Version", "Anthropic-Beta", "Anthropic-Dangerous-Direct-Browser-Access":
		return true
	}
	if len(name) < 4 {
		return false
	}
	switch name[0] {
	case 'A':
		return strings.HasPrefix(name, "Anthropic-") && !selectsAccount(name)
	case 'C':
		return strings.HasPrefix(name, "Content-") || isSession(name)
	case 'I':
		return strings.HasPrefix(name, "If-")
	case 'X':
		return strings.HasPrefix(name, "X-Stainless-") || strings.HasPrefix(name, "X-Goog-Upload-") || isSession(name)
	case 'S', 'T':
		return isSession(name)
	}
	return false
}

// isSession reports whether a header has the id by which an agent tells its
// conversations apart; providers keep their prompt caches by it. What else
// agents send stays here: the installation's id, the repository and its
// remotes, the account.
// Sources: the headers that Codex, Claude Code, OpenCode, pi, Amp and Grok's
// clients send.
func isSession(name string) bool {
	switch name {
	case "Session-Id", "Session_id", "Conversation-Id", "Conversation_id", "Thread-Id", "Thread_id",
		"X-Session-Id", "X-Session-Affinity", "X-Client-Request-Id",
		"X-Codex-Turn-State", "X-Codex-Window-Id",
		"X-Claude-Code-Session-Id", "X-App",
		"X-Opencode-Session", "X-Amp-Thread-Id", "X-Grok-Conv-Id":
		return true
	}
	return false
}

// isHandshake reports whether a header belongs to the handshake of a WebSocket.
// The proxy writes some of them as RFC 6455 does, which is not their canonical
// form.
func isHandshake(name string) bool {
	return name == "Connection" || name == "Upgrade" ||
		len(name) > len("Sec-Websocket-") && strings.EqualFold(name[:len("Sec-Websocket-")], "Sec-Websocket-")
}

// allows reports whether the configuration lets the header pass to the channel.
func (p *headerPolicy) allows(name string) bool {
	return slices.Contains(p.allowed, name)
}

// newHeaderPolicy returns the policy for the headers that a channel sets and the
// lists of those that it and its gateway allow.
//
// allow_header of the gateway and of the channel add up: neither takes from the other.
func newHeaderPolicy(set http.Header, allowed ...[]string) (p headerPolicy, err error) {
	p.set = set
	for _, name := range slices.Concat(allowed...) {
		if err := checkAllowedHeader(name); err != nil {
			return p, err
		}
		p.allowed = append(p.allowed, http.CanonicalHeaderKey(name))
	}
	return p, nil
}

// secrets returns the credentials among the headers that the channel sets.
//
// They are masked in responses like keys. Of `Bearer TOKEN` it is the last word.
func (p *headerPolicy) secrets() (secrets []string) {
	for name, values := range p.set {
		if !isCredential(name) {
			continue
		}
		for _, value := range values {
			secrets = append(secrets, value[strings.LastIndexByte(value, ' ')+1:])
		}
	}
	return secrets
}

// checkAllowedHeader refuses names that allow_header must not let pass.
func checkAllowedHeader(name string) error {
	if !httpguts.ValidHeaderFieldName(name) || strings.Contains(name, "*") {
		return fmt.Errorf("allow_header %s: this is no name of a header, such as HTTP-Referer", name)
	}
	canonical := http.CanonicalHeaderKey(name)
	var reason string
	switch {
	case showsKey(canonical):
		reason = "it shows the client's key, and the channel has one of its own"
	case isHop(canonical) || isHandshake(canonical):
		reason = "it belongs to the connection, and the gateway sets it by itself"
	case selectsAccount(canonical):
		reason = "it selects an account, a project or an organization, which is up to the channel: use header_up with a value of yours"
	case isAboutClient(canonical):
		reason = "it says who the client is"
	default:
		return nil
	}
	return fmt.Errorf("allow_header %s: this header never goes to a channel: %s", name, reason)
}

// The functions below work at load only: what they name is in no allow list and
// must not come into one.

// showsKey reports whether clients or proxies show a key or password in the
// header.
func showsKey(name string) bool {
	switch name {
	case "Authorization", "Proxy-Authorization", "Proxy-Authenticate", "X-Api-Key", "Api-Key", "X-Goog-Api-Key",
		"X-Amz-Security-Token", "X-Goog-Iam-Authorization-Token", "Ocp-Apim-Subscription-Key":
		return true
	}
	return false
}

// isHop reports whether a header belongs to the client's own connection.
//
// Accept-Encoding is among them because the response is read on its way, Expect because
// the body is complete before it is sent on.
func isHop(name string) bool {
	switch name {
	case "Connection", "Proxy-Connection", "Keep-Alive", "Te", "Trailer", "Transfer-Encoding", "Upgrade", "Http2-Settings",
		"Content-Length", "Expect", "Host", "Accept-Encoding", "Early-Data", "Max-Forwards":
		return true
	}
	return false
}

// selectsAccount reports whether a header says for which account, organization
// or project of the provider a request is: a client's value makes the provider
// refuse the channel's key.
func selectsAccount(name string) bool {
	switch name {
	case "Openai-Organization", "Openai-Project", "X-Goog-User-Project", "Chatgpt-Account-Id":
		return true
	}
	if !strings.HasPrefix(name, "Anthropic-") {
		return false
	}
	for _, part := range []string{"Organization", "Workspace", "Project", "Account", "Key"} {
		if strings.Contains(name, part) {
			return true
		}
	}
	return false
}

// isAboutClient reports whether a header is known to say who the client is,
// where it is, or what stands between it and the gateway.
func isAboutClient(name string) bool {
	switch name {
	case "Cookie", "Cookie2", "Set-Cookie", "Via", "Forwarded", "Forwarded-For", "From", "Cdn-Loop",
		"X-Forwarded", "X-Original-Forwarded-For", "X-Real-Ip", "True-Client-Ip", "X-Cluster-Client-Ip",
		"X-Envoy-External-Address", "X-Appengine-User-Ip", "X-Remote-Ip", "X-Remote-Addr",
		"X-Gemini-Api-Privileged-User-Id", "X-Codex-Installation-Id", "X-Codex-Turn-Metadata", "X-Amzn-Trace-Id":
		return true
	}
	for _, prefix := range []string{
		"X-Forwarded-", "Cf-", "Cloudfront-", "Fly-", "Fastly-", "X-Azure-", "X-Vercel-", "Eo-", "Ali-", "Tailscale-", "Remote-",
		"X-Auth-Request-", "X-Amzn-Oidc-", "X-Goog-Authenticated-User-", "X-Goog-Iap-", "X-Ms-Client-", "X-Ms-Token-",
		"X-Openwebui-", "X-Authentik-", "X-Authelia-", "X-Pomerium-", "X-Webauth-",
	} {
		if strings.HasPrefix(name, prefix) {
			return true
		}
	}
	return strings.HasSuffix(name, "-Client-Ip") || strings.HasSuffix(name, "-Clientip") ||
		strings.HasSuffix(name, "-Connecting-Ip") || strings.HasSuffix(name, "-Connecting-Ipv6") || name == "Client-Ip"
}
