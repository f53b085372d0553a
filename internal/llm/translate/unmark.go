package translate

import (
	"bytes"
	"strings"

	"github.com/caddy-freetier/caddy-freetier/internal/llm/neutral"
	"github.com/caddy-freetier/caddy-freetier/internal/llm/rawjson"
)

// deepestMark is how deep in a body signatures are looked for. They stand in a part
// of a part of a message. Without a bound, a mark inside of many brackets would be looked
// for once at each level.
const deepestMark = 16

var mark = []byte(neutral.SignatureMark)

// Unmark takes out of a client's request the signatures that another vendor's
// response has brought into the conversation, for a channel that speaks the client's
// dialect: it would refuse them. A body without any, as almost all are, is returned
// as it is; so is one that is no JSON.
//
// Such a body arises when a conversation begins on a translated channel and goes on with
// one that is not: the agent sends each signature back verbatim, in place. The marks are
// the gateway's own (neutral.Sig.Mark), so that a provider's signatures are not touched.
// All else keeps its bytes but for the space between tokens.
func Unmark(body []byte) []byte {
	if !bytes.Contains(body, mark) {
		return body
	}
	v, err := rawjson.Parse(body)
	if err != nil {
		return body
	}
	w := &rawjson.Writer{Bytes: make([]byte, 0, len(body))}
	unmark(w, v, deepestMark)
	return w.Bytes
}

// unmark writes a value without the marked signatures in it.
func unmark(w *rawjson.Writer, v rawjson.Value, most int) {
	switch {
	case most == 0 || !bytes.Contains(v, mark):
		w.Raw(v)
	case v.Is('['):
		w.Open('[')
		for element := range v.Elements {
			if !isMarked(element) {
				unmark(w, element, most-1)
			}
		}
		w.Close(']')
	case v.Is('{'):
		w.Open('{')
		for name, member := range v.Members {
			switch {
			case name == "thoughtSignature" || name == "thought_signature":
				if !hasMark(member) {
					break
				}
				if v.Get("functionCall").IsSet() || v.Get("function_call").IsSet() {
					w.Name(name)
					w.String("skip_thought_signature_validator") // documented for calls of another model
				}
				continue
			case name == "extra_content" && hasMark(member.Get("google").Get("thought_signature")):
				continue
			}
			w.Name(name)
			unmark(w, member, most-1)
		}
		w.Close('}')
	default:
		w.Raw(v)
	}
}

// isMarked reports whether a block, an item or a detail is nothing but another
// vendor's reasoning, so that it goes as a whole: Anthropic requires the signature of a
// thinking block. The types are those of messages (thinking, redacted_thinking),
// of chat as OpenRouter extends it (reasoning.encrypted), and of responses (reasoning).
// Gemini's signatures stand beside text and calls, which stay.
func isMarked(v rawjson.Value) bool {
	switch v.Get("type").Text() {
	case "thinking":
		return hasMark(v.Get("signature"))
	case "redacted_thinking", "reasoning.encrypted":
		return hasMark(v.Get("data"))
	case "reasoning":
		return hasMark(v.Get("encrypted_content"))
	}
	return false
}

func hasMark(v rawjson.Value) bool {
	return v.Is('"') && strings.HasPrefix(v.Text(), neutral.SignatureMark)
}
