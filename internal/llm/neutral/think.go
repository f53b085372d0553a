package neutral

import "strings"

// ThinkTags takes reasoning that a local model has written into its text, between
// <think> and </think>, out of it. Servers with a parser for the model's template
// (vLLM, SGLang) send reasoning_content instead; others leave the tags in. Only the
// beginning of a response is looked at: the same words later are text.
//
//	unknown ─<think>─▶ thinking ─</think>─▶ trim ─text─▶ over
//	   └──────────── anything else ────────────────────────┘
//
// A tag may be cut between pieces. Its possible beginning is kept until the next piece,
// and nothing else is: the client sees text as it comes.
type ThinkTags struct {
	state thinkState
	kept  string // may be the beginning of a tag
}

type thinkState int

const (
	thinkUnknown thinkState = iota // nothing but space has come
	thinking
	thinkOver
	thinkTrim // the space between </think> and the text
)

// Open says that the response begins inside of a thought: the templates of some
// models write <think> themselves, so that only its end is in the response.
func (t *ThinkTags) Open() { t.state = thinking }

// Add calls emit with the thought and the text that a piece adds.
func (t *ThinkTags) Add(piece string, emit func(kind EventKind, text string)) {
	if t.state == thinkOver {
		emit(TextDelta, piece)
		return
	}
	text := t.kept + piece
	t.kept = ""
	for {
		switch t.state {
		case thinkUnknown:
			begun := strings.TrimLeft(text, " \t\r\n")
			rest, tagged := cutTag(begun)
			switch {
			case tagged:
				t.state = thinking
				text = strings.TrimLeft(rest, "\r\n")
				continue
			case len(text) > maxOpening:
			case begun == "" || strings.HasPrefix("<think>", begun) || strings.HasPrefix("<thinking>", begun):
				t.kept = text
				return
			}
			t.state = thinkOver
			emit(TextDelta, text)
			return
		case thinking:
			thought, rest, ended := cutEnd(text)
			if ended {
				t.state = thinkTrim
				say(emit, ThoughtDelta, strings.TrimRight(thought, "\r\n"))
				text = rest
				continue
			}
			safe := len(text) - partialEnd(text)
			say(emit, ThoughtDelta, text[:safe])
			t.kept = text[safe:]
			return
		case thinkTrim:
			if text = strings.TrimLeft(text, " \t\r\n"); text == "" {
				return
			}
			t.state = thinkOver
			emit(TextDelta, text)
			return
		default:
			say(emit, TextDelta, text)
			return
		}
	}
}

// End calls emit with what was kept back.
func (t *ThinkTags) End(emit func(kind EventKind, text string)) {
	kind := TextDelta
	if t.state == thinking {
		kind = ThoughtDelta
	}
	say(emit, kind, t.kept)
	t.kept = ""
	t.state = thinkOver
}

func say(emit func(EventKind, string), kind EventKind, text string) {
	if text != "" {
		emit(kind, text)
	}
}

func cutTag(text string) (rest string, ok bool) {
	if rest, ok = strings.CutPrefix(text, "<think>"); ok {
		return rest, true
	}
	return strings.CutPrefix(text, "<thinking>")
}

func cutEnd(text string) (before, after string, ok bool) {
	if before, after, ok = strings.Cut(text, "</think>"); ok {
		return before, after, true
	}
	return strings.Cut(text, "</thinking>")
}

// partialEnd returns the length of the end of a text that may be the beginning of
// the tag that ends a thought.
func partialEnd(text string) int {
	for _, tag := range []string{"</thinking>", "</think>"} {
		for n := min(len(tag)-1, len(text)); n > 0; n-- {
			if strings.HasSuffix(text, tag[:n]) {
				return n
			}
		}
	}
	return 0
}
