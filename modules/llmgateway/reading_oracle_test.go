package llmgateway

import (
	"bytes"
	"compress/flate"
	"compress/gzip"
	"compress/zlib"
	"encoding/json"
	"errors"
	"fmt"
	"html"
	"io"
	"mime"
	"mime/multipart"
	"net/url"
	"strconv"
	"strings"
	"unicode"

	"golang.org/x/text/unicode/norm"
)

// found is a value that a parser takes for the model.
type found struct {
	parser string
	value  any
}

// readers in Go of what a channel gets. None of them has code of the gateway.
func (r reading) found() (all []found) {
	contentType := strings.Join(r.Header["Content-Type"], ", ")
	query, _ := url.ParseQuery(r.query) // what can be read of it
	for name, values := range query {
		for _, value := range values {
			if r.model == "" {
				continue // the default channel gets what else there is
			}
			all = addModel(all, "URL", name, value)
		}
	}
	body, ok := inflate(r.Body, strings.Join(r.Header["Content-Encoding"], ","))
	if !ok {
		return all
	}
	mediaType, params, err := mime.ParseMediaType(contentType)
	if contentType == "" || strings.Contains(contentType, "json") {
		all = append(all, inJSON(body)...)
	}
	if contentType == "" || strings.Contains(contentType, "urlencoded") {
		query, _ := url.ParseQuery(string(body))
		for name, values := range query {
			for _, value := range values {
				all = addModel(all, "ParseQuery", name, value)
			}
		}
	}
	if err == nil && strings.HasPrefix(mediaType, "multipart/") {
		all = append(all, inForm(body, params["boundary"])...)
	}
	if text := trimMarks(body); err == nil && isOpaque(mediaType) && bytes.HasPrefix(text, []byte("{")) {
		all = append(all, inJSON(text)...) // an API that looks at the body
	}
	return all
}

// trimMarks cuts off white space and byte order marks.
func trimMarks(body []byte) []byte {
	for i, c := range body {
		if bytes.IndexByte([]byte(" \t\r\n\v\f\xef\xbb\xbf\xff\xfe\x00"), c) < 0 {
			return body[i:]
		}
	}
	return nil
}

// inflate decodes a body as lenient servers do.
func inflate(body []byte, coding string) ([]byte, bool) {
	var r io.Reader
	var err error
	switch strings.ToLower(strings.TrimSpace(coding)) {
	case "", "identity":
		return body, true
	case "gzip":
		r, err = gzip.NewReader(bytes.NewReader(body))
	case "deflate":
		if r, err = zlib.NewReader(bytes.NewReader(body)); err != nil {
			r, err = flate.NewReader(bytes.NewReader(body)), nil
		}
	default:
		return nil, false
	}
	if err != nil {
		return nil, false
	}
	decoded, err := io.ReadAll(r)
	return decoded, err == nil
}

// inJSON reads the body with encoding/json in each of its ways, and again
// without the bytes that other decoders drop.
func inJSON(body []byte) (all []found) {
	for name, text := range map[string][]byte{
		"": body, " without invalid bytes": bytes.ToValidUTF8(body, nil), " without NUL": bytes.ReplaceAll(body, []byte{0}, nil),
		" with overlong quotes": bytes.ReplaceAll(body, []byte("\xc0\xa2"), []byte(`"`)),
	} {
		text = bytes.TrimPrefix(text, []byte("\xef\xbb\xbf"))
		var insensitive struct{ Model *string }
		if json.Unmarshal(text, &insensitive) == nil && insensitive.Model != nil {
			all = append(all, found{"struct" + name, *insensitive.Model})
		}
		var object map[string]any
		if json.Unmarshal(text, &object) != nil {
			continue
		}
		for key, value := range object {
			all = addModel(all, "map"+name, key, value)
		}
		all = append(all, inTokens(text, "tokens"+name)...)
	}
	return all
}

// inTokens reads all keys of the top level, repeated ones too.
func inTokens(text []byte, parser string) (all []found) {
	d := json.NewDecoder(bytes.NewReader(text))
	if t, err := d.Token(); err != nil || t != json.Delim('{') {
		return nil
	}
	for d.More() {
		key, err := d.Token()
		if err != nil {
			return nil
		}
		var value any
		if d.Decode(&value) != nil {
			return nil
		}
		all = addModel(all, parser, key.(string), value)
	}
	return all
}

