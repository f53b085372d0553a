package llmgateway

import (
	"bytes"
	"cmp"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"html"
	"io"
	"net/url"
	"slices"
	"strings"
)

// shortestMasked is the length of the shortest key that is masked. What is
// shorter is no real key, and may stand in any text.
const shortestMasked = 8

// isPlaceholder reports whether a key is a word that people write where a local
// server takes any key. It is no secret and may stand in any text, too.
func isPlaceholder(secret string) bool {
	switch strings.ToLower(secret) {
	case "anything", "everything", "something", "nothing", "whatever", "required", "optional", "unneeded", "notneeded", "not-needed",
		"not-used", "undefined", "placeholder", "password", "localhost", "lmstudio", "lm-studio", "local-ai", "llama.cpp", "llamacpp":
		return true
	}
	return false
}

// mask is what must not reach a client: secrets, in all the forms in which a
// response may repeat them. Each byte of a form becomes an asterisk, so that
// the length of a response does not change.
//
// It is made once, with the first response to a key, or in Provision for the headers of
// a channel without keys, and never changed, so that responses share it.
type mask struct {
	forms []maskedForm
	bytes [256]bool // those of which the forms consist
}

// maskedForm is one way to write a secret.
type maskedForm struct {
	text string
	// needle is the beginning of text. bytes.Index is several times slower for
	// more than 63 bytes.
	needle []byte
}

const longestNeedle = 32

// newMask returns the mask of the secrets that are long enough to be real.
func newMask(secrets ...string) *mask {
	var texts []string
	for _, secret := range secrets {
		if len(secret) >= shortestMasked && !isPlaceholder(secret) {
			texts = append(texts, secret)
			texts = append(texts, escapedForms(secret)...)
			texts = append(texts, encodedForms(secret)...)
		}
	}
	slices.SortStableFunc(texts, func(a, b string) int { return cmp.Compare(len(a), len(b)) })
	m := new(mask)
	for _, text := range texts {
		// With no form beginning with another one, the first that is found at a
		// place is the only one there, no matter how the text arrives.
		if !slices.ContainsFunc(m.forms, func(f maskedForm) bool { return strings.HasPrefix(text, f.text) }) {
			m.add(text)
		}
	}
	return m
}

func (m *mask) add(form string) {
	m.forms = append(m.forms, maskedForm{form, []byte(form[:min(len(form), longestNeedle)])})
	for i := range len(form) {
		m.bytes[form[i]] = true
	}
}

// escapedForms returns a secret as it stands in a URL, in JSON and in HTML.
// Most keys need no escaping, and are the same everywhere.
func escapedForms(secret string) []string {
	query, path := url.QueryEscape(secret), url.PathEscape(secret)
	inJSON, _ := json.Marshal(secret) // a string cannot fail
	escaped := string(inJSON[1 : len(inJSON)-1])
	plain := strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(secret)
	return []string{
		query, path, lowerHex(query), lowerHex(path),
		strings.ReplaceAll(query, "+", "%20"),
		escaped, plain, strings.ReplaceAll(plain, "/", `\/`), strings.ReplaceAll(escaped, "/", `\/`),
		html.EscapeString(secret),
	}
}

// lowerHex writes the digits of percent-encoding in lower case.
func lowerHex(escaped string) string {
	lower := []byte(escaped)
	for i := 0; i+2 < len(lower); i++ {
		if lower[i] == '%' {
			copy(lower[i+1:], strings.ToLower(escaped[i+1:i+3]))
			i += 2
		}
	}
	return string(lower)
}

// encodedForms returns a secret in hexadecimal and in base64. The latter depends
// on what stands before the secret, as in `Bearer KEY`: of each alignment it is
// what does not depend on the neighbors.
func encodedForms(secret string) []string {
	inHex := hex.EncodeToString([]byte(secret))
	forms := []string{inHex, strings.ToUpper(inHex)}
	for before := range 3 {
		text := append(make([]byte, before), secret...)
		first, last := (before*8+5)/6, len(text)*8/6
		forms = append(forms, base64.StdEncoding.EncodeToString(text)[first:last], base64.URLEncoding.EncodeToString(text)[first:last])
	}
	return forms
}

