package refusal

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

const (
	// longestText is how much of a message is matched and passed on, in bytes.
	// What matters is at the beginning of a message.
	longestText = 1 << 10
	// longestLead is the longest name of an error in front of a message, in bytes.
	longestLead = 48
)

// plain returns a message in the form that patterns are compared with: ASCII
// letters in lower case, single spaces, no marks at the ends, and without quoted
// parts, which may be the client's words.
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

// without returns a message with a name removed, where it is a word of its own.
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

// quoted returns the end of the quoted part that begins at i, and i if none begins
// there or it does not end.
func quoted(message string, i int) int {
	quote := message[i]
	switch quote {
	case '"', '`':
	case '\'':
		// The apostrophe in "doesn't" is not a quotation mark.
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

// isWord reports whether a byte is part of a word. Every byte of a character
// outside ASCII is.
func isWord(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c >= utf8.RuneSelf
}

// lead returns the text from the provider's own words on, after names of errors
// such as "Error:", "litellm.RateLimitError:", "[1310]" and "429", of which relays
// put several in front of a message.
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

// namesError reports whether a text before a colon is the name of an error. It may
// end with a number, as in "Error code: 429".
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

// pattern is a text to find in a message in plain form. It is written with three
// signs:
//
//	^ at the beginning   the message begins here, after names of errors; see lead
//	$ at the end         the message ends here
//	*                    a gap
//
// After ^ a gap is at most 80 bytes and contains no colon, since the prompt may
// follow one, and a gap right after ^ is a single word, such as a model's name.
type pattern struct {
	parts      []string // between the gaps, in order
	start, end bool     // ^, $
}

// compile returns the pattern that text is written as.
func compile(text string) pattern {
	var p pattern
	text, p.start = strings.CutPrefix(text, "^")
	if n := len(text) - 1; n >= 0 && text[n] == '$' {
		text, p.end = text[:n], true
	}
	p.parts = strings.Split(text, "*")
	return p
}

func compileAll(texts ...string) []pattern {
	patterns := make([]pattern, len(texts))
	for i, text := range texts {
		patterns[i] = compile(text)
	}
	return patterns
}

// match reports whether the pattern is in a text in plain form.
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

// isShortGap reports whether a gap is allowed in a pattern with ^. first is set for
// a gap right after it.
func isShortGap(gap string, first bool) bool {
	if first {
		gap = strings.TrimSpace(gap)
		return len(gap) <= 80 && strings.IndexFunc(gap, func(r rune) bool { return r <= ' ' || r >= utf8.RuneSelf }) < 0
	}
	return len(gap) <= 80 && !strings.Contains(gap, ": ")
}

// fold returns the form in which names of errors are compared: lower case, without
// punctuation except ":" and "*". `InvalidApiKey`, `invalid_api_key` and
// `INVALID_API_KEY` are equal, as the same error is written by different relays.
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

// glob is a pattern for the name of an error, with "*" at its beginning, its end,
// both or neither.
type glob struct {
	text          string // folded
	before, after bool   // whether "*" is there
}

func compileGlob(name string) glob {
	text := fold(name)
	var g glob
	text, g.before = strings.CutPrefix(text, "*")
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

// skeleton returns the words of a message without numbers, ids, keys and quoted
// parts: what stays the same when the same refusal comes again.
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
