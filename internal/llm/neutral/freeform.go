package neutral

import (
	"bytes"
	"strings"
	"unicode/utf8"

	"github.com/caddy-freetier/caddy-freetier/internal/llm/rawjson"
)

// FreeformField is the only parameter of the function that stands for a freeform
// tool where a dialect has none.
//
// Codex's apply_patch is such a tool: its input is a patch, not JSON. To a Chat,
// Messages or Gemini model it is a function with one string, and its call is turned
// back:
//
//	{"input":"*** Begin Patch\n…"}  ─▶  *** Begin Patch
const FreeformField = "input"

// FreeformSchema is the schema of that function.
func FreeformSchema() rawjson.Value {
	return rawjson.Value(`{"type":"object","properties":{"input":{"type":"string"}},"required":["input"],"additionalProperties":false}`)
}

// FreeformDescription returns the description of that function: what the tool is,
// and the grammar of its text.
func FreeformDescription(tool *Tool) string {
	description := tool.Description
	if tool.Grammar != "" {
		description += "\n\nThe input must follow this " + grammarName(tool.Syntax) + ":\n" + tool.Grammar
	}
	return strings.TrimPrefix(description, "\n\n")
}

// grammarName is what a grammar is called in a description.
func grammarName(syntax string) string {
	switch syntax {
	case "regex":
		return "regular expression"
	case "":
		return "grammar"
	}
	return strings.ToUpper(syntax[:1]) + syntax[1:] + " grammar"
}

// FreeformArguments returns the function's arguments that stand for a text.
func FreeformArguments(text string) string {
	arguments := append(make([]byte, 0, len(text)+16), `{"input":`...)
	return string(append(rawjson.AppendString(arguments, text), '}'))
}

// FreeformText returns the text that arguments stand for. A model that has written
// the text itself, and no JSON, meant that.
//
// A model may give the parameter another name: if there is exactly one text, it is
// that.
func FreeformText(arguments string) string {
	object, err := rawjson.Parse([]byte(arguments))
	if err != nil || !object.Is('{') {
		return arguments
	}
	if input := object.Get(FreeformField); input.Is('"') {
		return input.Text()
	}
	texts, only := 0, ""
	for _, member := range object.Members {
		if member.Is('"') {
			texts++
			only = member.Text()
		}
	}
	if texts == 1 {
		return only
	}
	return arguments
}

// FreeformDecoder takes the text out of arguments as they come, in pieces that may
// end anywhere. What the pieces say together is what FreeformText returns.
//
// That the two agree is tested: a client that streams and one that does not must get
// the same patch. What cannot be decoded piece by piece is given as a whole by End.
type FreeformDecoder struct {
	state freeformState
	kept  []byte // not decoded yet: the beginning, or a part of a character
}

type freeformState int

const (
	beforeText freeformState = iota // {"input":" has not come
	inText                          // between the quotes
	afterText
	notStreamable // anything else: it is decoded when all has come
)

// maxOpening is the longest beginning of arguments, with space in it, behind which text
// is streamed. It bounds a longer one that has come as a whole too, so that the result
// does not depend on the pieces.
const maxOpening = 256

// Add returns the text that a piece adds.
func (d *FreeformDecoder) Add(piece string) string {
	d.kept = append(d.kept, piece...)
	switch d.state {
	case beforeText:
		length, complete := opening(d.kept)
		if length < 0 || length > maxOpening {
			d.state = notStreamable
			return ""
		}
		if !complete {
			return ""
		}
		d.kept = d.kept[length:]
		d.state = inText
	case afterText:
		d.kept = d.kept[:0]
		return ""
	case notStreamable:
		return ""
	}
	return d.decode()
}

// End returns the text that is left when all has come.
func (d *FreeformDecoder) End() string {
	rest := d.kept
	d.kept = nil
	switch d.state {
	case beforeText, notStreamable:
		return FreeformText(string(rest))
	case inText:
		return rawjson.ValidText(bytes.TrimPrefix(rest, []byte(`\`))) // cut off
	}
	return ""
}

// decode takes out of what is kept all that is known of the text.
func (d *FreeformDecoder) decode() string {
	var text []byte
	rest := d.kept
	for len(rest) > 0 {
		if rest[0] == '"' {
			d.state = afterText
			rest = nil
			break
		}
		if rest[0] == '\\' {
			r, length := rawjson.Unescape(rest)
			if length == 0 {
				break // more must come
			}
			text = utf8.AppendRune(text, r)
			rest = rest[length:]
			continue
		}
		plain := rest
		if end := bytes.IndexAny(rest, `"\`); end >= 0 {
			plain = rest[:end]
		} else if !utf8.FullRune(lastRune(rest)) {
			plain = rest[:len(rest)-len(lastRune(rest))]
		}
		text = append(text, plain...)
		if len(plain) == 0 {
			break
		}
		rest = rest[len(plain):]
	}
	d.kept = append(d.kept[:0], rest...)
	return rawjson.ValidText(text)
}

// lastRune returns the bytes from the last one that can begin a character.
func lastRune(text []byte) []byte {
	for i := len(text) - 1; i >= 0 && i >= len(text)-utf8.UTFMax; i-- {
		if utf8.RuneStart(text[i]) {
			return text[i:]
		}
	}
	return nil
}

// opening returns the length of {"input":" at the beginning of arguments, with
// space where JSON allows it, and whether it is complete. The length is -1 if
// they begin in another way.
func opening(text []byte) (length int, complete bool) {
	for _, token := range []string{"{", `"` + FreeformField + `"`, ":", `"`} {
		for length < len(text) && strings.IndexByte(" \t\r\n", text[length]) >= 0 {
			length++
		}
		have := min(len(token), len(text)-length)
		if string(text[length:length+have]) != token[:have] {
			return -1, false
		}
		length += have
		if have < len(token) {
			return length, false
		}
	}
	return length, true
}
