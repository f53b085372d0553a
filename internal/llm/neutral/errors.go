package neutral

import (
	"bytes"
	"net/http"
	"regexp"
	"strings"

	"github.com/caddy-freetier/caddy-freetier/internal/llm/rawjson"
)

// ContextExceeded is the code of an error that says that the request is longer than the
// model's context. Clients shorten the conversation when they see it: Codex by this
// code, Claude Code by the words of PromptTooLong. So it is recognised in all
// providers' words.
const ContextExceeded = "context_length_exceeded"

// ReadError reads an error in any dialect, or in another form that is common:
//
//	{"error":{"message","type","code"}}  {"type":"error","error":{…}}
//	{"error":{"code","message","status"}}  [{"error":…}]  {"error":"…"}  {"message":"…"}
//
// What is none of these is the message itself. status is HTTP's, 0 for an error in
// a stream.
//
// Gemini's Chat endpoint sends the array; {"error":"…"} and {"message":"…"} are those
// of small servers. A page of HTML, as a proxy before the provider sends it, is not
// shown.
func ReadError(status int, body []byte) *Error {
	e := &Error{Status: status}
	v, err := rawjson.Parse(body)
	if err != nil {
		e.Message = strings.ToValidUTF8(string(bytes.TrimSpace(body[:min(len(body), 500)])), "")
		if strings.HasPrefix(e.Message, "<") {
			e.Message = "The provider sent a page in place of a response"
		}
	}
	for first := range v.Elements {
		v = first
		break
	}
	object := v.Get("error")
	switch {
	case object.Is('{'):
	case v.Get("response").Get("error").Is('{'):
		object = v.Get("response").Get("error") // response.failed
	case object.Is('"'):
		e.Message = object.Text()
		object = v
	default:
		object = v
	}
	e.read(object)
	if e.Message == "" {
		e.Message = http.StatusText(e.statusOr(http.StatusInternalServerError))
	}
	if isContextExceeded(e) {
		e.Code = ContextExceeded
	}
	return e
}

func (e *Error) read(object rawjson.Value) {
	for name, member := range object.Members {
		switch name {
		case "message", "detail", "msg":
			if e.Message == "" {
				e.Message = textOf(member)
			}
		case "type":
			if e.Type = member.Text(); e.Type == "error" {
				e.Type = ""
			}
		case "param":
			e.Param = member.Text()
		case "status":
			if e.Code == "" {
				e.Code = member.Text()
			}
		case "code":
			if n, ok := member.Int(); ok {
				if e.Status == 0 && n >= 400 && n <= 599 {
					e.Status = int(n)
				}
			} else if member.Is('"') {
				e.Code = member.Text()
			}
		}
	}
}

func textOf(v rawjson.Value) string {
	if v.Is('"') {
		return v.Text()
	}
	return string(v[:min(len(v), 500)])
}

// contextPhrases are how providers say that a request is longer than the context.
var contextPhrases = []string{
	"context_length_exceeded", "maximum context length", "prompt is too long", "context window", "context length",
	"exceeds the maximum number of tokens", "input token count", "too many tokens in the prompt",
}

// isContextExceeded looks for the phrases. A 429 that speaks of tokens is about tokens
// a minute, and waiting helps there.
func isContextExceeded(e *Error) bool {
	if e.Status == http.StatusTooManyRequests || e.Status >= 500 {
		return false
	}
	text := strings.ToLower(e.Code + " " + e.Message)
	for _, phrase := range contextPhrases {
		if strings.Contains(text, phrase) {
			return true
		}
	}
	return false
}

var numbers = regexp.MustCompile(`\d[\d,]*\d`)

// PromptTooLong returns the words by which Messages' clients know that a request is
// longer than the context.
//
// Anthropic's are "prompt is too long: 210000 tokens > 200000 maximum", at which Claude
// Code says so or compacts the conversation. Other providers' messages have them in
// another order, so the larger one is taken for the request.
func (e *Error) PromptTooLong() string {
	if strings.Contains(e.Message, "prompt is too long") {
		return e.Message
	}
	var found []string
	for _, n := range numbers.FindAllString(e.Message, 4) {
		if n = strings.ReplaceAll(n, ",", ""); len(n) > 2 {
			found = append(found, n)
		}
	}
	if len(found) < 2 {
		return "prompt is too long: " + e.Message
	}
	have, most := found[0], found[1]
	if len(have) < len(most) || (len(have) == len(most) && have < most) {
		have, most = most, have
	}
	return "prompt is too long: " + have + " tokens > " + most + " maximum"
}

// StatusOr is the HTTP status of the error: that of the response, or the one that
// its type or code stands for.
func (e *Error) StatusOr(other int) int { return e.statusOr(other) }

func (e *Error) statusOr(other int) int {
	if e.Status != 0 {
		return e.Status
	}
	word := strings.ToLower(e.Type + " " + e.Code)
	for _, known := range errorWords {
		if strings.Contains(word, known.word) {
			return known.status
		}
	}
	return other
}

// errorWords are parts of types and codes, and the statuses that they stand for.
//
// The first that fits counts, so that the more specific ones stand before "invalid",
// which many types begin with. 529 is Anthropic's status for an overloaded model.
var errorWords = []struct {
	word   string
	status int
}{
	{"overloaded", 529},
	{"rate_limit", http.StatusTooManyRequests},
	{"quota", http.StatusTooManyRequests},
	{"resource_exhausted", http.StatusTooManyRequests},
	{"authentication", http.StatusUnauthorized},
	{"unauthenticated", http.StatusUnauthorized},
	{"billing", http.StatusPaymentRequired},
	{"permission", http.StatusForbidden},
	{"not_found", http.StatusNotFound},
	{"too_large", http.StatusRequestEntityTooLarge},
	{"context_length", http.StatusBadRequest},
	{"invalid", http.StatusBadRequest},
	{"unavailable", http.StatusServiceUnavailable},
	{"timeout", http.StatusGatewayTimeout},
	{"deadline", http.StatusGatewayTimeout},
	{"content_", http.StatusBadRequest},
}
