package llmgateway

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"unicode/utf8"

	"github.com/caddyserver/caddy/v2"
	"go.uber.org/zap"

	"github.com/caddy-freetier/caddy-freetier/internal/regularfile"
)

// largestKeyFile is how large a file with keys may be, in bytes.
const largestKeyFile = 16 << 20

// listedKey is a key that a word of the configuration stands for.
//
// It exists only between reading and the making of a key; secret is never in an error.
type listedKey struct {
	secret string
	origin string // where its text comes from, as an error says it
}

// resolveKeys returns the keys that a word of the configuration stands for: one,
// or, for a placeholder that stands alone, all that its value lists. What cannot
// be a key is an error; an unset variable is one rather than an empty key. A key
// that is merely short is warned of.
func resolveKeys(repl *caddy.Replacer, word string, place keyPlace, logger *zap.Logger) ([]listedKey, error) {
	parts, err := splitKeyWord(word)
	if err != nil {
		return nil, place.error("", err)
	}
	var keys []listedKey
	if len(parts) == 1 && parts[0].placeholder != "" {
		keys, err = parts[0].list(repl)
	} else {
		var key string
		key, err = joinKey(parts, repl)
		keys = []listedKey{{key, keyOrigin(parts)}}
	}
	if err != nil {
		return nil, place.error("", err)
	}
	for _, k := range keys {
		if err := checkKey(k.secret); err != nil {
			return nil, place.error(k.origin, err)
		}
		if utf8.RuneCountInString(k.secret) < shortKey {
			logger.Warn("key is short; a key of fewer than 8 characters can be guessed, and may be a word that was not meant as a key",
				zap.String("key", place.String()+strings.TrimSuffix(k.origin, ",")), zap.String("source", place.source))
		}
	}
	return keys, nil
}

// joinKey returns the key that several parts make up.
func joinKey(parts []keyPart, repl *caddy.Replacer) (string, error) {
	var key strings.Builder
	for _, part := range parts {
		value := part.literal
		if part.placeholder != "" {
			var err error
			if value, err = part.resolve(repl); err != nil {
				return "", err
			}
		}
		key.WriteString(value)
	}
	return strings.TrimSpace(key.String()), nil
}

// list returns the keys in the value of a placeholder.
//
// A list without keys is an error and not an empty channel: an unset variable would
// else show only with the first request.
func (p keyPart) list(repl *caddy.Replacer) ([]listedKey, error) {
	text, err := p.whole(repl)
	if err != nil {
		return nil, err
	}
	place := keyOrigin([]keyPart{p})
	keys := splitKeyList(text)
	if len(keys) == 0 {
		_, err := p.resolve(repl)
		if err == nil {
			err = fmt.Errorf("%shas nothing but comments in it", strings.TrimPrefix(place, ", ")+" ")
		}
		return nil, err
	}
	for i := range keys {
		number := keys[i].origin
		keys[i].origin = place
		if len(keys) > 1 {
			keys[i].origin = strings.Replace(place, ", from ", ", "+number+" ", 1)
		}
	}
	return keys, nil
}

// whole returns the value of a placeholder. Caddy's own placeholder for files
// reads one megabyte of them and says nothing.
func (p keyPart) whole(repl *caddy.Replacer) (string, error) {
	name, isFile := strings.CutPrefix(p.placeholder, "file.")
	if !isFile {
		value, _ := repl.GetString(p.placeholder)
		return value, nil
	}
	file, _, err := regularfile.Open(name)
	if err != nil {
		return "", fmt.Errorf("cannot be read: %w", err)
	}
	defer file.Close()
	text, err := io.ReadAll(io.LimitReader(file, largestKeyFile+1))
	switch {
	case err != nil:
		return "", fmt.Errorf("cannot be read: %w", err)
	case len(text) > largestKeyFile:
		return "", fmt.Errorf("cannot be read: the file %s is larger than 16 MB", name)
	}
	return string(text), nil
}

// splitKeyList takes a list of keys apart, which are separated by white space,
// commas or lines. A # at the beginning of a line or behind white space begins a
// comment. Each key's origin is its place in the list.
//
// An environment variable lists keys with commas or spaces, since it hardly has line
// breaks; a file has one key a line, with comments about whose it is. An assignment
// such as KEY=value is kept whole, so that checkKey can say what is wrong with it.
func splitKeyList(text string) (keys []listedKey) {
	line := 0
	for l := range strings.Lines(text) {
		line++
		l = strings.TrimSpace(withoutComment(l))
		words := strings.FieldsFunc(l, func(r rune) bool { return r == ',' || r < utf8.RuneSelf && strings.ContainsRune(" \t\r\n\v\f", r) })
		if assignment.MatchString(l) {
			words = []string{l} // is refused as a whole
		}
		for _, word := range words {
			keys = append(keys, listedKey{word, fmt.Sprintf("number %d (line %d) in", len(keys)+1, line)})
		}
	}
	return keys
}

// withoutComment cuts the comment off a line.
func withoutComment(line string) string {
	for i := range len(line) {
		if line[i] == '#' && (i == 0 || line[i-1] == ' ' || line[i-1] == '\t') {
			return line[:i]
		}
	}
	return line
}

// errNoAccount is for a channel whose URL needs one.
var errNoAccount = errors.New("has no account: the channel's URL has {account} in it, so write <account>/<token>")

// splitAccount takes a key such as <account>/<token> apart.
//
// The characters of an account are restricted because it becomes a segment of the URL's
// path: a question mark or a percent sign would send the key to another endpoint.
func splitAccount(key string) (account, token string, err error) {
	account, token, ok := strings.Cut(key, "/")
	if !ok || account == "" || token == "" {
		return "", "", errNoAccount
	}
	for _, r := range account {
		if r != '-' && r != '_' && r != '.' && (r < '0' || r > '9') && (r < 'A' || r > 'Z') && (r < 'a' || r > 'z') {
			return "", "", errors.New("has an account with other characters than letters, digits, and -_. before the slash")
		}
	}
	return account, token, nil
}
