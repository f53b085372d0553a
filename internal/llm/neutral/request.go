package neutral

import "github.com/caddy-freetier/caddy-freetier/internal/llm/rawjson"

// Request is what a client asks of a model.
//
// A reader makes one for each client's request, and a writer gets a copy of it for each
// channel that is tried, so that Dropped and the settings are a channel's own. What the
// copies share (messages, tools, names) must not be changed after reading.
type Request struct {
	Dialect Dialect // the client's
	// Model is as the client names it; Gemini has it in the path, so that the caller
	// sets it and Stream. The channel's name is in Target.
	Model  string
	Stream bool

	// StreamUsage reports whether the client wants usage in a stream. Only chat
	// leaves the choice.
	StreamUsage bool

	// Messages are the turns of the conversation, in order. System texts stand
	// where the client has put them.
	Messages []Message

	// Tools are in the order in which they were declared. The order is part of the
	// prefix that prompt caches compare, and decides which of two colliding names is
	// changed.
	Tools    []Tool
	Names    *Names // what the tools are called towards the channel
	Choice   ToolChoice
	Parallel Switch // of tool calls

	Settings  Settings
	Reasoning Reasoning
	Format    Format

	// Needs are parts of the request that only some dialects have, and without
	// which it would mean something else.
	//
	// Examples are previous_response_id and an uploaded file's id. Check compares them
	// with the channel's dialect.
	Needs []Need

	Dropped Dropped

	// declared are the tools that the client runs, by name; AddTool keeps it.
	declared map[ToolRef]bool

	// schemas is what Schema has written. It begins anew with each writer's copy, so
	// that the same request becomes the same bytes each time.
	schemas schemaCost

	// Source is the body in the client's dialect. Responses repeat parts of it.
	Source rawjson.Value
}

// Switch is a boolean that need not be set.
//
// Absent and false differ: a function tool without strict is not strict in Chat, while
// Responses tries strict unless the field is false.
type Switch int

const (
	Unset Switch = iota
	On
	Off
)

// SwitchOf returns the switch that a JSON value stands for.
func SwitchOf(v rawjson.Value) Switch {
	switch {
	case v.Is('t'):
		return On
	case v.Is('f'):
		return Off
	}
	return Unset
}

// Role is who says a message.
//
// Gemini has two roles and no ids, Messages has results among a user's blocks,
// Responses has items instead of messages: all become these four.
type Role int

const (
	System Role = iota // system, developer
	User
	Assistant
	ToolRole // results of the calls of the turn before; all parts are of kind Result
)

// Message is a turn of the conversation.
type Message struct {
	Role  Role
	Parts []Part
}

// PartKind is what a part of a message is.
//
// The order in which parts stand is that of the model. Text before a call stays before
// it.
type PartKind int

const (
	Text      PartKind = iota
	Refusal            // the model's words with which it refuses
	Media              // an image, audio, video or file
	Thought            // reasoning, maybe with a signature
	Call               // of a tool, by the model
	Result             // of a call
	Signature          // a signature that stands alone, after text in gemini
)

// Part is a part of a message.
type Part struct {
	Kind PartKind
	Text string // of Text, Refusal and Thought

	Media *MediaPart

	// Sig is the opaque state that belongs to a Thought, a Call or a Text.
	Sig Sig
	// Redacted marks a Thought whose text is only in the signature.
	Redacted bool

	Call   *ToolCall
	Result *ToolResult

	Citations []Citation
}

// MediaPart is something that is not text. One of Data, URL and FileID is set.
//
// The dialects write one image as image_url with a data URL (Chat), input_image
// (Responses), a source of type base64, url or file (Messages) and inlineData or
// fileData (Gemini).
type MediaPart struct {
	Type   MediaType
	MIME   string // such as image/png; empty if unknown
	Data   string // base64
	URL    string // http or https, or the provider's own
	FileID string // belongs to the provider that gave it
	Name   string // of the file
	Detail string // low, high, auto or original
}

// MediaType is what a media part holds.
type MediaType int

const (
	Image MediaType = iota
	Audio
	Video
	File // a document
)

// ToolCall is a call of a tool by the model.
//
// Chat and Responses carry the arguments as a text of JSON, Messages and Gemini as an
// object. Models sometimes write what is no JSON; as text it survives, and each writer
// decides.
type ToolCall struct {
	ID string
	ToolRef
	// Input holds the arguments: JSON text for a function, the text itself for a
	// freeform tool. It keeps the bytes of the model.
	Input string
}

// ToolResult is the result of a call.
//
// Gemini's results have the name of the function and mostly no id, all others the id
// and no name, so Turns fills in what is missing.
type ToolResult struct {
	CallID  string
	Tool    ToolRef // filled in from the call by Turns
	Parts   []Part  // texts and media
	IsError bool
}

// Citation names the source of a piece of text.
type Citation struct {
	URL, Title string
	Start, End int64 // in characters of the text, 0 and 0 if unknown
	Quote      string
}

// Format is the form that the response must have.
//
// It is response_format in Chat, text.format in Responses, output_config.format in
// Messages and responseMimeType with a schema in Gemini. Messages has neither a name
// nor any JSON object without a schema.
type Format struct {
	Kind        FormatKind
	Field       string // as the client calls it
	Name        string
	Description string
	Schema      rawjson.Value
	SchemaField string // as the client calls it
	Strict      Switch
}

// FormatKind is a kind of Format.
type FormatKind int

const (
	FormatText FormatKind = iota
	FormatJSON            // any JSON object
	FormatSchema
)
