package llmgateway

import (
	"github.com/caddy-freetier/caddy-freetier/internal/llm/rawjson"
	"github.com/caddy-freetier/caddy-freetier/internal/llm/refusal"
	"github.com/caddy-freetier/caddy-freetier/internal/llm/usage"
)

// namesRequestedModel reports whether the response must name the model that the client
// has asked for, although it is passed on: Claude Code sends thoughts back only to the
// model that they have come from, and believes the response about which one that is.
// Without them, the provider refuses the next turn or thinks anew.
func (r *reply) namesRequestedModel() bool {
	return !r.translation.isSet() && r.dialect() == refusal.DialectMessages && r.candidate.model != r.model &&
		(r.content.kind == usage.Events || r.content.kind == usage.JSON)
}

// requestedModelStage puts the name of the model that the client has asked for in the
// place of the channel's own, where a message of Anthropic's has it: at its top, or at
// that of the message in the first event. All else passes as it is.
//
// Before and after, for a request of model "auto" that was sent as "claude-x":
//
//	event:  data: {"type":"message_start","message":{"model":"claude-x",…
//	        data: {"type":"message_start","message":{"model":"auto",…
//	JSON:   {"id":"msg_1","model":"claude-x",…  becomes  {"id":"msg_1","model":"auto",…
//
// It works on bytes as they arrive, in pieces of any size, and keeps no more than the
// last string as long as it may be the key. After the first replacement all passes.
type requestedModelStage struct {
	name  string // that the client has asked for
	depth int    // of the message's members: 1 in a message, 2 in an event

	at      int // the depth of the byte that comes next
	state   textState
	key     []byte // the last string, if it may be the key
	value   bool   // the next string is the model
	skipped bool   // within that string
	done    bool
	out     []byte
}

// textState is where in a string a byte stands.
type textState uint8

const (
	outsideText textState = iota
	insideText
	behindBackslash
)

const modelKey = "model"

// pass implements stage.
func (s *requestedModelStage) pass(p []byte, _ continuation) []byte {
	if s.done {
		return p
	}
	s.out = s.out[:0]
	for i, c := range p {
		if s.done {
			return append(s.out, p[i:]...)
		}
		s.next(c)
	}
	return s.out
}

// next passes a byte on, unless it is of the name that is replaced.
func (s *requestedModelStage) next(c byte) {
	if s.state != outsideText {
		s.inText(c)
		return
	}
	switch c {
	case '"':
		s.state, s.skipped, s.key = insideText, s.value, s.key[:0]
		if s.skipped {
			return
		}
	case '{', '[':
		s.at++
		s.value = false
	case '}', ']':
		s.at--
	case ':':
		s.value = s.at == s.depth && string(s.key) == modelKey
	case ',':
		s.value, s.key = false, s.key[:0]
	}
	s.out = append(s.out, c)
}

// inText passes on a byte of a string.
func (s *requestedModelStage) inText(c byte) {
	switch {
	case s.state == behindBackslash:
		s.state = insideText
	case c == '\\':
		s.state = behindBackslash
	case c == '"':
		s.state = outsideText
		if s.skipped {
			s.out = rawjson.AppendString(s.out, s.name)
			s.done = true
			return
		}
	}
	if s.skipped {
		return
	}
	if s.state == insideText && len(s.key) <= len(modelKey) {
		s.key = append(s.key, c)
	}
	s.out = append(s.out, c)
}

// nameRequestedModel lets the response name the model that the client has asked for.
//
// The length of the response is no longer known, so it is sent without one.
func (r *reply) nameRequestedModel() {
	depth := 1
	if r.content.kind == usage.Events {
		depth = 2
	}
	r.content.addStage(&requestedModelStage{name: r.model, depth: depth})
	r.res.ContentLength = -1
	r.res.Header.Del("Content-Length")
}
