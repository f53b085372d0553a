package llmgateway

import (
	"errors"
	"fmt"
	"regexp"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

	"github.com/caddy-freetier/caddy-freetier/internal/regularfile"
)

// shortKey is the number of characters below which loading warns of a key: it
// is more likely a word that was not meant as a key, and can be guessed.
const shortKey = 8

var (
	errEmptyKey = errors.New("is empty")
	errSameKey  = errors.New("is the same as one before it")
)

// keyPlace says where a key stands in the configuration, for errors and
// warnings, which never show the key itself.
type keyPlace struct {
	owner  string // such as "client me"
	number int    // among the owner's keys, from 1
	source string // file and line, "" for JSON
}

func (p keyPlace) String() string { return fmt.Sprintf("key %d of %s", p.number, p.owner) }

// error says what is wrong with the key and where it stands. origin is where
// its text comes from, as keyOrigin returns it.
func (p keyPlace) error(origin string, err error) error {
	return located(p.source, fmt.Errorf("%v%s %w", p, origin, err))
}

// locatedError is an error with the file and line that it is about.
type locatedError struct {
	source string
	err    error
}

func (e *locatedError) Error() string { return e.source + ": " + e.err.Error() }

func (e *locatedError) Unwrap() error { return e.err }

// located adds the place to an error, unless it is unknown or the error has a
// more exact one.
func located(source string, err error) error {
	if _, ok := errors.AsType[*locatedError](err); ok || source == "" || err == nil {
		return err
	}
	return &locatedError{source, err}
}

// sourceOf returns where a directive or option stands.
func sourceOf(d *caddyfile.Dispenser) string { return fmt.Sprintf("%s:%d", d.File(), d.Line()) }

// checkKeyWord refuses a word of the configuration that cannot be a key,
// whatever the values of its placeholders are.
//
// It runs while the Caddyfile is parsed, so that `caddy adapt` on another machine
// finds the mistake although the variables are not set there.
func checkKeyWord(word string) error {
	parts, err := splitKeyWord(word)
	if err != nil {
		return err
	}
	var text strings.Builder
	for _, part := range parts {
		if part.placeholder != "" {
			part.literal = "x" // stands for a value that is right
		}
		text.WriteString(part.literal)
	}
	return checkKey(strings.TrimSpace(text.String()))
}

// keyPart is a piece of a word: a placeholder without its braces, or text.
//
// Only {env.…} and {file.…} are accepted. Caddy's other placeholders are of a request,
// or change while it runs, and a key is resolved when the configuration is loaded.
type keyPart struct{ placeholder, literal string }

var (
	errKeyBrace       = errors.New(`has a brace that begins no placeholder: a key comes from {env.NAME} or {file./path}; write \{ for a brace of the key itself`)
	errKeyVariable    = errors.New("looks like a variable of a shell or of another program: write {env.NAME}, with the variable's name between the braces")
	errKeyPlaceholder = errors.New("is what documentation writes in the place of a key: write the key, or {env.NAME}")
)

// splitKeyWord takes a word apart as Caddy's replacer does. Its errors contain
// nothing of the word, which may be a key.
func splitKeyWord(word string) (parts []keyPart, err error) {
	if strings.HasPrefix(word, "$") || strings.HasPrefix(word, "env.") || strings.HasPrefix(word, "file.") {
		return nil, errKeyVariable
	}
	var text strings.Builder
	for i := 0; i < len(word); i++ {
		switch c := word[i]; {
		case c == '\\' && i+1 < len(word) && (word[i+1] == '{' || word[i+1] == '}'):
			i++
			text.WriteByte(word[i])
		case c != '{':
			text.WriteByte(c)
		default:
			end := strings.IndexByte(word[i:], '}')
			if end < 0 {
				return nil, errKeyBrace
			}
			name := word[i+1 : i+end]
			kind, rest, _ := strings.Cut(name, ".")
			if kind != "env" && kind != "file" || rest == "" || strings.Contains(rest, "{") {
				return nil, errKeyBrace
			}
			if text.Len() > 0 {
				parts = append(parts, keyPart{literal: text.String()})
				text.Reset()
			}
			parts = append(parts, keyPart{placeholder: name})
			i += end
		}
	}
	if text.Len() > 0 {
		parts = append(parts, keyPart{literal: text.String()})
	}
	return parts, nil
}

