package llmgateway

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"strings"
	"sync"
	"unicode"

	"github.com/caddy-freetier/caddy-freetier/internal/reqbody"
)

// modelRef is the model that a request names, and where it was found.
type modelRef struct {
	model  string // "" for none
	inPath nativePath
	query  bool          // the query names it
	inBody bool          // the body names it
	field  reqbody.Value // where
	form   *reqbody.Form // the body is a form
	prefix string        // of the name in the body, as Gemini writes it there
	opaque bool          // the body is passed on unread
	stream reqbody.Span  // the JSON body's `stream`
	extras reqbody.Span  // the JSON body's `stream_options`

	contentType []string // of the body as channels get it; empty without a body
}

// scanners are reused: their state is larger than a small request.
var scanners = sync.Pool{New: func() any { return reqbody.NewScanner("model", "stream", "stream_options") }}

// read finds the model and keeps the body for the tries. What stands in the
// body counts, else the path (Gemini) or the query (WebSockets); where two of
// them name different models the request is refused.
func (c *call) read(r *http.Request) *apiError {
	if strings.Contains(r.URL.Path, "/.") && hasDotSegments(r.URL.Path) {
		// It could lead out of the path of a channel's URL.
		return invalidRequest("The path has dot segments.")
	}
	asked, err := queryModel(r)
	if err != nil {
		return err
	}
	if err := c.readBody(r); err != nil {
		return err
	}
	if err := c.readPath(r.URL.Path); err != nil {
		return err
	}
	switch {
	case asked == "" || asked == c.model:
	case c.model != "":
		return invalidModel("The request names two models.")
	case c.body != nil && !c.opaque:
		return invalidModel("The model must be named in the body.")
	default:
		c.model, c.query = asked, true
	}
	if strings.ContainsFunc(c.model, unicode.IsControl) {
		return invalidModel("The model's name has a control character.")
	}
	return nil
}

func (c *call) readBody(r *http.Request) *apiError {
	if r.Body == nil || r.Body == http.NoBody || r.ContentLength == 0 {
		return nil
	}
	if limit := c.gateway.MaxBody; r.ContentLength > limit {
		return bodyTooLarge(limit)
	}
	kind, sent, err := classify(r)
	if err != nil {
		return err
	}
	c.contentType = sent
	switch kind {
	case opaqueBody:
		c.opaque = true
		if isUpload(r) {
			return c.bodyError(c.keepBody(r, nil))
		}
		return c.bodyError(c.keepBody(r, new(opaqueSink)))
	case formBody:
		return c.readForm(r)
	default:
		return c.readJSON(r)
	}
}

func (c *call) keepBody(r *http.Request, sink io.Writer) (err error) {
	c.body, err = reqbody.Read(r.Body, r.ContentLength, c.gateway.MaxBody, sink)
	return err
}

func (c *call) readJSON(r *http.Request) *apiError {
	scanner := scanners.Get().(*reqbody.Scanner)
	scanner.Reset()
	defer scanners.Put(scanner)
	if err := c.keepBody(r, scanner); err != nil {
		return c.bodyError(err)
	}
	value, err := scanner.Finish()
	c.stream, c.extras = scanner.Other(0), scanner.Other(1)
	return c.found(value, err)
}

func (c *call) readForm(r *http.Request) *apiError {
	form, err := reqbody.NewForm("model", r.Header.Get("Content-Type"))
	if err != nil {
		return c.bodyError(err)
	}
	if err := c.keepBody(r, form); err != nil {
		return c.bodyError(err)
	}
	value, err := form.Finish()
	c.form, c.contentType = form, []string{form.ContentType()}
	return c.found(value, err)
}

// found notes the model that stands in the body.
func (c *call) found(value reqbody.Value, err error) *apiError {
	if errors.Is(err, reqbody.ErrMissing) {
		return nil
	}
	if err != nil {
		return c.bodyError(err)
	}
	if value.Text == "" {
		return invalidModel("The model is an empty string.")
	}
	c.model, c.inBody, c.field = value.Text, true, value
	return nil
}

// streamed reports whether the answer is to be a stream.
func (c *call) streamed() bool {
	if c.stream.End > 0 {
		return string(bytes.TrimSpace(c.body.Slice(c.stream.Start, c.stream.End))) == "true"
	}
	return c.inPath.streams()
}

// bodyError turns a failure to read the body into an answer.
func (c *call) bodyError(err error) *apiError {
	var (
		invalid   *reqbody.InvalidError
		ambiguous *reqbody.AmbiguousError
		tooLarge  *http.MaxBytesError
	)
	switch {
	case err == nil:
		return nil
	case errors.Is(err, errLooksLikeJSON):
		return invalidRequest("The body looks like JSON. Send it with Content-Type: application/json.")
	case errors.Is(err, reqbody.ErrNotKept):
		return bodyNotKept
	case errors.Is(err, reqbody.ErrTooLarge):
		return bodyTooLarge(c.gateway.MaxBody)
	case errors.As(err, &tooLarge):
		return bodyTooLarge(tooLarge.Limit)
	case errors.As(err, &invalid), errors.As(err, &ambiguous):
		return invalidModel(sentence(err))
	default:
		return invalidRequest("The request body could not be read to its end.")
	}
}

// sentence makes an error's text one for people.
func sentence(err error) string {
	text := err.Error()
	return strings.ToUpper(text[:1]) + text[1:] + "."
}
