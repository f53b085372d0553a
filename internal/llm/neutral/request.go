package neutral

import "github.com/caddy-freetier/caddy-freetier/internal/llm/rawjson"

// Request is what a client asks of a model.
type Request struct {
	Dialect Dialect // the client's
	Model   string
	Stream  bool

	// StreamUsage reports whether the client wants usage in a stream. Only chat
	// leaves the choice.
	StreamUsage bool

	// Messages are the turns of the conversation, in order. System texts stand
	// where the client has put them.
	Messages []Message

	Tools    []Tool // in the order in which they were declared
	Names    *Names // what the tools are called towards the channel
	Choice   ToolChoice
	Parallel Switch // of tool calls

	Settings  Settings
	Reasoning Reasoning
	Format    Format

	// Needs are parts of the request that only some dialects have, and without
	// which it would mean something else.
	Needs []Need

	Dropped Dropped

	declared map[ToolRef]bool // the tools that the client runs

	// Source is the body in the client's dialect. Responses repeat parts of it.
	Source rawjson.Value
}

// Switch is a boolean that need not be set.
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
type ToolCall struct {
	ID string
	ToolRef
	// Input holds the arguments: JSON text for a function, the text itself for a
	// freeform tool. It keeps the bytes of the model.
	Input string
}

// ToolResult is the result of a call.
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
