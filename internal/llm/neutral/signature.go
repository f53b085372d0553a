package neutral

import (
	"encoding/base64"
	"strings"
)

// Sig is opaque state of a model's reasoning, which only the vendor that gave it
// can read. To every other it is an error, so it is sent to no other.
//
// It is signature and redacted_thinking.data in Messages, encrypted_content in
// Responses, thoughtSignature in Gemini, extra_content.google.thought_signature in
// Gemini's Chat endpoint. Anthropic and Google answer 400 to one that is not their own.
// Agents send theirs back unchanged and in its place, so the gateway marks each with
// the vendor on the way out and unmarks it on the way back; without memory, and over
// restarts and instances.
//
//	provider  EqQBCkYIBRgC…  ─▶  client  base64("freetier:anthropic:EqQBCkYIBRgC…")
type Sig struct {
	Vendor string // "" if the value did not pass through this gateway
	Value  string
}

// signatureMark begins each value that was given to a client. Nine bytes are
// twelve characters of base64, which are the same whatever follows.
const signatureMark = "freetier:"

// SignatureMark is how marked values begin. A body without it has none of them.
const SignatureMark = "ZnJlZXRpZXI6"

// Mark returns the value as it is given to a client: base64, because that is what
// all dialects take, with the vendor in it.
func (s Sig) Mark() string {
	if s.Value == "" {
		return ""
	}
	return base64.StdEncoding.EncodeToString([]byte(signatureMark + s.Vendor + ":" + s.Value))
}

// ReadSig returns what a client has sent back. Clients that decode base64 may
// encode it anew with the other alphabet or without padding.
//
// A value without the mark comes from a conversation that did not go through this
// gateway. It has no vendor, and so it goes to none.
func ReadSig(value string) Sig {
	if !strings.HasPrefix(value, SignatureMark) {
		return Sig{Value: value}
	}
	text := strings.NewReplacer("-", "+", "_", "/").Replace(strings.TrimRight(value, "="))
	marked, err := base64.RawStdEncoding.DecodeString(text)
	if err != nil {
		return Sig{Value: value}
	}
	vendor, own, ok := strings.Cut(strings.TrimPrefix(string(marked), signatureMark), ":")
	if !ok {
		return Sig{Value: value}
	}
	return Sig{Vendor: vendor, Value: own}
}

// For returns the value to send to a vendor, "" if it is not the vendor's own.
func (s Sig) For(vendor string) string {
	if !s.IsOf(vendor) || s.Value == TextOnly {
		return ""
	}
	return s.Value
}

// IsOf reports whether the signature, or the thought that has it, is a vendor's.
func (s Sig) IsOf(vendor string) bool { return s.Vendor != "" && s.Vendor == vendor }

// TextOnly is the signature of thoughts that have none: it says whose they are.
// Their vendor takes the text back, and no other needs it.
const TextOnly = "text"
