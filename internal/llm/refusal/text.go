package refusal

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

const (
	// longestText is how much of a message is matched. Providers say what they
	// have to say at the beginning.
	longestText = 1 << 10
	// longestLead is the longest prefix of a message that names a kind of error.
	longestLead = 48
)

// plain returns a message in the form that patterns match: lower-case ASCII,
// single spaces, and without the quoted parts, which may be anybody's words.
func plain(message string) string {
	if len(message) > longestText {
		message = strings.ToValidUTF8(message[:longestText], "")
	}
	message = straighten.Replace(message)
	var b strings.Builder
	b.Grow(len(message))
	blank := true
	for i := 0; i < len(message); {
		if end := quoted(message, i); end > i {
			i = end
			continue
		}
		c := message[i]
		i++
		switch {
		case c <= ' ':
			if blank {
				continue
			}
			c = ' '
		case c >= 'A' && c <= 'Z':
			c += 'a' - 'A'
		}
		blank = c == ' '
		b.WriteByte(c)
	}
	return strings.Trim(b.String(), " .!。！")
}

// without returns a message without a name, where that stands alone.
func without(message, name string) string {
	if len(name) < 2 || !strings.Contains(message, name) {
		return message
	}
	var b strings.Builder
	for {
		i := strings.Index(message, name)
		if i < 0 {
			b.WriteString(message)
			return b.String()
		}
		end := i + len(name)
		b.WriteString(message[:i])
		if i > 0 && isWord(message[i-1]) || end < len(message) && isWord(message[end]) {
			b.WriteString(name)
		}
		message = message[end:]
	}
}

// straighten replaces typographic quotes and marks with plain ones.
var straighten = strings.NewReplacer(
	"“", `"`, "”", `"`, "„", `"`, "«", `"`, "»", `"`, "「", `"`, "」", `"`,
	"‘", "'", "’", "'", "`", "`", "：", ": ", "，", ", ", "\u00a0", " ",
)

// quoted returns the end of the quoted part that begins at i, and i if none
// does.
func quoted(message string, i int) int {
	quote := message[i]
	switch quote {
	case '"', '`':
	case '\'':
		// The apostrophe of a word is no quote.
		if i > 0 && isWord(message[i-1]) {
			return i
		}
	default:
		return i
	}
	for at := i + 1; at < len(message); at++ {
		if message[at] != quote {
			continue
		}
		if quote == '\'' && at+1 < len(message) && isWord(message[at+1]) {
			continue
		}
		return at + 1
	}
	return i
}

func isWord(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c >= utf8.RuneSelf
}

// lead returns where the provider's own words begin: behind names of errors
// such as `Error:`, `litellm.RateLimitError: `, `[1310]` and `429 `.
func lead(text string) string {
	for {
		rest := strings.TrimLeft(text, " -:|")
		if inner, ok := strings.CutPrefix(rest, "["); ok {
			if end := strings.IndexByte(inner, ']'); end >= 0 && end <= longestLead {
				text = inner[end+1:]
				continue
			}
		}
		if number, after, ok := strings.Cut(rest, " "); ok && len(number) == 3 && isDigits(number) {
			text = after
			continue
		}
		name, after, ok := strings.Cut(rest, ":")
		if !ok || len(name) > longestLead || !namesError(name) {
			return rest
		}
		text = after
	}
}

func namesError(name string) bool {
	name = strings.TrimRight(name, " 0123456789")
	for _, end := range [...]string{"error", "exception", "error code", "status code", "upstream"} {
		if strings.HasSuffix(name, end) {
			return true
		}
	}
	return false
}

func isDigits(s string) bool {
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return false
		}
	}
	return s != ""
}

// pattern is a text to look for: its parts in this order. "^" at its beginning
// means the beginning of the message, "$" at its end the end, "*" a gap. Where
// the beginning counts, a gap is short and has no colon in it, since what
// follows one may be the prompt; a gap at the very beginning is a name.
type pattern struct {
	parts      []string
	start, end bool
}

func compile(text string) pattern {
	var p pattern
	text, p.start = cutPrefix(text, "^")
	if n := len(text) - 1; n >= 0 && text[n] == '$' {
		text, p.end = text[:n], true
	}
	p.parts = strings.Split(text, "*")
	return p
}

func cutPrefix(s, prefix string) (string, bool) { return strings.CutPrefix(s, prefix) }

// match reports whether a plain text has the pattern.
func (p *pattern) match(text string) bool {
	if p.start {
		text = lead(text)
		if !strings.HasPrefix(text, p.parts[0]) {
			return false
		}
	}
	for i, part := range p.parts {
		if p.end && i == len(p.parts)-1 {
			if i == 0 && p.start {
				return text == part
			}
			return strings.HasSuffix(text, part)
		}
		at := strings.Index(text, part)
		if at < 0 || p.start && !isShortGap(text[:at], i == 1 && p.parts[0] == "") {
			return false
		}
		text = text[at+len(part):]
	}
	return true
}

func isShortGap(gap string, first bool) bool {
	if first {
		// A name, such as a model's.
		gap = strings.TrimSpace(gap)
		return len(gap) <= 80 && strings.IndexFunc(gap, func(r rune) bool { return r <= ' ' || r >= utf8.RuneSelf }) < 0
	}
	return len(gap) <= 80 && !strings.Contains(gap, ": ")
}

// fold returns a word in the form that names of errors are compared in:
// `InvalidApiKey`, `invalid_api_key` and `INVALID_API_KEY` are the same.
func fold(word string) string {
	var b strings.Builder
	b.Grow(len(word))
	for i := range len(word) {
		c := word[i]
		switch {
		case c >= 'A' && c <= 'Z':
			b.WriteByte(c + 'a' - 'A')
		case c >= 'a' && c <= 'z', c >= '0' && c <= '9', c >= utf8.RuneSelf, c == ':', c == '*':
			b.WriteByte(c)
		}
	}
	return b.String()
}

// glob is the name of an error, with "*" at its beginning, its end or both.
type glob struct {
	text          string
	before, after bool
}

func compileGlob(name string) glob {
	text := fold(name)
	var g glob
	text, g.before = cutPrefix(text, "*")
	if rest, ok := strings.CutSuffix(text, "*"); ok {
		text, g.after = rest, true
	}
	g.text = text
	return g
}

func (g *glob) match(word string) bool {
	switch {
	case g.before && g.after:
		return strings.Contains(word, g.text)
	case g.before:
		return strings.HasSuffix(word, g.text)
	case g.after:
		return strings.HasPrefix(word, g.text)
	}
	return word == g.text
}

// skeleton returns what stays the same of a message when the same refusal comes
// again: its words, without numbers, ids, keys and quoted parts.
func skeleton(message string) string {
	words := strings.FieldsFunc(plain(message), func(r rune) bool {
		return r != '_' && r != '-' && r != '*' && !unicode.IsLetter(r) && !unicode.IsDigit(r)
	})
	kept := words[:0]
	for _, word := range words {
		if !isID(word) {
			kept = append(kept, word)
		}
	}
	return strings.Join(kept, " ")
}

// isID reports whether a word may be an id, a time, a number or a key.
func isID(word string) bool {
	if strings.ContainsAny(word, "0123456789*") {
		return true
	}
	for _, prefix := range [...]string{"org-", "org_", "proj_", "req_", "req-", "key-", "sk-", "user-", "user_", "acct_"} {
		if strings.HasPrefix(word, prefix) {
			return true
		}
	}
	return len(word) > 24 && word[0] < utf8.RuneSelf
}
