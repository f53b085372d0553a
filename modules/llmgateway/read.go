package llmgateway

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync"

	"github.com/caddy-freetier/caddy-freetier/internal/llm/conversation"
	"github.com/caddy-freetier/caddy-freetier/internal/llm/resource"
	"github.com/caddy-freetier/caddy-freetier/internal/reqbody"
)

// modelRef is the model that a request names, and where it was found. Each attempt puts
// the channel's own name in the same place, so that nothing else of the request changes.
type modelRef struct {
	model  string // "" for none
	inPath modelPath
	query  bool          // the query names it
	inBody bool          // the body names it
	field  reqbody.Value // where
	form   *reqbody.Form // the body is a form
	prefix string        // of the name in the body, as Gemini writes it there
	opaque bool          // the body is passed on unread
	stream reqbody.Span  // the JSON body's `stream`
	extras reqbody.Span  // the JSON body's `stream_options`

	// What else may name models, for a client that may use some only.
	noted   []reqbody.Span // fields of the JSON body
	oddForm bool           // the form has such a field

	contentType []string // of the body as channels get it; empty without a body
}

// scanners are reused: their state is larger than a small request. They look for the
// model and, on the way, for what else the gateway must know: whether a stream is asked
// for, what identifies the conversation, whether the response is to be stored, and ids
// that an account may keep.
var scanners = sync.Pool{New: func() any {
	s := reqbody.NewScanner("model", "stream", "stream_options")
	s.Mark(conversation.Fields...)
	s.Mark("store")
	s.Collect(resource.RequestFields...)
	return s
}}

// read finds the model and keeps the body for the attempts. What stands in the
// body counts, else the path (Gemini) or the query (WebSockets); where two of
// them name different models the request is refused.
//
// Two places that name different models are refused because the gateway and the channel
// could take different ones: limits would be checked for one model and another would
// run.
func (q *request) read(w http.ResponseWriter, r *http.Request) *apiError {
	asked, err := queryModel(r)
	if err != nil {
		return err
	}
	q.method, q.header = r.Method, r.Header
	if err := q.readBody(w, r); err != nil {
		return err
	}
	if err := q.readPath(r.URL); err != nil {
		return err
	}
	q.references.addPath(q.location)
	switch {
	case asked == "" || asked == q.model:
	case q.model != "":
		return invalidModel("The request names two models.")
	case q.hasBody() && !q.opaque:
		return invalidModel("The model must be named in the body.")
	case q.upgrading:
		q.model, q.query = asked, true
	}
	if !reqbody.IsPlainText(q.model) {
		return invalidModel("The model's name has invisible characters or white space around it.")
	}
	if len(q.client.tokens) == 0 {
		return nil
	}
	if err := q.checkStreamed(); err != nil {
		return err
	}
	if isCompletions(r.URL.Path) && q.streamed() {
		q.usageEdit = q.askUsage(q.body)
	}
	return nil
}

// readBody reads the body to its end. Its Content-Type is what the client says only as far
// as the endpoint takes such bodies (classify); channels get the type that it was read as, so
// that they cannot read it in another way than the gateway has.
func (q *request) readBody(w http.ResponseWriter, r *http.Request) *apiError {
	if q.upgrading || r.Body == nil || r.Body == http.NoBody || r.ContentLength == 0 {
		return nil
	}
	if limit := q.gateway.maxBody; r.ContentLength > limit {
		return bodyTooLarge(limit)
	}
	kind, sent, err := q.location.classify(r)
	if err != nil {
		return err
	}
	codings, err := parseCodings(r.Header["Content-Encoding"])
	if err != nil {
		return err
	}
	q.source.begin(w, r, q.gateway.clock)
	defer q.source.end()
	if err := q.readKind(r, kind, codings); err != nil {
		return err
	}
	if q.body.Len() == 0 {
		// Some servers and proxies send a body without a length and without a byte.
		q.body.Release()
		q.body, q.opaque, q.form = nil, false, nil
		return nil
	}
	if q.form == nil {
		q.contentType = sent
	}
	return nil
}

// readKind reads a body of a kind. One that is passed on unread, such as audio, must not
// look like JSON: a provider that sniffs would find a model in it that was not checked.
// Uploads of files may be anything, since nothing in them is a request.
func (q *request) readKind(r *http.Request, kind bodyKind, codings []coding) *apiError {
	switch kind {
	case opaqueBody:
		q.opaque = true
		if isUpload(r) {
			return q.bodyError(q.keepBody(r, codings, false, nil))
		}
		return q.bodyError(q.keepBody(r, codings, false, new(opaqueSink)))
	case formBody:
		return q.readForm(r, codings)
	default:
		return q.readJSON(r, codings)
	}
}

