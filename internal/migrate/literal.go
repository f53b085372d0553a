package migrate

import (
	"errors"
	"regexp"
	"strconv"
	"strings"
	"unicode/utf8"
)

// member is a member of an object. Objects are slices and not maps: the order of a file
// is that of the Caddyfile, and so two runs of the command write the same.
type member struct {
	name  string
	value any // object, []any, string, or nil for what is none of them
}

// object is a JavaScript or JSON object. Numbers, true and false are strings in it,
// since exports write "status": 1, "status": "1" and "status": true for the same thing.
type object []member

// get returns the value of the first of some names, whose letters may be of either case.
//
// null is skipped as if it were not there: new-api writes it for columns that were
// never set.
func (o object) get(names ...string) any {
	for _, name := range names {
		for _, m := range o {
			if strings.EqualFold(m.name, name) && m.value != nil {
				return m.value
			}
		}
	}
	return nil
}

// text returns get as a text.
func (o object) text(names ...string) string {
	text, _ := o.get(names...).(string)
	return text
}

// deepest bounds how deep values may be nested.
//
// The scanner is recursive, and the file comes from outside.
const deepest = 50

var errLiteral = errors.New("no literal")

// scanner reads literals of JavaScript: JSON, with comments, single quotation
// marks, names without any, and commas at the end.
//
// It takes more than any of these languages allow and is no parser of programs: it is
// started behind a `=` and gives up at the first expression that is no literal.
type scanner struct {
	text string
	at   int
}

// space skips white space and comments.
func (s *scanner) space() {
	for s.at < len(s.text) {
		rest := s.text[s.at:]
		switch {
		case strings.ContainsRune(" \t\n\r", rune(rest[0])):
			s.at++
		case strings.HasPrefix(rest, "//"):
			end := strings.IndexByte(rest, '\n')
			if end < 0 {
				end = len(rest)
			}
			s.at += end
		case strings.HasPrefix(rest, "/*"):
			end := strings.Index(rest, "*/")
			if end < 0 {
				s.at = len(s.text)
				return
			}
			s.at += end + 2
		default:
			return
		}
	}
}

// next reports whether a character comes next, and skips it.
func (s *scanner) next(c byte) bool {
	s.space()
	if s.at < len(s.text) && s.text[s.at] == c {
		s.at++
		return true
	}
	return false
}

func (s *scanner) peek() byte {
	s.space()
	if s.at == len(s.text) {
		return 0
	}
	return s.text[s.at]
}

// value reads a value.
func (s *scanner) value(depth int) (any, error) {
	if depth > deepest {
		return nil, errLiteral
	}
	switch c := s.peek(); c {
	case '{':
		return s.object(depth)
	case '[':
		return s.array(depth)
	case '"', '\'', '`':
		return s.quoted()
	case 0:
		return nil, errLiteral
	}
	return s.bare()
}

func (s *scanner) object(depth int) (any, error) {
	o := object{}
	s.next('{')
	for !s.next('}') {
		var name string
		var err error
		if c := s.peek(); c == '"' || c == '\'' {
			name, err = s.quoted()
		} else if name = s.word(); name == "" {
			err = errLiteral
		}
		if err != nil || !s.next(':') {
			return nil, errLiteral
		}
		value, err := s.value(depth + 1)
		if err != nil {
			return nil, err
		}
		o = append(o, member{name, value})
		if !s.next(',') && s.peek() != '}' {
			return nil, errLiteral
		}
	}
	return o, nil
}

func (s *scanner) array(depth int) (any, error) {
	items := []any{}
	s.next('[')
	for !s.next(']') {
		value, err := s.value(depth + 1)
		if err != nil {
			return nil, err
		}
		items = append(items, value)
		if !s.next(',') && s.peek() != ']' {
			return nil, errLiteral
		}
	}
	return items, nil
}

