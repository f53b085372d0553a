// Package migrate turns what other programs know of accounts into a Caddyfile: lists
// of keys, .env files, CSV, the channels of one-api and new-api as JSON, and tables
// of workers (path or host → URL, model → model).
//
// Read finds out the kind of a file by its content and collects channels, keys and
// URLs in a Pool; pools of several files are added up; Write turns the Pool into a
// Caddyfile and a file of keys for each channel. What has no counterpart here, or
// is disabled there, is left out with a note rather than guessed.
//
//	kindOf → readKeys, readEnv, readCSV, readJSON or readScript → Pool → Write
//
// All of it comes from outside. What becomes a word of the Caddyfile is checked
// against a set of characters that mean nothing there; keys go into files of their
// own, and no note or error has one in it.
package migrate

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"
)

// Options are what the input does not say.
type Options struct {
	Provider string   // of keys that do not tell, as in `provider`
	URL      string   // of those of a provider that has no preset
	Models   []string // of channels that name none
}

func (o Options) check() error {
	for _, name := range o.Models {
		if !isModel(strings.ReplaceAll(name, "*", "x")) {
			return errors.New("--models are names of models, or patterns, such as gpt-4o,gemini-*")
		}
	}
	return nil
}

// Pool is what was read.
type Pool struct {
	Channels []*Channel
	Forwards []Forward

	// Notes say what was left out or changed, and what to look at.
	Notes []string

	left []string // keys that are not in Channels, and may be shown no more than those
}

// Channel is an account, or several alike.
type Channel struct {
	Name     string
	URL      string // empty: the provider's
	Provider string // empty: none that is known
	Region   string
	Keys     []string
	NoKey    bool // the API takes none
	Models   []Model
	Priority int64 // a higher one is asked first
	Weight   int64 // 0 counts as 1
}

// Model is a line of `models`.
type Model struct {
	Names []string
	As    string // empty: passed on
}

// Forward is a URL to which requests go.
type Forward struct {
	Host string // of the requests; empty: any
	Path string // where they begin, such as /github; empty: any
	URL  string
}

// leave remembers keys that are left out, so that Write can check that no note and
// no line has one of them in it.
func (p *Pool) leave(keys []string) { p.left = append(p.left, keys...) }

func (p *Pool) note(format string, args ...any) {
	p.Notes = append(p.Notes, fmt.Sprintf(format, args...))
}

// maxInput bounds what is read. Tables of a thousand channels have a few megabytes.
const maxInput = 64 << 20

var errNothing = errors.New("nothing in it is a key, a channel or a table that this command knows")

