package strictprovider

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"unicode/utf8"

	"github.com/caddy-freetier/caddy-freetier/internal/llm/neutral"
)

// Call is a call that a provider makes.
type Call struct {
	// Tool is the tool's name, of one in a namespace as in namespace__name: what it is
	// called when the gateway has translated it, so that a test says it once for all
	// dialects.
	Tool string
	// Arguments are JSON, or the text for a tool that takes one. A text for a tool that
	// was declared as a function goes into its parameter `input`.
	Arguments string
}

// Step is what a provider answers after as many turns with calls as there are steps
// before it. Without calls it is text, with which an agent ends its task.
type Step struct {
	Calls  []Call
	Text   string
	Breaks bool // after all else there is an error in the stream; whole answers are not changed
}

// Provider answers in one dialect. Once it serves, nothing but Steps is changed, by
// SetSteps: ServeHTTP is called by many goroutines, as agents send several requests at
// once. mu protects Steps and what is recorded.
type Provider struct {
	Dialect neutral.Dialect
	Vendor  string // in its signatures; two providers of one Vendor read each other's
	// Steps are what it answers in turn. Requests without the tools of a step, and
	// all after the last one, get Text.
	Steps []Step
	Text  string
	// Intercept may answer in the provider's place, and returns whether it has. turns is
	// how many turns with calls the conversation has. It is called after the request was
	// checked and recorded, by the goroutine that serves it.
	Intercept func(w http.ResponseWriter, turns int) bool

	mu       sync.Mutex
	seen     []Seen
	answered int      // for the ids of responses
	refusals []string // in the order in which they came
}

// Seen is what a provider has found in a request: what has come through the translation,
// there and back again, as a test compares it with the steps that it has set.
type Seen struct {
	Body       []byte
	Called     int      // steps that are in the conversation
	Results    int      // of calls, in all turns
	Images     int      // in messages and results, in all turns
	Signatures []string // of its own, which it has given in earlier turns
	Streamed   bool     // the request asks for a stream
	Tools      int      // that are declared; requests of agents for a title have none
}

// SetSteps replaces Steps while the provider runs.
func (p *Provider) SetSteps(steps []Step) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.Steps = steps
}

func (p *Provider) steps() []Step {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.Steps
}

// Seen returns what was found in all requests that were not refused, in the order in which
// they came. Those that Intercept has answered are among them.
func (p *Provider) Seen() []Seen {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.seen)
}

// Refusals returns why requests were refused. Most tests expect none; agents send some
// requests again in another form, so that a refusal does not make the task fail.
func (p *Provider) Refusals() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.refusals)
}

// tool is a tool that a request declares.
type tool struct {
	schema     any
	isFreeform bool   // and called with plain text
	name       string // with namespace, where the dialect has such
	namespace  string
}

// conversation is what a provider reads of a request.
type conversation struct {
	tools      map[string]tool // by the name in Call.Tool
	turns      int             // of the model, with calls
	results    int
	images     int
	signatures []string
}

// turn is what a provider answers: thoughts with a signature, a text if there is one, and
// calls.
type turn struct {
	calls     []made
	text      string
	signature string
	breaks    bool
	model     string // as the request names it
	number    int    // that the ids of a response have
}

// made is a call of a turn. name and namespace are as the request declares the tool.
type made struct {
	id, name, namespace, arguments string
	isFreeform                     bool
}

// dialect is what a provider of one dialect checks, reads and writes.
type dialect interface {
	// check returns why a request is refused, in the provider's words where a client or
	// the gateway's classifier could act on them.
	check(r object, p *Provider) error
	// read reads a request that check has accepted.
	read(r object) conversation
	// whole returns the answer as one JSON text, and stream as events, each of which is
	// written and flushed by itself.
	whole(turn) string
	stream(turn) []string
}

