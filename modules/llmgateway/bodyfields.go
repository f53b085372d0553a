package llmgateway

import (
	"io"
	"slices"
	"strings"

	"github.com/caddy-freetier/caddy-freetier/internal/llm/fields"
	"github.com/caddy-freetier/caddy-freetier/internal/llm/neutral"
	"github.com/caddy-freetier/caddy-freetier/internal/reqbody"
)

// bodyFields are the edits that a route's rules make in the body of an attempt.
type bodyFields struct {
	known      bool
	edits      []reqbody.Edit
	translated []byte // a translated body after them
}

// rules returns the rules for the attempt's body, nil for none.
func (a *attempt) rules() *fields.Rules {
	switch m := a.candidate.measures; {
	case m == nil || a.form != nil || a.opaque:
		return nil
	case a.translation.isSet():
		return m.route.rules.of(a.translation.to.dialect == neutral.Chat)
	default:
		return m.route.rules.of(strings.HasSuffix(a.location.path, "/chat/completions"))
	}
}

// translatedBody returns the body of a translated attempt after the route's rules.
func (a *attempt) translatedBody() []byte {
	rules := a.rules()
	if rules == nil {
		return a.rewritten
	}
	if !a.fields.known {
		s := rules.NewScanner(true)
		_, _ = s.Write(a.rewritten)
		a.fields = bodyFields{known: true, translated: reqbody.Edited(a.rewritten, s.Edits())}
	}
	return a.fields.translated
}

// withFields adds the edits that the route's rules make in the body, and returns
// all in order.
func (a *attempt) withFields(edits []reqbody.Edit) []reqbody.Edit {
	rules := a.rules()
	if rules == nil {
		return edits
	}
	if !a.fields.known {
		s := rules.NewScanner(a.asksForOutput())
		body, _ := a.body.Open()
		_, _ = io.Copy(s, body) // what cannot be read now is not read by the attempt either
		body.Close()
		a.fields = bodyFields{known: true, edits: s.Edits()}
	}
	edits = append(edits, a.fields.edits...)
	slices.SortStableFunc(edits, func(a, b reqbody.Edit) int {
		if a.Start == b.Start {
			return int(a.End - b.End)
		}
		return int(a.Start - b.Start)
	})
	return edits
}

// asksForOutput reports whether the request asks a model for output, so that
// fields such as max_tokens may be added.
func (q *request) asksForOutput() bool {
	path := q.location.path
	if i := strings.LastIndexByte(path, ':'); i > 0 {
		return strings.HasSuffix(path[i:], "enerateContent")
	}
	return isCompletions(path) || path == "/v1/messages" || path == "/v1/responses"
}