// resolve returns the value of a placeholder, without the white space around
// it that files end with.
//
// The file is opened before Caddy's replacer reads it: the replacer returns an empty
// text for a file that is missing or not readable, and could wait for ever on a named
// pipe.
func (p keyPart) resolve(repl *caddy.Replacer) (string, error) {
	kind, name, _ := strings.Cut(p.placeholder, ".")
	if kind == "file" {
		file, _, err := regularfile.Open(name)
		if err != nil {
			return "", fmt.Errorf("cannot be read: %w", err)
		}
		_ = file.Close()
	}
	value, _ := repl.GetString(p.placeholder)
	if value = strings.TrimSpace(value); value != "" {
		return value, nil
	}
	if kind == "env" {
		return "", fmt.Errorf("is empty, since the environment variable %s is not set where Caddy runs; after a change of the environment (/etc/caddy/env for instance) restart Caddy, for a reload does not read it anew", name)
	}
	return "", fmt.Errorf("is empty, since the file %s is", name)
}

// keyOrigin names the variables and files that the text of a key comes from,
// and returns "" for a text that stands in the configuration.
func keyOrigin(parts []keyPart) string {
	var names []string
	for _, part := range parts {
		switch kind, name, _ := strings.Cut(part.placeholder, "."); kind {
		case "env":
			names = append(names, "the environment variable "+name)
		case "file":
			names = append(names, "the file "+name)
		}
	}
	if len(names) == 0 {
		return ""
	}
	return ", from " + strings.Join(names, " and ") + ","
}

var (
	// leftover is a placeholder in a value, which nobody replaces any more.
	leftover = regexp.MustCompile(`\{\$|\$\{|\{env\.|\{file\.`)

	// assignment is a line of an environment file.
	assignment = regexp.MustCompile(`(?i)^(export |[A-Z0-9_]*(KEY|TOKEN|SECRET)[A-Z0-9_]*=[^=])`)

	// filePlace is the path or the URL of a file. Base64 can begin with a slash too,
	// but hardly has another one and no capital letter.
	filePlace = regexp.MustCompile(`^(\.{1,2}/|/[a-z0-9._-]+/[a-z0-9._/-]+$|file:|https?://)`)
)

// checkKey refuses a text that no provider gives out as a key and no client
// should use as one. It is what is left of a comment, of a list in another
// syntax, or of a value in the wrong form.
func checkKey(key string) error {
	words := strings.Fields(key)
	switch {
	case len(words) == 0:
		return errEmptyKey
	case strings.EqualFold(words[0], "Bearer"):
		return errors.New("begins with Bearer: write the key alone, since Bearer is added to it by itself")
	case hasAnyPrefix(key, "//", "--", "#", "/*", "*/", "<!--"):
		return errors.New("begins as a comment does, whose words would all be keys: in a Caddyfile a comment begins with # and a white space before that")
	case strings.HasPrefix(key, "$"), leftover.MatchString(key), len(key) > 2 && key[0] == '%' && key[len(key)-1] == '%':
		return errKeyVariable
	case assignment.MatchString(key):
		return errors.New("is a whole line of an environment file: keep the value only")
	case filePlace.MatchString(key):
		return errors.New("is where a file is: for the keys in a file write {file./path/to/keys}")
	case strings.HasSuffix(key, "..."), key[0] == '<' && key[len(key)-1] == '>':
		return errKeyPlaceholder
	case strings.ContainsAny(key, ",;"):
		return errors.New("has a comma or semicolon: separate keys with white space, each being a word of its own")
	case strings.ContainsAny(key, "\"'`"):
		return errors.New("has quotation marks, which would be sent as a part of it: write the value without them (Docker's --env-file, for instance, takes them literally)")
	}
	return checkKeyCharacters(key)
}

// checkKeyCharacters refuses what cannot be in the value of a header. A full-width
// character or a zero-width mark comes from copying a key out of a chat or a web page;
// the provider would answer such a key with a 401 in which nothing is visibly wrong.
func checkKeyCharacters(key string) error {
	for _, r := range key {
		switch {
		case r < utf8.RuneSelf && unicode.IsSpace(r):
			return errors.New("has white space or several lines in it: write each key as a word of its own, or a variable or file with many keys as a word of its own")
		case r < utf8.RuneSelf && unicode.IsControl(r):
			return errors.New("has control characters in it: write or save it again")
		case r >= utf8.RuneSelf:
			return errors.New("has characters outside ASCII, such as a full-width one or an invisible mark, in it: write or save it again")
		}
	}
	return nil
}

func hasAnyPrefix(text string, prefixes ...string) bool {
	for _, prefix := range prefixes {
		if strings.HasPrefix(text, prefix) {
			return true
		}
	}
	return false
}
