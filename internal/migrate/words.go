package migrate

import (
	"errors"
	"fmt"
	"iter"
	"net/url"
	"regexp"
	"strings"
	"unicode/utf8"
)

// What may become a word of the Caddyfile: nothing in it means anything there. White
// space, quotation marks, braces, # and backslashes are excluded, by which a name could
// end its option and begin a directive, or stand for an environment variable.
var (
	modelWord = regexp.MustCompile(`^[\p{L}\p{N}@][\p{L}\p{M}\p{N}._:/@+~()-]*$`)
	hostWord  = regexp.MustCompile(`^(?:[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?\.)*[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?$|^\[[0-9A-Fa-f:]+\]$`)
	pathWord  = regexp.MustCompile(`^(?:/[A-Za-z0-9._~@:+-]+)*/?$`)
	notInName = regexp.MustCompile(`[^A-Za-z0-9._]+`)
)

// longestWord is how long a name may be.
const longestWord = 200

// isModel reports whether a word can be a model's name. Some are words of the
// option models.
//
// A star would be a pattern, and full-width forms look like the characters that are
// excluded.
func isModel(name string) bool {
	fullWidth := func(r rune) bool { return r >= '！' && r <= '～' }
	return len(name) <= longestWord && name != "as" && name != "to" && modelWord.MatchString(name) && !strings.ContainsFunc(name, fullWidth)
}

// modelsOf returns the names of models in a list, and how many are none.
func modelsOf(list []string) (models []string, left int) {
	seen := make(map[string]bool)
	for _, name := range list {
		switch name = strings.TrimSpace(name); {
		case name == "" || seen[name]:
		case !isModel(name):
			left++
		default:
			seen[name] = true
			models = append(models, name)
		}
	}
	return models, left
}

// endpoints end URLs that people give for a base URL.
var endpoints = []string{"/chat/completions", "/completions", "/responses", "/messages", "/embeddings", "/models"}

// baseURL returns a URL as a channel has it, without the endpoint that some give
// with it.
func baseURL(text string) (string, error) {
	base, err := plainURL(text)
	for _, endpoint := range endpoints {
		base = strings.TrimSuffix(base, endpoint)
	}
	return base, err
}

// plainURL returns a URL without what may be a secret or mean something here.
//
// A user or a query may hold a key, which would then stand in the Caddyfile. The path
// may have no escapes and no braces, as placeholders have them.
func plainURL(text string) (string, error) {
	u, err := url.Parse(strings.TrimSpace(text))
	if err != nil || (u.Scheme != "http" && u.Scheme != "https") {
		return "", errors.New("its URL does not begin with http:// or https://")
	}
	if u.User != nil || u.RawQuery != "" || u.Fragment != "" {
		return "", errors.New("its URL has a user, a query or a fragment")
	}
	if host := u.Hostname(); !hostWord.MatchString(host) && !hostWord.MatchString("["+host+"]") {
		return "", errors.New("its URL has no valid host")
	}
	path := strings.TrimRight(u.EscapedPath(), "/")
	if !pathWord.MatchString(path) || len(u.Host)+len(path) > longestWord {
		return "", errors.New("its URL has characters in the path that it cannot have here")
	}
	return strings.ToLower(u.Scheme+"://"+u.Host) + path, nil
}

// hostOf returns the host of a URL that baseURL has found to be right.
func hostOf(base string) string {
	u, err := url.Parse(base)
	if err != nil {
		return ""
	}
	return u.Hostname()
}

// safeName makes a name of a channel of whatever was there, which may be a key.
//
// People do name a channel by its key. What is left of a name are letters, digits, dots
// and dashes; one of which nothing is left is replaced by the provider, the host or a
// number.
func safeName(name string, c *Channel, index int) string {
	name = strings.ToLower(name)
	for secret := range secretsOf(c.Keys) {
		if strings.Contains(name, strings.ToLower(secret)) {
			name = ""
		}
	}
	name = inName(name)
	if len(name) > 40 {
		name = inName(name[:40])
	}
	host := hostOf(c.URL)
	switch {
	case name != "" && !looksLikeKey(name):
		return name
	case c.Provider != "":
		return c.Provider
	case inName(host) != "" && !looksLikeKey(host):
		return inName(host)
	}
	return fmt.Sprintf("channel-%d", index+1)
}

// inName returns what of a text may stand in a name of a channel. Nothing is left of some
// texts, such as the host [::].
func inName(text string) string {
	return strings.Trim(notInName.ReplaceAllString(strings.ToLower(text), "-"), "-._")
}

// names gives each name once.
type names struct {
	taken map[string]bool
	next  map[string]int // the number behind a name that was given before
}

func (n *names) unique(name string) string {
	unique := name
	for n.taken[unique] {
		n.next[name] = max(n.next[name], 1) + 1
		unique = fmt.Sprintf("%s-%d", name, n.next[name])
	}
	n.taken[unique] = true
	return unique
}

// shortestKey is how short a key may be. What is shorter is a word that was not
// meant as one.
//
// The gateway warns at load of keys that are shorter.
const shortestKey = 8

// cleanKey returns a key without what people copy along, and whether it can be one.
//
// The same prefixes are an error in the gateway's api_key: they are the beginnings of
// variables, comments, options and headers that were copied along with the key, or in
// its place.
func cleanKey(text string) (string, bool) {
	key := strings.Trim(strings.TrimSpace(text), "\"'`,;")
	for _, prefix := range []string{"Bearer ", "bearer "} {
		key = strings.TrimSpace(strings.TrimPrefix(key, prefix))
	}
	if len(key) < shortestKey || len(key) > 16<<10 || strings.ContainsAny(key, " \t\n\r,;\"'`{}") {
		return "", false
	}
	for _, prefix := range []string{"$", "//", "--", "#", "Bearer"} {
		if strings.HasPrefix(key, prefix) {
			return "", false
		}
	}
	for _, r := range key {
		if r <= ' ' || r >= 0x7f || r == utf8.RuneError {
			return "", false
		}
	}
	return key, true
}

// secretsOf yields what of keys must not be shown: each whole, and of one that is
// written with its account the token.
func secretsOf(keys []string) iter.Seq[string] {
	return func(yield func(string) bool) {
		for _, key := range keys {
			if !yield(key) {
				return
			}
			if _, token, ok := strings.Cut(key, "/"); ok && len(token) >= shortestKey && !yield(token) {
				return
			}
		}
	}
}

// keysOf returns the keys in a list, each once, and how many words are none.
func keysOf(list []string) (keys []string, left int) {
	seen := make(map[string]bool)
	for _, word := range list {
		if strings.TrimSpace(word) == "" {
			continue
		}
		key, ok := cleanKey(word)
		switch {
		case !ok:
			left++
		case !seen[key]:
			seen[key] = true
			keys = append(keys, key)
		}
	}
	return keys, left
}