// keepBody reads the body to its end and decodes it. The sink gets what is kept.
//
// An encoded body is decoded when it has come as a whole, so that no client can
// hold the memory of a decoder by sending slowly.
func (q *request) keepBody(r *http.Request, codings []coding, isText bool, sink io.Writer) (err error) {
	budget, limit := q.client.bodies, q.gateway.maxBody
	if len(codings) == 0 {
		q.body, err = budget.Read(q.source.content(&q.source, isText), r.ContentLength, limit, sink)
		return err
	}
	encoded, err := budget.Read(&q.source, r.ContentLength, limit, nil)
	if err != nil {
		return err
	}
	defer encoded.Release()
	return q.gateway.bodies.Decode(r.Context(), func() error {
		source, _ := encoded.Open()
		defer source.Close()
		decoded, err := newDecoding(codings, source, limit)
		if err != nil {
			return err
		}
		defer decoded.Close()
		q.body, err = budget.Read(q.source.content(decoded, isText), -1, limit, sink)
		return err
	})
}

// readJSON reads a JSON body, which is validated while it arrives: one that is refused
// after a megabyte has not cost more than that. For a client with models of its own all
// fields are noted that could name another model.
func (q *request) readJSON(r *http.Request, codings []coding) *apiError {
	scanner := scanners.Get().(*reqbody.Scanner)
	scanner.Reset()
	defer scanners.Put(scanner)
	if q.client.limited() {
		scanner.Note(isSearched)
	}
	if err := q.keepBody(r, codings, true, scanner); err != nil {
		return q.bodyError(err)
	}
	if q.body.Len() == 0 {
		return nil
	}
	value, err := scanner.Finish()
	q.stream, q.extras, q.noted = scanner.Other(0), scanner.Other(1), slices.Clone(scanner.Noted())
	q.places = conversation.PlacesOf(scanner.Marked())
	kept := conversation.Request{Body: q.body, Places: q.places}
	q.references.addFrom(scanner.Collected(), kept.Kept(), scanner.Marked()[len(conversation.Fields)])
	return q.found(value, err)
}

// readForm reads a form (multipart/form-data), as calls with files have it. Its model may
// stand behind the file, so that the body is kept before it is found.
func (q *request) readForm(r *http.Request, codings []coding) *apiError {
	form, err := reqbody.NewForm("model", r.Header.Get("Content-Type"))
	if err != nil {
		return q.bodyError(err)
	}
	if q.client.limited() {
		form.Names(func(name string) { q.oddForm = q.oddForm || isOddFormField(name) })
	}
	if err := q.keepBody(r, codings, false, form); err != nil {
		return q.bodyError(err)
	}
	if q.body.Len() == 0 {
		return nil
	}
	value, err := form.Finish()
	q.form, q.contentType = form, []string{form.ContentType()}
	return q.found(value, err)
}

// found notes the model that stands in the body. A body without one is no error yet: the
// path may have it, or default_channel takes the request.
//
// An empty name is refused instead of being taken for an absent one, for which
// default_channel would be asked.
func (q *request) found(value reqbody.Value, err error) *apiError {
	if errors.Is(err, reqbody.ErrMissing) {
		return nil
	}
	if err != nil {
		return q.bodyError(err)
	}
	if value.Text == "" {
		return invalidModel("The model is an empty string.")
	}
	q.model, q.inBody, q.field = value.Text, true, value
	return nil
}

// streamed reports whether the response is to be a stream: by the field stream, of which
// anything but true is no, or by the method in a path of Gemini's.
func (q *request) streamed() bool {
	if q.stream.End > 0 {
		return string(bytes.TrimSpace(q.body.Slice(q.stream.Start, q.stream.End))) == "true"
	}
	return q.inPath.streams()
}

// bodyError turns a failure to read the body into the client's error: 413 for its size,
// 408 for a client that stalls, 503 when the memory for bodies is in use, else 400.
func (q *request) bodyError(err error) *apiError {
	var (
		invalid   *reqbody.InvalidError
		ambiguous *reqbody.AmbiguousError
		tooLarge  *http.MaxBytesError
		broken    *codingError
	)
	switch {
	case err == nil:
		return nil
	case errors.Is(err, errLooksLikeJSON):
		return invalidRequest("The body looks like JSON. Send it with Content-Type: application/json.")
	case errors.Is(err, reqbody.ErrNotKept):
		return bodyNotKept
	case errors.Is(err, reqbody.ErrTooLarge):
		return bodyTooLarge(q.gateway.maxBody)
	case errors.As(err, &tooLarge):
		return bodyTooLarge(tooLarge.Limit)
	case errors.Is(err, reqbody.ErrExhausted):
		return bodiesExhausted
	case errors.Is(err, errSlowUpload), errors.Is(err, os.ErrDeadlineExceeded):
		return uploadTooSlow
	case errors.As(err, &broken):
		return invalidRequest(sentence(err))
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

// statesUsage reports whether the client has asked that the stream states the usage.
//
// It only matters where a plain response is rewritten as a stream, which then has the
// usage in an event of its own.
func (q *request) statesUsage() bool {
	if q.extras.End == 0 {
		return false
	}
	var options struct {
		IncludeUsage bool `json:"include_usage"`
	}
	return json.Unmarshal(q.body.Slice(q.extras.Start, q.extras.End), &options) == nil && options.IncludeUsage
}
