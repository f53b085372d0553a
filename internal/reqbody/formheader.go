package reqbody

import (
	"bytes"
	"mime"
	"strings"
)

// formBoundary returns the boundary of a form, if no parser can read another: boundary=
// twice, boundary*= (RFC 2231) and a boundary in a quoted other parameter are refused
// by counting the word.
func formBoundary(contentType string) (string, error) {
	_, params, err := mime.ParseMediaType(contentType)
	if err != nil || strings.Count(strings.ToLower(contentType), "boundary") != 1 {
		return "", &InvalidError{0, "the Content-Type has no single boundary"}
	}
	boundary := params["boundary"]
	if boundary == "" || len(boundary) > maxBoundary || strings.ContainsFunc(boundary, notInBoundary) {
		return "", &InvalidError{0, "the Content-Type has no usable boundary"}
	}
	return boundary, nil
}

// notInBoundary reports whether a character may not stand in a boundary: those of RFC
// 2046, section 5.1.1, without the space and the comma, at which some parsers cut.
func notInBoundary(c rune) bool {
	return !isAlphanumeric(c) && !strings.ContainsRune("'()+_-./:=?", c)
}

func isAlphanumeric(c rune) bool {
	return c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z'
}

// partInfo is what the header of a part says.
type partInfo struct {
	name                string
	isField             bool
	lengthAt, lengthEnd int // the line with a Content-Length, -1: none
}

const (
	oddHeader = "the header of a part cannot be read"
	oddName   = "the name of a part can be read in more than one way"
)

// parsePartHeader reads a part's header, whose lines end with CRLF. The reason
// is empty if it is what all parsers read alike.
//
// A header is refused for a line without a colon, a header given twice, and a line that
// is folded (it begins with white space, which is no token).
func parsePartHeader(header []byte, field string) (info partInfo, reason string) {
	info.lengthAt = -1
	seen := make(map[string]string)
	for at := 0; at < len(header); {
		line, _, _ := bytes.Cut(header[at:], []byte("\r\n"))
		name, value, ok := strings.Cut(string(line), ":")
		name = strings.ToLower(name)
		if _, twice := seen[name]; !ok || twice || !isToken(name) || strings.ContainsAny(value, "\r\n\x00") {
			return info, oddHeader
		}
		seen[name] = strings.Trim(value, " \t")
		if name == "content-length" {
			info.lengthAt, info.lengthEnd = at, at+len(line)+2
		}
		at += len(line) + 2
	}
	params, ok := dispositionParams(seen["content-disposition"])
	if !ok {
		return info, oddHeader
	}
	name := params["name"]
	info.name = name
	_, encodedName := params["name*"]
	if encodedName || !isReadable(name) || strings.Contains(name, `\`) || strings.Contains(name, "=?") || strings.EqualFold(name, "_charset_") {
		return info, oddName
	}
	if name != field && Alike(name, field) {
		return info, oddName
	}
	if isMultipart(seen["content-type"]) {
		return info, "a part has parts of its own"
	}
	if info.isField = name == field; info.isField {
		_, file := params["filename"]
		_, encodedFile := params["filename*"]
		if file || encodedFile || !isPlainText(seen) {
			return info, "the " + field + " is not a plain text"
		}
	}
	return info, ""
}

// isMultipart reports whether some parsers look for further fields in a part
// (RFC 2388, section 4.2).
func isMultipart(contentType string) bool {
	return strings.HasPrefix(strings.ToLower(contentType), "multipart")
}

// isPlainText reports whether a part's bytes are its text in UTF-8.
func isPlainText(header map[string]string) bool {
	switch strings.ToLower(header["content-transfer-encoding"]) {
	case "", "7bit", "8bit", "binary":
	default:
		return false
	}
	contentType := header["content-type"]
	if contentType == "" {
		return true
	}
	mediaType, params, err := mime.ParseMediaType(contentType)
	charset := strings.ToLower(params["charset"])
	return err == nil && mediaType == "text/plain" && (charset == "" || charset == "utf-8" || charset == "us-ascii")
}

// dispositionParams reads `form-data; name="..."`, with the quotes or without.
// A backslash before a quote is refused: some parsers end the text there.
//
// Go's mime.ParseMediaType is not used, since it also takes RFC 2231's continuations
// (name*0=mo; name*1=del), which others read as two unknown parameters.
func dispositionParams(value string) (map[string]string, bool) {
	kind, rest, _ := strings.Cut(value, ";")
	if !strings.EqualFold(strings.TrimSpace(kind), "form-data") || rest == "" {
		return nil, false
	}
	params := make(map[string]string)
	for {
		name, after, ok := strings.Cut(rest, "=")
		name = strings.ToLower(strings.Trim(name, " \t"))
		if _, twice := params[name]; !ok || twice || !isToken(name) {
			return nil, false
		}
		var text string
		if quoted, isQuoted := strings.CutPrefix(after, `"`); isQuoted {
			if text, after, ok = strings.Cut(quoted, `"`); !ok || strings.HasSuffix(text, `\`) {
				return nil, false
			}
		} else {
			end := strings.IndexByte(after+";", ';')
			text, after = strings.Trim(after[:end], " \t"), after[end:]
			if strings.ContainsAny(text, "\"\\ \t") {
				return nil, false
			}
		}
		params[name] = text
		if after = strings.Trim(after, " \t"); after == "" || after == ";" {
			break
		}
		if rest, ok = strings.CutPrefix(after, ";"); !ok {
			return nil, false
		}
	}
	_, named := params["name"]
	return params, named
}

// isToken reports whether s is a token, as names of headers and parameters are (RFC
// 9110, section 5.6.2).
func isToken(s string) bool {
	return s != "" && !strings.ContainsFunc(s, func(c rune) bool {
		return !isAlphanumeric(c) && !strings.ContainsRune("!#$%&'*+-.^_`|~", c)
	})
}
