package gemini

import (
	"slices"
	"strconv"
	"strings"

	"github.com/caddy-freetier/caddy-freetier/internal/llm/neutral"
	"github.com/caddy-freetier/caddy-freetier/internal/llm/rawjson"
)

// readContents reads the conversation: an array of contents, or one, as callers of
// Google's SDKs write it.
func readContents(r *neutral.Request, value rawjson.Value) error {
	if value.Is('{') {
		return readTurn(r, value, 0)
	}
	turn := 0
	for content := range value.Elements {
		if err := readTurn(r, content, turn); err != nil {
			return err
		}
		turn++
	}
	return nil
}

// readTurn reads a content. Results come first, in a message of their own; what the
// client has put beside them is said after them. The Gemini CLI puts the images of a
// result there, as inlineData, since models before Gemini 3 take none inside of it.
//
// A missing role is the user's, and so is function, the role of results in older versions
// of the API. system is none of the API's; it is read as what it says. A content without
// parts is kept as an empty message.
func readTurn(r *neutral.Request, content rawjson.Value, turn int) error {
	t := turnReader{r: r, turn: turn, isModel: get(content, "role").Text() == "model"}
	list := get(content, "parts")
	if list.Is('{') {
		list = rawjson.Value("[" + string(list) + "]")
	}
	for part := range list.Elements {
		if err := t.part(part); err != nil {
			return err
		}
	}
	role := neutral.User
	switch word := get(content, "role").Text(); word {
	case "model":
		role = neutral.Assistant
	case "system":
		role = neutral.System
	case "user", "function", "":
	default:
		return &neutral.InvalidError{Param: "contents[].role", Reason: "unknown role " + word}
	}
	if role != neutral.System {
		if err := neutral.OnlyIn(role, append(slices.Clip(t.said), t.results...), "contents[].parts[]"); err != nil {
			return err
		}
	}
	if len(t.results) > 0 {
		r.Messages = append(r.Messages, neutral.Message{Role: neutral.ToolRole, Parts: t.results})
	}
	if len(t.said) > 0 || len(t.results) == 0 {
		r.Messages = append(r.Messages, neutral.Message{Role: role, Parts: t.said})
	}
	return nil
}

// turnReader reads the parts of a turn.
type turnReader struct {
	r       *neutral.Request
	turn    int  // index in contents, for the ids of calls
	isModel bool // the role is model, which alone has signatures
	calls   int  // so far, for their ids
	said    []neutral.Part
	results []neutral.Part
}

// noSignature is what clients send in place of a signature that they do not have, and what
// WriteRequest sends for a call of another model. Google's server takes it for a call
// whose signature it shall not check. The Gemini CLI writes it on the first call without
// a signature of each turn.
// Source: https://ai.google.dev/gemini-api/docs/thought-signatures (November 2026)
const noSignature = "skip_thought_signature_validator"

// part reads a part. What it is, is said by the member that it has, not by a type; thought
// and thoughtSignature stand beside that one, before or behind it. A part with nothing
// but a signature is a text without words: Gemini ends streams with such a part.
//
// A signature counts on what the model has made. On others, such as a result, no dialect
// has a place for it.
//
// Parts of Google's own tools (executableCode, codeExecutionResult, toolCall) and those
// that are not known are dropped: what the model made of them stands in its text.
func (t *turnReader) part(value rawjson.Value) error {
	part := neutral.Part{Kind: neutral.Text}
	known := false
	for key, member := range value.Members {
		switch name := camel(key); name {
		case "text":
			part.Text, known = member.Text(), true
		case "thought":
			if member.Bool() && part.Kind == neutral.Text {
				part.Kind = neutral.Thought
			}
		case "thoughtSignature":
			if text := member.Text(); text != noSignature {
				part.Sig = neutral.ReadSig(text)
			}
		case "inlineData", "fileData":
			part.Kind, part.Media, known = neutral.Media, readMedia(member), true
			if part.Media.Name != "" && part.Media.Type != neutral.File {
				t.r.Dropped.Add("contents[].parts[].", name, ".displayName")
			}
		case "functionCall":
			part.Kind, part.Call, known = neutral.Call, t.call(member), true
		case "functionResponse":
			part.Kind, part.Result, known = neutral.Result, readResponse(t.r, member), true
		default:
			t.r.Dropped.Add("contents[].parts[].", name)
		}
	}
	if isMade := part.Kind == neutral.Text || part.Kind == neutral.Thought || part.Kind == neutral.Call; part.Sig.Value != "" && !(isMade && t.isModel) {
		t.r.Dropped.Add("contents[].parts[].thoughtSignature")
		part.Sig = neutral.Sig{}
	}
	switch {
	case part.Kind == neutral.Result:
		t.results = append(t.results, part)
	case known || part.Sig.Value != "":
		t.said = append(t.said, part)
	}
	return nil
}

