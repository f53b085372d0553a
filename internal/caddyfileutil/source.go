package caddyfileutil

import (
	"errors"
	"fmt"
	"strings"

	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
)

// SourceOf returns the file and line of the dispenser, for errors of Provision. It
// is empty if the block has no values that are known only then (placeholders and
// files), so that most configurations in JSON contain no file names.
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

// At puts the file and line of SourceOf in front of an error that has none yet. It
// returns err itself if err is nil or source is empty.
func At(source string, err error) error {
	var place *placedError
	if err == nil || source == "" || errors.As(err, &place) {
		return err
	}
	return &placedError{source, err}
}

// placedError is an error with a file and line.
type placedError struct {
	source string
	err    error
}

func (e *placedError) Error() string { return e.source + ": " + e.err.Error() }

func (e *placedError) Unwrap() error { return e.err }
