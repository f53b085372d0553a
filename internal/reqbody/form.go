package reqbody

import (
	"bytes"
	"mime"
	"strings"
	"unicode/utf8"
)

const (
	// maxPartHeader bounds what is kept of a part's header, in bytes.
	maxPartHeader = 8 << 10
	// formStep is how much of a form is looked at in one go.
	formStep = 16 << 10
	// maxBoundary is the longest boundary (RFC 2046, section 5.1.1).
	maxBoundary = 70
)

type formState uint8

const (
	beforeForm   formState = iota
	afterDelim             // CRLF or -- follows
	inPartHeader           // up to an empty line
	inPart                 // up to the next delimiter
	afterForm              // nothing more than a line break may follow
)

// Form reads a multipart form that arrives in pieces and finds the text of one
// field on the way, before or after a file. It takes only what all parsers
// read alike: no text before the first part or behind the last, no boundary
// but at the beginning of a line of its own, no name that needs decoding, no
// form within a part.
//
// RFC 2046 allows more than parsers agree on. What is taken of it is this, in any order
// of the parts, with CRLF at the end of each line but the last:
//
//	--boundary
//	Content-Disposition: form-data; name="model"
//
//	whisper-1
//	--boundary
//	Content-Disposition: form-data; name="file"; filename="a.mp3"
//	Content-Type: audio/mpeg
//
//	(any bytes)
//	--boundary--
type Form struct {
	field string
	delim []byte // -- and the boundary

	state formState
	// buf has what has not been read yet: at most a step and the header of a part,
	// since the content of files is dropped as it comes.
	buf    []byte
	offset int64 // of buf in the form
	err    error

	// names is called with the name of each part, also of those that are of no interest
	// here; it may be nil.
	names func(name string)

	isField bool // the part being read is the field
	found   bool
	text    []byte
	value   Value
	// prefix stands before a new value. Some clients give a part a Content-Length: the
	// value then begins at that header's line, and the prefix has the lines behind it,
	// so that a replacement removes a length that is wrong now.
	prefix []byte
}

// NewForm returns a Form for a field of a form with the given Content-Type.
//
// The error is an *InvalidError with offset 0: it is about the header, not the body.
func NewForm(field, contentType string) (*Form, error) {
	boundary, err := formBoundary(contentType)
	if err != nil {
		return nil, err
	}
	return &Form{field: field, delim: []byte("--" + boundary)}, nil
}

// ContentType returns the Content-Type of the form as it was read: with its
// boundary, and no other parameter.
//
// The gateway sends this one to the channel: a parameter that another parser takes for
// the boundary would make it read another form.
func (f *Form) ContentType() string {
	return mime.FormatMediaType("multipart/form-data", map[string]string{"boundary": string(f.delim[2:])})
}

// Names makes the form report the name of each part.
//
// It must be called before the first Write. The gateway looks for fields other than the
// model in which a client could name a further model.
func (f *Form) Names(report func(name string)) { f.names = report }

// Write reads on. The first error is returned, and again by all later calls.
//
// The parts of p are appended to buf in small steps, so that buf stays small however
// large p is.
func (f *Form) Write(p []byte) (n int, err error) {
	for n < len(p) && f.err == nil {
		step := min(formStep, len(p)-n)
		f.buf = append(f.buf, p[n:n+step]...)
		n += step
		for f.step() && f.err == nil {
		}
	}
	return n, f.err
}

// Finish returns the field's text after the last piece. Start and End of the
// value are where Replacement is to be put.
func (f *Form) Finish() (Value, error) {
	switch {
	case f.err != nil:
		return Value{}, f.err
	case f.state != afterForm:
		f.fail("the form ends too early")
		return Value{}, f.err
	case !f.found:
		return Value{}, ErrMissing
	}
	return f.value, nil
}

// Replacement returns what stands between the value's Start and End once the
// field's text is another.
func (f *Form) Replacement(text string) []byte { return append(bytes.Clone(f.prefix), text...) }

func (f *Form) fail(reason string) { f.err = &InvalidError{f.offset, reason} }