// quoted reads a text in quotation marks.
//
// A template literal (`) may have line breaks; what it inserts with ${ stays as text,
// and is refused later as a character of no URL, name or key.
func (s *scanner) quoted() (string, error) {
	mark := s.text[s.at]
	var text strings.Builder
	for i := s.at + 1; i < len(s.text); i++ {
		switch c := s.text[i]; {
		case c == mark:
			s.at = i + 1
			return text.String(), nil
		case c == '\n' && mark != '`':
			return "", errLiteral
		case c == '\\' && i+1 < len(s.text):
			r, _, tail, err := strconv.UnquoteChar(s.text[i:min(len(s.text), i+12)], 0)
			if err != nil { // one that Go does not have, such as \/ and \'
				i++
				text.WriteByte(s.text[i])
				continue
			}
			text.WriteRune(r)
			i += min(len(s.text)-i, 12) - len(tail) - 1
		default:
			text.WriteByte(c)
		}
	}
	return "", errLiteral
}

// word reads a name.
//
// Dots and dashes are parts of a word, so that env.KEY and -1.5 are read as one.
func (s *scanner) word() string {
	begin := s.at
	for s.at < len(s.text) {
		r, size := utf8.DecodeRuneInString(s.text[s.at:])
		if r < 0x80 && !isWordByte(byte(r)) {
			break
		}
		s.at += size
	}
	return s.text[begin:s.at]
}

func isWordByte(c byte) bool {
	return c == '_' || c == '$' || c == '-' || c == '.' || c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z'
}

// bare reads a number or a word. A number, true and false are texts; what depends on
// the program, such as env.KEY, is nil.
func (s *scanner) bare() (any, error) {
	word := s.word()
	if word == "" {
		return nil, errLiteral
	}
	if _, err := strconv.ParseFloat(word, 64); err == nil || word == "true" || word == "false" {
		return word, nil
	}
	return nil, nil
}

// parseJSON reads JSON.
func parseJSON(text string) (any, error) {
	s := &scanner{text: text}
	value, err := s.value(0)
	if err != nil || s.peek() != 0 {
		return nil, errors.New("its JSON is nested too deeply, or has something behind it")
	}
	return value, nil
}

// literal is a value of a program, with the name that it is given.
//
// The name decides whether a table of texts is one of models, see isModelTable.
type literal struct {
	name  string
	value any
}

// assigned finds `name = {`, `name: Type = [`, `name = new Map([` and Object.freeze's;
// exported finds a default export, as a Cloudflare worker has it for its handlers.
var (
	assigned = regexp.MustCompile(`([A-Za-z_$][\w$]*)\s*(?::\s*[\w<>, ]+)?=\s*(?:new\s+Map\s*\(\s*|Object\.freeze\s*\(\s*)?[{\[]`)
	exported = regexp.MustCompile(`export\s+default\s*[{\[]`)
)

// isScript reports whether a text is a program with literals in it.
func isScript(text string) bool {
	return assigned.MatchString(text) && (strings.Contains(text, "const ") || strings.Contains(text, "let ") || strings.Contains(text, "var ")) || exported.MatchString(text)
}

// literalsOf returns the literals that a program gives a name, and the text's own one.
//
// A literal within one that was read is not tried again; one that cannot be read is
// skipped, with those inside it tried on their own.
func literalsOf(text string) (found []literal) {
	try := func(name string, at int) (end int) {
		s := &scanner{text: text, at: at}
		if value, err := s.value(0); err == nil {
			found = append(found, literal{name, value})
			return s.at
		}
		return at
	}
	if trimmed := strings.TrimLeft(text, " \t\n"); trimmed != "" && (trimmed[0] == '{' || trimmed[0] == '[') {
		try("", len(text)-len(trimmed))
	}
	end := 0
	for _, at := range assigned.FindAllStringSubmatchIndex(text, -1) {
		if at[0] >= end { // not in one that was read
			end = try(text[at[2]:at[3]], at[1]-1)
		}
	}
	return found
}
