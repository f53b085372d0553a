package keepalive

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"unicode/utf8"
)

const (
	// maxExcerpt is how much of a response errors show, in bytes.
	maxExcerpt = 120

	concealed = "***"
)

// word is what a key looks like: long enough not to be guessed.
var word = regexp.MustCompile(`[A-Za-z0-9_\-]{6,}`)

// excerpt says how a response begins, in one line and without anything that
// was sent: services echo keys.
func excerpt(req *http.Request, body []byte) string {
	if len(bytes.TrimSpace(body)) == 0 {
		return "it is empty"
	}
	return fmt.Sprintf("it begins with %s", conceal(req, shorten(body)))
}

// shorten returns the beginning of a text, in one line.
func shorten(body []byte) string {
	text := strings.Join(strings.Fields(strings.ToValidUTF8(string(body[:min(len(body), 8*maxExcerpt)]), "�")), " ")
	if len(text) <= maxExcerpt {
		return text
	}
	cut := maxExcerpt
	for !utf8.RuneStart(text[cut]) {
		cut--
	}
	return text[:cut] + "…"
}

// conceal replaces the words of a text that the request has, too, or that could
// be a key in it.
func conceal(req *http.Request, text string) string {
	sent := sentBy(req)
	return word.ReplaceAllStringFunc(text, func(w string) string {
		if strings.Contains(sent, w) {
			return concealed
		}
		return w
	})
}

// concealError returns an error of the HTTP client without the URL, and without
// what was sent: it quotes what came if that is no HTTP.
func concealError(req *http.Request, err error) error {
	return errors.New(conceal(req, withoutURL(err).Error()))
}

// sentBy returns all of a request, and of those that were redirected to it, in
// which a key can be.
func sentBy(req *http.Request) string {
	var sent strings.Builder
	add := func(text string) { sent.WriteString(text + "\n") }
	for req != nil {
		add(req.URL.EscapedPath())
		add(req.URL.Path)
		add(req.URL.RawQuery)
		if query, err := url.QueryUnescape(req.URL.RawQuery); err == nil {
			add(query)
		}
		if user := req.URL.User; user != nil {
			password, _ := user.Password()
			add(user.Username())
			add(password)
		}
		for name, values := range req.Header {
			for _, value := range values {
				if name == "User-Agent" || name == "Content-Type" || name == "Accept" {
					continue
				}
				add(value)
				if _, encoded, ok := strings.Cut(value, " "); ok {
					decoded, _ := base64.StdEncoding.DecodeString(encoded)
					add(string(decoded))
				}
			}
		}
		add(bodyOf(req))
		if req.Response == nil {
			break
		}
		req = req.Response.Request
	}
	return sent.String()
}

// bodyOf returns the body that a request was sent with.
func bodyOf(req *http.Request) string {
	if req.GetBody == nil {
		return ""
	}
	body, err := req.GetBody()
	if err != nil {
		return ""
	}
	defer body.Close()
	text, _ := io.ReadAll(io.LimitReader(body, maxBody))
	return string(text)
}