// discard drops the first n bytes of buf, which have been read. The rest moves to the
// front: it is no longer than a delimiter or the header of a part.
func (f *Form) discard(n int) {
	f.buf = f.buf[:copy(f.buf, f.buf[n:])]
	f.offset += int64(n)
}

// step reads on as far as buf allows and reports whether it got any further.
func (f *Form) step() bool {
	switch f.state {
	case beforeForm:
		return f.begin()
	case afterDelim:
		return f.delimEnd()
	case inPartHeader:
		return f.partHeader()
	case inPart:
		return f.part()
	}
	if len(f.buf) > 2 || !strings.HasPrefix("\r\n", string(f.buf)) {
		f.fail("something stands behind the form")
	}
	return false
}

// begin reads the first delimiter, before which some clients send a line break.
func (f *Form) begin() bool {
	if len(f.buf) < len(f.delim)+2 {
		return false
	}
	skip := 0
	if bytes.HasPrefix(f.buf, []byte("\r\n")) {
		skip = 2
	}
	if !bytes.HasPrefix(f.buf[skip:], f.delim) {
		f.fail("the form does not begin with its boundary")
		return false
	}
	f.discard(skip + len(f.delim))
	f.state = afterDelim
	return true
}

// delimEnd reads the two bytes behind a delimiter. RFC 2046 allows white space there,
// which some parsers take for a part of a longer boundary; it is refused.
func (f *Form) delimEnd() bool {
	if len(f.buf) < 2 {
		return false
	}
	switch string(f.buf[:2]) {
	case "\r\n":
		f.state = inPartHeader
	case "--":
		f.state = afterForm
	default:
		f.fail("something stands behind a boundary")
		return false
	}
	f.discard(2)
	return true
}

// partHeader reads the header of a part up to its empty line. The boundary must not
// stand in it: a parser that looks for boundaries first would end the part there.
func (f *Form) partHeader() bool {
	end := bytes.Index(f.buf, []byte("\r\n\r\n"))
	if end > maxPartHeader || end < 0 && len(f.buf) > maxPartHeader+3 {
		f.fail("the header of a part is too long")
	}
	if end < 0 || f.err != nil {
		return false
	}
	header := f.buf[:end+2]
	if bytes.Contains(header, f.delim) {
		f.fail("the boundary stands where no part ends")
		return false
	}
	h, reason := parsePartHeader(header, f.field)
	if reason != "" {
		f.fail(reason)
		return false
	}
	if f.names != nil {
		f.names(h.name)
	}
	if f.isField = h.isField; h.isField {
		if f.found {
			f.err = &AmbiguousError{"the form names the " + f.field + " more than once"}
			return false
		}
		f.found = true
		f.value.Start = f.offset + int64(end) + 4
		if h.lengthAt >= 0 {
			f.value.Start = f.offset + int64(h.lengthAt)
			f.prefix = append(bytes.Clone(header[h.lengthEnd:]), "\r\n"...)
		}
	}
	f.discard(end + 4)
	f.state = inPart
	return true
}

// part reads a part's content up to the next delimiter. What could be the
// beginning of one stays in buf.
func (f *Form) part() bool {
	i := bytes.Index(f.buf, f.delim)
	if i < 0 {
		f.readContent(max(0, len(f.buf)-len(f.delim)-1))
		return false
	}
	if i < 2 || f.buf[i-2] != '\r' || f.buf[i-1] != '\n' {
		f.fail("the boundary stands where no part ends")
		return false
	}
	f.readContent(i - 2)
	if f.isField {
		f.fieldEnd()
	}
	f.discard(2 + len(f.delim))
	f.state = afterDelim
	return true
}

// readContent reads n bytes of a part's content, of which only the field's are kept.
func (f *Form) readContent(n int) {
	if f.isField {
		if f.text = append(f.text, f.buf[:n]...); len(f.text) > maxValue {
			f.fail("the " + f.field + " is too long")
		}
	}
	f.discard(n)
}

// fieldEnd completes the value; the line break before the delimiter is no part of it.
func (f *Form) fieldEnd() {
	f.value.Text, f.value.End = string(f.text), f.offset
	if !utf8.ValidString(f.value.Text) {
		f.fail("the " + f.field + " is not valid Unicode")
	}
}