func inForm(body []byte, boundary string) (all []found) {
	r := multipart.NewReader(bytes.NewReader(body), boundary)
	for {
		p, err := r.NextRawPart()
		if err != nil {
			return all
		}
		content, err := io.ReadAll(p)
		if err != nil && !errors.Is(err, io.ErrUnexpectedEOF) {
			return all
		}
		_, params, _ := mime.ParseMediaType(p.Header.Get("Content-Disposition"))
		for name, value := range params {
			if strings.HasPrefix(name, "name") {
				all = addModel(all, "multipart", value, string(content))
			}
		}
	}
}

// addModel adds the value of a key that some parser takes for model. null is no
// value.
func addModel(all []found, parser, key string, value any) []found {
	plain := !strings.ContainsFunc(key, func(c rune) bool { return (c < 'a' || c > 'z') && c != '_' })
	if value == nil || plain && key != "model" {
		return all // no folding changes it
	}
	for name, fold := range foldings {
		for name2, fold2 := range foldings {
			if fold2(fold(key)) == "model" {
				return append(all, found{fmt.Sprintf("%s, %q with %s and %s", parser, key, name, name2), value})
			}
		}
	}
	return all
}

// foldings are what parsers and the code around them do to names.
var foldings = map[string]func(string) string{
	"nothing":          func(s string) string { return s },
	"lower case":       strings.ToLower,
	"trimming":         strings.TrimSpace,
	"a C string":       func(s string) string { before, _, _ := strings.Cut(s, "\x00"); return before },
	"valid UTF-8":      func(s string) string { return strings.ReplaceAll(strings.ToValidUTF8(s, ""), "\ufffd", "") },
	"no invisibles":    func(s string) string { return strings.Map(dropInvisible, s) },
	"NFKC":             norm.NFKC.String,
	"no accents":       func(s string) string { return strings.Map(dropMarks, norm.NFKD.String(s)) },
	"ASCII only":       func(s string) string { return strings.Map(dropBeyondASCII, s) },
	"percent signs":    unescaped(url.PathUnescape),
	"a query":          unescaped(url.QueryUnescape),
	"brackets":         func(s string) string { before, _, _ := strings.Cut(s, "["); return before },
	"dots":             func(s string) string { before, _, _ := strings.Cut(s, "."); return before },
	"encoded words":    unescaped(new(mime.WordDecoder).DecodeHeader),
	"references":       html.UnescapeString,
	"quotes":           func(s string) string { return strings.Trim(s, `"'`) },
	"backslashes":      func(s string) string { return strings.ReplaceAll(s, `\`, "") },
	"strings in quote": unescaped(func(s string) (string, error) { return strconv.Unquote(`"` + s + `"`) }),
}

func unescaped(unescape func(string) (string, error)) func(string) string {
	return func(s string) string {
		if decoded, err := unescape(s); err == nil {
			return decoded
		}
		return s
	}
}

func dropInvisible(c rune) rune {
	if unicode.In(c, unicode.Cc, unicode.Cf, unicode.Cs, unicode.Variation_Selector, unicode.Other_Default_Ignorable_Code_Point) {
		return -1
	}
	return c
}

func dropMarks(c rune) rune {
	if unicode.In(c, unicode.Mn) {
		return -1
	}
	return c
}

func dropBeyondASCII(c rune) rune {
	if c > unicode.MaxASCII {
		return -1
	}
	return c
}

// check returns what a parser reads that is not the model, "" for nothing.
func (r reading) check(all []found) string {
	for _, f := range all {
		if f.value == nil || f.value == r.model || r.upload {
			continue
		}
		if text, ok := f.value.(string); ok && strings.Contains(f.parser, "latin1") && text == latin1(r.model) {
			continue
		}
		return fmt.Sprintf("%s reads %#v, the gateway %q: %v %q", f.parser, f.value, r.model, r.Header, r.Body)
	}
	return ""
}

// latin1 is how UTF-8 looks to a reader of ISO 8859-1.
func latin1(s string) string {
	var b strings.Builder
	for i := range len(s) {
		b.WriteRune(rune(s[i]))
	}
	return b.String()
}