// empty reports whether there is nothing to mask.
func (m *mask) empty() bool { return len(m.forms) == 0 }

// inText masks the secrets in a text.
func (m *mask) inText(text string) string {
	for _, f := range m.forms {
		if strings.Contains(text, f.text) {
			masked := []byte(text)
			m.inBytes(masked, true)
			return string(masked)
		}
	}
	return text
}

// hides reports whether a text has a secret in it, in any letter case.
//
// It is for names of headers, whose letter case net/http changes.
func (m *mask) hides(text string) bool {
	for _, f := range m.forms {
		for i := 0; i+len(f.text) <= len(text); i++ {
			if strings.EqualFold(text[i:i+len(f.text)], f.text) {
				return true
			}
		}
	}
	return false
}

// maskedError is an error in whose text the secrets are masked: net/http quotes
// what it cannot read.
type maskedError struct {
	error
	text string
}

func (e *maskedError) Error() string { return e.text }
func (e *maskedError) Unwrap() error { return e.error }

// inError masks the secrets in an error's text.
//
// errors.Is and errors.As still find the cause, which decides about retries.
func (m *mask) inError(err error) error {
	if err == nil || err == io.EOF || m.empty() { //nolint:errorlint // bodies return it bare
		return err
	}
	text := err.Error()
	if masked := m.inText(text); masked != text {
		return &maskedError{err, masked}
	}
	return err
}

// inBytes masks the secrets in text and returns how much of it is certain: from
// there on a secret may begin that goes on behind text. Where text is the end,
// all of it is certain.
func (m *mask) inBytes(text []byte, end bool) int {
	at, length := m.find(text, 0)
	if at < 0 {
		if end {
			return len(text)
		}
		return m.beginning(text, 0)
	}
	return m.replace(text, at, length, end)
}

// find returns the place and the length of the first secret at or after from, or
// -1.
func (m *mask) find(text []byte, from int) (at, length int) {
	at = -1
	for i := range m.forms {
		f := &m.forms[i]
		if found := f.index(text, from); found >= 0 && (at < 0 || found < at) {
			at, length = found, len(f.text)
		}
	}
	return at, length
}

// index returns the first place of the form at or after from, or -1.
func (f *maskedForm) index(text []byte, from int) int {
	for {
		found := bytes.Index(text[from:], f.needle)
		if found < 0 {
			return -1
		}
		from += found
		if len(f.text) == len(f.needle) || hasPrefix(text[from:], f.text) {
			return from
		}
		from++
	}
}

func hasPrefix(text []byte, prefix string) bool {
	return len(text) >= len(prefix) && string(text[:len(prefix)]) == prefix
}

// replace goes on where find has found the first secret. It remembers where
// each form comes next, so that a text full of secrets is read once for each.
func (m *mask) replace(text []byte, at, length int, end bool) int {
	next := make([]int, len(m.forms))
	for pos := 0; ; {
		certain := len(text)
		if !end {
			certain = m.beginning(text, pos)
		}
		if at < 0 || certain < at {
			return certain
		}
		for i := at; i < at+length; i++ {
			text[i] = '*'
		}
		pos = at + length
		at = -1
		for i := range m.forms {
			f := &m.forms[i]
			if next[i] >= 0 && next[i] < pos {
				next[i] = f.index(text, pos)
			}
			if next[i] >= 0 && (at < 0 || next[i] < at) {
				at, length = next[i], len(f.text)
			}
		}
	}
}

// beginning returns where, at or after from, the end of text may be the
// beginning of a secret, or the length of text.
func (m *mask) beginning(text []byte, from int) int {
	first := len(text)
	if from >= first || !m.bytes[text[first-1]] {
		return first // as of an event, or of a whole JSON text
	}
	for i := range m.forms {
		f := &m.forms[i]
		for at := max(from, len(text)-len(f.text)+1); at < first; at++ {
			skip := bytes.IndexByte(text[at:first], f.text[0])
			if skip < 0 {
				break
			}
			at += skip
			if f.text[:len(text)-at] == string(text[at:]) {
				first = at
			}
		}
	}
	return first
}