func (p *Provider) dialect() dialect {
	switch p.Dialect {
	case neutral.Responses:
		return responses{}
	case neutral.Messages:
		return messages{}
	case neutral.Gemini:
		return gemini{}
	}
	return chat{}
}

// Check returns why the provider refuses a body. model is the one in the path, for
// gemini. It changes nothing, and needs neither Steps nor a server.
func (p *Provider) Check(model string, body []byte) error {
	var r object
	if err := json.Unmarshal(body, &r); err != nil {
		return fmt.Errorf("the body is no JSON: %w", err)
	}
	if p.Dialect == neutral.Gemini {
		r[modelInPath] = model
	}
	return p.dialect().check(r, p)
}

// modelInPath is where check finds Gemini's model. The provider sets it, over whatever the
// body has there.
const modelInPath = "(model)"

// ServeHTTP implements http.Handler. A refusal is a 400, whose body has the fields of an
// error in each dialect.
func (p *Provider) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	model, streamed, err := p.path(r)
	if err == nil {
		err = p.Check(model, body)
	}
	if err != nil {
		p.mu.Lock()
		p.refusals = append(p.refusals, err.Error())
		p.mu.Unlock()
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(http.StatusBadRequest)
		_, _ = io.WriteString(w, encode(object{"error": object{"code": 400, "type": "invalid_request_error", "status": "INVALID_ARGUMENT", "message": err.Error()}}))
		return
	}
	var request object
	_ = json.Unmarshal(body, &request) // Check has parsed it
	streamed = streamed || request["stream"] == true
	c := p.dialect().read(request)
	p.record(&c, body, streamed)
	if p.Intercept != nil && p.Intercept(w, c.turns) {
		return
	}
	answer := p.answer(&c)
	answer.model = text(request["model"])
	if !streamed {
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, p.dialect().whole(answer))
		return
	}
	w.Header().Set("Content-Type", "text/event-stream")
	for _, event := range p.dialect().stream(answer) {
		_, _ = io.WriteString(w, event)
		_ = http.NewResponseController(w).Flush()
	}
}

// record adds a request to those that were seen.
func (p *Provider) record(c *conversation, body []byte, streamed bool) {
	seen := Seen{Body: body, Called: c.turns, Results: c.results, Images: c.images, Streamed: streamed, Tools: len(c.tools)}
	for _, s := range c.signatures {
		if p.isOwn(s) {
			seen.Signatures = append(seen.Signatures, s)
		}
	}
	p.mu.Lock()
	p.seen = append(p.seen, seen)
	p.mu.Unlock()
}

// path checks where a request was sent, and reads what it says: for gemini, the model and
// whether the response is a stream. Anthropic's API demands the header anthropic-version,
// which clients of other dialects do not send, so that the gateway must.
func (p *Provider) path(r *http.Request) (model string, streamed bool, err error) {
	want := map[neutral.Dialect]string{neutral.Chat: "/v1/chat/completions", neutral.Responses: "/v1/responses", neutral.Messages: "/v1/messages"}[p.Dialect]
	if want != "" {
		if r.Method != http.MethodPost || r.URL.Path != want {
			return "", false, fmt.Errorf("no such path: %s %s", r.Method, r.URL.Path)
		}
		if p.Dialect == neutral.Messages && r.Header.Get("Anthropic-Version") == "" {
			return "", false, fmt.Errorf("anthropic-version: header is required")
		}
		return "", false, nil
	}
	rest, ok := strings.CutPrefix(r.URL.Path, "/v1beta/models/")
	model, verb, found := strings.Cut(rest, ":")
	if !ok || !found || r.Method != http.MethodPost {
		return "", false, fmt.Errorf("no such path: %s %s", r.Method, r.URL.Path)
	}
	if verb == "streamGenerateContent" && r.URL.Query().Get("alt") != "sse" {
		return "", false, fmt.Errorf("only alt=sse is tested")
	}
	return model, verb == "streamGenerateContent", nil
}

