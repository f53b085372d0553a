package fastestswagger

import (
	"bytes"
	"errors"
	"net/http"
	"regexp"
	"strings"

	"github.com/caddy-freetier/caddy-freetier/internal/awake"
)

// What answers in place of a page, often with status 200.
var (
	errWaking    = errors.New("the platform is waking it up")
	errChallenge = errors.New("answered with a check for browsers")
	errTunnel    = errors.New("answered with a page of its tunnel")
	errLogin     = errors.New("answered with a login page")
	errErrorPage = errors.New("answered with an error page")
)

var (
	// passwordField is what each login page has. Swagger UI asks for
	// credentials too, but makes its fields when it runs.
	passwordField = regexp.MustCompile(`(?i)<input[^>]+type\s*=\s*["']?password`)

	// errorTitle is a title that is an error: a status, or one of its names.
	errorTitle = regexp.MustCompile(`(?i)<title[^>]*>\s*(?:(?:error\s+)?[45]\d\d\b|(?:application error|internal server error|bad gateway|` +
		`service unavailable|gateway time-?out|not found|(?:page|site) not found|forbidden|unauthorized)\b)`)

	// browserCheck is the script with which some free hosts let browsers in
	// only. Source: https://forum.infinityfree.com/t/84179
	browserCheck = []byte(`src="/aes.js"`)
)

// impostorBy tells by the header of an answer that it is not the upstream's own.
// Sources: for Cf-Mitigated
// https://developers.cloudflare.com/cloudflare-challenges/challenge-types/challenge-pages/detect-response/,
// for Ngrok-Error-Code https://ngrok.com/docs/errors/.
func impostorBy(header http.Header) error {
	switch {
	case awake.IsWakePage(header, nil):
		return errWaking
	case header.Get("Cf-Mitigated") == "challenge":
		return errChallenge
	case header.Get("Ngrok-Error-Code") != "":
		return errTunnel
	}
	return nil
}

// impostor tells by the beginning of a page that it is not the upstream's own.
// A page with the text that the configuration wants is.
func impostor(header http.Header, beginning []byte, wanted bool) error {
	switch {
	case awake.IsWakePage(header, beginning):
		return errWaking
	case wanted || !strings.HasPrefix(header.Get("Content-Type"), "text/html"):
		return nil
	case bytes.Contains(beginning, browserCheck):
		return errChallenge
	case passwordField.Match(beginning):
		return errLogin
	case errorTitle.Match(beginning):
		return errErrorPage
	}
	return nil
}

// head keeps the beginning of what is written to it.
type head []byte

// Write implements io.Writer.
func (h *head) Write(p []byte) (int, error) {
	if room := awake.MaxWakePage - len(*h); room > 0 {
		*h = append(*h, p[:min(room, len(p))]...)
	}
	return len(p), nil
}
