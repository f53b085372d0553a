package llmgateway

import (
	"bytes"
	"errors"
	"io"
	"net/http"

	"github.com/caddy-freetier/caddy-freetier/internal/reqbody"
)

// call is what is asked of a candidate: the client's request in the form in which the
// channel gets it.
type call struct {
	*request
	candidate *candidate

	translation translation // of the request, if the channel does not speak the client's dialect
	rewritten   []byte      // the body in the place of the client's; empty for that one
	fields      bodyFields  // what rules change in the request's body
}

// asked returns the dialect of the channel in which the attempt asks it, and
// whether speaks says anything about it.
func (c *call) asked() (d *spoken, ok bool) {
	channel := c.candidate.channel
	switch {
	case c.translation.isSet():
		return c.translation.to, true
	case len(channel.spoken) == 0:
		return nil, false
	}
	client := c.clientDialect()
	if c.isTokenCount() {
		client = c.countDialect()
	}
	for i := range channel.spoken {
		if channel.spoken[i].dialect == client {
			return &channel.spoken[i], true
		}
	}
	return nil, false
}

// outgoingRequest turns a shallow copy of the client's request into the attempt's
// own: with the channel's URL, key and headers, and with what of the client's headers the
// channel may see (headerPolicy). Everything that net/http fills in for servers is
// cleared, since a transport would send it, or refuse it as RequestURI.
//
// The key is set last, so that no header of the client or of the configuration can take
// its place.
func (c *call) outgoingRequest(out *http.Request) *http.Request {
	channel := c.candidate.channel
	u := c.urlFor(out.URL, c.candidate.model)
	out.Host, out.Header = channel.base.Host, channel.headers.outgoing(out.Header, c.upgrading, c.contentType)
	if c.translation.isSet() {
		u = c.translation.url(c.candidate.model)
		c.translation.cleanHeader(out.Header)
	}
	dialect, said := c.asked()
	if out.URL = channel.target(u, c.candidate.key); said {
		out.URL = channel.targetIn(dialect, u, c.candidate.key)
	}
	out.Proto, out.ProtoMajor, out.ProtoMinor = "", 0, 0
	out.RequestURI, out.RemoteAddr, out.Pattern, out.TLS = "", "", "", nil
	out.TransferEncoding, out.Trailer, out.Close = nil, nil, false
	out.Form, out.PostForm, out.MultipartForm = nil, nil, nil
	channel.addHeaders(out)
	switch key := c.candidate.key; {
	case key == nil:
	case said:
		channel.showKeyIn(out, dialect, u.Path, key)
	default:
		channel.showKey(out, u.Path, key)
	}
	out.Body, out.ContentLength = c.open()
	out.GetBody = nil
	if c.hasBody() {
		// For a connection that the channel has closed meanwhile.
		out.GetBody = func() (io.ReadCloser, error) {
			body, _ := c.open()
			return body, nil
		}
	}
	return out
}

// open returns the body with the name of this attempt's model put in its place,
// and the wish for the usage added where it is ours, and its length. It can be called
// again, for a connection that the channel has closed before it read the request.
//
// The client's bytes are not copied: the edits are spliced in while they are read.
func (c *call) open() (io.ReadCloser, int64) {
	switch {
	case c.translation.isSet():
		body := c.translatedBody()
		return io.NopCloser(bytes.NewReader(body)), int64(len(body))
	case len(c.rewritten) > 0:
		return io.NopCloser(bytes.NewReader(c.rewritten)), int64(len(c.rewritten))
	}
	if !c.hasBody() {
		return http.NoBody, 0
	}
	var room [2]reqbody.Edit
	edits := room[:0]
	if c.inBody && c.candidate.model != c.model {
		edits = append(edits, reqbody.Edit{Start: c.field.Start, End: c.field.End, With: c.written(c.candidate.model)})
	}
	if c.asksUsage() {
		edits = append(edits, *c.usageEdit)
		if edits[0].Start > c.usageEdit.Start {
			edits[0], edits[1] = edits[1], edits[0]
		}
	}
	return c.body.Open(c.withFields(edits)...)
}

// asksUsage reports whether this attempt asks for the usage on its own account.
func (c *call) asksUsage() bool {
	if c.usageEdit == nil || c.candidate.channel.NoIncludeUsage || c.translation.isSet() {
		return false
	}
	m := c.candidate.measures
	return m == nil || !m.route.rules.ownUsage
}

// countsTokens reports whether tokens are counted for the client or for the key
// of the current attempt. Then those are estimated that no response states.
func (c *call) countsTokens() bool {
	return len(c.client.tokens) > 0 || c.candidate.countsTokens()
}

// errStatus is the error of a response that cannot be passed on for its status.
var errStatus = errors.New("the channel's response has no valid status")

// checkStatus refuses a response with a status that no client can be given.
//
// net/http takes any three digits from an HTTP/1 server and any number from an HTTP/2
// one, but its own server panics below 100 and above 999. 101 ends HTTP on the
// connection, which nobody has asked for unless the request is an upgrade.
func (c *call) checkStatus(res *http.Response) error {
	switch {
	case res.StatusCode >= 200 && res.StatusCode <= 999:
		return nil
	case res.StatusCode == http.StatusSwitchingProtocols && c.upgrading:
		return nil
	}
	return errStatus
}
