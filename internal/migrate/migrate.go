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
// # The formats
//
// A list of keys is whatever people keep in a text file, with comments:
//
//	AIzaSy…1, AIzaSy…2   # Google
//	gsk_…
//
// An .env file has the variables that the SDKs read, alone or numbered:
//
//	export GROQ_API_KEY="gsk_…"
//	OPENROUTER_API_KEY_2=sk-or-v1-…
//	OPENAI_BASE_URL=https://free.example.com/v1
//
// one-api (github.com/songquanpeng/one-api, model/channel.go) and new-api
// (github.com/QuantumNous/new-api, model/channel.go; both read on 2026-11-27) keep
// channels in the table channels. Its columns have the same names in a dump of the
// database as JSON or CSV, and, without key, in the answers of their pages. type is a
// number, see types; models is separated by commas; model_mapping is JSON in a text;
// status 1 is enabled:
//
//	{"id":2,"type":43,"key":"sk-…","status":1,"name":"deepseek","models":"deepseek-chat",
//	 "model_mapping":"{\"gpt-4o\":\"deepseek-chat\"}","priority":0,"weight":0}
//
// new-api has several keys in a channel, a line each, and the state of each by its
// index in channel_info: {"is_multi_key":true,"multi_key_status_list":{"1":3}}.
//
// FreeLLMAPI (github.com/tashfeenahmed/freellmapi, server/src/routes/keys.ts, read on
// 2026-11-27) exports its keys as CSV, as JSON and as .env. Newer versions add the URL of
// endpoints of one's own:
//
//	platform,key,label,base_url
//	"groq","gsk_…","My Groq Key",
//	{"version":1,"exportedAt":"…","keys":[{"platform":"groq","key":"gsk_…","label":"…"}]}
//
// A table made by hand is CSV or JSON with any of these names of fields, in any order;
// an object may also have the channels by their names.
//
// A worker's program has tables that are literals of JavaScript or TypeScript, or JSON.
// Nothing of it is run:
//
//	const routes = { '/github': 'https://api.github.com' }
//	const MODEL_MAP = new Map([["gpt-4o", "openai/gpt-oss-120b"]])
//
// # What is done about hostile input
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

// Options are what the input does not say; they are flags of `caddy freetier import`.
// They never override what a file says itself.
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

// Pool is what was read of one file, or of several. Nothing in it is ready for a
// Caddyfile before Write: names may be missing, given twice, or be somebody's key.
type Pool struct {
	Channels []*Channel
	Forwards []Forward

	// Notes say what was left out or changed, and what to look at.
	//
	// They go to stderr, one a line, and so have counts and positions ("row 7") in them
	// but nothing that was read, which could be a key.
	Notes []string

	left []string // keys that are not in Channels, and may be shown no more than those
}

// Channel is an account, or several alike, and becomes one block `channel`. Keys that
// differ in nothing else are one channel, so that the gateway chooses between them.
type Channel struct {
	Name     string
	URL      string // empty: the provider's
	Provider string // empty: none that is known
	Region   string
	Keys     []string
	NoKey    bool // the API takes none
	Models   []Model
	// Priority is one-api's and new-api's: channels of a higher one are asked first,
	// those of a lower one when they fail. The priorities in use become tiers, 1 for
	// the highest.
	Priority int64
	// Weight is how often a channel is chosen among those of its priority. In both
	// programs 0 is the default and must not mean never, so it counts as 1.
	Weight int64
}

// Model is a line of `models`.
//
// In one-api's model_mapping the client's name is the key and the provider's the value:
// the pair "gpt-4o": "deepseek-chat" becomes `models gpt-4o as deepseek-chat`.
type Model struct {
	Names []string
	As    string // empty: passed on
}

// Forward is a URL to which requests go.
//
// It has nothing to do with models: workers that forward by URL are as common as those
// that forward to models, and stock Caddy does the same with handle_path and
// reverse_proxy.
type Forward struct {
	Host string // of the requests; empty: any
	Path string // where they begin, such as /github; empty: any
	URL  string
}

// leave remembers keys that are left out, so that Write can check that no note and
// no line has one of them in it.
//
// A key of a disabled channel may still be valid, and a name or URL that has it in it
// would show it as well as any other.
func (p *Pool) leave(keys []string) { p.left = append(p.left, keys...) }

func (p *Pool) note(format string, args ...any) {
	p.Notes = append(p.Notes, fmt.Sprintf(format, args...))
}

// maxInput bounds what is read. Tables of a thousand channels have a few megabytes.
const maxInput = 64 << 20

var errNothing = errors.New("nothing in it is a key, a channel or a table that this command knows")

// Read reads a file. Its name only serves for notes and for its ending.
//
// The error names the file and mostly a line. It is for a file that is no text, that
// has nothing for a Caddyfile in it, or whose keys nobody can say the provider of. An
// entry that cannot be taken over is no error but a note.
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
//
// Here an unknown key is an error and not a note: a list has nothing but keys, and one
// that is left out silently would be missed late.
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

// kindOf tells what a text is, by its content first: exports are often named .txt. The
// order matters: JSON would also pass as a script, and a table or variables as a list
// of keys.
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
//
// The usual case is a worker's program with the models and a list with the keys, which
// the program has in its environment.
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
//
// A channel without models gets all (`models *`) if it is the only one. With several,
// clients say which one they mean: `models groq/* as *`, and then
// groq/llama-3.3-70b-versatile.
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
