package llmgateway

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"net/url"
	"strings"

	"github.com/caddy-freetier/caddy-freetier/internal/llm/neutral"
	"github.com/caddy-freetier/caddy-freetier/internal/llm/refusal"
	"github.com/caddy-freetier/caddy-freetier/internal/llm/translate"
	"github.com/caddy-freetier/caddy-freetier/internal/llm/usage"
	"github.com/caddy-freetier/caddy-freetier/internal/reqbody"
)

// largestTranslated is the longest response that is translated as a whole.
const largestTranslated = 64 << 20

// callMemorySize is how much the gateway remembers of how models have written the
// arguments of their calls, in bytes.
const callMemorySize = 4 << 20

// translation is how an attempt asks its channel in another dialect than the
// client's. The zero value is none.
type translation struct {
	client *neutral.Request
	to     *spoken
	stream *translate.Stream // of the response; nil unless that is a stream
	// dropped names what was left out of the request, "" for nothing.
	dropped string
}

// isSet reports whether the attempt is translated.
func (t *translation) isSet() bool { return t.client != nil }

// untranslatable is the verdict on a candidate whose dialect cannot carry the
// request.
var untranslatable = refusal.Verdict{Kind: refusal.KindRequestHere, Reason: refusal.ReasonUnsupported, Rule: "translation", ClientStatus: http.StatusBadRequest, Status: http.StatusBadRequest}

// url returns the canonical path and the query of the translated request.
func (t *translation) url(model string) *url.URL {
	switch t.to.dialect {
	case neutral.Responses:
		return &url.URL{Path: "/v1/responses"}
	case neutral.Messages:
		return &url.URL{Path: "/v1/messages"}
	case neutral.Gemini:
		path := modelPath{before: "/v1beta/models/", after: ":generateContent"}
		u := new(url.URL)
		if t.client.Stream {
			path.after, u.RawQuery = ":streamGenerateContent", "alt=sse"
		}
		u.Path, u.RawPath = path.with(model)
		return u
	}
	return &url.URL{Path: "/v1/chat/completions"}
}

// outputDialect is the dialect in which the channel's response is read.
func (d *spoken) outputDialect() refusal.Dialect {
	switch d.dialect {
	case neutral.Responses:
		return refusal.DialectResponses
	case neutral.Messages:
		return refusal.DialectMessages
	case neutral.Gemini:
		return refusal.DialectGemini
	}
	return refusal.DialectChat
}

// cleanHeader removes what is meant for the client's own dialect from the header
// of a translated request, and adds what the channel's needs.
func (t *translation) cleanHeader(header http.Header) {
	for name := range header {
		if strings.HasPrefix(name, "Anthropic-") || strings.HasPrefix(name, "X-Stainless-") || name == "Openai-Beta" || name == "X-Goog-Api-Client" {
			delete(header, name)
		}
	}
	header["Content-Type"] = []string{"application/json"}
	header["Accept"] = []string{"application/json"}
	if t.client.Stream {
		header["Accept"] = []string{"text/event-stream"}
	}
	if t.to.dialect == neutral.Messages {
		header["Anthropic-Version"] = []string{"2023-06-01"}
	}
}

// how says how the attempt's response is translated.
func (r *reply) how() translate.Response {
	return translate.Response{
		From: r.translation.to.dialect, Vendor: r.candidate.channel.vendor(), Calls: r.gateway.calls, Now: r.gateway.clock.Now().Unix(),
	}
}

// translateResponse makes the client's response of the channel's, which has
// output: of a stream as it comes, else as a whole. The error is what the
// response turns out to be.
//
// What the client has asked for counts, and not what the channel sends: one that answers
// a stream with JSON, or the other way round, is translated all the same.
func (r *reply) translateResponse() error {
	if r.translation.client.Stream {
		r.translateStream()
		return nil
	}
	body, err := io.ReadAll(io.LimitReader(&r.content, largestTranslated+1))
	switch {
	case err != nil:
		return err
	case len(body) > largestTranslated:
		return errors.New("the response is too large to be translated")
	}
	text, failed := translate.Whole(r.translation.client, r.how(), body)
	if failed != nil {
		r.failure = body
		return errNoOutput
	}
	r.content.kind = usage.JSON
	r.res.Body = &replacedBody{Reader: bytes.NewReader(text), Closer: &r.content}
	r.setTranslated("application/json", int64(len(text)))
	return nil
}

// replacedBody is a body in the place of the channel's, which it closes.
type replacedBody struct {
	io.Reader
	io.Closer
}

// setTranslated sets the headers of a translated response.
func (r *reply) setTranslated(contentType string, length int64) {
	r.res.Header["Content-Type"] = []string{contentType}
	delete(r.res.Header, "Content-Length")
	delete(r.res.Header, "Etag")
	r.res.ContentLength = length
	r.res.Trailer = nil
}

// translateStream lets what comes pass the translation.
func (r *reply) translateStream() {
	b := &r.content
	r.translation.stream = translate.NewStream(r.translation.client, r.how())
	b.addStage(&translationStage{stream: r.translation.stream, body: b})
	b.kind = usage.Events
	b.meter(usage.Events, r.countsTokens())
	r.setTranslated("text/event-stream", -1)
}

// translationStage translates a stream to the client's dialect.
type translationStage struct {
	stream *translate.Stream
	body   *responseBody
	out    []byte
}

// pass implements stage. A stream that breaks off is ended by failureEvent.
func (s *translationStage) pass(p []byte, then continuation) []byte {
	s.out = s.stream.Append(s.out[:0], p)
	if then == nothing {
		s.out = s.stream.End(s.out)
	}
	s.body.failed = s.body.failed || s.stream.Err() != nil
	return s.out
}

// translationError is the error for a client whose request no channel can serve in
// its own dialect.
func translationError(err error) *apiError {
	if errors.Is(err, reqbody.ErrExhausted) {
		return bodiesExhausted
	}
	e := translate.ErrorOf(err)
	wrong := invalidRequest(e.Message)
	wrong.Param = e.Param
	return wrong
}
