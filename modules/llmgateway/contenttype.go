package llmgateway

import (
	"errors"
	"mime"
	"net/http"
	"slices"
	"strings"
)

// bodyKind is how the model is found in a body.
type bodyKind uint8

const (
	jsonBody   bodyKind = iota // in a field of its object
	formBody                   // in a part
	opaqueBody                 // not at all: the body is passed on unread
)

// Content types of attempts. A header map takes them as they are.
var (
	jsonType  = []string{"application/json"}
	bytesType = []string{"application/octet-stream"}
)

// classify decides by its headers how a body is read, so that no model hides
// behind a content type: what a provider might take for JSON is read as JSON,
// and no other body passes unless the API takes such bodies at this path.
//
// sent is the Content-Type of the attempts. It is never the client's own text,
// whose parameters another parser could read in another way. A form's depends on
// its boundary and is empty here.
func (l location) classify(r *http.Request) (kind bodyKind, sent []string, err *apiError) {
	header := r.Header["Content-Type"]
	upload := isUpload(r)
	if len(header) == 1 && header[0] == "application/json" && !upload {
		return jsonBody, jsonType, nil
	}
	if len(header) > 1 {
		return 0, nil, invalidRequest("The request has more than one Content-Type.")
	}
	var mediaType string
	var params map[string]string
	if len(header) == 1 {
		var err error
		if mediaType, params, err = mime.ParseMediaType(header[0]); err != nil {
			return 0, nil, invalidRequest("The Content-Type cannot be read.")
		}
	}
	switch {
	case upload, isOpaque(mediaType) && l.takesOpaque(r.URL.Path, mediaType):
		return opaqueBody, opaqueType(mediaType, params), nil
	case isBinary(mediaType):
		return 0, nil, unsupportedType("This path takes a JSON object or a form, not " + mediaType + ". Send JSON with Content-Type: application/json.")
	case !isUTF8(params["charset"]):
		return 0, nil, unsupportedType("The gateway reads UTF-8 only. Leave the charset out of the Content-Type.")
	case mediaType == "multipart/form-data":
		return formBody, nil, nil
	}
	return jsonBody, jsonType, nil
}

// isUTF8 reports whether a text with this charset, which clients often send
// without meaning it, is read as what it is: all of these agree in ASCII, and
// what is not valid UTF-8 is refused later.
func isUTF8(charset string) bool {
	switch strings.ToLower(charset) {
	case "", "utf-8", "utf8", "us-ascii", "iso-8859-1":
		return true
	}
	return false
}

// isOpaque reports whether a media type is neither text nor JSON nor a form, also in the
// eyes of a parser that looks for a part of its name only.
func isOpaque(mediaType string) bool {
	main, sub, _ := strings.Cut(mediaType, "/")
	switch {
	case sub == "", main == "*", main == "text":
		return false
	case main == "multipart":
		return sub != "form-data"
	}
	return !strings.Contains(sub, "json") && !strings.Contains(sub, "form") && !strings.Contains(sub, "urlencoded")
}

// isBinary reports whether a media type says that the body cannot be JSON.
// Under other names, which some clients invent, the body is read to find out.
func isBinary(mediaType string) bool {
	main, _, _ := strings.Cut(mediaType, "/")
	switch main {
	case "audio", "image", "video", "font", "multipart":
		return mediaType != "multipart/form-data"
	}
	switch mediaType {
	case "application/octet-stream", "application/pdf", "application/sdp", "application/zip", "application/gzip":
		return true
	}
	return false
}

// takesOpaque reports whether an API takes bodies of a type that is neither JSON
// nor a form at this path: sound to transcribe, files, and the offer of a WebRTC
// session. Lenient parsers read any multipart type as a form, so these are only
// for Google's uploads, where no model answers. What paths of allow_path take is
// not known.
func (l location) takesOpaque(path, mediaType string) bool {
	isMultipart := strings.HasPrefix(mediaType, "multipart/")
	if l.endpoint == allowedPath {
		return !isMultipart
	}
	for segment := range strings.SplitSeq(path, "/") {
		switch segment {
		case "upload":
			return true
		case "audio", "files", "realtime", "uploads":
			return !isMultipart
		}
	}
	return false
}

// isUpload reports whether the body is a piece of a file in Google's resumable
// protocol, which may be a JSON text too: no model reads it.
// Source: https://ai.google.dev/gemini-api/docs/files
func isUpload(r *http.Request) bool {
	command := r.Header["X-Goog-Upload-Command"]
	return len(command) == 1 && strings.Contains(command[0], "upload") &&
		slices.Contains(strings.Split(r.URL.Path, "/"), "upload")
}

// opaqueParams are the parameters of opaque types that have a meaning for APIs.
var opaqueParams = []string{"rate", "channels", "codecs", "endianness", "boundary"}

// opaqueType returns the Content-Type of an opaque body. Parameters without a
// meaning could hide another type from parsers that search the text for one.
func opaqueType(mediaType string, params map[string]string) []string {
	if !isOpaque(mediaType) {
		return bytesType
	}
	for name, value := range params {
		if !slices.Contains(opaqueParams, name) || strings.Contains(value, "/") {
			delete(params, name)
		}
	}
	if text := mime.FormatMediaType(mediaType, params); text != "" {
		return []string{text}
	}
	return bytesType
}

// setContent sets what an attempt says about its body. Whatever of it the
// client has said is about the body as it was before the gateway decoded it and
// replaced the model, and could make another reader decode it once more. It
// comes last, so that no header of the client can take the type away.
func setContent(header http.Header, contentType []string) {
	for _, name := range bodyHeaders {
		delete(header, name)
	}
	if len(contentType) > 0 {
		header["Content-Type"] = contentType
	}
}

// bodyHeaders are the headers that describe the bytes of a body.
var bodyHeaders = [...]string{
	"Content-Type", "Content-Encoding", "Content-Transfer-Encoding", "Content-Location",
	"Content-Md5", "Content-Digest", "Repr-Digest", "Digest",
}

var errLooksLikeJSON = errors.New("the body looks like JSON")

// opaqueSink refuses an opaque body that a lenient API could read as JSON: one
// that begins with a brace or a bracket behind white space and byte order marks.
type opaqueSink struct {
	marks int // bytes of byte order marks, and NULs as UTF-16 and UTF-32 have them
	begun bool
}

// maxMarks is how many of them are skipped. Silence begins with zeros too.
const maxMarks = 8

// Write implements io.Writer.
func (s *opaqueSink) Write(p []byte) (int, error) {
	for i := 0; i < len(p) && !s.begun; i++ {
		switch p[i] {
		case ' ', '\t', '\n', '\v', '\f', '\r':
		case 0, 0xef, 0xbb, 0xbf, 0xfe, 0xff:
			s.marks++
			s.begun = s.marks > maxMarks
		case '{', '[':
			return i, errLooksLikeJSON
		default:
			s.begun = true
		}
	}
	return len(p), nil
}
