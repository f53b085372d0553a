package migrate

import (
	"fmt"
	"regexp"
	"strings"
)

// lists are members behind which exports have their rows. The pages of one-api answer
// {"success":true,"data":[…]}, new-api {"data":{"items":[…]}}, FreeLLMAPI {"keys":[…]}.
var lists = []string{"data", "items", "channels", "records", "rows", "list", "accounts", "keys", "providers"}

// readJSON reads an export, or a table. It uses this package's scanner and not
// encoding/json, which loses the order of members: blocks come out in the order of the
// file.
func (p *Pool) readJSON(text string, o Options) error {
	value, err := parseJSON(text)
	if err != nil {
		return err
	}
	return p.readValue(literal{"", value}, true, o)
}

// readScript reads the tables of a program. It finds literals behind names and runs
// nothing, so a table that is put together at run time is not seen.
func (p *Pool) readScript(text string, o Options) error {
	for _, found := range literalsOf(text) {
		if err := p.readValue(found, found.name == "", o); err != nil {
			return err
		}
	}
	return nil
}

// isModelTable is the name of a table of models in a program.
//
// In a program any object may have texts in it, such as headers; only one with such a
// name is taken for models. Where the file is nothing but the table, the name is not
// needed.
var isModelTable = regexp.MustCompile(`(?i)model|alias|mapping`)

// readValue reads a value. Where it is the whole of a file it must be something.
func (p *Pool) readValue(v literal, whole bool, o Options) error {
	switch value := v.value.(type) {
	case []any:
		return p.readArray(v.name, value, whole, o)
	case object:
		return p.readObject(v.name, value, whole, o)
	}
	return nil
}

// readArray reads rows, the pairs of a Map, or, if it is the whole file, a list of
// keys.
func (p *Pool) readArray(name string, items []any, whole bool, o Options) error {
	pairs, texts := object{}, []string{}
	for i, item := range items {
		switch item := item.(type) {
		case object:
			if isRow(item) {
				p.readRow(item, fmt.Sprintf("entry %d", i+1), o)
			}
		case []any: // as new Map takes it
			if len(item) == 2 {
				if from, ok := item[0].(string); ok {
					pairs = append(pairs, member{from, item[1]})
				}
			}
		case string:
			texts = append(texts, item)
		}
	}
	p.join()
	if len(pairs) > 0 {
		return p.readObject(name, pairs, whole, o)
	}
	if whole && len(texts) > 0 {
		return p.readKeys(strings.Join(texts, "\n"), o)
	}
	return nil
}

// readObject reads an object that is a row, has rows behind a member, or is a table
// itself: of channels by name, of URLs by path or host, or of models. A table may mix
// them.
func (p *Pool) readObject(name string, value object, whole bool, o Options) error {
	if isRow(value) {
		p.readRow(value, "the entry", o)
		return nil
	}
	for _, list := range lists {
		if inner := value.get(list); inner != nil {
			switch inner.(type) {
			case []any, object:
				return p.readValue(literal{list, inner}, whole, o)
			}
		}
	}
	var models object
	for _, m := range value {
		switch inner := m.value.(type) {
		case object:
			if isRow(inner) {
				if inner.text(nameFields...) == "" {
					inner = append(object{{"name", m.name}}, inner...)
				}
				p.readRow(inner, fmt.Sprintf("entry %d", len(p.Channels)+1), o)
			}
		case string:
			if strings.HasPrefix(inner, "http://") || strings.HasPrefix(inner, "https://") {
				p.readForward(m.name, inner)
			} else {
				models = append(models, member{m.name, inner})
			}
		}
	}
	if len(models) == 0 || !whole && !isModelTable.MatchString(name) {
		return nil
	}
	return p.readModelTable(models, o)
}

// readModelTable reads a table of names of models, and the channel's own names.
//
// It has no keys: they come from the same command's other files, see Add.
func (p *Pool) readModelTable(pairs object, o Options) error {
	lines, wrong := mapped(nil, pairs)
	if wrong > 0 {
		p.note("pairs of models that cannot stand in a Caddyfile, and are left out: %d", wrong)
	}
	if len(lines) == 0 {
		return nil
	}
	c, err := o.channel()
	if err != nil {
		return err
	}
	if c == nil {
		p.note("a table of %d models is left out, since nothing says whose they are: say it with --provider or --url", len(lines))
		return nil
	}
	c.Models = lines
	p.Channels = append(p.Channels, c)
	return nil
}

// notPaths are names of members whose URLs are no table.
//
// A package.json and page attributes in a program have such members.
var notPaths = regexp.MustCompile(`(?i)^(url|href|src|link|origin|referer|image|icon|logo|docs?|home(page)?|schema|\$schema)$`)

// readForward reads where requests of a host or a path go.
//
// /github and /github/* are the same here, github without a slash too. A word with a
// dot is a host, unless it begins with a slash.
func (p *Pool) readForward(from, to string) {
	if notPaths.MatchString(from) {
		return
	}
	base, err := plainURL(to)
	if err != nil {
		p.note("a forward is left out, since %v", err)
		return
	}
	f := Forward{URL: base}
	switch path := strings.TrimSuffix(strings.TrimRight(from, "/"), "/*"); {
	case !strings.HasPrefix(from, "/") && strings.Contains(from, ".") && hostWord.MatchString(from):
		f.Host = strings.ToLower(from)
	case from == "/" || from == "*" || from == "/*" || from == "":
	case !strings.HasPrefix(path, "/"):
		f.Path = "/" + path
	default:
		f.Path = path
	}
	if !pathWord.MatchString(f.Path) || len(f.Path) > longestWord {
		p.note("a forward is left out, since its path has characters that it cannot have here")
		return
	}
	for _, other := range p.Forwards {
		if other.Host == f.Host && other.Path == f.Path {
			p.note("a forward is left out, since another one has its place")
			return
		}
	}
	p.Forwards = append(p.Forwards, f)
}
