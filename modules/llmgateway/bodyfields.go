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
//
// The fields belong to one attempt: another candidate may have other rules. They are
// found when the body is first opened, and kept, since net/http opens it again when a
// connection that was kept alive turns out to be closed.
type bodyFields struct {
	known      bool
	edits      []reqbody.Edit
	translated []byte // a translated body after them
}

// rules returns the rules for the attempt's body, nil for none.
//
// There are none for forms and for bodies that are not read. Rules of a preset are for
// chat completions only, since that is what their sources describe; those of the
// configuration are for all JSON bodies.
func (c *call) rules() *fields.Rules {
	switch m := c.candidate.measures; {
	case m == nil || c.form != nil || c.opaque:
		return nil
	case c.translation.isSet():
		return m.route.rules.of(c.translation.to.dialect == neutral.Chat)
	default:
		return m.route.rules.of(strings.HasSuffix(c.location.path, "/chat/completions"))
	}
}

// translatedBody returns the body of a translated attempt after the route's rules.
func (c *call) translatedBody() []byte {
	rules := c.rules()
	if rules == nil {
		return c.rewritten
	}
	if !c.fields.known {
		s := rules.NewScanner(true)
		_, _ = s.Write(c.rewritten)
		c.fields = bodyFields{known: true, translated: reqbody.Edited(c.rewritten, s.Edits())}
	}
	return c.fields.translated
}

// withFields adds the edits that the route's rules make in the body, and returns
// all in order.
//
// edits are places in the client's body (the model's name, stream_options). All are in
// order, so that the body is edited while it is sent and not held in memory twice.
func (c *call) withFields(edits []reqbody.Edit) []reqbody.Edit {
	rules := c.rules()
	if rules == nil {
		return edits
	}
	if !c.fields.known {
		s := rules.NewScanner(c.asksForOutput())
		body, _ := c.body.Open()
		_, _ = io.Copy(s, body) // what cannot be read now is not read by the attempt either
		body.Close()
		c.fields = bodyFields{known: true, edits: s.Edits()}
	}
	edits = append(edits, c.fields.edits...)
	slices.SortStableFunc(edits, func(a, b reqbody.Edit) int {
		if a.Start == b.Start {
			return int(a.End - b.End)
		}
		return int(a.Start - b.Start)
	})
	return edits
}
