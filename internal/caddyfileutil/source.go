package caddyfileutil

import (
	"errors"
	"fmt"
	"strings"

	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
)

// SourceOf returns the file and line at which the dispenser stands, if what
// follows has values that are known only when the configuration is provisioned:
// placeholders and files. Otherwise it is empty.
func SourceOf(d *caddyfile.Dispenser) string {
	source := fmt.Sprintf("%s:%d", d.File(), d.Line())
	for ahead := *d; ; {
		text := ahead.Val()
		if strings.Contains(text, "{env.") || strings.Contains(text, "{file.") || text == "file" || text == "tls_ca" {
			return source
		}
		if !ahead.Next() {
			return ""
		}
	}
}

// At puts the file and line of SourceOf before an error that has none yet. An
// empty source, and no error, change nothing.
func At(source string, err error) error {
	var place *placedError
	if err == nil || source == "" || errors.As(err, &place) {
		return err
	}
	return &placedError{source, err}
}

// placedError is an error of a place in a Caddyfile.
type placedError struct {
	source string
	err    error
}

func (e *placedError) Error() string { return e.source + ": " + e.err.Error() }

func (e *placedError) Unwrap() error { return e.err }