// Read reads a file. Its name only serves for notes and for its ending.
func Read(name string, content []byte, o Options) (*Pool, error) {
	if err := o.check(); err != nil {
		return nil, err
	}
	p := new(Pool)
	content = bytes.TrimPrefix(content, []byte("\xef\xbb\xbf"))
	switch {
	case len(content) > maxInput:
		return nil, fmt.Errorf("%s has more than 64 MB", name)
	case !utf8.Valid(content) || bytes.IndexByte(content, 0) >= 0:
		return nil, fmt.Errorf("%s is no text in UTF-8; a database is exported as JSON or CSV first", name)
	}
	text := strings.ReplaceAll(string(content), "\r\n", "\n")
	var err error
	switch kindOf(name, text) {
	case kindJSON:
		err = p.readJSON(text, o)
	case kindScript:
		err = p.readScript(text, o)
	case kindEnv:
		err = p.readEnv(text)
	case kindCSV:
		err = p.readCSV(text, o)
	default:
		err = p.readKeys(text, o)
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	if len(p.Channels) == 0 && len(p.Forwards) == 0 {
		return nil, fmt.Errorf("%s: %w%s", name, errNothing, explained(p.Notes))
	}
	return p, nil
}

// readKeys reads a list of keys, separated by lines, white space and commas, with
// comments behind #.
func (p *Pool) readKeys(text string, o Options) error {
	given, err := o.channel()
	if err != nil {
		return err
	}
	channels := make(map[string]*Channel)
	left := 0
	for number, line := range strings.Split(text, "\n") {
		line, _, _ = strings.Cut(line, "#")
		line = strings.NewReplacer("Bearer ", " ", "bearer ", " ").Replace(line)
		keys, none := keysOf(strings.FieldsFunc(line, func(r rune) bool { return strings.ContainsRune(" \t,;", r) }))
		left += none
		for _, key := range keys {
			c := given
			if c == nil {
				provider := providerOf(key)
				if provider == "" {
					return fmt.Errorf("line %d: whose key is this? Say it with --provider or --url", number+1)
				}
				c = &Channel{Name: provider, Provider: provider, Models: o.models()}
			}
			if channels[c.Name] == nil {
				channels[c.Name] = c
				p.Channels = append(p.Channels, c)
			}
			c = channels[c.Name]
			c.Keys = append(c.Keys, key)
		}
	}
	for _, c := range p.Channels {
		c.Keys, _ = keysOf(c.Keys) // each once
	}
	if left > 0 {
		p.note("words of the list that are no keys: %d", left)
	}
	return nil
}

func explained(notes []string) string {
	if len(notes) == 0 {
		return ""
	}
	return " (" + strings.Join(notes, "; ") + ")"
}

type kind int

const (
	kindKeys kind = iota
	kindJSON
	kindScript
	kindEnv
	kindCSV
)

// kindOf tells what a text is, by its content first.
func kindOf(name, text string) kind {
	trimmed := strings.TrimSpace(text)
	lower := strings.ToLower(name)
	switch {
	case json.Valid([]byte(trimmed)) && strings.ContainsAny(trimmed[:1], "[{"):
		return kindJSON
	case hasAnySuffix(lower, ".js", ".mjs", ".ts", ".jsonc", ".json") || isScript(trimmed):
		return kindScript
	case isCSV(trimmed):
		return kindCSV
	case hasAnySuffix(lower, ".env") || isEnv(trimmed):
		return kindEnv
	}
	return kindKeys
}

func hasAnySuffix(s string, suffixes ...string) bool {
	for _, suffix := range suffixes {
		if strings.HasSuffix(s, suffix) {
			return true
		}
	}
	return false
}

// Add adds what another file has: keys and models of one channel may be in two.
func (p *Pool) Add(other *Pool) {
	p.Notes = append(p.Notes, other.Notes...)
	p.leave(other.left)
	for _, f := range other.Forwards {
		if !slices.ContainsFunc(p.Forwards, func(known Forward) bool { return known.Host == f.Host && known.Path == f.Path }) {
			p.Forwards = append(p.Forwards, f)
		}
	}
	for _, c := range other.Channels {
		i := slices.IndexFunc(p.Channels, c.completes)
		if i < 0 {
			p.Channels = append(p.Channels, c)
			continue
		}
		known := p.Channels[i]
		known.Keys, _ = keysOf(slices.Concat(known.Keys, c.Keys))
		known.Models = append(known.Models, c.Models...)
	}
}

// completes reports whether two are one channel: both are at the same place, and
// one has the models, or none has any.
func (c *Channel) completes(other *Channel) bool {
	return c.URL == other.URL && c.Provider == other.Provider && c.Region == other.Region && !c.NoKey && !other.NoKey &&
		(len(c.Models) == 0 || len(other.Models) == 0) && (len(c.Keys) == 0 || len(other.Keys) == 0 || len(c.Models)+len(other.Models) == 0)
}

// finish gives channels that have no models some, and each a name of its own.
func (p *Pool) finish() error {
	given := names{make(map[string]bool), make(map[string]int)}
	for i, c := range p.Channels {
		c.Name = given.unique(safeName(c.Name, c, i))
		if len(c.Keys) == 0 && !c.NoKey {
			return fmt.Errorf("%s has models but no keys: give a file with the keys as well", p.called(i))
		}
	}
	for _, c := range p.Channels {
		if len(c.Models) > 0 {
			continue
		}
		if len(p.Channels) == 1 {
			c.Models = []Model{{Names: []string{"*"}}}
		} else {
			c.Models = []Model{{Names: []string{c.Name + "/*"}, As: "*"}}
		}
	}
	return nil
}
