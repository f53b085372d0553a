package neutral

import "github.com/caddy-freetier/caddy-freetier/internal/llm/rawjson"

// ToolKind is how a tool is called and what its input is.
//
// A call must come back as the kind that was declared: Codex aborts at a function_call
// for a custom tool, and expects a tool_search_call item for tool_search. The first
// three kinds are run by the client, see IsClientTool; their order matters.
type ToolKind int

const (
	Function   ToolKind = iota // input is a JSON object
	Freeform                   // input is a text, Codex's custom tools
	ToolSearch                 // Codex's search for more tools, which the client runs
	WebSearch                  // the provider's own
	WebFetch                   // the provider's own
	CodeRun                    // the provider's own
	Hosted                     // what only one provider has
)

// ToolRef is what a client knows a tool by.
//
// Codex groups tools in namespaces, and takes a call only with both names. Namespace is
// empty for all other clients.
type ToolRef struct {
	Namespace string
	Name      string
	Kind      ToolKind
}

// Tool is a tool that the model may call.
//
// Codex declares tools in three places: tools, an input item additional_tools (all of
// them, with newer models), and the output of a tool search. The readers add all of
// them.
type Tool struct {
	ToolRef
	Type        string // the client's word for a tool that is no function
	Description string
	Schema      rawjson.Value // of the arguments; empty for none
	SchemaField string        // as the client calls it
	Strict      Switch
	Grammar     string // of a freeform tool's text
	Syntax      string // of the grammar: lark or regex
	Field       string // where the client has declared it
}

// IsClientTool reports whether the client runs the tool.
func (t *Tool) IsClientTool() bool { return t.Kind <= ToolSearch }

// ChoiceMode says whether the model must call a tool.
type ChoiceMode int

const (
	ChoiceUnset ChoiceMode = iota
	ChoiceAuto
	ChoiceNone
	ChoiceRequired // some tool
)

// ToolChoice says which tools the model may or must call.
//
//	chat, responses   auto    none    required   {"type":"function",…}   allowed_tools
//	messages          auto    none    any        {"type":"tool","name"}
//	gemini            AUTO    NONE    ANY        ANY + allowedFunctionNames
//
// Where a dialect cannot restrict the choice, only the allowed tools are declared.
type ToolChoice struct {
	Mode ChoiceMode
	// Allowed are the only tools that may be called, all if it is empty. With
	// ChoiceRequired and one tool, the model must call this one.
	Allowed []ToolRef
	Named   bool   // the client has forced one tool by its name
	Field   string // as the client calls it

	isAllowed map[ToolRef]bool // those of Allowed that are declared; set by Usable
}

// AddTool declares a tool. The one that was declared first keeps its name.
//
// Of two tools of one name the later is left out without a word: Codex may declare the
// same tool in several places.
func (r *Request) AddTool(tool Tool) {
	if tool.IsClientTool() {
		key := tool.key()
		if r.declared[key] {
			return
		}
		if r.declared == nil {
			r.declared = make(map[ToolRef]bool)
		}
		r.declared[key] = true
	}
	r.Tools = append(r.Tools, tool)
}

// Usable returns the tools that a dialect's writer can declare, and the choice
// among them. accepts reports whether the channel has a tool of this kind; the
// others are recorded as dropped. An error is returned if the model had to call a
// tool that was dropped.
//
// A forced tool that is missing is an error and not a drop: the client waits for that
// call and could do nothing with a text. A choice without any tool is left out, as
// Codex sends tool_choice "auto" with an empty list when it compacts a conversation.
func (r *Request) Usable(accepts func(*Tool) bool) ([]*Tool, ToolChoice, error) {
	var usable []*Tool
	choice := r.Choice
	for i := range r.Tools {
		tool := &r.Tools[i]
		if accepts(tool) {
			usable = append(usable, tool)
			continue
		}
		r.Dropped.Add(tool.Field, "(", tool.label(), ")")
	}
	forced := choice.Mode == ChoiceRequired
	if forced && len(usable) == 0 {
		return nil, choice, r.droppedChoice()
	}
	allowed := choice.Allowed[:0:0]
	var declared map[ToolRef]bool
	if len(choice.Allowed) > 0 {
		declared = make(map[ToolRef]bool, len(usable))
		for _, tool := range usable {
			declared[tool.key()] = true
		}
		choice.isAllowed = make(map[ToolRef]bool, len(choice.Allowed))
	}
	for _, ref := range choice.Allowed {
		if key := ref.key(); declared[key] && !choice.isAllowed[key] {
			choice.isAllowed[key] = true
			allowed = append(allowed, ref)
		}
	}
	if len(allowed) < len(choice.Allowed) {
		r.Dropped.Add(choice.Field, "(undeclared tools)")
	}
	if len(choice.Allowed) > 0 && len(allowed) == 0 {
		if forced {
			return nil, choice, r.droppedChoice()
		}
		choice.Mode = ChoiceNone // only tools that are not there were allowed
	}
	choice.Allowed = allowed
	if len(usable) == 0 {
		choice = ToolChoice{}
	}
	return usable, choice, nil
}

func (r *Request) droppedChoice() error {
	what := "a forced tool"
	for _, ref := range r.Choice.Allowed {
		what = "the forced tool " + ref.label()
	}
	return &UnsupportedError{Param: r.Choice.Field, What: what, Where: []Dialect{r.Dialect}}
}

func (ref *ToolRef) label() string {
	switch {
	case ref.Namespace != "":
		return ref.Namespace + "." + ref.Name
	case ref.Name != "":
		return ref.Name
	}
	return "unnamed"
}

// label is what a tool is called in the list of what was dropped.
func (t *Tool) label() string {
	if t.Kind > ToolSearch && t.Type != "" {
		return t.Type
	}
	return t.ToolRef.label()
}

// key is what tells a tool from others.
func (ref *ToolRef) key() ToolRef { return ToolRef{Namespace: ref.Namespace, Name: ref.Name} }

// Allows reports whether a tool is declared to a channel that cannot be told that
// only some of the tools may be called. Where one tool is forced, all are.
func (c *ToolChoice) Allows(tool *Tool) bool {
	if len(c.Allowed) == 0 || c.Named {
		return true
	}
	return c.isAllowed[tool.key()]
}