// next returns a number that no response has had. Claude Code takes two responses of
// one id for one.
func (p *Provider) next() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.answered++
	return p.answered
}

// answer returns the turn that comes next. A tool that is not declared is not called: the
// request is for something else, such as a title, or the translation has lost the tool,
// which the test sees by the steps that are missing in Seen.
//
// A call that the declared schema does not allow becomes a text that says so. An agent
// ends with this text in place of the expected one: the schema that has arrived is not
// the one that the agent has sent.
func (p *Provider) answer(c *conversation) turn {
	final := turn{text: p.Text, signature: p.signature(c.turns), number: p.next()}
	steps := p.steps()
	if c.turns >= len(steps) {
		return final
	}
	step := steps[c.turns]
	next := turn{text: step.Text, signature: final.signature, breaks: step.Breaks, number: final.number}
	for i, call := range step.Calls {
		declared, ok := c.tools[call.Tool]
		if !ok {
			return final
		}
		m := made{id: fmt.Sprintf("call_%s_%d_%d", p.Vendor, c.turns, i), name: call.Tool, arguments: call.Arguments, isFreeform: declared.isFreeform}
		if declared.name != "" {
			m.name, m.namespace = declared.name, declared.namespace
		}
		if !declared.isFreeform {
			if !strings.HasPrefix(call.Arguments, "{") {
				m.arguments = `{"input":` + quoteASCII(call.Arguments) + `}`
			}
			var arguments any
			err := json.Unmarshal([]byte(m.arguments), &arguments)
			if err == nil {
				err = valid(declared.schema, arguments, call.Tool)
			}
			if err != nil {
				return turn{text: "the declared schema does not allow the call: " + err.Error(), signature: final.signature}
			}
		}
		next.calls = append(next.calls, m)
	}
	return next
}

// signature is the opaque state of a turn. It is base64, as Google's must be, and has the
// vendor and the turn in it, so that a test can tell which has come back from where.
func (p *Provider) signature(turn int) string {
	return base64.StdEncoding.EncodeToString(fmt.Appendf(nil, "state of %s: turn %d", p.Vendor, turn))
}

// isOwn reports whether a signature is one of this vendor's. One that has come back with
// the gateway's mark around it, or in another alphabet of base64, is not.
func (p *Provider) isOwn(signature string) bool {
	decoded, err := base64.StdEncoding.DecodeString(signature)
	return err == nil && strings.HasPrefix(string(decoded), "state of "+p.Vendor+": turn ")
}

// quoteASCII is a JSON string in which all that is not ASCII is escaped, as Python
// and with it many models write it. Characters beyond 16 bits are two escapes, which a
// translation of pieces may cut apart.
func quoteASCII(s string) string {
	quoted := encode(s)
	var b strings.Builder
	for _, r := range quoted {
		switch {
		case r < utf8.RuneSelf:
			b.WriteRune(r)
		case r > 0xFFFF:
			fmt.Fprintf(&b, `\u%04x\u%04x`, 0xD800+((r-0x10000)>>10), 0xDC00+((r-0x10000)&0x3FF))
		default:
			fmt.Fprintf(&b, `\u%04x`, r)
		}
	}
	return b.String()
}

// pieces cuts arguments into pieces of a few bytes, inside of escapes too, but not inside
// of a character: each piece is a JSON string, which must be valid UTF-8.
func pieces(s string) (cut []string) {
	for len(s) > 0 {
		n := min(5, len(s))
		for n < len(s) && !utf8.RuneStart(s[n]) {
			n++
		}
		cut, s = append(cut, s[:n]), s[n:]
	}
	return cut
}

// encode returns a value as JSON. Unlike json.Marshal it does not escape <, > and &, which
// stand in patches: a test looks for them as they are.
func encode(v any) string {
	var b strings.Builder
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		panic(err)
	}
	return strings.TrimSuffix(b.String(), "\n")
}
