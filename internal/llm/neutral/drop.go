package neutral

import "github.com/caddy-freetier/caddy-freetier/internal/llm/rawjson"

// thoughtFields is where each dialect has reasoning of earlier turns.
var thoughtFields = map[Dialect]string{
	Chat:      "messages[].reasoning_content",
	Responses: "input[](reasoning)",
	Messages:  "messages[].content[](thinking)",
	Gemini:    "contents[].parts[](thought)",
}

// DropThought records that reasoning, or its signature, does not go to the channel,
// because it is another vendor's.
func (r *Request) DropThought() { r.Dropped.Add(thoughtFields[r.Dialect]) }

// DropSig records that a signature that stands on a text or a call does not go to
// the channel.
func (r *Request) DropSig(sig Sig) {
	if sig.Value != "" && sig.Value != TextOnly {
		r.DropThought()
	}
}

// DropMedia records that the channel has no place for what a model has made other
// than text.
func (r *Request) DropMedia(media *MediaPart) {
	path := "messages[].content[]"
	switch r.Dialect {
	case Responses:
		path = "input[].content[]"
	case Gemini:
		path = "contents[].parts[]"
	}
	r.Dropped.Add(path, "(", media.Noun(), ")")
}

// OnlyIn returns an error if a message of a role has parts that only the other role
// may have.
//
// A provider would refuse it with words of its own dialect, which the client cannot
// match to its request.
func OnlyIn(role Role, parts []Part, path string) error {
	for i := range parts {
		kind := parts[i].Kind
		switch {
		case role == User && kind == Call:
			return &InvalidError{Param: path, Reason: "a call of a tool in a message of the user"}
		case role == User && kind == Thought:
			return &InvalidError{Param: path, Reason: "reasoning in a message of the user"}
		case role == Assistant && kind == Result:
			return &InvalidError{Param: path, Reason: "the result of a call in a message of the model"}
		}
	}
	return nil
}

// DropParallel records that the channel cannot be told whether calls may be made in
// parallel.
func (r *Request) DropParallel() {
	if r.Dialect == Messages {
		r.Dropped.Add("tool_choice.disable_parallel_tool_use")
		return
	}
	r.Dropped.Add("parallel_tool_calls")
}

// DropFormatName records that the channel has no place for a format's name and
// description.
func (r *Request) DropFormatName() {
	if r.Format.Name != "" {
		r.Dropped.Add(r.Format.Field, ".name")
	}
	if r.Format.Description != "" {
		r.Dropped.Add(r.Format.Field, ".description")
	}
}

// Schema returns a schema that the client calls path in a form, and records what
// the form does not have of it, such as tools[].input_schema(propertyNames).
func (r *Request) Schema(schema rawjson.Value, form SchemaForm, path string) rawjson.Value {
	written, lost := r.schemas.write(schema, form)
	for _, keyword := range lost {
		r.Dropped.Add(path, "(", keyword, ")")
	}
	return written
}