// call reads a call. One without an id gets one by its place, which is the same in each
// turn: "call_2_0" is the first call of the third content. Missing arguments are an empty
// object, as other dialects demand one. partialArgs and willContinue are Vertex AI's,
// which streams arguments.
func (t *turnReader) call(value rawjson.Value) *neutral.ToolCall {
	call := &neutral.ToolCall{ID: value.Get("id").Text(), Input: string(value.Get("args"))}
	call.Name = value.Get("name").Text()
	for key := range value.Members {
		if name := camel(key); name != "id" && name != "name" && name != "args" {
			t.r.Dropped.Add("contents[].parts[].functionCall.", name)
		}
	}
	if call.ID == "" {
		call.ID = "call_" + strconv.Itoa(t.turn) + "_" + strconv.Itoa(t.calls)
	}
	if call.Input == "" || call.Input == "null" {
		call.Input = "{}"
	}
	t.calls++
	return call
}

// readMedia reads inlineData or fileData, which differ in where the data is. What it holds
// is said by the MIME type only. A file of Google's own is a FileID, an error on other
// dialects; any other address is a URL, which they may fetch.
func readMedia(value rawjson.Value) *neutral.MediaPart {
	media := &neutral.MediaPart{MIME: get(value, "mimeType").Text(), Name: get(value, "displayName").Text()}
	media.Type = neutral.MediaOfMIME(media.MIME)
	media.Data = value.Get("data").Text()
	if uri := get(value, "fileUri").Text(); uri != "" {
		if isOwnFile(uri) {
			media.FileID = uri
		} else {
			media.URL = uri
		}
	}
	return media
}

// isOwnFile reports whether only Google can read a file: uploads
// (https://generativelanguage.googleapis.com/v1beta/files/…) and buckets (gs://…).
func isOwnFile(uri string) bool {
	return !strings.HasPrefix(uri, "http") || strings.Contains(uri, "googleapis.com/")
}

// readResponse reads a result. Its keys output and error have a meaning; without
// them all of the object is the output.
//
//	{"id":"…","name":"read","response":{"output":"text"},"parts":[{"inlineData":{…}}]}
//
// The id may be missing; the name must be there, and Turns finds the call by it. parts,
// with the images of a result, are new with Gemini 3.
func readResponse(r *neutral.Request, value rawjson.Value) *neutral.ToolResult {
	result := &neutral.ToolResult{}
	for key, member := range value.Members {
		switch name := camel(key); name {
		case "id":
			result.CallID = member.Text()
		case "name":
			result.Tool.Name = member.Text()
		case "response":
			result.Parts = append(result.Parts, neutral.Part{Kind: neutral.Text, Text: responseText(member, result)})
		case "parts":
			for part := range member.Elements {
				for key, body := range part.Members {
					if name := camel(key); name != "inlineData" && name != "fileData" {
						r.Dropped.Add("contents[].parts[].functionResponse.parts[].", name)
						continue
					}
					if get(body, "displayName").IsSet() {
						r.Dropped.Add("contents[].parts[].functionResponse.parts[].", camel(key), ".displayName")
					}
					result.Parts = append(result.Parts, neutral.Part{Kind: neutral.Media, Media: readMedia(body)})
				}
			}
		default:
			r.Dropped.Add("contents[].parts[].functionResponse.", name)
		}
	}
	return result
}

// responseText returns the text of a result, and whether it is an error. A value that is
// no string is its JSON. A response with more members than that one has a form of its
// own, and is passed on as a whole: {"output":"…","exitCode":1} would lose the code
// otherwise.
func responseText(value rawjson.Value, result *neutral.ToolResult) string {
	for _, key := range []string{"error", "output"} {
		if member := value.Get(key); len(member) > 0 && value.Len() == 1 {
			result.IsError = key == "error"
			if member.Is('"') {
				return member.Text()
			}
			return string(member)
		}
	}
	return string(value)
}
